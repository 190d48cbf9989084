/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace for ui.perfetto.dev (pftrace.h):
 *
 *	a thread's track	its activations, as they nested
 *	  greenlets		below it: those whose thread ran another greenlet meanwhile
 *	a task's track		below its process: the spans of its coroutines, the outermost first
 *	uncoil			what the trace says of itself, as instants at its begin
 *
 * An activation is written when it ends, its begin and its end in two packets; the importer sorts them.
 * Packets of the same time stay in the order of the file: a callee that begins at the same time as its
 * caller (both were open when the trace began) would become the caller, so the caller begins a
 * nanosecond before (call.draw_ns). Names are interned, but an exception's: a program can make as many
 * of them as it likes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sink/pftrace.h"
#include "sink/trace.h"

#define ABOUT_TRACK 1
#define TEXT_MAX    (4u << 20)

enum track_of { OF_THREAD = 1, OF_GREENLET, OF_TASK, OF_PROCESS };

#define NAMES(X)                              \
	X(FILE, "file")                       \
	X(LINE, "line")                       \
	X(MODULE, "module")                   \
	X(CALLER, "caller")                   \
	X(CALLER_LINE, "caller line")         \
	X(SELF, "self ns")                    \
	X(BEGAN, "began")                     \
	X(ENDED, "ended")                     \
	X(EXCEPTION, "exception")             \
	X(ACTIVE, "active ns")                \
	X(ACTIVATIONS, "activations")         \
	X(BEFORE, "begun before it was seen") \
	X(FUNCTION, "function")

enum {
	NAME_NONE,
#define X(name, text) NAME_##name,
	NAMES(X)
#undef X
};

/* Categories by number: the kinds of functions, and then these. */
enum { CATEGORY_TASK = EV_FUNC_KIND_MAX + 1, CATEGORY_RAISE, CATEGORY_CATCH };

/* The numbers of a function's strings, as long as they are the same. */
struct known {
	const char *from_name, *from_module;
	uint64_t name, name_arg, file_arg, module_arg; /* 0: none */
};

struct writer {
	struct pftrace pf;
	struct calls *calls;
	struct index names, strings;  /* events'; annotations' */
	struct index tracks, threads; /* threads' and processes' that are described; pointers */
	struct known *known;          /* by the function's number */
	uint32_t known_cnt;
};

static int err_of(const struct writer *w)
{
	return w->pf.err || w->names.err || w->strings.err || w->tracks.err || w->threads.err
		       ? -ENOMEM
		       : 0;
}

static void put_defaults(struct writer *w)
{
	static const char *const names[] = {
#define X(name, text) [NAME_##name] = text,
		NAMES(X)
#undef X
	};
	struct pftrace *pf = &w->pf;
	size_t i;

	buf_clear(&pf->part);
	pb_uint(&pf->part, DEFAULTS_CLOCK, CLOCK_IS_MONOTONIC);
	pb_msg(&pf->packet, PACKET_DEFAULTS, &pf->part);
	for (i = 1; i < sizeof(names) / sizeof(names[0]); i++)
		pftrace_string(pf, INTERNED_ANNOTATION_NAME, i, names[i]);
	for (i = 0; i < EV_FUNC_KIND_MAX; i++)
		pftrace_string(pf, INTERNED_CATEGORY, i + 1, call_kind_text(i));
	pftrace_string(pf, INTERNED_CATEGORY, CATEGORY_TASK, "task");
	pftrace_string(pf, INTERNED_CATEGORY, CATEGORY_RAISE, "raise");
	pftrace_string(pf, INTERNED_CATEGORY, CATEGORY_CATCH, "catch");
	pb_msg(&pf->packet, PACKET_INTERNED_DATA, &pf->interned);
	buf_clear(&pf->interned);
	pb_uint(&pf->packet, PACKET_SEQUENCE_FLAGS, FLAG_CLEARED);
	pftrace_end(pf);
}

static void *perfetto_begin(FILE *out, struct calls *calls, const struct trace_look *look)
{
	struct writer *w = calloc(1, sizeof(*w));
	struct call_about *a = calls__about(calls);

	if (!w || !a) {
		call_about_free(a);
		free(w);
		return NULL;
	}
	w->calls = calls;
	pftrace_init(&w->pf, out);
	index_init(&w->names);
	index_init(&w->strings);
	index_init(&w->tracks);
	index_init(&w->threads);
	pftrace_clock(&w->pf, a->start_ns, a->start_unix_ns);
	put_defaults(w);
	call_about_free(a);
	return w;
}

