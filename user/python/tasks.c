/* SPDX-License-Identifier: Apache-2.0 */
#include "python/tasks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/buf.h"
#include "base/err.h"
#include "os/elf.h"
#include "os/proc.h"
#include "python/find.h"
#include "python/mem.h"
#include "python/object_read.h"
#include "python/task_table.h"
#include "python/tasks_impl.h"
#include "python/value.h"

#define NAME_MAX_BYTES 256
#define STRUCT_MAX     (1u << 20)
#define SET_SLOTS_MAX  (1u << 20)
#define THROUGH_MAX    16 /* futures between a task and the one that awaits it */

struct task_index {
	uint64_t addr;
	uint32_t at;
	UT_hash_handle hh;
};

/* --- where a Task keeps what --- */

/* Py_AsyncioModuleDebugOffsets of Modules/_asynciomodule.c, v3.14.0 and v3.15.0: numbers of 64
 * bits. Three structs, each with its size first. */
enum {
	TOLD_TASK_SIZE,
	TOLD_NAME,
	TOLD_AWAITED_BY,
	TOLD_IS_TASK,
	TOLD_IS_SET,
	TOLD_CORO,
	TOLD_NODE,
	TOLD_INTERP_SIZE,
	TOLD_INTERP_HEAD,
	TOLD_TSTATE_SIZE,
	TOLD_TSTATE_LOOP,
	TOLD_TSTATE_TASK,
	TOLD_TSTATE_HEAD,
	TOLD_MAX
};

struct module {
	pid_t pid;
	const struct py_found *found;
	uint64_t words[TOLD_MAX];
	bool seen;
};

/* The section is constant, so the file tells as much as the memory. In a Python that has _asyncio
 * built in, it is the interpreter's. */
static int module_see(void *ctx, const struct proc_map *map)
{
	struct module *m = ctx;
	const char *base = strrchr(map->path, '/');
	struct err err = {};
	struct elf *elf;
	struct buf data;
	int fd;

	if (!map->inode || !base ||
	    (strncmp(base + 1, "_asyncio.", 9) != 0 &&
	     (map->inode != m->found->inode || map->dev != m->found->dev)))
		return 0;
	fd = proc_open_map(m->pid, map, &err);
	elf = fd < 0 ? NULL : elf__open(fd, &err);
	if (!elf)
		return 0;
	buf_init(&data, 4096);
	if (!elf__section(elf, ".AsyncioDebug", &data) && data.len >= sizeof(m->words)) {
		memcpy(m->words, data.data, sizeof(m->words));
		m->seen = true;
	}
	buf_done(&data);
	elf__close(elf);
	return m->seen;
}

static bool words_sane(const uint64_t *words)
{
	static const int structs[][2] = { { TOLD_TASK_SIZE, TOLD_NODE },
					  { TOLD_INTERP_SIZE, TOLD_INTERP_HEAD },
					  { TOLD_TSTATE_SIZE, TOLD_TSTATE_HEAD } };
	size_t i;
	int k;

	for (i = 0; i < 3; i++)
		for (k = structs[i][0] + 1; k <= structs[i][1]; k++)
			if (words[structs[i][0]] > STRUCT_MAX || words[k] >= words[structs[i][0]])
				return false;
	return true;
}

static int where_told(pid_t pid, const struct py_found *found, struct task_where *ret_where,
		      struct err *err)
{
	struct module m = { pid, found };
	const uint64_t *w = m.words;
	int code;

	code = proc_maps_each(pid, module_see, &m);
	if (code < 0)
		return err_set(err, code, "cannot read the mappings of process %d: %s", pid,
			       err_str(code));
	if (!m.seen)
		return -ENOENT;
	if (!words_sane(w))
		return err_set(err, -ENOTSUP,
			       "the debug offsets of asyncio in process %d contradict themselves",
			       pid);
	*ret_where = (struct task_where){
		.told = true,
		.size = w[TOLD_TASK_SIZE],
		.coro = w[TOLD_CORO],
		.name = w[TOLD_NAME],
		.awaited_by = w[TOLD_AWAITED_BY],
		.is_task = w[TOLD_IS_TASK],
		.awaited_by_is_set = w[TOLD_IS_SET],
		.node = w[TOLD_NODE],
		.interp_head = w[TOLD_INTERP_HEAD],
		.tstate_head = w[TOLD_TSTATE_HEAD],
		.tstate_task = w[TOLD_TSTATE_TASK],
	};
	return 0;
}

