/* SPDX-License-Identifier: Apache-2.0 */
/* The asyncio task that a thread is in, read from outside as the kernel side reads it (bpf/task.bpf.h):
 * for threads that sleep when a recording begins. */
#ifndef UNCOIL_PYTHON_TASK_NOW_H
#define UNCOIL_PYTHON_TASK_NOW_H

#include <stdint.h>

#include "python/stack.h"

struct buf;

struct task_now {
	uint32_t kind;  /* enum ev_task_entry; 0: it is in no task */
	uint64_t code;  /* EV_TASK_OF: its coroutine's code object, */
	uint32_t check; /* 0: not known */
};

/* `name` gets the raw str object of an EV_TASK_NAMED, at most EV_TASK_NAME_MAX bytes; empty: could not
 * be read. 0 or -ENOMEM. */
int task_now(struct mem *mem, const struct py_abi *abi, const struct py_cfg *cfg,
	     const struct stack_thread *thread, struct task_now *ret_task, struct buf *name);

#endif
