/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread that sleeps in a system call waits on, as the call's arguments tell from outside. */
#ifndef UNCOIL_CMD_BLOCKED_H
#define UNCOIL_CMD_BLOCKED_H

struct mem;
struct task_syscall;

/* The descriptor that the call is about; -1: none, or several, of which one would be a guess. */
int blocked_fd(struct mem *mem, const struct task_syscall *at);

#endif
