/* SPDX-License-Identifier: Apache-2.0 */
#include "model/calls.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "model/calls_impl.h"
#include "model/decode.h"

#define UNFITTED_MAX 64 /* REPORT_ONLY_MAX and more */
#define SUMS_MAX     (1u << 16)
#define EDGES_MAX    (1u << 20)

const char *call_began_text(enum ev_call_began began)
{
	static const char *const texts[] = { [EV_BEGAN_CALL] = "call",
					     [EV_BEGAN_RESUME] = "resume",
					     [EV_BEGAN_THROW] = "throw",
					     [EV_BEGAN_BEFORE] = "before" };

	return texts[began];
}

const char *call_ended_text(enum ev_call_ended ended)
{
	static const char *const texts[] = { [EV_ENDED_RETURN] = "return",
					     [EV_ENDED_YIELD] = "yield",
					     [EV_ENDED_RAISE] = "raise",
					     [EV_ENDED_OPEN] = "open",
					     [EV_ENDED_UNSEEN] = "unseen" };

	return texts[ended];
}

const char *call_kind_text(enum ev_func_kind kind)
{
	static const char *const texts[] = { [EV_FUNC_PLAIN] = "function",
					     [EV_FUNC_GENERATOR] = "generator",
					     [EV_FUNC_COROUTINE] = "coroutine",
					     [EV_FUNC_ASYNC_GEN] = "async generator" };

	return texts[kind];
}

struct calls *calls__new(const struct call_told *told)
{
	struct calls *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->profile = profile__new();
	if (!c->profile) {
		free(c);
		return NULL;
	}
	c->profile->calls = true;
	c->told = *told;
	return c;
}

void calls__free(struct calls *c)
{
	struct call_thread_state *t, *next_thread;
	struct raised *raised, *next_raised;

	if (!c)
		return;
	HASH_ITER (hh, c->threads, t, next_thread) {
		HASH_DEL(c->threads, t);
		lanes_done(&t->lanes);
		calls_pending_free(t);
		free(t);
	}
	HASH_ITER (hh, c->raised, raised, next_raised) {
		HASH_DEL(c->raised, raised);
		calls_raised_free(raised);
	}
	calls_gens_free(c);
	calls_funcs_free(c);
	free(c->sums);
	free(c->edges);
	free(c->let_go);
	while (c->unfitted_cnt)
		free(c->unfitted[--c->unfitted_cnt]);
	free(c->unfitted);
	profile__free(c->profile);
	free(c);
}

struct profile *calls__profile(struct calls *c)
{
	return c->profile;
}

static void thread_named(struct call_thread_state *t)
{
	const struct thread *of = t->of;

	t->pub.name = of->name ? of->name : of->comm ? of->comm : "?";
}

struct call_thread_state *calls_thread(struct calls *c, const struct ev_hdr *hdr, int *ret_err)
{
	struct profile *p = c->profile;
	struct call_thread_state *t;
	const struct thread *of;
	uint32_t serial = hdr->thread;

	*ret_err = 0;
	HASH_FIND(hh, c->threads, &serial, sizeof(serial), t);
	if (!t) {
		if (!profile_room(p, sizeof(*of) + sizeof(*t) + 2 * ENTRY_COST)) {
			c->threads_full++;
			return NULL;
		}
		*ret_err = -ENOMEM;
		of = profile_thread(p, hdr);
		t = of ? calloc(1, sizeof(*t)) : NULL;
		if (!t)
			return NULL;
		t->serial = serial;
		t->of = of;
		t->pub = (struct call_thread){ serial, of->tgid, of->tid, "?" };
		HASH_ADD(hh, c->threads, serial, sizeof(t->serial), t);
		if (!t->hh.tbl) {
			free(t);
			return NULL;
		}
		p->bytes += sizeof(*t) + ENTRY_COST;
		*ret_err = 0;
	}
	thread_named(t);
	return t;
}

