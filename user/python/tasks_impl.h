/* SPDX-License-Identifier: Apache-2.0 */
/* What tasks.c and tasks_old.c share. */
#ifndef UNCOIL_PYTHON_TASKS_IMPL_H
#define UNCOIL_PYTHON_TASKS_IMPL_H

#include "python/tasks.h"

#define TASKS_TYPES 256 /* a power of two */

struct tasks_look {
	struct mem *mem;
	const struct py_abi *abi;
	const struct task_where *where;
	struct tasks *t;
	/* What was last found of a type and a name, which are the same few all the time. */
	struct tasks_type {
		uint64_t type;
		const char *name; /* a literal: compared by its address */
		uint64_t named;   /* as coro_type_named() has it */
	} types[TASKS_TYPES];
	uint64_t loop, loop_thread; /* the last one asked for, before 3.14 */
};

/* The object's type, or the first of those that it derives from, that is called `name`; 0: none. */
uint64_t tasks_type(struct tasks_look *l, uint64_t object, const char *name);

/* The index of the task at addr, which is added if it is not there. UINT32_MAX: it is none (counted
 * as another kind), or there are too many. -ENOMEM goes to *ret_err. */
uint32_t tasks_add(struct tasks_look *l, uint64_t addr, uint64_t thread_id, int *ret_err);

/* The index of a task that is in the list; UINT32_MAX: it is not. */
uint32_t tasks_known(const struct tasks *t, uint64_t addr);

int tasks_edge(struct tasks_look *l, uint32_t task, uint32_t awaiter);

/* Before 3.14: adds all tasks of an interpreter; then, when all have been read, the edges. */
int tasks_old_list(struct tasks_look *l, uint64_t interp);
int tasks_old_edges(struct tasks_look *l);

/* Calls fn for each element of a set; bounded. */
int tasks_set_each(struct tasks_look *l, uint64_t set, int (*fn)(void *ctx, uint64_t key),
		   void *ctx);

#endif
