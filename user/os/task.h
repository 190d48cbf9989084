/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread of another process, as /proc tells of it, and the proof that it stood still.
 *
 * A thread is never stopped to be looked at. But one that sleeps does not change what is its own,
 * and the kernel says whether it slept all the time between two looks:
 *
 *	task_runs()    how often it has been given a CPU so far: a
 *	task_blocked() it is off the CPU, asleep in a system call, now
 *	...            whatever is read of it here
 *	task_runs()    again: b
 *
 * If a == b, then it did not run after it was seen off the CPU: it would have had to be given one.
 * The state letter of /proc/PID/stat alone proves nothing: a thread that is about to sleep shows 'S'
 * while it still runs, and may wake up before it ever leaves the CPU.
 */
#ifndef UNCOIL_OS_TASK_H
#define UNCOIL_OS_TASK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define TASK_ARGS 6

/* Where a blocked thread entered the kernel. */
struct task_syscall {
	int nr; /* system call's number; -1: blocked outside of one (a page fault) */
	uint64_t args[TASK_ARGS];
};

/* How often the thread was given a CPU: pcount of /proc/PID/task/TID/schedstat (Documentation/
 * scheduler/sched-stats.rst). -ENODATA: this kernel does not count; -ESRCH: the thread is gone. */
int task_runs(pid_t pid, pid_t tid, uint64_t *ret_runs);

/* 1 and where, if the thread is off the CPU and asleep at this moment: /proc/PID/task/TID/syscall,
 * for which the kernel waits until the thread has left its CPU (task_current_syscall(), v6.1
 * lib/syscall.c). 0: it runs, or could. -ESRCH: gone; -EACCES, -EPERM: not for us to know. */
int task_blocked(pid_t pid, pid_t tid, struct task_syscall *ret_syscall);

struct task_info {
	char state;     /* 'R', 'S', 'D' … proc(5) */
	pid_t ns_tid;   /* its id in its own pid namespace: what it takes for its id itself */
	char comm[128]; /* the kernel's name of it, any bytes, as /proc escapes them */
};

/* -ESRCH: the thread is gone. */
int task_info(pid_t pid, pid_t tid, struct task_info *ret_info);

/* The kernel's sums of a thread's time on the CPU and in run queues; false: not to be had. */
bool task_times(pid_t tid, uint64_t *ret_exec_ns, uint64_t *ret_run_delay);

/* Does this process have (still) this thread? */
bool task_exists(pid_t pid, pid_t tid);

#endif