int tasks_where(pid_t pid, const struct py_found *found, const struct py_abi *abi,
		struct task_where *ret_where, struct err *err)
{
	const struct task_row *r;

	if (abi->minor >= 14)
		return where_told(pid, found, ret_where, err);
	for (r = task_rows; r < task_rows + sizeof(task_rows) / sizeof(task_rows[0]); r++) {
		if (r->minor != abi->minor || abi->build == PY_BUILD_FREE_THREADED)
			continue;
		*ret_where = (struct task_where){
			.size = r->size,
			.coro = r->coro,
			.name = r->name,
			.fut_waiter = r->fut_waiter,
			.callback0 = r->callback0,
			.callbacks = r->callbacks,
			.loop = r->loop,
		};
		return 0;
	}
	return err_set(err, -ENOTSUP, "where CPython %d.%d keeps its asyncio tasks is not known",
		       abi->major, abi->minor);
}

/* --- the list --- */

uint64_t tasks_type(struct tasks_look *l, uint64_t object, const char *name)
{
	struct tasks_type *slot;
	uint64_t type;

	if (mem_u64(l->mem, object + l->abi->live.object_type, &type) || !type)
		return 0;
	slot = &l->types[(type >> 4 ^ (uintptr_t)name) & (TASKS_TYPES - 1)];
	if (slot->type != type || slot->name != name)
		*slot = (struct tasks_type){ type, name,
					     coro_type_named(l->mem, l->abi, type, name) };
	return slot->named;
}

/* It is a Task, or a subclass of it, of just the size that is known? */
static bool is_task(struct tasks_look *l, uint64_t addr)
{
	uint64_t type = tasks_type(l, addr, "_asyncio.Task"), size;

	return type && !mem_u64(l->mem, type + l->abi->off.type_basicsize, &size) &&
	       size == l->where->size;
}

uint32_t tasks_known(const struct tasks *t, uint64_t addr)
{
	struct task_index *index;

	HASH_FIND(hh, t->index, &addr, sizeof(addr), index);
	return index ? index->at : UINT32_MAX;
}

uint32_t tasks_add(struct tasks_look *l, uint64_t addr, uint64_t thread_id, int *ret_err)
{
	struct tasks *t = l->t;
	struct task_index *index;
	struct task *grown;
	uint32_t cap = tasks_known(t, addr);

	if (cap != UINT32_MAX)
		return cap;
	if (!is_task(l, addr)) {
		t->other_cnt++;
		return UINT32_MAX;
	}
	if (t->cnt == TASKS_MAX) {
		t->cut = true;
		return UINT32_MAX;
	}
	if (t->cnt == t->cap) {
		cap = t->cap ? 2 * t->cap : 64;
		grown = realloc(t->list, cap * sizeof(*grown));
		if (!grown)
			goto no_memory;
		t->list = grown;
		t->cap = cap;
	}
	index = calloc(1, sizeof(*index));
	if (!index)
		goto no_memory;
	index->addr = addr;
	index->at = t->cnt;
	HASH_ADD(hh, t->index, addr, sizeof(index->addr), index);
	if (!index->hh.tbl) {
		free(index);
		goto no_memory;
	}
	t->list[t->cnt] = (struct task){ .addr = addr, .thread_id = thread_id };
	return t->cnt++;
no_memory:
	*ret_err = -ENOMEM;
	return UINT32_MAX;
}

