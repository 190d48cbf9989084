/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where each thread's time goes: from switch to switch it is on the CPU or off it, without a gap, so
 * that the sums are its life. A wait is counted under its stack at the thread's next switch, not
 * when it ends: how much of it was spent in the run queue is known to the kernel only then
 * (task_struct.sched_info, kept by kernel/sched/stats.h), and so a hook at every wake-up of the
 * host is not needed.
 */
#ifndef UNCOIL_TIMES_BPF_H
#define UNCOIL_TIMES_BPF_H

#include "count.bpf.h"

/* When this thread's time begins to count: with the recording, the thread, or the image. */
static __always_inline __u64 time_first(struct task_struct *task, const struct proc *proc)
{
	__u64 since = task->start_time;

	if (since < start_ns)
		since = start_ns;
	return proc && since < proc->since_ns ? proc->since_ns : since;
}

static __always_inline __u64 run_delay(struct task_struct *task)
{
	return bpf_core_field_exists(task->sched_info) ? task->sched_info.run_delay : 0;
}

/* Adds the wait to its stack's count; false: there was no room (counted). */
static __always_inline bool wait_add(struct thread_seen *thread, void *counts, __u64 wait_ns,
				     __u64 runq_ns)
{
	struct count_key key = { .thread = thread->serial,
				 .image = thread->image,
				 .hash = thread->over_hash };
	struct count_val fresh = {
		.count = 1, .wait_ns = wait_ns, .runq_ns = runq_ns, .flags = EV_STACK_WAIT
	};
	struct count_val *val = bpf_map_lookup_elem(counts, &key);

	stat_add(STAT_WAITS);
	if (val) {
		val->count++;
		val->wait_ns += wait_ns;
		val->runq_ns += runq_ns;
	} else if (bpf_map_update_elem(counts, &key, &fresh, BPF_NOEXIST)) {
		stat_add(STAT_DROP_WAITS);
		return false;
	} else {
		__sync_fetch_and_add(&counts_used, 1);
	}
	return true;
}

/* Tells when this wait was; see tick_ship() for what finds the ring full. */
static __always_inline void wait_ship(const struct thread_seen *thread, struct task_struct *task,
				      __u32 table, __u64 wait_ns, __u64 runq_ns)
{
	struct ev_wait ev = {};

	hdr_fill(&ev.hdr, EV_WAIT, sizeof(ev), thread->image, task->tgid, task->pid,
		 thread->serial);
	ev.hdr.table = table;
	ev.hash = thread->over_hash;
	ev.start_ns = thread->over_start_ns;
	ev.wait_ns = wait_ns;
	ev.runq_ns = runq_ns;
	bpf_ringbuf_output(&ring, &ev, sizeof(ev), wake_flags());
}

/* Counts the wait that is over. */
static __always_inline void wait_settle(struct thread_seen *thread, struct task_struct *task)
{
	__u64 over = thread->over_ns, runq = run_delay(task) - thread->run_delay;
	__u32 table = counts_table();
	bool counted = true;

	if (!over)
		return;
	thread->over_ns = 0;
	if (runq > over)
		runq = over;
	thread->run_delay += runq; /* the rest belongs to what follows */
	thread->times.wait_ns += over - runq;
	thread->times.runq_ns += runq;
	/* if its stack is not known the times say so */
	if (thread->over_hash && table)
		counted = wait_add(thread, &counts_b, over - runq, runq);
	else if (thread->over_hash)
		counted = wait_add(thread, &counts_a, over - runq, runq);
	if (timeline && counted)
		wait_ship(thread, task, table, over - runq, runq);
}

/* How often it left the CPU: counted just before sched_switch is traced, and also where it is not
 * (kernel/sched/core.c, __schedule()). */
static __always_inline __u64 switches_away(struct task_struct *task)
{
	return task->nvcsw + task->nivcsw;
}

/* Switches to or from this thread were not heard of: no tracepoint is (a switch away from some tasks
 * of some hypervisors' guests was seen to make none). The kernel's own sum says how much of the time
 * since the last one was spent on the CPU; it is up to date at every switch away
 * (kernel/sched/fair.c, update_curr() in dequeue_entity() and put_prev_entity()). */
static __always_inline void switch_unheard(struct thread_seen *thread, struct task_struct *task,
					   __u64 since, __u64 now, __u64 hash)
{
	__u64 passed = now - since, cpu = task->se.sum_exec_runtime - thread->exec_ns;

	stat_add(STAT_SWITCH_UNHEARD);
	wait_settle(thread, task);
	if (cpu > passed)
		cpu = passed;
	thread->times.cpu_ns += cpu;
	thread->over_ns = passed - cpu;
	thread->over_hash = hash;
	/* where in that time it ran is not known: it waited first if it left, last if it comes */
	thread->over_start_ns = thread->is_off ? since : since + cpu;
}

/* Did it leave the CPU more often since the last switch that was heard of than the `own` times that are? */
static __always_inline bool left_unheard(const struct thread_seen *thread, struct task_struct *task,
					 __u64 own)
{
	return thread->since_ns && switches_away(task) != thread->switches + own;
}

/* Until now the thread was on the CPU, if all was heard of. The kernel's sum is not asked then: what the
 * hypervisor takes is not in it, and would be nobody's time. */
static __always_inline void time_ran(struct thread_seen *thread, struct task_struct *task,
				     __u64 since, __u64 now, __u64 own)
{
	bool unheard = left_unheard(thread, task, own);

	if (unheard || thread->is_off)
		switch_unheard(thread, task, since, now,
			       thread->is_off && !unheard ? thread->hash : 0);
	else if (now > since)
		thread->times.cpu_ns += now - since;
}

/* The running thread ends as what it was. What it did after the recording's end does not count: if it
 * was off the CPU then, it was so until the end, and came back unheard. */
static __always_inline void times_end(struct thread_seen *thread, struct task_struct *task,
				      const struct proc *proc, __u32 tgid, __u32 tid)
{
	__u64 now = bpf_ktime_get_ns(), since = thread->since_ns ?: time_first(task, proc);
	struct ev_times ev = {};

	wait_settle(thread, task);
	if (end_ns && now > end_ns)
		now = end_ns;
	if (now > since && end_ns && thread->is_off) {
		thread->over_ns = now - since;
		thread->over_start_ns = since;
		thread->over_hash = thread->since_ns ? thread->hash : 0;
	} else {
		time_ran(thread, task, since, now, 0);
	}
	wait_settle(thread, task);
	hdr_fill(&ev.hdr, EV_TIMES, sizeof(ev), thread->image, tgid, tid, thread->serial);
	ev.times = thread->times;
	if (bpf_ringbuf_output(&ring, &ev, sizeof(ev), wake_flags()))
		stat_add(STAT_DROP_TIMES);
}

#endif
