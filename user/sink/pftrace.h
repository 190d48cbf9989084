/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Perfetto's protobuf trace, written: what the formats of samples (perfetto.c) and of calls
 * (trace_perfetto.c) share. Repository google/perfetto, protos/perfetto/trace/; the files are named beside
 * the field numbers. A trace is a row of packets, all of one sequence here. Strings and the like are sent
 * once, in the first packet that needs them (interned_data), and numbered from 1; a number holds for the
 * packets of the sequence.
 *
 *	pftrace_begin(p, ts)		takes along what is interned
 *	pb_uint(&p->msg, …) …		the packet's message
 *	pftrace_add(p, PACKET_…)	into the packet
 *	pftrace_end(p)			and out
 */
#ifndef UNCOIL_SINK_PFTRACE_H
#define UNCOIL_SINK_PFTRACE_H

#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/index.h"
#include "base/pb.h"

#define PFTRACE_MESSAGE_MAX (64u << 20)

enum {
	TRACE_PACKET = 1, /* trace.proto */
	/* trace_packet.proto */
	PACKET_PROCESS_TREE = 2,
	PACKET_CLOCK_SNAPSHOT = 6,
	PACKET_TIMESTAMP = 8,
	PACKET_SEQUENCE = 10,
	PACKET_TRACK_EVENT = 11,
	PACKET_INTERNED_DATA = 12,
	PACKET_SEQUENCE_FLAGS = 13,
	PACKET_CLOCK = 58,
	PACKET_DEFAULTS = 59,
	PACKET_TRACK_DESCRIPTOR = 60,
	PACKET_PERF_SAMPLE = 66,
	FLAG_CLEARED = 1, /* what was interned before is forgotten */
	FLAG_NEEDS = 2,   /* cannot be read without what was interned before */
	/* clock_snapshot.proto; common/builtin_clock.proto */
	SNAPSHOT_CLOCK = 1,
	SNAPSHOT_PRIMARY = 2,
	CLOCK_ID = 1,
	CLOCK_TIMESTAMP = 2,
	CLOCK_IS_REALTIME = 1,
	CLOCK_IS_MONOTONIC = 3,
	/* ps/process_tree.proto */
	TREE_PROCESS = 1,
	TREE_THREAD = 2,
	PROCESS_PID = 1,
	PROCESS_CMDLINE = 3,
	PROCESS_CMDLINE_IS_COMM = 9,
	THREAD_TID = 1,
	THREAD_NAME = 2,
	THREAD_TGID = 3,
	/* track_event/track_descriptor.proto, track_event.proto */
	TRACK_UUID = 1,
	TRACK_NAME = 2,
	TRACK_PROCESS = 3,
	TRACK_THREAD = 4,
	TRACK_PARENT = 5,
	DESCRIPTOR_PID = 1, /* thread_descriptor.proto */
	DESCRIPTOR_TID = 2,
	DESCRIPTOR_NAME = 5,
	EVENT_CATEGORY_IID = 3,
	EVENT_ANNOTATION = 4,
	EVENT_TYPE = 9,
	EVENT_NAME_IID = 10,
	EVENT_TRACK = 11,
	EVENT_CATEGORY = 22,
	EVENT_NAME = 23,
	EVENT_FLOW = 47,     /* fixed64: leads from here to the next with the same number, */
	EVENT_FLOW_END = 48, /* and here it ends */
	EVENT_CALLSTACK_IID = 56,
	TYPE_BEGIN = 1,
	TYPE_END = 2,
	TYPE_INSTANT = 3,
	ANNOTATION_NAME_IID = 1, /* debug_annotation.proto */
	ANNOTATION_BOOL = 2,
	ANNOTATION_UINT = 3,
	ANNOTATION_STRING = 6,
	ANNOTATION_STRING_IID = 17,
	/* interned_data/interned_data.proto, profiling/profile_common.proto */
	INTERNED_CATEGORY = 1,
	INTERNED_EVENT_NAME = 2,
	INTERNED_ANNOTATION_NAME = 3,
	INTERNED_FUNCTION_NAME = 5,
	INTERNED_FRAME = 6,
	INTERNED_CALLSTACK = 7,
	INTERNED_MAPPING_PATH = 17,
	INTERNED_SOURCE_PATH = 18,
	INTERNED_MAPPING = 19,
	INTERNED_ANNOTATION_STRING = 29,
	STRING_IID = 1,
	STRING_STR = 2,
	MAPPING_IID = 1,
	MAPPING_END = 5,
	MAPPING_PATH = 7,
	FRAME_IID = 1,
	FRAME_FUNCTION = 2,
	FRAME_MAPPING = 3,
	FRAME_PC = 4,
	FRAME_SOURCE = 5,
	FRAME_LINE = 6,
	CALLSTACK_IID = 1,
	CALLSTACK_FRAMES = 2, /* the root first */
	/* trace_packet_defaults.proto, profiling/profile_packet.proto, common/perf_events.proto */
	DEFAULTS_CLOCK = 58,
	DEFAULTS_PERF_SAMPLE = 12,
	PERF_DEFAULTS_TIMEBASE = 1,
	TIMEBASE_FREQUENCY = 2,
	TIMEBASE_COUNTER = 4,
	COUNTER_CPU_CLOCK = 1,
	SAMPLE_PID = 2,
	SAMPLE_TID = 3,
	SAMPLE_CALLSTACK = 4,
	SAMPLE_CPU_MODE = 5,
	CPU_MODE_USER = 2,
};

struct pftrace {
	FILE *out;
	struct buf packet, interned, msg, part, text;
	int err; /* sticky */
};

void pftrace_init(struct pftrace *p, FILE *out);
void pftrace_done(struct pftrace *p);

/* Adds p->msg to the packet and empties it. */
void pftrace_add(struct pftrace *p, uint32_t field);

/* Any text as clean UTF-8; valid until the next call. */
const char *pftrace_clean(struct pftrace *p, const char *text);

/* Writes the packet and empties it. */
void pftrace_end(struct pftrace *p);

/* Begins one at a time, which needs what was interned before, and brings what is new. */
void pftrace_begin(struct pftrace *p, uint64_t ts_ns);

/* Interns a string of a message with the usual two fields, under a number. */
void pftrace_string(struct pftrace *p, uint32_t field, uint64_t iid, const char *text);

/* The number of a string of this kind, which is interned if it is new. */
uint64_t pftrace_iid(struct pftrace *p, struct index *strings, uint32_t field, const char *text);

/* Adds an annotation to the event in p->msg: its name's and value's numbers, or a value. */
void pftrace_annotate(struct pftrace *p, uint64_t name, uint32_t field, uint64_t value);

/* A packet that says which clock the times are of. */
void pftrace_clock(struct pftrace *p, uint64_t start_ns, int64_t start_unix_ns);

/* A track with a name, and an instant on it that is called `line`. */
void pftrace_track(struct pftrace *p, uint64_t track, const char *name);
void pftrace_line(struct pftrace *p, uint64_t track, uint64_t ts_ns, const char *line);

#endif
