/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * On-CPU sampling: a timer per thread ticks while the thread runs; each tick walks the thread's
 * Python frames and adds one to the count of that (thread, stack) in a map.
 *
 * The tick is an interrupt of the target's. Its worst case is bounded: EV_FRAMES_MAX frames, and
 * CODES_PER_TICK code objects or CODE_BYTES_MAX of them; what is left of those is caught up on the
 * stack's next tick (count_val.pending), or by user space from the target's memory.
 */
#include <linux/bpf_perf_event.h>

#include "count.bpf.h"
#include "task.bpf.h"

#define CODES_PER_TICK 8

static __always_inline int tick(struct bpf_perf_event_data *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 id = bpf_get_current_pid_tgid(), tstate, sp;
	__u32 tgid = id >> 32, tid = (__u32)id, zero = 0;
	struct thread_seen *thread;
	struct scratch *s;
	struct proc *proc;

	proc = bpf_map_lookup_elem(&procs, &tgid);
	if (!proc)
		return 0;
	thread = thread_get(task, tgid, tid, proc->image);
	if (!thread)
		return 0;
	if (has_cookie) {
		/* timers opened on this very thread carry a cookie, inherited ones do not */
		if (bpf_get_attach_cookie(ctx))
			thread->timer_own = 1;
		else if (thread->timer_own)
			return drop(STAT_DUPLICATE_TIMER);
	}
	s = bpf_map_lookup_elem(&scratches, &zero);
	if (!s)
		return drop(STAT_DROP_SCRATCH);
	stack_begin(s, proc, thread, tgid, tid);
	s->codes_max = CODES_PER_TICK;
	s->tstates_max = TSTATES_MAX;
	if (proc->state == PROC_PYTHON) {
		if (user_sp(ctx, &sp))
			stack_is(s, sp);
		tstate = tstate_find(s, thread);
		if (holder_only && !holds_gil(s, tstate))
			return drop(STAT_NOT_HOLDER);
		gc_look(tstate);
		walk(tstate);
		if (async_tasks) {
			task_find(tstate);
			task_put(s);
		}
		if (thread->thread_id != thread->sent_id)
			thread_tell(thread, task, tgid, tid); /* or at the next tick */
	} else {
		s->stack.flags = EV_STACK_NO_IMAGE;
	}
	stat_add(STAT_SAMPLES);
	s->hash = check_mix(s->hash, s->stack.flags);
	stack_count(s, 1);
	return 0;
}

SEC("perf_event")
int on_tick(struct bpf_perf_event_data *ctx)
{
	struct cost *cost;
	__u64 begin = 0;

	if (!ready)
		return 0;
	cost = cost_here();
	if (!cost)
		return drop(STAT_DROP_SCRATCH);
	if (!(cost->ticks++ & (ticks_per_timed - 1)))
		begin = bpf_ktime_get_ns();
	tick(ctx);
	if (begin) {
		cost->ticks_ns += bpf_ktime_get_ns() - begin;
		cost->ticks_timed++;
	}
	return 0;
}
