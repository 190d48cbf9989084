/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Off-CPU: at each switch away from a followed thread, its Python stack and what it waits for; at
 * the switch back to it, how long it was away. Both happen in sched_switch, in the order in which
 * they are: nothing is sampled, nothing is guessed.
 *
 * The thread that leaves is still the current one, so its memory can be read and does not change.
 * That is done with a run queue locked: it must be short. A thread that waits mostly waits where
 * it waited before, so the frames are first only followed, without a look at their code objects
 * (chain_step): if that sum, and the facts of the wait, are those of a recent wait of this thread,
 * the stack is the same. The facts are read at every switch: a descriptor's number says nothing of
 * the file, which may be another one by then. A code object that was freed and replaced at the same
 * address under the same callers, between two waits within MEMO_NS, would not be noticed; nothing
 * else is left out.
 */
#include "file.bpf.h"
#include "task.bpf.h"
#include "times.bpf.h"

#include <bpf/bpf_tracing.h>

#define CODES_PER_SWITCH   2
#define TSTATES_PER_SWITCH 64 /* of 512, to find out that a thread has none */
#ifndef MEMO_NS               /* make bench: 0 */
#define MEMO_NS 100000000ULL  /* how long a stack is believed to be what it was */
#endif

struct pollfd {
	int fd;
	short events, revents;
};

/* Before 5.14 (commit 2f064a59a11f ("sched: Change task_struct::state")). */
struct task_struct___old {
	long state;
} __attribute__((preserve_access_index));

static __always_inline __u16 task_state(struct task_struct *task)
{
	struct task_struct___old *old = (void *)task;

	if (bpf_core_field_exists(task->__state))
		return task->__state;
	return BPF_CORE_READ(old, state);
}

/* What the thread waits on: its system call, and that one's file or futex. */
struct target {
	struct syscall_regs regs;
	__u32 kind; /* enum syscall_kind */
	__u32 cnt;  /* descriptors of a poll or select */
	int fd;     /* -1: none, or several */
};

static __always_inline void target_read(struct task_struct *task, struct target *ret)
{
	struct pollfd one;

	ret->kind = SYSCALL_OTHER;
	ret->fd = -1;
	ret->cnt = 0;
	regs_read(task, &ret->regs);
	if (ret->regs.nr >= 0 && ret->regs.nr < SYSCALLS_MAX)
		ret->kind = syscalls[ret->regs.nr];
	if (ret->kind == SYSCALL_FD) {
		ret->fd = (int)ret->regs.arg[0];
	} else if (ret->kind == SYSCALL_POLL) {
		ret->cnt = ret->regs.arg[1] > 2 ? 2 : ret->regs.arg[1];
		if (ret->cnt == 1 &&
		    !bpf_probe_read_user(&one, sizeof(one), (void *)ret->regs.arg[0]))
			ret->fd = one.fd;
	} else if (ret->kind == SYSCALL_SELECT) {
		ret->cnt = ret->regs.arg[0] ? 2 : 0;
	}
}

/* The facts of a wait, into s->stack.wait; but for WAIT_GIL. */
static __always_inline void wait_fill(struct scratch *s, struct task_struct *task, __u16 state,
				      const struct target *target)
{
	struct wait *wait = &s->stack.wait;
	struct file *file;

	wait->syscall = target->regs.nr < SYSCALLS_MAX ? target->regs.nr : -1;
	wait->state = state;
	wait->cnt = target->cnt;
	if (!state || target->fd < 0)
		return;
	s->fds = (__u64)task->files->fdt->fd;
	barrier(); /* read back it is a number to the verifier, which takes no pointer of it */
	file = file_of(task, s->fds, target->fd);
	if (!file)
		return;
	file_read(file, wait);
	/* new for every connection to the same peer, and nobody is told it: not another stack */
	if (wait->port)
		wait->local_port = 0;
}

/* Is it the GIL? Its futex's address tells, so this need not be known to tell waits apart. */
static __always_inline void wait_gil(struct scratch *s, const struct target *target, __u64 tstate)
{
	__u64 gil = target->kind == SYSCALL_FUTEX ? gil_find(s, tstate) : 0;

	if (gil && target->regs.arg[0] - gil < s->cfg.gil_size)
		s->stack.wait.flags |= WAIT_GIL;
}

static __always_inline void wait_mix(struct scratch *s)
{
	const __u64 *words = (const __u64 *)&s->stack.wait;
	int i;

	for (i = 0; i < (int)(sizeof(s->stack.wait) / 8); i++)
		s->hash = check_mix(s->hash, words[i]);
}

/* One frame of the chain, code object unread; 1 = the end. */
TURN int chain_step(void)
{
	struct scratch *s = scratch_here();
	const struct py_cfg *cfg;
	__u32 n;

	if (!s || !s->at)
		return 1;
	cfg = &s->cfg;
	if (frame_load(s, s->at))
		return 1;
	n = s->at_cnt;
	if (async_tasks && n < EV_FRAMES_MAX) {
		s->ats[n] = s->at;
		s->at_cnt = n + 1;
	}
	s->hash = check_mix(s->hash, frame_u64(s, cfg->frame_code));
	s->hash = check_mix(s->hash, frame_u64(s, cfg->frame_instr));
	s->at = frame_u64(s, cfg->frame_previous);
	return 0;
}

static long chain_turn(__u32 i, void *unused)
{
	return chain_step() ? 1 : 0;
}

SHARED int chain_follow(void)
{
	loop_each(2 * EV_FRAMES_MAX + 1, chain_turn, NULL);
	return 0;
}

