/* SPDX-License-Identifier: Apache-2.0 */
/*
 * asyncio before 3.14. The tasks are in weak sets of Lib/asyncio/tasks.py (a WeakSet keeps weak
 * references in the set `data`). Nothing says who awaits a task, but what waits leaves traces:
 *
 *   await task            the awaiting task's _fut_waiter is the task
 *   gather, wait, shield  a callback of the task is a function whose closure holds the future that
 *                         is the awaiting task's _fut_waiter
 *   wait_for (< 3.12)     a callback is functools.partial(_release_waiter, that future)
 *   TaskGroup (3.11+)     a callback is a method of the group, whose _parent_task awaits it
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "python/mem.h"
#include "python/object.h"
#include "python/object_read.h"
#include "python/tasks_impl.h"
#include "python/value.h"

#define CALLBACKS_MAX 10000 /* of one task */
#define CELLS_MAX     64    /* of one closure, or arguments of one partial() */

/* --- all tasks --- */

static const char *const set_names[] = {
	"_all_tasks",       /* 3.8 - 3.11 */
	"_scheduled_tasks", /* 3.12, 3.13 */
	"_eager_tasks",     /* likewise, a plain set */
};

/* threading.get_ident() of the thread that the task's loop runs in; 0: it does not run, or is no
 * BaseEventLoop. */
static uint64_t loop_thread(struct tasks_look *l, uint64_t task)
{
	uint64_t loop, ident, value = 0;

	if (mem_u64(l->mem, task + l->where->loop, &loop) || !loop)
		return 0;
	if (loop == l->loop)
		return l->loop_thread;
	if (object_attr(l->mem, l->abi, loop, "_thread_id", &ident) ||
	    value_long(l->mem, l->abi, ident, &value) != 1)
		value = 0;
	l->loop = loop;
	l->loop_thread = value;
	return value;
}

static int task_see(struct tasks_look *l, uint64_t addr)
{
	uint32_t cnt = l->t->cnt, at;
	int err = 0;

	at = tasks_add(l, addr, 0, &err);
	if (at != UINT32_MAX && at == cnt)
		l->t->list[at].thread_id = loop_thread(l, addr);
	return err;
}

static int plain_see(void *ctx, uint64_t object)
{
	return task_see(ctx, object);
}

static int weak_see(void *ctx, uint64_t object)
{
	struct tasks_look *l = ctx;
	uint64_t task;

	if (!tasks_type(l, object, "weakref") && !tasks_type(l, object, "weakref.ReferenceType"))
		return 0;
	if (mem_u64(l->mem, object + l->abi->live.weakref_object, &task) || !task)
		return 0;
	return task_see(l, task);
}

int tasks_old_list(struct tasks_look *l, uint64_t interp)
{
	uint64_t object, set;
	size_t i;
	int err = 0;

	for (i = 0; i < sizeof(set_names) / sizeof(set_names[0]) && !err; i++) {
		if (value_in_module(l->mem, l->abi, interp, "asyncio.tasks", set_names[i], &object))
			continue;
		if (tasks_type(l, object, "set"))
			err = tasks_set_each(l, object, plain_see, l);
		else if (!object_attr(l->mem, l->abi, object, "data", &set) &&
			 tasks_type(l, set, "set"))
			err = tasks_set_each(l, set, weak_see, l);
	}
	return err;
}

/* --- who awaits whom --- */

/* The future that a task waits for, and the task's index; sorted by the future. */
struct waiting {
	uint64_t waiter;
	uint32_t task;
};

struct edges {
	struct tasks_look *l;
	struct waiting *waiting;
	uint32_t cnt, task;
};

static int waiting_order(const void *a, const void *b)
{
	const struct waiting *x = a, *y = b;

	return (x->waiter > y->waiter) - (x->waiter < y->waiter);
}

/* Whoever waits for `future` awaits the task at hand. */
static int future_see(struct edges *e, uint64_t future)
{
	uint32_t low = 0, high = e->cnt, mid;
	int err = 0;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (e->waiting[mid].waiter < future)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < e->cnt && e->waiting[low].waiter == future && !err; low++)
		err = tasks_edge(e->l, e->task, e->waiting[low].task);
	return err;
}

