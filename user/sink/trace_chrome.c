/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace as Chrome's trace event JSON ("Trace Event Format"), for Perfetto, chrome://tracing, speedscope:
 *
 *	{"ph":"X",…}			an activation, on its thread
 *	{"ph":"b",…} {"ph":"e",…}	on a track of its own, by `cat` and `id`: a coroutine's span ("task"), and
 *					an activation whose thread ran another greenlet ("greenlet")
 *	{"ph":"i",…}			an exception, where it arose and where it was caught
 *	{"ph":"s",…} {"ph":"f",…}	from the await of a task's outermost coroutine to where it goes on
 *	{"ph":"M",…}			names of processes and threads: last, when they are known
 *
 * Times are microseconds of CLOCK_MONOTONIC, to the nanosecond. Events stand in the order of their ends;
 * readers sort. Of two slices that begin at the same time, readers take the longer one as the outer: so
 * do we say it, but for "b", where the outer one begins a nanosecond before.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/index.h"
#include "sink/json.h"
#include "sink/trace.h"

#define LANE_BITS 16

struct writer {
	struct json json;
	struct calls *calls;
	const char *before;   /* the next event */
	struct index threads; /* pointers to those that were seen */
};

static void *chrome_begin(FILE *out, struct calls *calls, const struct trace_look *look)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	json_init(&w->json, out);
	w->calls = calls;
	w->before = "\n";
	index_init(&w->threads);
	fputs("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[", out);
	return w;
}

static int err_of(const struct writer *w)
{
	return w->json.err || w->threads.err ? -ENOMEM : 0;
}

/* Microseconds, to the nanosecond. */
static void put_us(struct writer *w, const char *name, uint64_t ns)
{
	fprintf(w->json.out, ",\"%s\":%" PRIu64 ".%03u", name, ns / 1000,
		(unsigned int)(ns % 1000));
}

/* What each event has. */
static void put_head(struct writer *w, const char *phase, const char *category,
		     const struct call_thread *thread, uint64_t ts_ns)
{
	index_of(&w->threads, &thread, sizeof(struct call_thread *), NULL);
	fprintf(w->json.out, "%s{\"ph\":\"%s\",\"cat\":\"%s\",\"pid\":%" PRId32 ",\"tid\":%" PRId32,
		w->before, phase, category, thread->pid, thread->tid);
	put_us(w, "ts", ts_ns);
	w->before = ",\n";
}

static void put_id(struct writer *w, const struct call_track *track)
{
	fprintf(w->json.out, ",\"id\":\"0x%" PRIx64 "\"",
		(uint64_t)track->id << LANE_BITS | track->lane);
}

static void put_func(struct json *j, const struct call_func *func)
{
	json_field_str(j, ",\"args\":{", "file", func->file);
	if (func->line)
		fprintf(j->out, ",\"line\":%" PRId32, func->line);
	if (func->module[0])
		json_field_str(j, ",", "module", func->module);
}

static void put_call_args(struct json *j, const struct call *call)
{
	put_func(j, call->func);
	json_field_uint(j, ",", "self_ns", call->self_ns);
	if (call->caller)
		json_field_str(j, ",", "caller", call->caller->name);
	if (call->caller_line)
		fprintf(j->out, ",\"caller_line\":%" PRId32, call->caller_line);
	if (call->began != EV_BEGAN_CALL)
		fprintf(j->out, ",\"began\":\"%s\"", call_began_text(call->began));
	if (call->ended != EV_ENDED_RETURN)
		fprintf(j->out, ",\"ended\":\"%s\"", call_ended_text(call->ended));
	if (call->exception)
		json_field_str(j, ",", "exception", call->exception);
	fputc('}', j->out);
}

static void put_flow(struct writer *w, const struct call *call, const char *phase, uint64_t ts_ns,
		     uint64_t id)
{
	put_head(w, phase, "await", call->thread, ts_ns);
	fprintf(w->json.out, ",\"name\":\"await\",\"bp\":\"e\",\"id\":%" PRIu64 "}", id);
}