/* A thread has another name: the former one is gone with it. */
static int thread_name_apply(struct calls *c, const void *data, size_t len, struct err *err)
{
	const struct record_thread *r = data;
	int code = profile__apply(c->profile, RECORD_THREAD_NAME, data, len, err);
	struct call_thread_state *t = NULL;

	if (len >= sizeof(*r))
		HASH_FIND(hh, c->threads, &r->thread, sizeof(r->thread), t);
	if (t)
		thread_named(t);
	return code;
}

static void call_count(struct calls *c, const struct call *call)
{
	c->told_cnt++;
	c->before += call->began == EV_BEGAN_BEFORE;
	c->open += call->ended == EV_ENDED_OPEN;
	c->unseen += call->ended == EV_ENDED_UNSEEN;
	c->late += call->late;
}

static int call_tell(struct calls *c, struct call_thread_state *t, struct call *call, bool parked)
{
	struct lane_place place;
	int err;

	err = lanes_place(&t->lanes, parked, call->start_ns, call->end_ns, call->depth, &place);
	if (err)
		return err;
	call->track = (struct call_track){
		.kind = place.lane ? CALL_TRACK_GREENLET : CALL_TRACK_THREAD,
		.id = t->serial,
		.lane = place.lane ? place.lane - 1 : 0,
		.fresh = place.fresh,
	};
	call->draw_ns = place.draw_ns;
	call_count(c, call);
	return c->told.call ? c->told.call(c->told.ctx, call) : 0;
}

static int call_apply(struct calls *c, const struct ev_call *ev)
{
	struct func *f = calls_func(c, ev->func), *caller = calls_func(c, ev->caller);
	uint64_t took = ev->hdr.ts_ns - ev->start_ns;
	struct call_thread_state *t;
	struct raised *raised;
	struct call call;
	int err;

	if (!f || f->image != ev->hdr.image) {
		c->orphans++;
		return 0;
	}
	t = calls_thread(c, &ev->hdr, &err);
	if (!t)
		return err;
	err = calls_func_known(c, f);
	if (!err && caller)
		err = calls_func_known(c, caller);
	if (err)
		return err;
	call = (struct call){ .func = &f->pub,
			      .thread = &t->pub,
			      .caller = caller ? &caller->pub : NULL,
			      .caller_line = caller ? calls_line(caller, ev->lasti) : 0,
			      .start_ns = ev->start_ns,
			      .end_ns = ev->hdr.ts_ns,
			      .self_ns = ev->child_ns < took ? took - ev->child_ns : 0,
			      .frame = ev->frame,
			      .depth = ev->depth,
			      .began = EV_CALL_BEGAN(ev->flags),
			      .ended = EV_CALL_ENDED(ev->flags),
			      .late = ev->flags & EV_CALL_LATE,
			      .draw_ns = ev->start_ns };
	raised = calls_raised_take(c, ev->hdr.image, ev->frame);
	t->left_type = 0;
	if (call.ended == EV_ENDED_RAISE) {
		call.exception = raised ? raised->name : NULL;
		t->left_type = raised ? raised->type : 0;
	} else if (raised) {
		err = calls_mark(c, t, f, raised, CALL_CATCH);
	}
	if (!err && f->pub.kind != EV_FUNC_PLAIN)
		err = calls_gen(c, t, f, ev, caller, &call);
	if (!err && calls_kept(c, f))
		err = call_tell(c, t, &call, ev->flags & EV_CALL_PARKED);
	calls_raised_free(raised);
	return err;
}

static int ring_apply(struct calls *c, const void *data, size_t len, struct err *err)
{
	struct event ev;
	int code;

	if (event_decode(data, len, &ev)) {
		c->refused++;
		return 0;
	}
	switch (ev.hdr->kind) {
	case EV_FUNC:
		return calls_func_add(c, ev.func);
	case EV_CALL:
		return call_apply(c, ev.call);
	case EV_RAISE:
		return calls_raise(c, ev.raise);
	case EV_STACK: /* samples are no trace's */
	case EV_TICK:
	case EV_WAIT:
	case EV_TASK:
		c->refused++;
		return 0;
	}
	code = profile__apply(c->profile, RECORD_RING, data, len, err);
	if (!code && ev.hdr->kind == EV_CODE)
		code = calls_code_came(c, ev.hdr->image, ev.code->code, ev.code->check);
	return code;
}