static uint64_t uuid(enum track_of of, uint64_t id, uint32_t lane)
{
	return (uint64_t)of << 60 | id << 20 | lane;
}

/* Is this the first time that it is asked for? */
static bool fresh(struct writer *w, uint64_t track)
{
	bool is_fresh;

	index_of(&w->tracks, &track, sizeof(track), &is_fresh);
	return is_fresh;
}

static void put_track(struct writer *w)
{
	pftrace_add(&w->pf, PACKET_TRACK_DESCRIPTOR);
	pftrace_end(&w->pf);
}

static uint64_t thread_track(struct writer *w, const struct call_thread *thread)
{
	uint64_t track = uuid(OF_THREAD, thread->serial, 0);
	struct pftrace *pf = &w->pf;

	if (!fresh(w, track))
		return track;
	index_of(&w->threads, &thread, sizeof(struct call_thread *), NULL);
	buf_clear(&pf->part);
	pb_uint(&pf->part, DESCRIPTOR_PID, (int64_t)thread->pid);
	pb_uint(&pf->part, DESCRIPTOR_TID, (int64_t)thread->tid);
	pb_uint(&pf->msg, TRACK_UUID, track);
	pb_msg(&pf->msg, TRACK_THREAD, &pf->part);
	put_track(w);
	return track;
}

static uint64_t child_track(struct writer *w, uint64_t track, uint64_t parent, const char *name)
{
	struct pftrace *pf = &w->pf;

	pb_uint(&pf->msg, TRACK_UUID, track);
	pb_uint(&pf->msg, TRACK_PARENT, parent);
	pb_str(&pf->msg, TRACK_NAME, pftrace_clean(pf, name));
	put_track(w);
	return track;
}

static uint64_t process_track(struct writer *w, int32_t pid)
{
	uint64_t track = uuid(OF_PROCESS, (uint32_t)pid, 0);
	struct pftrace *pf = &w->pf;

	if (!fresh(w, track))
		return track;
	buf_clear(&pf->part);
	pb_uint(&pf->part, PROCESS_PID, (int64_t)pid);
	pb_uint(&pf->msg, TRACK_UUID, track);
	pb_msg(&pf->msg, TRACK_PROCESS, &pf->part);
	put_track(w);
	return track;
}

static uint64_t call_track(struct writer *w, const struct call *call)
{
	uint64_t parent = thread_track(w, call->thread), track;

	if (call->track.kind == CALL_TRACK_THREAD)
		return parent;
	track = uuid(OF_GREENLET, call->track.id, call->track.lane);
	return call->track.fresh ? child_track(w, track, parent, "greenlets") : track;
}

static uint64_t task_track(struct writer *w, const struct call_span *span)
{
	uint64_t track = uuid(OF_TASK, span->track.id, span->track.lane);
	struct buf name;

	if (!span->track.fresh)
		return track;
	buf_init(&name, TEXT_MAX);
	buf_fmt(&name, "task %u", span->task);
	if (span->task_func)
		buf_fmt(&name, ": %s", span->task_func->name);
	child_track(w, track, process_track(w, span->func->pid), buf_text(&name));
	buf_done(&name);
	return track;
}

static uint64_t string_of(struct writer *w, const char *text)
{
	return text[0] ? pftrace_iid(&w->pf, &w->strings, INTERNED_ANNOTATION_STRING, text) : 0;
}

static const struct known *known_of(struct writer *w, const struct call_func *func)
{
	static const struct known none;
	uint32_t cnt = w->known_cnt ? w->known_cnt : 256;
	struct known *grown, *k;

	while (cnt <= func->number)
		cnt *= 2;
	if (cnt != w->known_cnt) {
		grown = realloc(w->known, cnt * sizeof(*grown));
		if (!grown) {
			w->pf.err = -ENOMEM;
			return &none;
		}
		memset(grown + w->known_cnt, 0, (cnt - w->known_cnt) * sizeof(*grown));
		w->known = grown;
		w->known_cnt = cnt;
	}
	k = &w->known[func->number];
	if (k->from_name != func->name || k->from_module != func->module)
		*k = (struct known){
			.from_name = func->name,
			.from_module = func->module,
			.name = pftrace_iid(&w->pf, &w->names, INTERNED_EVENT_NAME, func->name),
			.name_arg = string_of(w, func->name),
			.file_arg = string_of(w, func->file),
			.module_arg = string_of(w, func->module),
		};
	return k;
}

