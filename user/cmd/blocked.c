/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/blocked.h"

#include <poll.h>

#include "os/syscall.h"
#include "os/task.h"
#include "python/mem.h"

int blocked_fd(struct mem *mem, const struct task_syscall *at)
{
	struct pollfd one;

	if (syscall_has_fd(at->nr))
		return (int)at->args[0]; /* the kernel takes no more of it either */
	if (syscall_kind(at->nr) == SYSCALL_POLL && at->args[1] == 1 &&
	    !mem_read(mem, at->args[0], &one, sizeof(one)))
		return one.fd;
	return -1;
}