static int code_apply(struct calls *c, const void *data, size_t len, struct err *err)
{
	struct event ev;
	int code = profile__apply(c->profile, RECORD_CODE, data, len, err);

	if (!code && !code_record_decode(data, len, &ev))
		code = calls_code_came(c, ev.hdr->image, ev.code->code, ev.code->check);
	return code;
}

static int meta_apply(struct calls *c, const void *data, size_t len, struct err *err)
{
	const struct record_meta *r = data;

	if (len >= sizeof(*r) && r->format == RECORD_FORMAT && r->mode != RECORD_CALLS)
		return err_set(err, -EINVAL, "it is a profile, not a trace of calls");
	return profile__apply(c->profile, RECORD_META, data, len, err);
}

static int trace_apply(struct calls *c, const void *data, size_t len, struct err *err)
{
	const uint8_t *at = (const uint8_t *)data + sizeof(c->trace);
	size_t left;
	char *pattern;
	int code = 0;

	if (len < sizeof(c->trace) || c->has_trace || c->func_cnt)
		return -EINVAL;
	memcpy(&c->trace, data, sizeof(c->trace));
	c->has_trace = true;
	left = len - sizeof(c->trace);
	while (left && !code) {
		pattern = record_string(&at, &left);
		if (!pattern)
			return -EINVAL;
		code = c->told.pattern ? c->told.pattern(c->told.keep_ctx, pattern, err)
				       : err_set(err, -EINVAL,
						 "it was made with --match, which is "
						 "not understood here");
		free(pattern);
	}
	return code;
}

/* Appends `len` bytes of entries to a list that has room for `max` of them. */
static int list_add(void **list, size_t *cnt, size_t size, size_t max, const void *data, size_t len)
{
	size_t more = len / size;
	void *grown;

	if (len % size || more > max - *cnt)
		return -EINVAL;
	if (!more)
		return 0;
	grown = realloc(*list, (*cnt + more) * size);
	if (!grown)
		return -ENOMEM;
	memcpy((char *)grown + *cnt * size, data, len);
	*list = grown;
	*cnt += more;
	return 0;
}

static int sums_apply(struct calls *c, const void *data, size_t len)
{
	void *list = c->sums;
	int err = list_add(&list, &c->sum_cnt, sizeof(*c->sums), SUMS_MAX, data, len);

	c->sums = list;
	return err;
}

static int edges_apply(struct calls *c, const void *data, size_t len)
{
	void *list = c->edges;
	int err = list_add(&list, &c->edge_cnt, sizeof(*c->edges), EDGES_MAX, data, len);

	c->edges = list;
	return err;
}

static int end_apply(struct calls *c, size_t len)
{
	size_t i;

	if (len || !c->has_stats || c->ended)
		return -EINVAL;
	c->ended = true;
	for (i = 0; i < c->sum_cnt; i++)
		if (!calls_func(c, c->sums[i].func))
			c->sums_orphan++;
	return calls_gens_end(c);
}

static int stats_apply(struct calls *c, const void *data, size_t len)
{
	const struct record_trace_stats *r = data;

	if (len < offsetof(struct record_trace_stats, stat) || len > sizeof(*r) ||
	    len % sizeof(r->stat[0]) || r->duration_ns > INT64_MAX / 2)
		return -EINVAL;
	memset(&c->stats, 0, sizeof(c->stats));
	memcpy(&c->stats, r, len);
	c->has_stats = true;
	return 0;
}

