/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace event JSON of Chrome ("Trace Event Format"), a timeline. It has three ways to say "at
 * this moment the thread was here", and what reads it decides which one is of use:
 *
 *	"samples" and "stackFrames" at the top level: chrome://tracing, speedscope; neither Perfetto
 *		nor Firefox look at them
 *	slices (B and E, or X): all; but a slice has a duration, and a sample has none: what happened
 *		between two samples would be made up
 *	a CPU profile ("P": Profile, ProfileChunk), as V8 writes it: Perfetto (trace processor, json
 *		importer), Chrome's DevTools, the Firefox profiler, speedscope
 *
 * So it is the last: samples stay samples. Waits do have a duration, and are slices, those of a thread
 * one after the other: {"ph":"X","cat":"wait","name":"[lock]",…,"ts":S,"dur":D,"args":{"stack":["main
 * (app.py:3)",…]}}, the outermost frame first; "open": true if it was not over at the recording's end.
 * Each thread's own times are in order. One profile a thread, one chunk a profile:
 *
 *	{"ph":"P","name":"Profile","id":"0x1","pid":42,"tid":42,"ts":S,"args":{"data":{"startTime":S}}}
 *	{"ph":"P","name":"ProfileChunk","id":"0x1",…,"args":{"data":{"cpuProfile":{
 *	 "nodes":[{"id":1,"callFrame":{…}},{"id":2,"parent":1,"callFrame":{…}}],"samples":[2,2]},
 *	 "timeDeltas":[10101,10102],"endTime":E}}}
 *
 * Times are microseconds of CLOCK_MONOTONIC, deltas from one to the next; each is the difference of
 * two rounded times, so rounding does not add up. Lines count from 0 there. DevTools wants a "(root)";
 * speedscope takes a file for this kind by the "cat" of its first event, and wants an end; the
 * Firefox profiler has one table of nodes for all threads, so an id is never used twice (and leaves
 * out samples that are less than half a millisecond after another).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/index.h"
#include "base/text.h"
#include "model/report.h"
#include "sink/about.h"
#include "sink/sink.h"

#define TEXT_MAX_BYTES (8u << 20)
#define CATEGORY       "\"cat\":\"disabled-by-default-v8.cpu_profiler\""

struct trace {
	const struct report *report;
	FILE *out;
	struct buf text;
	struct index nodes; /* the current thread's: report nodes with an id */
	uint64_t root;      /* its root's id; those of `nodes` follow */
	uint64_t *order;    /* samples by thread, each thread's in order of time */
	uint64_t *begin; /* by thread: where its samples begin in `order`; one more for the end */
	const struct report_node **path; /* nodes that are to be written */
	size_t path_cap;
	const char *before; /* the next event */
	int err;
};

static void put_string(struct trace *t, const char *text)
{
	buf_clear(&t->text);
	if (text_json(&t->text, text))
		t->err = -ENOMEM;
	fwrite(buf_text(&t->text), 1, t->text.len, t->out);
}

static bool is_frame(const struct report_node *node)
{
	return node->kind != FRAME_ROOT && node->kind != FRAME_PROCESS &&
	       node->kind != FRAME_THREAD;
}

/* Sorts the samples by thread, by counting. */
static int events_order(struct trace *t)
{
	const struct report *report = t->report;
	uint64_t *at, i;
	uint32_t thread;

	t->order = calloc(report->event_cnt + 1, sizeof(*t->order));
	t->begin = calloc(report->thread_cnt + 2ULL, sizeof(*t->begin));
	if (!t->order || !t->begin)
		return -ENOMEM;
	at = t->begin + 1; /* counts, then where each thread's next one goes, at last its end */
	for (i = 0; i < report->event_cnt; i++)
		if (report->events[i].kind == REPORT_EVENT_SAMPLE)
			at[report->events[i].thread + 1]++;
	for (thread = 1; thread <= report->thread_cnt; thread++)
		at[thread] += at[thread - 1];
	for (i = 0; i < report->event_cnt; i++)
		if (report->events[i].kind == REPORT_EVENT_SAMPLE)
			t->order[at[report->events[i].thread]++] = i;
	return 0;
}

static const struct report_event *event_at(const struct trace *t, uint64_t i)
{
	return &t->report->events[t->order[i]];
}

/* Between events. */
static void put_comma(struct trace *t)
{
	fputs(t->before, t->out);
	t->before = ",\n";
}

static void put_name(struct trace *t, const char *what, const struct report_thread *thread,
		     const char *name)
{
	put_comma(t);
	fprintf(t->out, "{\"ph\":\"M\",\"name\":\"%s\",\"pid\":%" PRId32 ",\"tid\":%" PRId32, what,
		thread->pid, thread->tid);
	fputs(",\"ts\":0,\"cat\":\"__metadata\",\"args\":{\"name\":", t->out);
	put_string(t, name);
	fputs("}}", t->out);
}

static uint64_t node_id(struct trace *t, const struct report_node *node)
{
	return is_frame(node) ? t->root + 1 + index_of(&t->nodes, &node, sizeof(node), NULL)
			      : t->root;
}

static void put_node(struct trace *t, const struct report_node *node)
{
	const struct report_node *up = node->parent;

	fprintf(t->out, ",\n{\"id\":%" PRIu64 ",\"parent\":%" PRIu64, node_id(t, node),
		node_id(t, up));
	fputs(",\"callFrame\":{\"functionName\":", t->out);
	put_string(t, node->func);
	fputs(",\"url\":", t->out);
	put_string(t, node->path);
	fprintf(t->out, ",\"scriptId\":0,\"lineNumber\":%" PRId32 ",\"columnNumber\":-1}}",
		node->line > 0 ? node->line - 1 : -1);
}

static int path_room(struct trace *t, size_t depth)
{
	const struct report_node **grown;
	size_t cap = t->path_cap ? t->path_cap : 64;

	while (cap < depth)
		cap *= 2;
	if (cap > t->path_cap) {
		grown = realloc(t->path, cap * sizeof(*grown));
		if (!grown)
			return t->err = -ENOMEM;
		t->path = grown;
		t->path_cap = cap;
	}
	return 0;
}

/* Writes the nodes from the root to `leaf` that this thread has not had yet, parents first. */
static void put_path(struct trace *t, const struct report_node *leaf)
{
	const struct report_node *node;
	size_t depth = 0;
	bool fresh;

	for (node = leaf; node && is_frame(node); node = node->parent) {
		index_of(&t->nodes, &node, sizeof(node), &fresh);
		if (!fresh)
			break;
		if (path_room(t, depth + 1))
			return;
		t->path[depth++] = node;
	}
	while (depth-- > 0)
		put_node(t, t->path[depth]);
}

static void put_head(struct trace *t, const char *name, uint32_t index, uint64_t ts_us)
{
	const struct report_thread *thread = &t->report->threads[index];

	put_comma(t);
	fprintf(t->out,
		"{\"ph\":\"P\",\"name\":\"%s\"," CATEGORY ",\"id\":\"0x%" PRIx32
		"\",\"pid\":%" PRId32 ",\"tid\":%" PRId32 ",\"ts\":%" PRIu64
		",\"args\":{\"data\":{",
		name, index + 1, thread->pid, thread->tid, ts_us);
}

static void put_thread(struct trace *t, uint32_t index)
{
	uint64_t start_us = t->report->start_ns / 1000, us = 0, before = start_us, i;
	uint64_t end_us = (t->report->start_ns + t->report->duration_ns) / 1000;
	uint64_t from = t->begin[index], to = t->begin[index + 1];

	if (from == to)
		return;
	put_head(t, "Profile", index, start_us);
	fprintf(t->out, "\"startTime\":%" PRIu64 "}}}", start_us);
	put_head(t, "ProfileChunk", index, event_at(t, from)->ts_ns / 1000);
	fprintf(t->out,
		"\"cpuProfile\":{\"nodes\":[{\"id\":%" PRIu64
		",\"callFrame\":{\"functionName\":\"(root)\","
		"\"url\":\"\",\"scriptId\":0,\"lineNumber\":-1,\"columnNumber\":-1}}",
		t->root);
	for (i = from; i < to && !t->err; i++)
		put_path(t, event_at(t, i)->leaf);
	fputs("],\n\"samples\":[", t->out);
	for (i = from; i < to; i++)
		fprintf(t->out, "%s%" PRIu64, i > from ? "," : "",
			node_id(t, event_at(t, i)->leaf));
	fputs("]},\n\"timeDeltas\":[", t->out);
	for (i = from; i < to; i++) {
		us = event_at(t, i)->ts_ns / 1000;
		fprintf(t->out, "%s%" PRIu64, i > from ? "," : "", us - before);
		before = us;
	}
	fprintf(t->out, "],\"endTime\":%" PRIu64 "}}}", us > end_us ? us : end_us);
	if (t->nodes.err)
		t->err = -ENOMEM;
	t->root += t->nodes.cnt + 1;
	index_done(&t->nodes);
}

/* Microseconds, to the nanosecond. */
static void put_us(struct trace *t, const char *name, uint64_t ns)
{
	fprintf(t->out, ",\"%s\":%" PRIu64 ".%03u", name, ns / 1000, (unsigned int)(ns % 1000));
}

static void put_stack(struct trace *t, const struct report_node *leaf)
{
	const struct report_node *node;
	size_t depth = 0, at;
	struct buf text;

	for (node = leaf; node && is_frame(node); node = node->parent)
		depth++;
	if (path_room(t, depth))
		return;
	at = depth;
	for (node = leaf; at; node = node->parent)
		t->path[--at] = node;
	fputs("\"stack\":[", t->out);
	buf_init(&text, TEXT_MAX_BYTES);
	for (at = 0; at < depth; at++) {
		node = t->path[at];
		buf_clear(&text);
		buf_str(&text, node->func);
		if (node->file[0])
			buf_fmt(&text, node->line > 0 ? " (%s:%d)" : " (%s)", node->file,
				node->line);
		if (at)
			fputc(',', t->out);
		put_string(t, buf_text(&text));
	}
	fputc(']', t->out);
	if (text.err)
		t->err = -ENOMEM;
	buf_done(&text);
}

static void put_wait(struct trace *t, const struct report_event *event)
{
	const struct report_thread *thread = &t->report->threads[event->thread];

	put_comma(t);
	fputs("{\"ph\":\"X\",\"cat\":\"wait\",\"name\":", t->out);
	put_string(t, event->name);
	fprintf(t->out, ",\"pid\":%" PRId32 ",\"tid\":%" PRId32, thread->pid, thread->tid);
	put_us(t, "ts", event->ts_ns);
	put_us(t, "dur", event->duration_ns);
	fputs(",\"args\":{", t->out);
	put_stack(t, event->leaf);
	fputs(event->open ? ",\"open\":true}}" : "}}", t->out);
}

static void put_trace(struct trace *t)
{
	const struct report *report = t->report;
	uint64_t at;
	uint32_t i;

	fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[", t->out);
	for (i = 0; i < report->thread_cnt; i++) {
		put_name(t, "process_name", &report->threads[i], report->threads[i].process);
		put_name(t, "thread_name", &report->threads[i], report->threads[i].name);
	}
	for (i = 0; i < report->thread_cnt && !t->err; i++)
		put_thread(t, i);
	for (at = 0; at < report->event_cnt && !t->err; at++)
		if (report->events[at].kind == REPORT_EVENT_WAIT)
			put_wait(t, &report->events[at]);
	fprintf(t->out,
		"],\n\"otherData\":{\"clock\":\"CLOCK_MONOTONIC\",\"start_us\":%" PRIu64
		",\"start_unix_us\":%" PRId64 ",\"uncoil\":",
		report->start_ns / 1000, report->start_unix_ns / 1000);
	if (about_json(report, t->out))
		t->err = -ENOMEM;
	fputs("}}\n", t->out);
}

static int chrome_write(const struct report *report, FILE *out)
{
	struct trace t = { .report = report, .out = out, .before = "\n", .root = 1 };

	buf_init(&t.text, TEXT_MAX_BYTES);
	index_init(&t.nodes);
	t.err = events_order(&t);
	if (!t.err)
		put_trace(&t);
	if (!t.err && ferror(out))
		t.err = -EIO;
	index_done(&t.nodes);
	buf_done(&t.text);
	free(t.order);
	free(t.begin);
	free(t.path);
	return t.err;
}

const struct sink sink_chrome = {
	.name = "chrome",
	.suffixes = ".trace.json",
	.what = "timeline: trace event JSON, for Chrome's DevTools, Perfetto, Firefox profiler",
	.timeline = true,
	.write = chrome_write,
};
