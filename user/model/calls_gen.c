/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generators and coroutines of a trace. What the records tell of are activations: one run from a begin
 * to an end. What a reader asks about is the whole: from the first begin to the return, and how much of
 * that it ran. The frame's address is what an object's activations have in common; it is another
 * object's as soon as it is freed, and that one's first activation begins with a call.
 *
 *	   resume  yield   resume  return
 *	     |--a--|         |--b--|         activations
 *	     |----------span-------|         active: a + b
 *
 * A task is a coroutine that no coroutine awaits, with all that it awaits. Whether one is awaited tells
 * the function that called its activation; whose an awaited one is tells the outermost, whose record
 * comes last (struct pending).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/calls_impl.h"

static bool is_async(const struct func *f)
{
	return f->pub.kind == EV_FUNC_COROUTINE || f->pub.kind == EV_FUNC_ASYNC_GEN;
}

static struct task_state *task_find(struct calls *c, uint32_t number)
{
	struct task_state *task;

	HASH_FIND(hh, c->tasks, &number, sizeof(number), task);
	return task;
}

/* A new task; 0: out of memory. */
static uint32_t task_new(struct calls *c, const struct func *func)
{
	struct task_state *task = calloc(1, sizeof(*task));

	if (!task)
		return 0;
	task->number = c->task_cnt + 1;
	task->func = func;
	HASH_ADD(hh, c->tasks, number, sizeof(task->number), task);
	if (!task->hh.tbl) {
		free(task);
		return 0;
	}
	return ++c->task_cnt;
}

static void task_end(struct calls *c, uint32_t number)
{
	struct task_state *task = task_find(c, number);

	if (!task)
		return;
	HASH_DEL(c->tasks, task);
	lanes_done(&task->lanes);
	free(task);
}

static int span_tell(struct calls *c, struct call_thread_state *t, struct gen *g, uint64_t end_ns,
		     const char *exception)
{
	struct call_span span = { .func = &g->func->pub,
				  .thread = &t->pub,
				  .start_ns = g->start_ns,
				  .end_ns = end_ns,
				  .active_ns = g->active_ns,
				  .activations = g->activations,
				  .frame = g->id.frame,
				  .before = g->before,
				  .ended = g->ended,
				  .exception = exception,
				  .root = g->root,
				  .draw_ns = g->start_ns };
	struct task_state *task;
	struct lane_place place;
	int err;

	if (!c->told.span || !calls_kept(c, g->func))
		return 0;
	if (g->task) {
		task = task_find(c, g->task);
		if (!task) {
			/* it outlives the task that it was of: nothing can be drawn into that */
			g->task = task_new(c, NULL);
			task = task_find(c, g->task);
		}
		if (!task)
			return -ENOMEM;
		span.task = g->task;
		span.task_func = task->func ? &task->func->pub : NULL;
		err = lanes_place(&task->lanes, 0, g->start_ns, end_ns, g->depth, &place);
		if (err)
			return err;
		span.track =
			(struct call_track){ CALL_TRACK_TASK, g->task, place.lane, place.fresh };
		span.draw_ns = place.draw_ns;
	}
	return c->told.span(c->told.ctx, &span);
}

/* This much of what waits is of this task. */
static int pending_settle(struct calls *c, struct call_thread_state *t, uint32_t from, uint32_t cnt,
			  uint32_t task)
{
	struct pending *pending;
	struct gen *g;
	uint32_t i;
	int err = 0;

	for (i = from; i < from + cnt; i++) {
		pending = &t->pending[i];
		if (pending->done) {
			pending->gen.task = task;
			if (!err)
				err = span_tell(c, t, &pending->gen, pending->gen.last_ns,
						pending->exception);
			free(pending->exception);
			continue;
		}
		HASH_FIND(hh, c->gens, &pending->gen.id, sizeof(pending->gen.id), g);
		if (g && !g->task)
			g->task = task;
	}
	if (!cnt)
		return 0;
	t->pending_cnt -= cnt;
	memmove(t->pending + from, t->pending + from + cnt,
		(t->pending_cnt - from) * sizeof(*t->pending));
	return err;
}

