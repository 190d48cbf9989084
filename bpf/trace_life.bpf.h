/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lives of threads and processes. A forked child has its parent's memory, but none of its probes: those know a
 * process by its memory (user/probe/uprobes.h). User space is told of each, at once, and puts them in if
 * the child is to be traced (-s). It also numbers images: `image` is 0 in what is sent from here.
 *
 * Memory, layout and offsets are another program's after an exec, and where that maps the same Python its
 * probes are hit again: the process is off until user space has looked.
 */
#ifndef UNCOIL_TRACE_LIFE_BPF_H
#define UNCOIL_TRACE_LIFE_BPF_H

#include "trace_end.bpf.h"

#include <bpf/bpf_tracing.h>

static long drop_turn(__u32 i, void *data)
{
	struct unwind *u = data;

	if (!u->thread || !u->thread->stack.depth)
		return 1;
	stack_pop(u->thread);
	return 0;
}

/* All that is open is over, and none of it was asked for. */
static __noinline int stack_drop(struct trace_thread *thread)
{
	struct unwind u = { .thread = thread };

	loop_each(DEEP_MAX, drop_turn, &u);
	return 0;
}

/* A thread ends, or execs: what is open is over. */
static __always_inline int thread_over(struct task_struct *task)
{
	__u32 number, index, tid = task->pid, *slot;
	struct trace_thread *thread;
	struct trace_proc *proc;

	if (trace_choose)
		bpf_map_delete_elem(&left_tids, &tid);
	slot = bpf_task_storage_get(&slots, task, 0, 0);
	if (!slot || !*slot)
		return 0;
	number = *slot;
	*slot = 0;
	index = number - 1;
	thread = bpf_map_lookup_elem(&trace_threads, &index);
	if (!thread)
		return 0;
	proc = proc_of(thread->proc);
	if (thread->left)
		stack_drop(thread);
	else if (thread->stack.depth)
		stack_unwind(thread, proc ? proc->image : 0, DEEP_MAX, EV_ENDED_OPEN,
			     bpf_ktime_get_ns());
	if (thread->spare)
		bpf_map_push_elem(&free_chunks, &thread->spare, BPF_ANY);
	thread->spare = 0;
	thread->tid = 0;
	bpf_map_push_elem(&free_slots, &number, BPF_ANY);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_trace_exit, struct task_struct *task)
{
	__u32 tgid = task->tgid;

	/* do_exit() has taken this thread off the count already */
	if (trace_children && !task->signal->live.counter)
		bpf_map_delete_elem(&kin, &tgid);
	return thread_over(task);
}

static __always_inline void life_header(struct ev_hdr *hdr, __u16 kind, __u32 size,
					const struct task_struct *task)
{
	hdr->kind = kind;
	hdr->size = size;
	hdr->ts_ns = bpf_ktime_get_ns();
	hdr->tgid = task->tgid;
	hdr->tid = task->pid;
}

static __always_inline struct trace_proc *proc_of_task(const struct task_struct *task)
{
	__u32 tgid = task->tgid, *index = bpf_map_lookup_elem(&tgids, &tgid);

	return index ? proc_of(*index) : NULL;
}

/* A child may fork and exec before user space has heard of it. */
static __always_inline bool kin_add(const struct task_struct *parent,
				    const struct task_struct *child)
{
	__u32 parent_tgid = parent->tgid, tgid = child->tgid;
	__u32 how = child->mm == parent->mm ? TRACE_KIN_SHARES : TRACE_KIN_FORKED;

	if (!proc_of_task(parent) && !bpf_map_lookup_elem(&kin, &parent_tgid))
		return false;
	if (bpf_map_update_elem(&kin, &tgid, &how, BPF_ANY)) {
		count(TRACE_STAT_DROP_LIVES);
		return false;
	}
	return true;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_trace_fork, struct task_struct *parent, struct task_struct *child)
{
	struct trace_proc *proc;
	struct ev_fork ev = {};

	if (child->tgid == parent->tgid)
		return 0;
	proc = proc_of_task(parent);
	/* what shares its memory has the probes because its parent has, and will exec or end */
	if (trace_children ? !kin_add(parent, child) : !proc || child->mm == parent->mm)
		return 0;
	life_header(&ev.hdr, EV_FORK, sizeof(ev), child);
	ev.start_ns = child->start_boottime;
	ev.parent_image = proc ? proc->image : 0;
	ev.parent_tgid = parent->tgid;
	if (bpf_ringbuf_output(&trace_ring, &ev, sizeof(ev), BPF_RB_FORCE_WAKEUP))
		count(TRACE_STAT_DROP_LIVES);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_trace_exec, struct task_struct *task, int old_pid)
{
	__u32 tgid = task->tgid, *how;
	struct ev_exec ev = {};
	struct trace_proc *proc;

	thread_over(task);
	/* this before tgids: user space adds to that before it takes out of this */
	how = bpf_map_lookup_elem(&kin, &tgid);
	if (how)
		*how = TRACE_KIN_EXECED;
	proc = proc_of_task(task);
	if (!proc)
		return 0;
	__sync_fetch_and_add(&proc->execs, 1);
	life_header(&ev.hdr, EV_EXEC, sizeof(ev), task);
	ev.start_ns = task->group_leader->start_boottime;
	ev.old_image = proc->image;
	bpf_get_current_comm(ev.comm, sizeof(ev.comm));
	if (bpf_ringbuf_output(&trace_ring, &ev, sizeof(ev), BPF_RB_FORCE_WAKEUP))
		count(TRACE_STAT_DROP_LIVES);
	return 0;
}

#endif
