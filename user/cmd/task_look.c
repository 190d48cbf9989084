/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/task_look.h"

#include <errno.h>

#include "python/task_cfg.h"

#define MS 1000000ULL

/* Some programs import asyncio first of all, some when the first request comes. */
static uint64_t step_ns(uint64_t since_ns)
{
	return since_ns < 200 * MS     ? 1 * MS
	       : since_ns < 10000 * MS ? 10 * MS
	       : since_ns < 60000 * MS ? 100 * MS
				       : 1000 * MS;
}

int task_look(struct task_look *l, uint64_t now_ns, pid_t pid, const struct py_found *found,
	      const struct py_layout *layout, struct mem *mem, uint64_t interp, struct err *err)
{
	int code = -ENOENT;

	if (!l->first_ns)
		l->first_ns = now_ns;
	l->next_ns = now_ns + step_ns(now_ns - l->first_ns);
	if (interp)
		code = task_cfg_fill(pid, found, &layout->abi, mem, interp, &l->mark, &l->cfg, err);
	if (!code || code == -ENOTSUP)
		l->next_ns = 0;
	return !code || code == -ENOTSUP ? code : -ENOENT;
}