int tasks_edge(struct tasks_look *l, uint32_t task, uint32_t awaiter)
{
	struct tasks *t = l->t;
	struct task_edge *grown;
	uint32_t cap;

	if (task == awaiter)
		return 0;
	if (t->edge_cnt == TASK_EDGES_MAX) {
		t->cut = true;
		return 0;
	}
	if (t->edge_cnt == t->edge_cap) {
		cap = t->edge_cap ? 2 * t->edge_cap : 64;
		grown = realloc(t->edges, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		t->edges = grown;
		t->edge_cap = cap;
	}
	t->edges[t->edge_cnt++] = (struct task_edge){ task, awaiter };
	return 0;
}

/* struct llist_node: `next` is its first member (Include/internal/pycore_llist.h). */
static int list_look(struct tasks_look *l, uint64_t head, uint64_t thread_id)
{
	uint64_t node;
	uint32_t i;
	int err = 0;

	if (mem_u64(l->mem, head, &node))
		return 0;
	for (i = 0; node && node != head && !err; i++) {
		if (i == TASKS_MAX) {
			l->t->cut = true;
			break;
		}
		tasks_add(l, node - l->where->node, thread_id, &err);
		if (mem_u64(l->mem, node, &node))
			break;
	}
	return err;
}

int tasks_set_each(struct tasks_look *l, uint64_t set, int (*fn)(void *ctx, uint64_t key),
		   void *ctx)
{
	uint64_t entries[128], mask, table, i, n, k;
	int err = 0;

	if (mem_u64(l->mem, set + l->abi->live.set_mask, &mask) ||
	    mem_u64(l->mem, set + l->abi->live.set_table, &table))
		return 0;
	if (mask >= SET_SLOTS_MAX) {
		l->t->cut = true;
		return 0;
	}
	for (i = 0; i <= mask && !err;
	     i += n) { /* setentry: the key, and its hash: -1 if deleted */
		n = mask + 1 - i < 64 ? mask + 1 - i : 64;
		if (mem_read(l->mem, table + i * 16, entries, n * 16))
			break;
		for (k = 0; k < n && !err; k++)
			if (entries[2 * k] && entries[2 * k + 1] != UINT64_MAX)
				err = fn(ctx, entries[2 * k]);
	}
	return err;
}

/* --- one task --- */

static void name_read(struct tasks_look *l, struct task *task)
{
	uint64_t object, number;
	struct buf name;

	buf_init(&name, 2048);
	if (!mem_u64(l->mem, task->addr + l->where->name, &object)) {
		/* a task that was given no name has its number, from 3.13 on */
		if (value_text(l->mem, l->abi, object, NAME_MAX_BYTES, &name) &&
		    value_long(l->mem, l->abi, object, &number) == 1)
			buf_fmt(&name, "Task-%" PRIu64, number);
		if (name.len)
			task->name = strdup(buf_text(&name));
	}
	buf_done(&name);
}

static int task_look(struct tasks_look *l, const struct py_cfg *cfg, const struct py_found *found,
		     struct task *task)
{
	struct tasks *t = l->t;
	uint32_t left = TASK_FRAMES_MAX - t->stack.frame_cnt;
	uint64_t coro;
	int err;

	name_read(l, task);
	task->frame_start = t->stack.frame_cnt;
	if (mem_u64(l->mem, task->addr + l->where->coro, &coro) || !coro)
		return 0;
	t->stack.flags = 0;
	err = coro_chain(l->mem, l->abi, cfg, found, coro,
			 left < CORO_DEPTH_MAX ? left : CORO_DEPTH_MAX, &t->stack, &task->frame,
			 &task->state);
	task->flags = t->stack.flags;
	task->frame_cnt = t->stack.frame_cnt - task->frame_start;
	if (!l->where->told)
		mem_u64(l->mem, task->addr + l->where->fut_waiter, &task->waiter);
	return err;
}

/* --- who awaits it, 3.14+ --- */

struct awaiters {
	struct tasks_look *l;
	uint32_t task;
	int depth;
};

static int awaiters_of(struct awaiters *a, uint64_t object);

/* An awaiter that is no task is a future that somebody awaits: gather() makes such. */
static int awaiter_one(void *ctx, uint64_t object)
{
	struct awaiters *a = ctx, through = *a;
	struct tasks_look *l = a->l;
	uint32_t awaiter;
	uint8_t is;
	int err = 0;

	if (a->depth == THROUGH_MAX) {
		l->t->cut = true;
		return 0;
	}
	if (mem_read(l->mem, object + l->where->is_task, &is, 1))
		return 0;
	if (is) {
		awaiter = tasks_add(l, object, 0, &err);
		return awaiter == UINT32_MAX ? err : tasks_edge(l, a->task, awaiter);
	}
	if (!tasks_type(l, object, "_asyncio.Future"))
		return 0;
	through.depth++;
	return awaiters_of(&through, object);
}

static int awaiters_of(struct awaiters *a, uint64_t object)
{
	struct tasks_look *l = a->l;
	uint64_t by;
	uint8_t is_set;

	if (mem_u64(l->mem, object + l->where->awaited_by, &by) || !by ||
	    mem_read(l->mem, object + l->where->awaited_by_is_set, &is_set, 1) ||
	    l->t->edge_cnt == TASK_EDGES_MAX)
		return 0;
	return is_set ? tasks_set_each(l, by, awaiter_one, a) : awaiter_one(a, by);
}

/* --- all of it --- */

static int threads_look(struct tasks_look *l, const struct buf *threads)
{
	const struct stack_thread *list = (const struct stack_thread *)threads->data;
	size_t cnt = threads->len / sizeof(*list), i;
	uint64_t task;
	int err = 0;

	for (i = 0; i < cnt && !err; i++) {
		if (l->where->told) {
			err = list_look(l, list[i].tstate + l->where->tstate_head,
					list[i].thread_id);
			/* one that is eager is in no list while it runs for the first time */
			if (!err &&
			    !mem_u64(l->mem, list[i].tstate + l->where->tstate_task, &task) && task)
				tasks_add(l, task, list[i].thread_id, &err);
		}
		if (err || (i && list[i].interp == list[i - 1].interp))
			continue;
		/* those whose thread has ended */
		err = l->where->told ? list_look(l, list[i].interp + l->where->interp_head, 0)
				     : tasks_old_list(l, list[i].interp);
	}
	return err;
}

static int edge_order(const void *a, const void *b)
{
	const struct task_edge *x = a, *y = b;

	if (x->awaiter != y->awaiter)
		return x->awaiter < y->awaiter ? -1 : 1;
	return (x->task > y->task) - (x->task < y->task);
}

static void edges_sort(struct tasks *t)
{
	uint32_t i, kept = 0;

	if (!t->edge_cnt)
		return;
	qsort(t->edges, t->edge_cnt, sizeof(*t->edges), edge_order);
	for (i = 1; i < t->edge_cnt; i++)
		if (edge_order(&t->edges[kept], &t->edges[i]))
			t->edges[++kept] = t->edges[i];
	t->edge_cnt = kept + 1;
}

int tasks_read(struct mem *mem, const struct py_abi *abi, const struct py_cfg *cfg,
	       const struct py_found *found, const struct task_where *where,
	       const struct buf *threads, uint64_t reads_max, struct tasks *ret_tasks)
{
	struct mem_limited limited;
	struct tasks_look l = { .mem = &limited.mem, .abi = abi, .where = where, .t = ret_tasks };
	struct awaiters a = { &l };
	int err;

	mem_limited_init(&limited, mem, reads_max);
	*ret_tasks = (struct tasks){};
	err = threads_look(&l, threads);
	/* more are found under way: awaiters that are in no list */
	for (a.task = 0; a.task < ret_tasks->cnt && !err; a.task++) {
		err = task_look(&l, cfg, found, &ret_tasks->list[a.task]);
		if (!err && where->told)
			err = awaiters_of(&a, ret_tasks->list[a.task].addr);
	}
	if (!err && !where->told)
		err = tasks_old_edges(&l);
	if (limited.ran_out || ret_tasks->stack.frame_cnt >= TASK_FRAMES_MAX)
		ret_tasks->cut = true;
	edges_sort(ret_tasks);
	return err;
}

void tasks_done(struct tasks *tasks)
{
	struct task_index *index, *next;
	uint32_t i;

	for (i = 0; i < tasks->cnt; i++)
		free(tasks->list[i].name);
	HASH_ITER (hh, tasks->index, index, next) {
		HASH_DEL(tasks->index, index);
		free(index);
	}
	free(tasks->list);
	free(tasks->edges);
	stack_done(&tasks->stack);
	*tasks = (struct tasks){};
}
