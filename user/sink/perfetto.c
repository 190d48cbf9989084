/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Perfetto's protobuf trace, a timeline (repository google/perfetto, protos/perfetto/trace/; the
 * files are named beside the field numbers). A trace is a row of packets:
 *
 *	clock_snapshot	which clock the times are of
 *	process_tree	names of processes and threads
 *	track_event	what the recording says about itself, as instants on a track called "uncoil"
 *	perf_sample	one a sample: pid, tid and the number of its callstack
 *	track_event	waits: a slice on the thread's own track, named after what it waited for
 *
 * Samples are what `perf record` would have taken, so they are written as such: Perfetto draws them
 * at their time, on their thread, and makes flame graphs of any stretch. A wait is no sample: it has a
 * beginning and an end, and slices are what Perfetto can add up, by name, over any stretch. One slice a
 * wait, not one a frame: that a thread waited in a function does not say when it came there. The stack
 * goes along as the slice's callstack, and as text among its arguments, for a Perfetto that knows
 * nothing of callstacks in slices. Strings, frames and
 * callstacks are sent once, in the first packet that needs them (interned_data), and numbered from 1;
 * a number holds for the packets of one sequence.
 *
 * A frame lies in a mapping, "Python", at an address: no version of the importer does without. The
 * address is the frame's number.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/index.h"
#include "base/pb.h"
#include "base/text.h"
#include "model/report.h"
#include "sink/about.h"
#include "sink/sink.h"

#define MESSAGE_MAX (64u << 20)

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
	TRACK_THREAD = 4,
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
	EVENT_CALLSTACK_IID = 56,
	TYPE_BEGIN = 1,
	TYPE_END = 2,
	TYPE_INSTANT = 3,
	ANNOTATION_NAME_IID = 1, /* debug_annotation.proto */
	ANNOTATION_BOOL = 2,
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

#define SEQUENCE    1 /* all packets are of one */
#define ABOUT_TRACK 1
#define MAPPING     1
#define WAIT_TRACK  (ABOUT_TRACK + 1) /* the first thread's; the others' follow */

enum { CATEGORY_WAIT = 1 };
enum { ANNOTATION_STACK = 1, ANNOTATION_OPEN };

struct frame_key {
	uint64_t name, source;
	uint64_t line;
};

struct trace {
	const struct report *report;
	FILE *out;
	struct index functions, sources, frames, stacks, names;
	bool has_waits;
	struct buf packet, interned, msg, part, text;
	int err;
};

static int bufs_err(struct trace *t)
{
	return t->packet.err || t->interned.err || t->msg.err || t->part.err || t->text.err ||
	       t->functions.err || t->sources.err || t->frames.err || t->stacks.err || t->names.err;
}

/* Adds t->msg to the packet and empties it. */
static void add_msg(struct trace *t, uint32_t field)
{
	pb_msg(&t->packet, field, &t->msg);
	buf_clear(&t->msg);
}

static const char *clean(struct trace *t, const char *text)
{
	buf_clear(&t->text);
	text_clean(&t->text, text, strlen(text));
	return buf_text(&t->text);
}

static void packet_end(struct trace *t)
{
	pb_uint(&t->packet, PACKET_SEQUENCE, SEQUENCE);
	buf_clear(&t->part);
	pb_msg(&t->part, TRACE_PACKET, &t->packet);
	if (bufs_err(t))
		t->err = -ENOMEM;
	fwrite(buf_text(&t->part), 1, t->part.len, t->out);
	buf_clear(&t->packet);
}

static void put_clock(struct trace *t)
{
	const struct {
		uint64_t id, ns;
	} clocks[] = { { CLOCK_IS_MONOTONIC, t->report->start_ns },
		       { CLOCK_IS_REALTIME, t->report->start_unix_ns } };
	int i;

	for (i = 0; i < 2; i++) {
		buf_clear(&t->part);
		pb_uint(&t->part, CLOCK_ID, clocks[i].id);
		pb_uint(&t->part, CLOCK_TIMESTAMP, clocks[i].ns);
		pb_msg(&t->msg, SNAPSHOT_CLOCK, &t->part);
	}
	pb_uint(&t->msg, SNAPSHOT_PRIMARY, CLOCK_IS_MONOTONIC);
	add_msg(t, PACKET_CLOCK_SNAPSHOT);
	packet_end(t);
}