/* What waits and lies within this activation of a task's outermost coroutine. */
static int pending_within(struct calls *c, struct call_thread_state *t, const struct ev_call *ev,
			  uint32_t task)
{
	uint32_t from = t->pending_cnt;

	while (from && t->pending[from - 1].gen.depth > ev->depth &&
	       t->pending[from - 1].start_ns >= ev->start_ns)
		from--;
	return pending_settle(c, t, from, t->pending_cnt - from, task);
}

static int pending_add(struct calls *c, struct call_thread_state *t, const struct gen *g,
		       const struct call *call, bool done)
{
	struct pending *grown;
	uint32_t cap, task;
	int err;

	if (t->pending_cnt == CALL_PENDING_MAX) {
		/* so many within one activation: the first half goes on a track of its own */
		task = task_new(c, NULL);
		err = task ? pending_settle(c, t, 0, CALL_PENDING_MAX / 2, task) : -ENOMEM;
		task_end(c, task);
		if (err)
			return err;
	}
	if (t->pending_cnt == t->pending_cap) {
		cap = t->pending_cap ? 2 * t->pending_cap : 8;
		grown = realloc(t->pending, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		t->pending = grown;
		t->pending_cap = cap;
	}
	grown = &t->pending[t->pending_cnt];
	*grown = (struct pending){ .gen = *g, .start_ns = call->start_ns, .done = done };
	if (done && call->exception) {
		grown->exception = strdup(call->exception);
		if (!grown->exception)
			return -ENOMEM;
	}
	t->pending_cnt++;
	return 0;
}

static int gen_keep(struct calls *c, const struct gen *fresh)
{
	struct gen *g;

	if (HASH_COUNT(c->gens) >= CALL_GENS_MAX) {
		c->gens_full++;
		return 0;
	}
	g = malloc(sizeof(*g));
	if (!g)
		return -ENOMEM;
	*g = *fresh;
	HASH_ADD(hh, c->gens, id, sizeof(g->id), g);
	if (g->hh.tbl)
		return 0;
	free(g);
	return -ENOMEM;
}

static void gen_drop(struct calls *c, struct gen *g)
{
	HASH_DEL(c->gens, g);
	if (g->root)
		task_end(c, g->task);
	free(g);
}

/* The object that this activation is of: kept since its last one, or `fresh`. */
static int gen_of(struct calls *c, struct call_thread_state *t, struct func *f,
		  const struct ev_call *ev, struct gen *fresh, struct gen **ret_gen)
{
	struct gen_id id = { .frame = ev->frame, .image = ev->hdr.image };
	bool begins = EV_CALL_BEGAN(ev->flags) == EV_BEGAN_CALL;
	struct gen *g;
	int err = 0;

	HASH_FIND(hh, c->gens, &id, sizeof(id), g);
	if (g && (begins || g->func != f)) {
		/* the address is another's now: how the former one ended was not seen */
		g->ended = EV_ENDED_UNSEEN;
		err = span_tell(c, t, g, g->last_ns, NULL);
		gen_drop(c, g);
		g = NULL;
	}
	if (!g) {
		*fresh = (struct gen){
			.id = id, .func = f, .before = !begins, .start_ns = ev->start_ns
		};
		g = fresh;
	}
	*ret_gen = g;
	return err;
}

int calls_gen(struct calls *c, struct call_thread_state *t, struct func *f,
	      const struct ev_call *ev, const struct func *caller, struct call *call)
{
	bool done = call->ended == EV_ENDED_RETURN || call->ended == EV_ENDED_RAISE;
	bool outermost = is_async(f) && !(caller && is_async(caller));
	struct gen fresh, *g;
	bool waits;
	int err;

	err = gen_of(c, t, f, ev, &fresh, &g);
	if (err)
		return err;
	g->thread = ev->hdr.thread;
	g->depth = ev->depth;
	g->ended = call->ended;
	g->last_ns = call->end_ns;
	g->active_ns += call->end_ns - call->start_ns;
	g->activations++;
	if (outermost) {
		if (!g->root) {
			g->root = true;
			g->task = task_new(c, f);
			if (!g->task)
				return -ENOMEM;
		}
		call->flow_in = g->flow;
		g->flow = call->ended == EV_ENDED_YIELD ? ++c->flow_cnt : 0;
		call->flow_out = g->flow;
		err = pending_within(c, t, ev, g->task);
	}
	waits = is_async(f) && !g->task;
	if (!err && waits)
		err = pending_add(c, t, g, call, done);
	if (!err && done && !waits)
		err = span_tell(c, t, g, g->last_ns, call->exception);
	if (!done && g == &fresh)
		return err ? err : gen_keep(c, g);
	if (done && g != &fresh)
		gen_drop(c, g);
	else if (done && g->root)
		task_end(c, g->task);
	return err;
}

static uint64_t end_of(const struct gen *g, uint64_t end_ns)
{
	/* what is suspended still is; of the rest no more is known */
	return g->ended == EV_ENDED_YIELD && end_ns > g->last_ns ? end_ns : g->last_ns;
}

/* In the order of their ends, and what began last first: as lanes want them. */
static int by_end(const void *a, const void *b)
{
	const struct gen *x = *(const struct gen *const *)a, *y = *(const struct gen *const *)b;

	if (x->last_ns != y->last_ns)
		return (x->last_ns > y->last_ns) - (x->last_ns < y->last_ns);
	if (x->start_ns != y->start_ns)
		return (x->start_ns < y->start_ns) - (x->start_ns > y->start_ns);
	return (x->depth < y->depth) - (x->depth > y->depth);
}

static struct call_thread_state *thread_of(struct calls *c, uint32_t serial)
{
	struct call_thread_state *t;

	HASH_FIND(hh, c->threads, &serial, sizeof(serial), t);
	return t;
}

int calls_gens_end(struct calls *c)
{
	uint64_t end_ns = c->profile->meta.start_ns + c->stats.duration_ns;
	uint32_t cnt = HASH_COUNT(c->gens), i = 0, task;
	struct call_thread_state *t;
	struct gen *g, **list;
	int err = 0;

	for (t = c->threads; t && !err; t = t->hh.next) {
		if (!t->pending_cnt)
			continue;
		task = task_new(c, NULL);
		err = task ? pending_settle(c, t, 0, t->pending_cnt, task) : -ENOMEM;
	}
	list = err || !cnt ? NULL : malloc(cnt * sizeof(struct gen *));
	if (err || !cnt)
		return err;
	if (!list)
		return -ENOMEM;
	for (g = c->gens; g; g = g->hh.next) {
		g->last_ns = end_of(g, end_ns);
		list[i++] = g;
	}
	qsort(list, cnt, sizeof(struct gen *), by_end);
	for (i = 0; i < cnt && !err; i++)
		err = span_tell(c, thread_of(c, list[i]->thread), list[i], list[i]->last_ns, NULL);
	free(list);
	return err;
}

void calls_pending_free(struct call_thread_state *t)
{
	uint32_t i;

	for (i = 0; i < t->pending_cnt; i++)
		free(t->pending[i].exception);
	free(t->pending);
}

void calls_gens_free(struct calls *c)
{
	struct task_state *task, *next_task;
	struct gen *g, *next;

	HASH_ITER (hh, c->gens, g, next) {
		HASH_DEL(c->gens, g);
		free(g);
	}
	HASH_ITER (hh, c->tasks, task, next_task)
		task_end(c, task->number);
}
