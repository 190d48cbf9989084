/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The asyncio tasks of an interpreter, read from outside: their names, the stacks of their
 * coroutines, and who awaits whom.
 *
 * CPython 3.14 and later tell where things are (the section AsyncioDebug of _asyncio) and keep for
 * each task who awaits it. Before, a task's fields are where the table has them (task_table.h), the
 * tasks are asyncio.tasks' weak sets, and who awaits a task is concluded: from the future that the
 * awaiting task waits for, and from the callbacks of the awaited one, in which gather(), wait(),
 * wait_for(), shield() and TaskGroup leave that future or the task itself.
 *
 * The process runs on meanwhile, and its memory may hold anything: every count is bounded, every
 * object is asked for its type before it is believed. Whether the result is one moment's is for the
 * caller to find out (python/stack.h has the means).
 */
#ifndef UNCOIL_PYTHON_TASKS_H
#define UNCOIL_PYTHON_TASKS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "python/coro.h"

#define TASKS_MAX       100000
#define TASK_EDGES_MAX  400000
#define TASK_FRAMES_MAX 400000   /* of all tasks */
#define TASK_READS_MAX  10000000 /* about 100 a task; some seconds at worst */

struct buf;
struct err;
struct mem;

/* Where a Task keeps what; 0: not used in this version. */
struct task_where {
	bool told; /* by the interpreter itself, 3.14+ */
	uint64_t size, coro, name;
	uint64_t awaited_by, is_task, awaited_by_is_set, node; /* 3.14+ */
	uint64_t interp_head, tstate_head, tstate_task;        /* 3.14+ */
	uint64_t fut_waiter, callback0, callbacks, loop;       /* before */
};

/* -ENOENT: no asyncio with an accelerator module in this process; -ENOTSUP with a sentence: not
 * known of this version, or what it tells contradicts itself. */
int tasks_where(pid_t pid, const struct py_found *found, const struct py_abi *abi,
		struct task_where *ret_where, struct err *err);

struct task {
	uint64_t addr;
	uint64_t thread_id; /* threading.get_ident() of its loop's thread; 0: not known */
	uint64_t frame;     /* of its outermost coroutine; 0: none */
	uint64_t waiter;    /* before 3.14: the future it waits for */
	char *name;         /* clean UTF-8; NULL: could not be read */
	enum coro_state state;
	uint32_t frame_start, frame_cnt; /* in tasks.stack, outermost first */
	uint32_t flags;                  /* enum ev_stack_flag, of its frames */
};

/* `awaiter` awaits `task`: indexes into the list */
struct task_edge {
	uint32_t task, awaiter;
};

struct tasks {
	struct task *list;
	struct task_edge *edges; /* each one once, by awaiter, then in the order of the list */
	uint32_t cnt, cap, edge_cnt, edge_cap;
	struct py_stack stack; /* all frames */
	uint32_t other_cnt;    /* entries that are no asyncio.Task as the interpreter makes it */
	bool cut;              /* there was more of something than is kept */
	struct task_index *index;
};

/* `threads` is a list of stack_threads(); at most `reads_max` reads are made of the memory. 0, or -ENOMEM; tasks_done() is due in any case. What can't
 * be read is not there. */
int tasks_read(struct mem *mem, const struct py_abi *abi, const struct py_cfg *cfg,
	       const struct py_found *found, const struct task_where *where,
	       const struct buf *threads, uint64_t reads_max, struct tasks *ret_tasks);
void tasks_done(struct tasks *tasks);

#endif