static void put_names(struct trace *t)
{
	const struct report_thread *thread;
	struct index seen;
	uint32_t i;
	bool fresh;

	index_init(&seen);
	for (i = 0; i < t->report->thread_cnt; i++) {
		thread = &t->report->threads[i];
		index_of(&seen, &thread->pid, sizeof(thread->pid), &fresh);
		if (!fresh)
			continue;
		buf_clear(&t->part);
		pb_uint(&t->part, PROCESS_PID, (int64_t)thread->pid);
		pb_str(&t->part, PROCESS_CMDLINE, clean(t, thread->process));
		pb_uint(&t->part, PROCESS_CMDLINE_IS_COMM, 1);
		pb_msg(&t->msg, TREE_PROCESS, &t->part);
	}
	for (i = 0; i < t->report->thread_cnt; i++) {
		thread = &t->report->threads[i];
		buf_clear(&t->part);
		pb_uint(&t->part, THREAD_TID, (int64_t)thread->tid);
		pb_str(&t->part, THREAD_NAME, clean(t, thread->name));
		pb_uint(&t->part, THREAD_TGID, (int64_t)thread->pid);
		pb_msg(&t->msg, TREE_THREAD, &t->part);
	}
	if (seen.err)
		t->err = -ENOMEM;
	index_done(&seen);
	pb_uint(&t->packet, PACKET_TIMESTAMP, t->report->start_ns);
	add_msg(t, PACKET_PROCESS_TREE);
	packet_end(t);
}

static int put_about(void *ctx, const char *line)
{
	struct trace *t = ctx;

	pb_uint(&t->msg, EVENT_TYPE, TYPE_INSTANT);
	pb_uint(&t->msg, EVENT_TRACK, ABOUT_TRACK);
	pb_str(&t->msg, EVENT_CATEGORY, "uncoil");
	pb_str(&t->msg, EVENT_NAME, line);
	pb_uint(&t->packet, PACKET_TIMESTAMP, t->report->start_ns);
	add_msg(t, PACKET_TRACK_EVENT);
	packet_end(t);
	return t->err;
}

/* All the interned strings' messages have the same two fields. */
static void put_string(struct trace *t, uint32_t field, uint64_t iid, const char *text)
{
	buf_clear(&t->part);
	pb_uint(&t->part, STRING_IID, iid);
	pb_str(&t->part, STRING_STR, text);
	pb_msg(&t->interned, field, &t->part);
}

/* The first packet of the samples' kind: defaults, and the mapping. */
static void put_defaults(struct trace *t)
{
	if (t->report->rate_hz) {
		buf_clear(&t->part);
		pb_uint(&t->part, TIMEBASE_FREQUENCY, t->report->rate_hz);
		pb_uint(&t->part, TIMEBASE_COUNTER, COUNTER_CPU_CLOCK);
		pb_msg(&t->msg, PERF_DEFAULTS_TIMEBASE, &t->part);
	}
	buf_clear(&t->part);
	if (t->report->rate_hz)
		pb_msg(&t->part, DEFAULTS_PERF_SAMPLE, &t->msg);
	pb_uint(&t->part, DEFAULTS_CLOCK, CLOCK_IS_MONOTONIC);
	pb_msg(&t->packet, PACKET_DEFAULTS, &t->part);

	buf_clear(&t->msg);
	pb_uint(&t->msg, STRING_IID, 1);
	pb_str(&t->msg, STRING_STR, "Python");
	pb_msg(&t->interned, INTERNED_MAPPING_PATH, &t->msg);
	buf_clear(&t->msg);
	pb_uint(&t->msg, MAPPING_IID, MAPPING);
	pb_uint(&t->msg, MAPPING_END, 1ULL << 32); /* of addresses, which are frames' numbers */
	pb_uint(&t->msg, MAPPING_PATH, 1);
	pb_msg(&t->interned, INTERNED_MAPPING, &t->msg);
	buf_clear(&t->msg);
	if (t->has_waits) {
		put_string(t, INTERNED_CATEGORY, CATEGORY_WAIT, "wait");
		put_string(t, INTERNED_ANNOTATION_NAME, ANNOTATION_STACK, "stack");
		put_string(t, INTERNED_ANNOTATION_NAME, ANNOTATION_OPEN, "open");
	}
	pb_msg(&t->packet, PACKET_INTERNED_DATA, &t->interned);
	buf_clear(&t->interned);
	pb_uint(&t->packet, PACKET_SEQUENCE_FLAGS, FLAG_CLEARED);
	packet_end(t);
}

static uint64_t string_iid(struct trace *t, struct index *strings, uint32_t field, const char *text)
{
	uint64_t iid;
	bool fresh;

	iid = 1ULL + index_of_str(strings, clean(t, text), &fresh);
	if (fresh)
		put_string(t, field, iid, buf_text(&t->text));
	return iid;
}

