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
#include "sink/pftrace.h"
#include "sink/sink.h"

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
	struct index functions, sources, frames, stacks, names;
	bool has_waits;
	struct pftrace pf;
	int err;
};

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
		buf_clear(&t->pf.part);
		pb_uint(&t->pf.part, PROCESS_PID, (int64_t)thread->pid);
		pb_str(&t->pf.part, PROCESS_CMDLINE, pftrace_clean(&t->pf, thread->process));
		pb_uint(&t->pf.part, PROCESS_CMDLINE_IS_COMM, 1);
		pb_msg(&t->pf.msg, TREE_PROCESS, &t->pf.part);
	}
	for (i = 0; i < t->report->thread_cnt; i++) {
		thread = &t->report->threads[i];
		buf_clear(&t->pf.part);
		pb_uint(&t->pf.part, THREAD_TID, (int64_t)thread->tid);
		pb_str(&t->pf.part, THREAD_NAME, pftrace_clean(&t->pf, thread->name));
		pb_uint(&t->pf.part, THREAD_TGID, (int64_t)thread->pid);
		pb_msg(&t->pf.msg, TREE_THREAD, &t->pf.part);
	}
	if (seen.err)
		t->err = -ENOMEM;
	index_done(&seen);
	pb_uint(&t->pf.packet, PACKET_TIMESTAMP, t->report->start_ns);
	pftrace_add(&t->pf, PACKET_PROCESS_TREE);
	pftrace_end(&t->pf);
}

static int put_about(void *ctx, const char *line)
{
	struct trace *t = ctx;

	pftrace_line(&t->pf, ABOUT_TRACK, t->report->start_ns, line);
	return t->pf.err;
}

/* The first packet of the samples' kind: defaults, and the mapping. */
static void put_defaults(struct trace *t)
{
	if (t->report->rate_hz) {
		buf_clear(&t->pf.part);
		pb_uint(&t->pf.part, TIMEBASE_FREQUENCY, t->report->rate_hz);
		pb_uint(&t->pf.part, TIMEBASE_COUNTER, COUNTER_CPU_CLOCK);
		pb_msg(&t->pf.msg, PERF_DEFAULTS_TIMEBASE, &t->pf.part);
	}
	buf_clear(&t->pf.part);
	if (t->report->rate_hz)
		pb_msg(&t->pf.part, DEFAULTS_PERF_SAMPLE, &t->pf.msg);
	pb_uint(&t->pf.part, DEFAULTS_CLOCK, CLOCK_IS_MONOTONIC);
	pb_msg(&t->pf.packet, PACKET_DEFAULTS, &t->pf.part);

	buf_clear(&t->pf.msg);
	pb_uint(&t->pf.msg, STRING_IID, 1);
	pb_str(&t->pf.msg, STRING_STR, "Python");
	pb_msg(&t->pf.interned, INTERNED_MAPPING_PATH, &t->pf.msg);
	buf_clear(&t->pf.msg);
	pb_uint(&t->pf.msg, MAPPING_IID, MAPPING);
	pb_uint(&t->pf.msg, MAPPING_END, 1ULL << 32); /* of addresses, which are frames' numbers */
	pb_uint(&t->pf.msg, MAPPING_PATH, 1);
	pb_msg(&t->pf.interned, INTERNED_MAPPING, &t->pf.msg);
	buf_clear(&t->pf.msg);
	if (t->has_waits) {
		pftrace_string(&t->pf, INTERNED_CATEGORY, CATEGORY_WAIT, "wait");
		pftrace_string(&t->pf, INTERNED_ANNOTATION_NAME, ANNOTATION_STACK, "stack");
		pftrace_string(&t->pf, INTERNED_ANNOTATION_NAME, ANNOTATION_OPEN, "open");
	}
	pb_msg(&t->pf.packet, PACKET_INTERNED_DATA, &t->pf.interned);
	buf_clear(&t->pf.interned);
	pb_uint(&t->pf.packet, PACKET_SEQUENCE_FLAGS, FLAG_CLEARED);
	pftrace_end(&t->pf);
}

