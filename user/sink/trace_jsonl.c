/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace as lines of JSON, each an object, in the order in which things ended:
 *
 *	{"type":"trace","version":1,…}		the first: how, of what
 *	{"type":"call",…}			one activation
 *	{"type":"raise",…} {"type":"catch",…}	an exception, where it arose and where it was handled
 *	{"type":"span",…}			a generator or coroutine, first begin to end
 *	{"type":"end","lost":{…},…}		the last; a file without it is cut off
 *
 * Times are CLOCK_MONOTONIC in ns. A member that is not known is not there.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "sink/json.h"
#include "sink/trace.h"

struct writer {
	struct json json;
	struct calls *calls;
};

static void put_about(struct writer *w, const char *before)
{
	struct call_about *about = calls__about(w->calls);

	if (about)
		trace_about_json(&w->json, before, about);
	else
		w->json.err = -ENOMEM;
	call_about_free(about);
}

static void *jsonl_begin(FILE *out, struct calls *calls, const struct trace_look *look)
{
	struct writer *w = calloc(1, sizeof(*w));
	struct call_about *a;

	if (!w)
		return NULL;
	json_init(&w->json, out);
	w->calls = calls;
	a = calls__about(calls);
	if (!a) {
		free(w);
		return NULL;
	}
	fputs("{\"type\":\"trace\",\"version\":1,\"uncoil\":\"" UNCOIL_VERSION
	      "\",\"clock\":\"CLOCK_MONOTONIC\"",
	      out);
	json_field_str(&w->json, ",", "method", a->method);
	fprintf(out, ",\"start_ns\":%" PRIu64 ",\"start_unix_ns\":%" PRId64 "}\n", a->start_ns,
		a->start_unix_ns);
	call_about_free(a);
	return w;
}

static void put_thread(struct json *j, const struct call_thread *thread)
{
	fprintf(j->out, ",\"pid\":%" PRId32 ",\"tid\":%" PRId32, thread->pid, thread->tid);
	json_field_str(j, ",", "thread", thread->name);
}

static void put_func(struct json *j, const struct call_func *func)
{
	json_field_str(j, ",", "name", func->name);
	if (func->module[0])
		json_field_str(j, ",", "module", func->module);
	if (func->file[0])
		json_field_str(j, ",", "file", func->path);
	if (func->line)
		fprintf(j->out, ",\"line\":%" PRId32, func->line);
	json_field_str(j, ",", "kind", call_kind_text(func->kind));
}

static int jsonl_call(void *writer, const struct call *call)
{
	struct writer *w = writer;
	struct json *j = &w->json;

	fputs("{\"type\":\"call\"", j->out);
	put_thread(j, call->thread);
	put_func(j, call->func);
	fprintf(j->out,
		",\"start_ns\":%" PRIu64 ",\"end_ns\":%" PRIu64 ",\"self_ns\":%" PRIu64
		",\"depth\":%" PRIu32 ",\"began\":\"%s\",\"ended\":\"%s\",\"frame\":\"0x%" PRIx64
		"\"",
		call->start_ns, call->end_ns, call->self_ns, call->depth,
		call_began_text(call->began), call_ended_text(call->ended), call->frame);
	if (call->exception)
		json_field_str(j, ",", "exception", call->exception);
	if (call->late)
		fputs(",\"late\":true", j->out);
	if (call->track.kind == CALL_TRACK_GREENLET)
		fputs(",\"parked\":true", j->out);
	if (call->caller)
		json_field_str(j, ",", "caller", call->caller->name);
	if (call->caller_line)
		fprintf(j->out, ",\"caller_line\":%" PRId32, call->caller_line);
	fputs("}\n", j->out);
	return j->err;
}

static int jsonl_mark(void *writer, const struct call_mark *mark)
{
	struct writer *w = writer;
	struct json *j = &w->json;

	fprintf(j->out, "{\"type\":\"%s\"", mark->kind == CALL_RAISE ? "raise" : "catch");
	put_thread(j, mark->thread);
	put_func(j, mark->func);
	fprintf(j->out, ",\"ts_ns\":%" PRIu64 ",\"frame\":\"0x%" PRIx64 "\"", mark->ts_ns,
		mark->frame);
	json_field_str(j, ",", "exception", mark->exception);
	fputs("}\n", j->out);
	return j->err;
}

static int jsonl_span(void *writer, const struct call_span *span)
{
	struct writer *w = writer;
	struct json *j = &w->json;

	fputs("{\"type\":\"span\"", j->out);
	put_thread(j, span->thread);
	put_func(j, span->func);
	fprintf(j->out,
		",\"start_ns\":%" PRIu64 ",\"end_ns\":%" PRIu64 ",\"active_ns\":%" PRIu64
		",\"activations\":%" PRIu64 ",\"ended\":\"%s\",\"frame\":\"0x%" PRIx64 "\"",
		span->start_ns, span->end_ns, span->active_ns, span->activations,
		span->ended == EV_ENDED_YIELD ? "suspended" : call_ended_text(span->ended),
		span->frame);
	if (span->before)
		fputs(",\"before\":true", j->out);
	if (span->exception)
		json_field_str(j, ",", "exception", span->exception);
	if (span->task)
		fprintf(j->out, ",\"task\":%" PRIu32, span->task);
	if (span->root)
		fputs(",\"root\":true", j->out);
	fputs("}\n", j->out);
	return j->err;
}

static int jsonl_end(void *writer)
{
	struct writer *w = writer;

	fputs("{\"type\":\"end\"", w->json.out);
	put_about(w, ",");
	fputs("}\n", w->json.out);
	return w->json.err ? w->json.err : ferror(w->json.out) ? -EIO : 0;
}

static void jsonl_free(void *writer)
{
	struct writer *w = writer;

	json_done(&w->json);
	free(w);
}

const struct trace_sink trace_jsonl = {
	.name = "jsonl",
	.suffixes = ".jsonl",
	.what = "a JSON object a line: calls, exceptions, generators and coroutines",
	.each = true,
	.begin = jsonl_begin,
	.call = jsonl_call,
	.mark = jsonl_mark,
	.span = jsonl_span,
	.end = jsonl_end,
	.free = jsonl_free,
};