/* A sum over all that tells this wait from another, but for the code objects; never 0. */
static __always_inline __u64 chain_sum(struct scratch *s, __u64 tstate, const struct target *target)
{
	__u64 first = 0;

	s->hash = hash_seed;
	wait_mix(s);
	s->hash = check_mix(s->hash, target->kind == SYSCALL_FUTEX ? target->regs.arg[0] : 0);
	if (tstate) {
		s->hash = check_mix(s->hash, frame_first(tstate));
		s->hash = check_mix(s->hash, s->gc_frame + s->gc_leaf);
		first = s->at;
		s->at_cnt = 0;
		chain_follow();
	}
	if (async_tasks) {
		task_find(tstate);
		s->hash = check_mix(s->hash, s->entry.code);
		s->hash = check_mix(s->hash, (__u64)s->entry.check << 32 | s->entry.lasti);
	}
	s->at = first;
	return s->hash ?: 1;
}

/* The hash of the stack that the current thread leaves the CPU with, counted 0 times so far;
 * 0 = it could not be shipped (counted). */
static __always_inline __u64 stack_left(struct scratch *s, struct task_struct *task,
					struct thread_seen *thread, const struct proc *proc,
					__u16 state, __u64 now)
{
	struct target target = { .regs.nr = -1, .fd = -1 };
	__u32 tgid = task->tgid, tid = task->pid;
	__u64 tstate = 0, chain;
	struct memo *memo;
	int unfinished;

	if (state)
		target_read(task, &target);
	stack_begin(s, proc, thread, tgid, tid);
	s->codes_max = CODES_PER_SWITCH;
	s->tstates_max = TSTATES_PER_SWITCH;
	wait_fill(s, task, state, &target);
	if (proc->state == PROC_PYTHON) {
		tstate = tstate_find(s, thread);
		gc_look(tstate);
	}
	chain = chain_sum(s, tstate, &target);
	memo = &thread->memo[chain % MEMO_CNT];
	if (memo->chain == chain && memo->end_ns > now)
		return memo->hash;
	stat_add(STAT_WALKS);
	s->hash = hash_seed;
	s->stack.flags = EV_STACK_WAIT;
	if (state)
		wait_gil(s, &target, tstate);
	wait_mix(s);
	if (proc->state == PROC_PYTHON) {
		walk(tstate);
		if (async_tasks)
			task_put(s);
		if (thread->thread_id != thread->sent_id)
			thread_tell(thread, task, tgid, tid);
	} else {
		s->stack.flags |= EV_STACK_NO_IMAGE;
	}
	s->hash = check_mix(s->hash, s->stack.flags);
	unfinished = stack_count(s, 0);
	memo->chain = unfinished ? 0 : chain;
	memo->hash = s->hash;
	memo->end_ns = now + MEMO_NS;
	return unfinished < 0 ? 0 : s->hash;
}

/* Is this thread followed? */
static __always_inline bool thread_leaves(struct task_struct *task, bool preempt, __u64 now)
{
	__u32 tgid = task->tgid, tid = task->pid, zero = 0;
	struct proc *proc = bpf_map_lookup_elem(&procs, &tgid);
	struct thread_seen *thread;
	struct cost *cost;
	struct scratch *s;
	__u64 since, before;

	if (!proc || (task->flags & PF_EXITING))
		return false; /* its times were sent when it exited */
	thread = thread_get(task, tgid, tid, proc->image);
	s = bpf_map_lookup_elem(&scratches, &zero);
	if (!thread || !s)
		return true;
	before = thread->times.cpu_ns;
	since = thread->since_ns ?: time_first(task, proc);
	time_ran(thread, task, since, now, 1);
	cost = cost_here();
	if (cost)
		cost->cpu_ns += thread->times.cpu_ns - before;
	wait_settle(thread, task);
	thread->hash = stack_left(s, task, thread, proc, preempt ? 0 : task_state(task), now);
	thread->run_delay = run_delay(task);
	thread->since_ns = now;
	thread->exec_ns = task->se.sum_exec_runtime;
	thread->switches = switches_away(task);
	thread->is_off = 1;
	return true;
}

/* Is this thread followed? */
static __always_inline bool thread_comes(struct task_struct *task, __u64 now)
{
	__u32 tgid = task->tgid, tid = task->pid;
	struct proc *proc = bpf_map_lookup_elem(&procs, &tgid);
	struct thread_seen *thread;
	__u64 since;

	if (!proc || (task->flags & PF_EXITING))
		return false;
	thread = thread_get(task, tgid, tid, proc->image);
	if (!thread)
		return true;
	/* one that was not seen yet was off the CPU, as we see it come: its first wait, or its birth */
	since = thread->since_ns ?: time_first(task, proc);
	if (thread->since_ns && (!thread->is_off || left_unheard(thread, task, 0))) {
		switch_unheard(thread, task, since, now, 0);
	} else if (now > since) {
		thread->over_ns = now - since;
		thread->over_start_ns = since;
		/* the stack it left with, unless it ran unheard meanwhile */
		thread->over_hash = task->se.sum_exec_runtime == thread->exec_ns ? thread->hash : 0;
	}
	thread->since_ns = now;
	thread->exec_ns = task->se.sum_exec_runtime;
	thread->switches = switches_away(task);
	thread->is_off = 0;
	return true;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	bool leaves = proc_may_be(prev->tgid), comes = proc_may_be(next->tgid), mine = false;
	struct cost *cost;
	__u64 now;

	if (!(leaves | comes) || !ready)
		return 0;
	now = bpf_ktime_get_ns();
	if (leaves)
		mine = thread_leaves(prev, preempt, now);
	if (comes)
		mine |= thread_comes(next, now);
	if (!mine)
		return 0;
	cost = cost_here();
	if (cost && !(cost->switches++ & (SWITCHES_PER_TIMED - 1))) {
		cost->switches_ns += bpf_ktime_get_ns() - now;
		cost->switches_timed++;
	}
	return 0;
}
