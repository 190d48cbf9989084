/* SPDX-License-Identifier: Apache-2.0 */
/* When to look for asyncio in a process (record --async): often while it may be starting, then ever
 * more seldom; a look at a process that imports nothing costs three reads (python/task_cfg.h). */
#ifndef UNCOIL_CMD_TASK_LOOK_H
#define UNCOIL_CMD_TASK_LOOK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "python/layout.h"

struct err;
struct mem;

struct task_look {
	struct task_cfg cfg; /* all 0 until it is found */
	uint64_t mark;
	uint64_t first_ns;
	uint64_t next_ns; /* CLOCK_MONOTONIC; 0: not to be looked for (again) */
};

/* 0: found; -ENOENT: not yet, look again at next_ns; -ENOTSUP with a sentence: found, and not known. */
int task_look(struct task_look *l, uint64_t now_ns, pid_t pid, const struct py_found *found,
	      const struct py_layout *layout, struct mem *mem, uint64_t interp, struct err *err);

#endif