static uint64_t frame_iid(struct trace *t, const struct report_node *node)
{
	struct frame_key key = { .line = node->line > 0 ? node->line : 0 };
	uint64_t iid;
	bool fresh;

	key.name = pftrace_iid(&t->pf, &t->functions, INTERNED_FUNCTION_NAME, node->func);
	if (node->path[0])
		key.source = pftrace_iid(&t->pf, &t->sources, INTERNED_SOURCE_PATH, node->path);
	iid = 1ULL + index_of(&t->frames, &key, sizeof(key), &fresh);
	if (fresh) {
		buf_clear(&t->pf.part);
		pb_uint(&t->pf.part, FRAME_IID, iid);
		pb_uint(&t->pf.part, FRAME_FUNCTION, key.name);
		pb_uint(&t->pf.part, FRAME_MAPPING, MAPPING);
		pb_uint(&t->pf.part, FRAME_PC, iid);
		if (key.source)
			pb_uint(&t->pf.part, FRAME_SOURCE, key.source);
		if (key.line)
			pb_uint(&t->pf.part, FRAME_LINE, key.line);
		pb_msg(&t->pf.interned, INTERNED_FRAME, &t->pf.part);
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
	buf_init(&text, PFTRACE_MESSAGE_MAX);
	for (at = 0; at < depth; at++) {
		buf_fmt(&text, "%s%s", at ? ";" : "", path[at]->func);
		if (path[at]->file[0])
			buf_fmt(&text, path[at]->line > 0 ? " (%s:%d)" : " (%s)", path[at]->file,
				path[at]->line);
	}
	pftrace_string(&t->pf, INTERNED_ANNOTATION_STRING, iid,
		       pftrace_clean(&t->pf, buf_text(&text)));
	if (text.err)
		t->err = -ENOMEM;
	buf_done(&text);
	free(path);
}

/* The callstack that ends with `leaf`; what of it is new goes into t->pf.interned. */
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
	pb_uint(&t->pf.msg, CALLSTACK_IID, iid);
	for (at = 0; at < depth; at++)
		pb_uint(&t->pf.msg, CALLSTACK_FRAMES, frames[at]);
	pb_msg(&t->pf.interned, INTERNED_CALLSTACK, &t->pf.msg);
	buf_clear(&t->pf.msg);
	free(frames);
	if (t->has_waits)
		put_stack_text(t, leaf, iid);
	return iid;
}

static void put_sample(struct trace *t, const struct report_event *event)
{
	const struct report_thread *thread = &t->report->threads[event->thread];
	uint64_t iid = stack_iid(t, event->leaf);

	pftrace_begin(&t->pf, event->ts_ns);
	pb_uint(&t->pf.msg, SAMPLE_PID, (uint32_t)thread->pid);
	pb_uint(&t->pf.msg, SAMPLE_TID, (uint32_t)thread->tid);
	pb_uint(&t->pf.msg, SAMPLE_CALLSTACK, iid);
	pb_uint(&t->pf.msg, SAMPLE_CPU_MODE, CPU_MODE_USER);
	pftrace_add(&t->pf, PACKET_PERF_SAMPLE);
	pftrace_end(&t->pf);
}

