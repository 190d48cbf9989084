/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lives of processes. A forked child has its parent's memory, so its parent's offsets are right
 * for it from its first instruction: they are copied here, in the kernel, and no frame is missed.
 * After an exec nothing is known until user space has looked; samples of that time are counted as
 * such (EV_STACK_NO_IMAGE).
 */
#include "times.bpf.h"

#include <bpf/bpf_tracing.h>

/* Sends the running thread's times, and forgets it. */
static __always_inline void thread_forget(struct task_struct *task, const struct proc *proc,
					  __u32 tgid, __u32 tid)
{
	struct thread_seen *thread = bpf_map_lookup_elem(&threads, &tid);

	if (!thread)
		return;
	/* not `ready`: what ends between that and the detaching leaves nobody else to tell of it */
	if (trace_switches && start_ns)
		times_end(thread, task, proc, tgid, tid);
	bpf_map_delete_elem(&threads, &tid);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 parent_tgid = parent->tgid, tgid = child->tgid, parent_image;
	struct proc *proc, copy;
	struct ev_fork *ev;

	if (!follow_children || tgid == parent_tgid)
		return 0;
	proc = bpf_map_lookup_elem(&procs, &parent_tgid);
	if (!proc)
		return 0;
	copy = *proc;
	parent_image = copy.image;
	copy.image = image_next();
	proc_hints[tgid & (PROC_HINTS - 1)] = 1;
	if (!copy.image || bpf_map_update_elem(&procs, &tgid, &copy, BPF_ANY))
		return drop(STAT_DROP_PROCS_FULL);
	ev = bpf_ringbuf_reserve(&ring, sizeof(*ev), 0);
	if (!ev)
		return drop(STAT_DROP_LIFE_EVENT);
	hdr_fill(&ev->hdr, EV_FORK, sizeof(*ev), copy.image, tgid, child->pid, 0);
	ev->start_ns = child->start_boottime;
	ev->parent_image = parent_image;
	ev->parent_tgid = parent_tgid;
	bpf_ringbuf_submit(ev, BPF_RB_FORCE_WAKEUP);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid)
{
	__u32 tgid = task->tgid, tid = old_pid, old_image;
	struct ev_exec *ev;
	struct proc *proc;

	proc = bpf_map_lookup_elem(&procs, &tgid);
	if (!proc)
		return 0;
	/* a thread that execs becomes the leader, and its old tid nobody's */
	thread_forget(task, proc, tgid, tid);
	old_image = proc->image;
	proc->since_ns = bpf_ktime_get_ns();
	proc->state = PROC_UNKNOWN;
	proc->image = image_next();
	if (!proc->image) {
		bpf_map_delete_elem(&procs, &tgid);
		return drop(STAT_DROP_PROCS_FULL);
	}
	ev = bpf_ringbuf_reserve(&ring, sizeof(*ev), 0);
	if (!ev)
		return drop(STAT_DROP_LIFE_EVENT);
	hdr_fill(&ev->hdr, EV_EXEC, sizeof(*ev), proc->image, tgid, task->pid, 0);
	ev->start_ns = task->group_leader->start_boottime;
	ev->old_image = old_image;
	ev->pad = 0;
	bpf_get_current_comm(ev->comm, sizeof(ev->comm));
	bpf_ringbuf_submit(ev, BPF_RB_FORCE_WAKEUP);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	__u32 tgid = task->tgid, tid = task->pid, image;
	struct ev_exit *ev;
	struct proc *proc;

	proc = bpf_map_lookup_elem(&procs, &tgid);
	/* whoever it is: the last thread takes the process's entry away before its siblings come here */
	thread_forget(task, proc, tgid, tid);
	if (!proc)
		return 0;
	image = proc->image;
	/* do_exit() has taken this thread off the count already: 0 = it was the last */
	if (task->signal->live.counter)
		return 0;
	bpf_map_delete_elem(&procs, &tgid);
	ev = bpf_ringbuf_reserve(&ring, sizeof(*ev), 0);
	if (!ev)
		return drop(STAT_DROP_LIFE_EVENT);
	hdr_fill(&ev->hdr, EV_EXIT, sizeof(*ev), image, tgid, tid, 0);
	ev->exit_code = task->exit_code;
	ev->pad = 0;
	bpf_ringbuf_submit(ev, BPF_RB_FORCE_WAKEUP);
	return 0;
}