/* The items of a tuple, at most `max`; how many. */
static uint32_t tuple_read(struct tasks_look *l, uint64_t tuple, uint32_t max, uint64_t *items)
{
	uint64_t size;

	if (!tuple || !tasks_type(l, tuple, "tuple") ||
	    mem_u64(l->mem, tuple + l->abi->off.bytes_size, &size))
		return 0;
	if (size > max)
		size = max;
	return mem_read(l->mem, tuple + l->abi->live.tuple_items, items, size * 8) ? 0 : size;
}

static int function_see(struct edges *e, uint64_t function)
{
	const struct py_live *live = &e->l->abi->live;
	uint64_t cells[CELLS_MAX], closure, future;
	uint32_t i, cnt;
	int err = 0;

	if (mem_u64(e->l->mem, function + live->function_closure, &closure))
		return 0;
	cnt = tuple_read(e->l, closure, CELLS_MAX, cells);
	for (i = 0; i < cnt && !err; i++)
		if (!mem_u64(e->l->mem, cells[i] + live->cell_value, &future) && future)
			err = future_see(e, future);
	return err;
}

/* functools.partial: the function, then its arguments (Modules/_functoolsmodule.c). */
static int partial_see(struct edges *e, uint64_t partial)
{
	uint64_t items[CELLS_MAX], args;
	uint32_t i, cnt;
	int err = 0;

	if (mem_u64(e->l->mem, partial + e->l->abi->live.object_type + 16, &args))
		return 0;
	cnt = tuple_read(e->l, args, CELLS_MAX, items);
	for (i = 0; i < cnt && !err; i++)
		err = future_see(e, items[i]);
	return err;
}

static int method_see(struct edges *e, uint64_t method)
{
	uint64_t self, parent;
	uint32_t awaiter;

	if (mem_u64(e->l->mem, method + e->l->abi->live.method_self, &self) || !self ||
	    object_attr(e->l->mem, e->l->abi, self, "_parent_task", &parent))
		return 0;
	awaiter = tasks_known(e->l->t, parent);
	return awaiter == UINT32_MAX ? 0 : tasks_edge(e->l, e->task, awaiter);
}

static int callback_see(struct edges *e, uint64_t callback)
{
	struct tasks_look *l = e->l;

	if (!callback)
		return 0;
	if (tasks_type(l, callback, "function"))
		return function_see(e, callback);
	if (tasks_type(l, callback, "functools.partial"))
		return partial_see(e, callback);
	if (tasks_type(l, callback, "method"))
		return method_see(e, callback);
	return 0;
}

/* The first callback is a member of its own, the others are pairs (callback, context) in a list. */
static int callbacks_see(struct edges *e, uint64_t task)
{
	struct tasks_look *l = e->l;
	uint64_t callback = 0, list = 0, size, items, pair, both[2];
	uint64_t i;
	int err;

	mem_u64(l->mem, task + l->where->callback0, &callback);
	err = callback_see(e, callback);
	if (err || mem_u64(l->mem, task + l->where->callbacks, &list) || !list ||
	    !tasks_type(l, list, "list") || mem_u64(l->mem, list + l->abi->off.bytes_size, &size) ||
	    mem_u64(l->mem, list + l->abi->live.list_items, &items))
		return err;
	for (i = 0; i < size && !err; i++) {
		if (i == CALLBACKS_MAX) {
			l->t->cut = true;
			break;
		}
		if (mem_u64(l->mem, items + i * 8, &pair))
			break;
		if (tuple_read(l, pair, 2, both) == 2)
			err = callback_see(e, both[0]);
	}
	return err;
}

int tasks_old_edges(struct tasks_look *l)
{
	struct edges e = { l };
	uint32_t i, cnt = l->t->cnt; /* those that were read */
	int err = 0;

	if (!cnt)
		return 0;
	e.waiting = calloc(cnt, sizeof(*e.waiting));
	if (!e.waiting)
		return -ENOMEM;
	for (i = 0; i < cnt; i++)
		if (l->t->list[i].waiter)
			e.waiting[e.cnt++] = (struct waiting){ l->t->list[i].waiter, i };
	qsort(e.waiting, e.cnt, sizeof(*e.waiting), waiting_order);
	for (e.task = 0; e.task < cnt && !err; e.task++) {
		err = future_see(&e, l->t->list[e.task].addr);
		if (!err)
			err = callbacks_see(&e, l->t->list[e.task].addr);
	}
	free(e.waiting);
	return err;
}