static int chrome_call(void *writer, const struct call *call)
{
	struct writer *w = writer;
	struct json *j = &w->json;

	if (call->track.kind == CALL_TRACK_GREENLET) {
		put_head(w, "b", "greenlet", call->thread, call->draw_ns);
		put_id(w, &call->track);
		json_field_str(j, ",", "name", call->func->name);
		put_call_args(j, call);
		fputc('}', j->out);
		put_head(w, "e", "greenlet", call->thread, call->end_ns);
		put_id(w, &call->track);
		json_field_str(j, ",", "name", call->func->name);
		fputc('}', j->out);
		return err_of(w);
	}
	put_head(w, "X", call_kind_text(call->func->kind), call->thread, call->draw_ns);
	put_us(w, "dur", call->end_ns - call->draw_ns);
	json_field_str(j, ",", "name", call->func->name);
	put_call_args(j, call);
	fputc('}', j->out);
	if (call->flow_in)
		put_flow(w, call, "f", call->start_ns, call->flow_in);
	/* at the begin too: Perfetto takes for the source what began last, not what still runs */
	if (call->flow_out)
		put_flow(w, call, "s", call->start_ns, call->flow_out);
	return err_of(w);
}

static int chrome_mark(void *writer, const struct call_mark *mark)
{
	struct writer *w = writer;
	struct json *j = &w->json;

	put_head(w, "i", mark->kind == CALL_RAISE ? "raise" : "catch", mark->thread, mark->ts_ns);
	json_field_str(j, ",\"s\":\"t\",", "name", mark->exception);
	put_func(j, mark->func);
	json_field_str(j, ",", mark->kind == CALL_RAISE ? "raised_in" : "caught_in",
		       mark->func->name);
	fputs("}}", j->out);
	return err_of(w);
}

static int chrome_span(void *writer, const struct call_span *span)
{
	struct writer *w = writer;
	struct json *j = &w->json;

	if (!span->task)
		return 0; /* a generator's activations are on its thread, and that is all there is */
	put_head(w, "b", "task", span->thread, span->draw_ns);
	put_id(w, &span->track);
	json_field_str(j, ",", "name", span->func->name);
	put_func(j, span->func);
	json_field_uint(j, ",", "active_ns", span->active_ns);
	json_field_uint(j, ",", "activations", span->activations);
	fprintf(j->out, ",\"ended\":\"%s\"",
		span->ended == EV_ENDED_YIELD ? "suspended" : call_ended_text(span->ended));
	if (span->exception)
		json_field_str(j, ",", "exception", span->exception);
	if (span->before)
		fputs(",\"before\":true", j->out);
	fputs("}}", j->out);
	put_head(w, "e", "task", span->thread, span->end_ns);
	put_id(w, &span->track);
	json_field_str(j, ",", "name", span->func->name);
	fputc('}', j->out);
	return err_of(w);
}

static void put_name(struct writer *w, const char *what, int32_t pid, int32_t tid, const char *name)
{
	fprintf(w->json.out,
		"%s{\"ph\":\"M\",\"name\":\"%s\",\"pid\":%" PRId32 ",\"tid\":%" PRId32
		",\"ts\":0,\"cat\":\"__metadata\"",
		w->before, what, pid, tid);
	json_field_str(&w->json, ",\"args\":{", "name", name);
	fputs("}}", w->json.out);
	w->before = ",\n";
}

static int put_thread(void *ctx, const void *key, size_t len)
{
	const struct call_thread *thread = *(const struct call_thread *const *)key;

	put_name(ctx, "thread_name", thread->pid, thread->tid, thread->name);
	return 0;
}

static int put_line(void *ctx, const char *line)
{
	struct writer *w = ctx;

	fputs(w->before, w->json.out);
	w->before = ",";
	json_str(&w->json, line);
	return w->json.err;
}

static int chrome_end(void *writer)
{
	struct writer *w = writer;
	struct call_about *a = calls__about(w->calls);
	uint32_t i;

	if (!a)
		return -ENOMEM;
	for (i = 0; i < a->target_cnt; i++)
		put_name(w, "process_name", a->targets[i].pid, a->targets[i].pid,
			 a->targets[i].command);
	index_each(&w->threads, put_thread, w);
	fputs("],\n\"otherData\":{\"clock\":\"CLOCK_MONOTONIC\",\"version\":\"" UNCOIL_VERSION "\"",
	      w->json.out);
	trace_about_json(&w->json, ",", a);
	fputs(",\"about\":[", w->json.out);
	w->before = "";
	trace_about_lines(a, put_line, w);
	fputs("]}}\n", w->json.out);
	call_about_free(a);
	return err_of(w) ? -ENOMEM : ferror(w->json.out) ? -EIO : 0;
}

static void chrome_free(void *writer)
{
	struct writer *w = writer;

	index_done(&w->threads);
	json_done(&w->json);
	free(w);
}

const struct trace_sink trace_chrome = {
	.name = "chrome",
	.suffixes = ".json",
	.what = "timeline: trace event JSON",
	.each = true,
	.begin = chrome_begin,
	.call = chrome_call,
	.mark = chrome_mark,
	.span = chrome_span,
	.end = chrome_end,
	.free = chrome_free,
};