static uint64_t frame_iid(struct trace *t, const struct report_node *node)
{
	struct frame_key key = { .line = node->line > 0 ? node->line : 0 };
	uint64_t iid;
	bool fresh;

	key.name = string_iid(t, &t->functions, INTERNED_FUNCTION_NAME, node->func);
	if (node->path[0])
		key.source = string_iid(t, &t->sources, INTERNED_SOURCE_PATH, node->path);
	iid = 1ULL + index_of(&t->frames, &key, sizeof(key), &fresh);
	if (fresh) {
		buf_clear(&t->part);
		pb_uint(&t->part, FRAME_IID, iid);
		pb_uint(&t->part, FRAME_FUNCTION, key.name);
		pb_uint(&t->part, FRAME_MAPPING, MAPPING);
		pb_uint(&t->part, FRAME_PC, iid);
		if (key.source)
			pb_uint(&t->part, FRAME_SOURCE, key.source);
		if (key.line)
			pb_uint(&t->part, FRAME_LINE, key.line);
		pb_msg(&t->interned, INTERNED_FRAME, &t->part);
	}
	return iid;
}

/* The same stack as text, in the order and form of folded stacks, under the same number. */
static void put_stack_text(struct trace *t, const struct report_node *leaf, uint64_t iid)
{
	const struct report_node *node, **path;
	size_t depth = 0, at;
	struct buf text;

	for (node = leaf; node; node = node->parent)
		depth += node->kind >= FRAME_APP;
	path = calloc(depth + 1, sizeof(*path));
	if (!path) {
		t->err = -ENOMEM;
		return;
	}
	at = depth;
	for (node = leaf; node; node = node->parent)
		if (node->kind >= FRAME_APP)
			path[--at] = node;
	buf_init(&text, MESSAGE_MAX);
	for (at = 0; at < depth; at++) {
		buf_fmt(&text, "%s%s", at ? ";" : "", path[at]->func);
		if (path[at]->file[0])
			buf_fmt(&text, path[at]->line > 0 ? " (%s:%d)" : " (%s)", path[at]->file,
				path[at]->line);
	}
	put_string(t, INTERNED_ANNOTATION_STRING, iid, clean(t, buf_text(&text)));
	if (text.err)
		t->err = -ENOMEM;
	buf_done(&text);
	free(path);
}

/* The callstack that ends with `leaf`; what of it is new goes into t->interned. */
static uint64_t stack_iid(struct trace *t, const struct report_node *leaf)
{
	const struct report_node *node;
	uint64_t iid, *frames;
	size_t depth = 0, at;
	bool fresh;

	iid = 1ULL + index_of(&t->stacks, &leaf, sizeof(leaf), &fresh);
	if (!fresh)
		return iid;
	for (node = leaf; node; node = node->parent)
		depth += node->kind >= FRAME_TASK;
	frames = calloc(depth + 1, sizeof(*frames));
	if (!frames) {
		t->err = -ENOMEM;
		return 0;
	}
	at = depth;
	for (node = leaf; node; node = node->parent)
		if (node->kind >= FRAME_TASK)
			frames[--at] = frame_iid(t, node);
	pb_uint(&t->msg, CALLSTACK_IID, iid);
	for (at = 0; at < depth; at++)
		pb_uint(&t->msg, CALLSTACK_FRAMES, frames[at]);
	pb_msg(&t->interned, INTERNED_CALLSTACK, &t->msg);
	buf_clear(&t->msg);
	free(frames);
	if (t->has_waits)
		put_stack_text(t, leaf, iid);
	return iid;
}

/* What comes next needs what was interned before, and brings what is new. */
static void packet_begin(struct trace *t, uint64_t ts_ns)
{
	pb_uint(&t->packet, PACKET_TIMESTAMP, ts_ns);
	pb_uint(&t->packet, PACKET_SEQUENCE_FLAGS, FLAG_NEEDS);
	if (t->interned.len)
		pb_msg(&t->packet, PACKET_INTERNED_DATA, &t->interned);
	buf_clear(&t->interned);
}

static void put_sample(struct trace *t, const struct report_event *event)
{
	const struct report_thread *thread = &t->report->threads[event->thread];
	uint64_t iid = stack_iid(t, event->leaf);

	packet_begin(t, event->ts_ns);
	pb_uint(&t->msg, SAMPLE_PID, (uint32_t)thread->pid);
	pb_uint(&t->msg, SAMPLE_TID, (uint32_t)thread->tid);
	pb_uint(&t->msg, SAMPLE_CALLSTACK, iid);
	pb_uint(&t->msg, SAMPLE_CPU_MODE, CPU_MODE_USER);
	add_msg(t, PACKET_PERF_SAMPLE);
	packet_end(t);
}