static void put_wait(struct trace *t, const struct report_event *event)
{
	uint64_t track = WAIT_TRACK + event->thread;
	uint64_t stack = event->leaf->kind >= FRAME_APP ? stack_iid(t, event->leaf) : 0;
	uint64_t name = pftrace_iid(&t->pf, &t->names, INTERNED_EVENT_NAME, event->name);

	pftrace_begin(&t->pf, event->ts_ns);
	pb_uint(&t->pf.msg, EVENT_TYPE, TYPE_BEGIN);
	pb_uint(&t->pf.msg, EVENT_TRACK, track);
	pb_uint(&t->pf.msg, EVENT_CATEGORY_IID, CATEGORY_WAIT);
	pb_uint(&t->pf.msg, EVENT_NAME_IID, name);
	if (stack) {
		pftrace_annotate(&t->pf, ANNOTATION_STACK, ANNOTATION_STRING_IID, stack);
		pb_uint(&t->pf.msg, EVENT_CALLSTACK_IID, stack);
	}
	if (event->open)
		pftrace_annotate(&t->pf, ANNOTATION_OPEN, ANNOTATION_BOOL, 1);
	pftrace_add(&t->pf, PACKET_TRACK_EVENT);
	pftrace_end(&t->pf);
	pb_uint(&t->pf.packet, PACKET_TIMESTAMP, event->ts_ns + event->duration_ns);
	pb_uint(&t->pf.msg, EVENT_TYPE, TYPE_END);
	pb_uint(&t->pf.msg, EVENT_TRACK, track);
	pftrace_add(&t->pf, PACKET_TRACK_EVENT);
	pftrace_end(&t->pf);
}

/* Threads' own tracks, on which their slices lie. */
static void put_tracks(struct trace *t)
{
	const struct report_thread *thread;
	uint32_t i;

	for (i = 0; i < t->report->thread_cnt && t->has_waits; i++) {
		thread = &t->report->threads[i];
		buf_clear(&t->pf.part);
		pb_uint(&t->pf.part, DESCRIPTOR_PID, (int64_t)thread->pid);
		pb_uint(&t->pf.part, DESCRIPTOR_TID, (int64_t)thread->tid);
		pb_str(&t->pf.part, DESCRIPTOR_NAME, pftrace_clean(&t->pf, thread->name));
		pb_uint(&t->pf.msg, TRACK_UUID, WAIT_TRACK + i);
		pb_msg(&t->pf.msg, TRACK_THREAD, &t->pf.part);
		pftrace_add(&t->pf, PACKET_TRACK_DESCRIPTOR);
		pftrace_end(&t->pf);
	}
}

static void put_trace(struct trace *t)
{
	uint64_t i;

	for (i = 0; i < t->report->event_cnt; i++)
		t->has_waits |= t->report->events[i].kind == REPORT_EVENT_WAIT;
	pftrace_clock(&t->pf, t->report->start_ns, t->report->start_unix_ns);
	put_names(t);
	put_defaults(t);
	pftrace_track(&t->pf, ABOUT_TRACK, "uncoil");
	if (about_lines(t->report, put_about, t))
		t->err = -ENOMEM;
	put_tracks(t);
	for (i = 0; i < t->report->event_cnt && !t->err && !t->pf.err; i++)
		if (t->report->events[i].kind == REPORT_EVENT_SAMPLE)
			put_sample(t, &t->report->events[i]);
		else if (t->report->events[i].kind == REPORT_EVENT_WAIT)
			put_wait(t, &t->report->events[i]);
}

static int perfetto_write(const struct report *report, FILE *out)
{
	struct trace t = { .report = report };
	struct index *indexes[] = { &t.functions, &t.sources, &t.frames, &t.stacks, &t.names };
	size_t i;

	pftrace_init(&t.pf, out);
	for (i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++)
		index_init(indexes[i]);
	put_trace(&t);
	for (i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
		if (indexes[i]->err)
			t.err = -ENOMEM;
		index_done(indexes[i]);
	}
	if (!t.err)
		t.err = t.pf.err ? t.pf.err : ferror(out) ? -EIO : 0;
	pftrace_done(&t.pf);
	return t.err;
}

const struct sink sink_perfetto = {
	.name = "perfetto",
	.suffixes = ".pftrace .perfetto-trace",
	.what = "timeline: a trace for ui.perfetto.dev",
	.timeline = true,
	.write = perfetto_write,
};
