/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel side needs to tell which asyncio task a stack is of. It can be told once the process
 * has loaded asyncio, which may be long after its start: it is asked for again until then.
 */
#ifndef UNCOIL_PYTHON_TASK_CFG_H
#define UNCOIL_PYTHON_TASK_CFG_H

#include <stdint.h>
#include <sys/types.h>

#include "python/code.h"

struct err;
struct mem;
struct py_found;
struct task_cfg; /* bpf/shared.h */

/* `mark` is the caller's, 0 at first: while it shows that no module came since the last time, this costs
 * three reads. -ENOENT: asyncio, or its module in C, is not loaded (yet); -ENOTSUP with a sentence. */
int task_cfg_fill(pid_t pid, const struct py_found *found, const struct py_abi *abi,
		  struct mem *mem, uint64_t interp, uint64_t *mark, struct task_cfg *ret_cfg,
		  struct err *err);

#endif