static void put_annotation(struct trace *t, uint64_t name, uint32_t field, uint64_t value)
{
	buf_clear(&t->part);
	pb_uint(&t->part, ANNOTATION_NAME_IID, name);
	pb_uint(&t->part, field, value);
	pb_msg(&t->msg, EVENT_ANNOTATION, &t->part);
}

static void put_wait(struct trace *t, const struct report_event *event)
{
	uint64_t track = WAIT_TRACK + event->thread;
	uint64_t stack = event->leaf->kind >= FRAME_APP ? stack_iid(t, event->leaf) : 0;
	uint64_t name = string_iid(t, &t->names, INTERNED_EVENT_NAME, event->name);

	packet_begin(t, event->ts_ns);
	pb_uint(&t->msg, EVENT_TYPE, TYPE_BEGIN);
	pb_uint(&t->msg, EVENT_TRACK, track);
	pb_uint(&t->msg, EVENT_CATEGORY_IID, CATEGORY_WAIT);
	pb_uint(&t->msg, EVENT_NAME_IID, name);
	if (stack) {
		put_annotation(t, ANNOTATION_STACK, ANNOTATION_STRING_IID, stack);
		pb_uint(&t->msg, EVENT_CALLSTACK_IID, stack);
	}
	if (event->open)
		put_annotation(t, ANNOTATION_OPEN, ANNOTATION_BOOL, 1);
	add_msg(t, PACKET_TRACK_EVENT);
	packet_end(t);
	pb_uint(&t->packet, PACKET_TIMESTAMP, event->ts_ns + event->duration_ns);
	pb_uint(&t->msg, EVENT_TYPE, TYPE_END);
	pb_uint(&t->msg, EVENT_TRACK, track);
	add_msg(t, PACKET_TRACK_EVENT);
	packet_end(t);
}

/* Threads' own tracks, on which their slices lie. */
static void put_tracks(struct trace *t)
{
	const struct report_thread *thread;
	uint32_t i;

	for (i = 0; i < t->report->thread_cnt && t->has_waits; i++) {
		thread = &t->report->threads[i];
		buf_clear(&t->part);
		pb_uint(&t->part, DESCRIPTOR_PID, (int64_t)thread->pid);
		pb_uint(&t->part, DESCRIPTOR_TID, (int64_t)thread->tid);
		pb_str(&t->part, DESCRIPTOR_NAME, clean(t, thread->name));
		pb_uint(&t->msg, TRACK_UUID, WAIT_TRACK + i);
		pb_msg(&t->msg, TRACK_THREAD, &t->part);
		add_msg(t, PACKET_TRACK_DESCRIPTOR);
		packet_end(t);
	}
}

static void put_trace(struct trace *t)
{
	uint64_t i;

	for (i = 0; i < t->report->event_cnt; i++)
		t->has_waits |= t->report->events[i].kind == REPORT_EVENT_WAIT;
	put_clock(t);
	put_names(t);
	put_defaults(t);
	pb_uint(&t->msg, TRACK_UUID, ABOUT_TRACK);
	pb_str(&t->msg, TRACK_NAME, "uncoil");
	add_msg(t, PACKET_TRACK_DESCRIPTOR);
	packet_end(t);
	if (about_lines(t->report, put_about, t))
		t->err = -ENOMEM;
	put_tracks(t);
	for (i = 0; i < t->report->event_cnt && !t->err; i++)
		if (t->report->events[i].kind == REPORT_EVENT_SAMPLE)
			put_sample(t, &t->report->events[i]);
		else if (t->report->events[i].kind == REPORT_EVENT_WAIT)
			put_wait(t, &t->report->events[i]);
}

static int perfetto_write(const struct report *report, FILE *out)
{
	struct trace t = { .report = report, .out = out };
	struct buf *bufs[] = { &t.packet, &t.interned, &t.msg, &t.part, &t.text };
	struct index *indexes[] = { &t.functions, &t.sources, &t.frames, &t.stacks, &t.names };
	size_t i;

	for (i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
		buf_init(bufs[i], MESSAGE_MAX);
	for (i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++)
		index_init(indexes[i]);
	put_trace(&t);
	if (!t.err && ferror(out))
		t.err = -EIO;
	for (i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
		buf_done(bufs[i]);
	for (i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++)
		index_done(indexes[i]);
	return t.err;
}

const struct sink sink_perfetto = {
	.name = "perfetto",
	.suffixes = ".pftrace .perfetto-trace",
	.what = "timeline: a trace for ui.perfetto.dev",
	.timeline = true,
	.write = perfetto_write,
};