static void put_arg(struct writer *w, int name, uint64_t string)
{
	if (string)
		pftrace_annotate(&w->pf, name, ANNOTATION_STRING_IID, string);
}

static void put_exception(struct writer *w, const char *exception)
{
	struct pftrace *pf = &w->pf;

	buf_clear(&pf->part);
	pb_uint(&pf->part, ANNOTATION_NAME_IID, NAME_EXCEPTION);
	pb_str(&pf->part, ANNOTATION_STRING, pftrace_clean(pf, exception));
	pb_msg(&pf->msg, EVENT_ANNOTATION, &pf->part);
}

static void put_func_args(struct writer *w, const struct call_func *func, const struct known *known)
{
	put_arg(w, NAME_FILE, known->file_arg);
	if (func->line)
		pftrace_annotate(&w->pf, NAME_LINE, ANNOTATION_UINT, func->line);
	put_arg(w, NAME_MODULE, known->module_arg);
}

/* All that is interned for an event comes before its packet begins. */
static void event_begin(struct writer *w, uint64_t ts_ns, int type, uint64_t track, int category)
{
	pftrace_begin(&w->pf, ts_ns);
	pb_uint(&w->pf.msg, EVENT_TYPE, type);
	pb_uint(&w->pf.msg, EVENT_TRACK, track);
	pb_uint(&w->pf.msg, EVENT_CATEGORY_IID, category);
}

static void event_end(struct writer *w)
{
	pftrace_add(&w->pf, PACKET_TRACK_EVENT);
	pftrace_end(&w->pf);
}

static void put_end(struct writer *w, uint64_t ts_ns, uint64_t track)
{
	pb_uint(&w->pf.packet, PACKET_TIMESTAMP, ts_ns);
	pb_uint(&w->pf.msg, EVENT_TYPE, TYPE_END);
	pb_uint(&w->pf.msg, EVENT_TRACK, track);
	event_end(w);
}

static int perfetto_call(void *writer, const struct call *call)
{
	struct writer *w = writer;
	struct pftrace *pf = &w->pf;
	uint64_t track = call_track(w, call), caller = 0, began = 0, ended = 0;
	struct known known = *known_of(w, call->func);

	if (call->caller)
		caller = known_of(w, call->caller)->name_arg;
	if (call->began != EV_BEGAN_CALL)
		began = string_of(w, call_began_text(call->began));
	if (call->ended != EV_ENDED_RETURN)
		ended = string_of(w, call_ended_text(call->ended));
	event_begin(w, call->draw_ns, TYPE_BEGIN, track, 1 + call->func->kind);
	pb_uint(&pf->msg, EVENT_NAME_IID, known.name);
	put_func_args(w, call->func, &known);
	put_arg(w, NAME_CALLER, caller);
	if (call->caller_line)
		pftrace_annotate(pf, NAME_CALLER_LINE, ANNOTATION_UINT, call->caller_line);
	pftrace_annotate(pf, NAME_SELF, ANNOTATION_UINT, call->self_ns);
	put_arg(w, NAME_BEGAN, began);
	put_arg(w, NAME_ENDED, ended);
	if (call->exception)
		put_exception(w, call->exception);
	if (call->flow_out)
		pb_fixed64(&pf->msg, EVENT_FLOW, call->flow_out);
	if (call->flow_in)
		pb_fixed64(&pf->msg, EVENT_FLOW_END, call->flow_in);
	event_end(w);
	put_end(w, call->end_ns, track);
	return err_of(w);
}

static int perfetto_mark(void *writer, const struct call_mark *mark)
{
	struct writer *w = writer;
	struct pftrace *pf = &w->pf;
	uint64_t track = thread_track(w, mark->thread);
	struct known known = *known_of(w, mark->func);

	event_begin(w, mark->ts_ns, TYPE_INSTANT, track,
		    mark->kind == CALL_RAISE ? CATEGORY_RAISE : CATEGORY_CATCH);
	pb_str(&pf->msg, EVENT_NAME, pftrace_clean(pf, mark->exception));
	put_arg(w, NAME_FUNCTION, known.name_arg);
	put_func_args(w, mark->func, &known);
	event_end(w);
	return err_of(w);
}