static int account_apply(struct calls *c, const void *data, size_t len)
{
	const uint8_t *at = (const uint8_t *)data + sizeof(c->account);
	size_t left;
	char *text;

	if (len < sizeof(c->account) || c->has_account)
		return -EINVAL;
	memcpy(&c->account, data, sizeof(c->account));
	c->has_account = true;
	left = len - sizeof(c->account);
	text = record_string(&at, &left);
	if (!text)
		return -EINVAL;
	if (text[0])
		c->let_go = text;
	else
		free(text);
	c->unfitted = calloc(UNFITTED_MAX, sizeof(*c->unfitted));
	if (!c->unfitted)
		return -ENOMEM;
	while (left) {
		text = c->unfitted_cnt < UNFITTED_MAX ? record_string(&at, &left) : NULL;
		if (!text)
			return -EINVAL;
		c->unfitted[c->unfitted_cnt++] = text;
	}
	return 0;
}

int calls__apply(struct calls *c, enum record_type type, const void *data, size_t len,
		 struct err *err)
{
	int code = -EINVAL;

	err_set(err, 0, "%s", "");
	if (!c->profile->has_meta && type != RECORD_META)
		return err_set(err, -EINVAL, "it does not begin with what was recorded, and how");
	switch (type) {
	case RECORD_META:
		code = meta_apply(c, data, len, err);
		break;
	case RECORD_TRACE:
		code = trace_apply(c, data, len, err);
		break;
	case RECORD_RING:
		code = ring_apply(c, data, len, err);
		break;
	case RECORD_CODE:
		code = code_apply(c, data, len, err);
		break;
	case RECORD_MODULE:
		code = calls_module(c, data, len);
		if (code == -EINVAL) {
			c->refused++; /* what a hostile process made of it must not end the trace */
			code = 0;
		}
		break;
	case RECORD_SUMS:
		code = sums_apply(c, data, len);
		break;
	case RECORD_EDGES:
		code = edges_apply(c, data, len);
		break;
	case RECORD_TRACE_STATS:
		code = stats_apply(c, data, len);
		break;
	case RECORD_TRACE_ACCOUNT:
		code = account_apply(c, data, len);
		break;
	case RECORD_END:
		code = end_apply(c, len);
		break;
	case RECORD_THREAD_NAME:
		return thread_name_apply(c, data, len, err);
	case RECORD_IMAGE:
	case RECORD_OVERHEAD:
		return profile__apply(c->profile, type, data, len, err);
	case RECORD_COUNTS: /* samples are no trace's */
	case RECORD_TIMES:
	case RECORD_TIMES_BEFORE:
	case RECORD_STATS:
	case RECORD_TIMELINE:
	case RECORD_ASYNC:
	case RECORD_TASKS:
	case RECORD_NONE:
	case RECORD_MAX:
		break;
	}
	if (code == -EINVAL && !err->msg[0])
		err_set(err, code, "a record of type %d does not hold", type);
	else if (code == -ENOMEM)
		err_set(err, code, "out of memory");
	return code;
}

int calls__sums_each(struct calls *c,
		     int (*fn)(void *ctx, const struct call_func *func,
			       const struct trace_func *sum),
		     void *ctx)
{
	struct func *f;
	size_t i;
	int err = 0;

	for (i = 0; i < c->sum_cnt && !err; i++) {
		f = calls_func(c, c->sums[i].func);
		if (!f)
			continue;
		err = calls_func_known(c, f);
		if (!err && calls_kept(c, f))
			err = fn(ctx, &f->pub, &c->sums[i].sum);
	}
	return err;
}

int calls__edges_each(struct calls *c,
		      int (*fn)(void *ctx, const struct call_func *caller,
				const struct call_func *callee, const struct trace_edge *sum),
		      void *ctx)
{
	struct func *caller, *callee;
	size_t i;
	int err = 0;

	for (i = 0; i < c->edge_cnt && !err; i++) {
		caller = calls_func(c, c->edges[i].key.caller);
		callee = calls_func(c, c->edges[i].key.callee);
		if (!callee || (c->edges[i].key.caller && !caller))
			continue; /* its sums are missing too, and counted */
		if (!calls_kept(c, callee))
			continue;
		err = fn(ctx, caller ? &caller->pub : NULL, &callee->pub, &c->edges[i].sum);
	}
	return err;
}