static int perfetto_span(void *writer, const struct call_span *span)
{
	struct writer *w = writer;
	struct pftrace *pf = &w->pf;
	uint64_t track, ended;
	struct known known;

	if (!span->task)
		return 0; /* a generator's activations are on its thread, and that is all there is */
	track = task_track(w, span);
	known = *known_of(w, span->func);
	ended = string_of(w, span->ended == EV_ENDED_YIELD ? "suspended"
							   : call_ended_text(span->ended));
	event_begin(w, span->draw_ns, TYPE_BEGIN, track, CATEGORY_TASK);
	pb_uint(&pf->msg, EVENT_NAME_IID, known.name);
	put_func_args(w, span->func, &known);
	pftrace_annotate(pf, NAME_ACTIVE, ANNOTATION_UINT, span->active_ns);
	pftrace_annotate(pf, NAME_ACTIVATIONS, ANNOTATION_UINT, span->activations);
	put_arg(w, NAME_ENDED, ended);
	if (span->exception)
		put_exception(w, span->exception);
	if (span->before)
		pftrace_annotate(pf, NAME_BEFORE, ANNOTATION_BOOL, 1);
	event_end(w);
	put_end(w, span->end_ns, track);
	return err_of(w);
}

static int put_thread(void *ctx, const void *key, size_t len)
{
	const struct call_thread *thread = *(const struct call_thread *const *)key;
	struct writer *w = ctx;
	struct pftrace *pf = &w->pf;

	buf_clear(&pf->part);
	pb_uint(&pf->part, THREAD_TID, (int64_t)thread->tid);
	pb_str(&pf->part, THREAD_NAME, pftrace_clean(pf, thread->name));
	pb_uint(&pf->part, THREAD_TGID, (int64_t)thread->pid);
	pb_msg(&pf->msg, TREE_THREAD, &pf->part);
	return 0;
}

static void put_names(struct writer *w, const struct call_about *a)
{
	struct pftrace *pf = &w->pf;
	uint32_t i;

	for (i = 0; i < a->target_cnt; i++) {
		buf_clear(&pf->part);
		pb_uint(&pf->part, PROCESS_PID, (int64_t)a->targets[i].pid);
		pb_str(&pf->part, PROCESS_CMDLINE, pftrace_clean(pf, a->targets[i].command));
		pb_uint(&pf->part, PROCESS_CMDLINE_IS_COMM, 1);
		pb_msg(&pf->msg, TREE_PROCESS, &pf->part);
	}
	index_each(&w->threads, put_thread, w);
	pb_uint(&pf->packet, PACKET_TIMESTAMP, a->start_ns);
	pftrace_add(pf, PACKET_PROCESS_TREE);
	pftrace_end(pf);
}

struct telling {
	struct writer *w;
	uint64_t ts_ns;
};

static int put_line(void *ctx, const char *line)
{
	struct telling *t = ctx;

	pftrace_line(&t->w->pf, ABOUT_TRACK, t->ts_ns, line);
	return t->w->pf.err;
}

static int perfetto_end(void *writer)
{
	struct writer *w = writer;
	struct call_about *a = calls__about(w->calls);
	struct telling t = { .w = w };

	if (!a)
		return -ENOMEM;
	t.ts_ns = a->start_ns;
	put_names(w, a);
	pftrace_track(&w->pf, ABOUT_TRACK, "uncoil");
	trace_about_lines(a, put_line, &t);
	call_about_free(a);
	return err_of(w) ? -ENOMEM : ferror(w->pf.out) ? -EIO : 0;
}

static void perfetto_free(void *writer)
{
	struct writer *w = writer;

	pftrace_done(&w->pf);
	index_done(&w->names);
	index_done(&w->strings);
	index_done(&w->tracks);
	index_done(&w->threads);
	free(w->known);
	free(w);
}

const struct trace_sink trace_perfetto = {
	.name = "perfetto",
	.suffixes = ".pftrace .perfetto-trace",
	.what = "timeline: a trace for ui.perfetto.dev",
	.each = true,
	.begin = perfetto_begin,
	.call = perfetto_call,
	.mark = perfetto_mark,
	.span = perfetto_span,
	.end = perfetto_end,
	.free = perfetto_free,
};
