/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is done where an activation ends: which one, and how. Mostly it is the one on top of the stack.
 * Else it is another greenlet's, or frames above it were left unseen, or it had begun before anybody
 * looked, or it is none: a frame of the interpreter's own.
 */
#ifndef UNCOIL_TRACE_END_BPF_H
#define UNCOIL_TRACE_END_BPF_H

#include "trace_begin.bpf.h"

/* The exception that is being raised: its type; 0: there is none. */
static __always_inline __u64 exception_type(const struct trace_cfg *cfg, __u64 tstate)
{
	__u64 value = 0, type = 0;

	if (!tstate || user_u64(&value, tstate + cfg->tstate_exception) || !value)
		return 0;
	if (cfg->flags & TRACE_EXC_IS_TYPE)
		return value;
	user_u64(&type, value + cfg->object_type);
	return type;
}

SHARED int raise_tell(struct trace_thread *thread, const struct trace_proc *proc, __u64 frame,
		      __u32 func, __u64 type)
{
	struct ev_raise ev = { .frame = frame, .type = type, .func = func };
	__u32 size = sizeof(ev) - sizeof(ev.name);
	__u64 name = 0;
	long len = 0;

	if (!trace_events || !thread || !proc)
		return 0;
	if (!user_u64(&name, type + proc->cfg.type_name))
		len = bpf_probe_read_user_str(ev.name, sizeof(ev.name), (void *)name);
	if (len > 1 && len <= (long)sizeof(ev.name)) {
		ev.name_len = len - 1;
		size += ev.name_len;
	}
	header(&ev.hdr, EV_RAISE, size, proc->image, thread, thread->now_ns);
	barrier_var(size);
	if (size > sizeof(ev) || bpf_ringbuf_output(&trace_ring, &ev, size, wake()))
		count(TRACE_STAT_DROP_RAISES);
	return 0;
}

/* Before 3.11 a generator's frame says whether it is suspended. */
static __always_inline bool is_suspended(const struct trace_cfg *cfg, const struct trace_sums *func,
					 __u64 frame)
{
	__u64 state = 0;

	if (!cfg->frame_state || !func || func->kind == EV_FUNC_PLAIN ||
	    user_u64(&state, frame + cfg->frame_state))
		return false;
	return cfg->frame_suspended ? (__u8)state == (__u8)cfg->frame_suspended : state != 0;
}

/* How the activation on top ended, where return, yield and exception are one place. `tstate`: 0 = to be
 * looked up, if it is needed. */
static __always_inline __u32 ended_how(struct hit *h, struct trace_call *top, __u64 tstate)
{
	const struct trace_cfg *cfg = &h->proc->cfg;
	__u64 type;

	if (is_suspended(cfg, func_at(top->func), top->frame))
		return EV_ENDED_YIELD;
	if (!(top->flags & TRACE_CALL_RAISED))
		return EV_ENDED_RETURN;
	type = exception_type(cfg, tstate ?: tstate_get(h->thread, cfg));
	if (!type)
		return EV_ENDED_RETURN;
	if (type != top->type)
		raise_tell(h->thread, h->proc, top->frame, top->func, type);
	return EV_ENDED_RAISE;
}

/* An activation whose begin was not seen: it was open when its thread was first hit, at `start_ns`. Its
 * frame is in `raw`. */
static __noinline int end_before(struct hit *h, __u64 frame, __u32 ended, __u64 start_ns, __u64 now)
{
	struct trace_thread *thread = h->thread;
	const struct trace_cfg *cfg = &h->proc->cfg;
	__u32 number = func_get(h, frame);
	struct trace_call call = {
		.frame = frame, .start_ns = start_ns, .func = number, .flags = EV_BEGAN_BEFORE
	};
	struct trace_call *caller = stack_top(&thread->stack);
	struct trace_sums *func = func_at(number);
	__u32 kind;

	if (!func || func->state == TRACE_FUNC_LEFT)
		return 0;
	if (ended >= EV_ENDED_MAX)
		ended = is_suspended(cfg, func, frame)                 ? EV_ENDED_YIELD
			: exception_type(cfg, tstate_get(thread, cfg)) ? EV_ENDED_RAISE
								       : EV_ENDED_RETURN;
	kind = EV_BEGAN_BEFORE * EV_ENDED_MAX + ended;
	if (kind < EV_BEGAN_MAX * EV_ENDED_MAX)
		__sync_fetch_and_add(&func->kinds[kind], 1);
	if (caller)
		call.caller = caller->func;
	if (trace_events)
		call_emit(thread, &call, caller, h->proc->image,
			  EV_CALL_FLAGS(EV_BEGAN_BEFORE, ended), now);
	return 0;
}

#define UP_MAX 2 /* frames that never began, between a callee and the one on top */

/* Is it a frame above the one on top, which never began: the shim of a class's call, a call that the
 * recursion limit refused? */
static __always_inline bool is_unbegun(const struct hit *h, __u64 frame)
{
	struct trace_call *top = stack_top(&h->thread->stack);
	__u32 i;

	for (i = 0; top && i < UP_MAX; i++) {
		frame = frame_up(&h->proc->cfg, frame);
		if (frame == top->frame)
			return true;
	}
	return false;
}

/* Makes `frame`, which ends and is not on top of the stack, the top one; 0: it is none that is followed. */
SHARED int end_find(struct trace_thread *thread, struct trace_proc *proc, __u64 frame, __u32 ended,
		    __u64 now)
{
	struct hit h = { thread, proc };
	struct search s = { .frame = frame };
	struct trace_sums *func;

	if (!thread || !proc)
		return 0;
	if (thread->parked_cnt && stack_unpark(thread, proc->image, frame))
		return 1;
	if (is_unbegun(&h, frame)) {
		count(TRACE_STAT_UNBEGUN);
		/* 3.11's throw() goes on behind a `yield from` without a begin */
		if (!frame_read(thread, &proc->cfg, frame)) {
			func = func_at(func_get(&h, frame));
			if (func && func->kind != EV_FUNC_PLAIN)
				end_before(&h, frame, ended, now, now);
		}
		return 0;
	}
	s.at = thread->stack;
	stack_search(&s);
	if (s.found) {
		stack_unwind(thread, proc->image, s.steps, LEFT_LATE, now);
		return 1;
	}
	if (proc->cfg.flags & TRACE_FILTERED)
		return 0;
	stack_park(thread, proc->image);
	if (!frame_read(thread, &proc->cfg, frame))
		/* its first hit may be this one, and `now` a little before it was seen */
		end_before(&h, frame, ended, thread->since_ns < now ? thread->since_ns : now, now);
	return 0;
}

/* The frame that ends, where no argument says so; 0: it is not known, or none that is followed. */
static __noinline __u64 end_frame(struct pt_regs *ctx, struct hit *h)
{
	const struct trace_cfg *cfg = &h->proc->cfg;
	struct trace_call *top = stack_top(&h->thread->stack);
	struct trace_hint *hint = hint_of(ctx, h->proc);
	__u64 frame = 0, current, up;

	h->thread->extra = hint ? hint->extra : 0;
	if (hint && hint->seen >= TRACE_HINT_SEEN) {
		frame = reg_get(ctx, hint->reg);
		if (top && top->frame == frame)
			return frame;
		if (!h->thread->parked_cnt && (cfg->flags & TRACE_FILTERED) &&
		    near_top(h->thread, frame) == DEAD_MAX)
			return 0;
	}
	current = frame_current(h->thread, cfg);
	/* some sites are behind the store that makes the caller current. Where an exception's way out is
	 * not hit, one that was seen in the top one may have ended it already */
	if (top && (current == top->frame ||
		    (current == top->previous && (!top->type || cfg->flags & TRACE_SEES_RAISE)))) {
		if (hint) {
			if (frame)
				count(TRACE_STAT_HINT_WRONG);
			hint_learn(hint, ctx, top->frame);
			hint->behind = current != top->frame;
		}
		return top->frame;
	}
	/* the caller is current already, and nothing says whose end it is: of one that began before */
	if (!frame && (!hint || hint->behind || !hint->seen) && cfg->frame_state) {
		count(TRACE_STAT_BEFORE);
		return 0;
	}
	if (!frame)
		return current;
	up = frame_up(cfg, frame);
	if (current == frame || current == up || !up)
		return frame;
	count(TRACE_STAT_HINT_WRONG);
	return current;
}

/* What ends is on a stack of its own only while something is open there. */
static __always_inline bool is_idle(const struct hit *h)
{
	return !h->thread->stack.depth && !h->thread->parked_cnt &&
	       (h->proc->cfg.flags & TRACE_FILTERED);
}

/* `ended` EV_ENDED_MAX: to be seen. */
static __always_inline int end(struct hit *h, __u64 frame, __u64 tstate, __u32 ended, __u64 now)
{
	struct trace_call *top = stack_top(&h->thread->stack);

	h->thread->now_ns = now;
	if (!frame)
		return 0;
	if (!top || top->frame != frame) {
		if (!end_find(h->thread, h->proc, frame, ended, now))
			return 0;
		top = stack_top(&h->thread->stack);
	}
	if (!top)
		return 0;
	if (ended == EV_ENDED_MAX)
		ended = ended_how(h, top, tstate);
	call_end(h->thread, h->proc->image, top, ended, 0, now);
	return 0;
}

/* Before 3.11 a call that the recursion limit refuses enters the evaluation loop and leaves it, and has run
 * nothing: no call. It was summed up as one when it ended; the exception then arises in its caller, which
 * is on top now. A timeline has it as a call: that was told. */
static __always_inline void refused_undo(struct trace_thread *thread, const struct trace_cfg *cfg,
					 struct trace_call *caller, __u64 type)
{
	__u64 name[2] = {}, at = 0;
	struct trace_sums *func = func_at(thread->last_func);
	__u32 lasti = 0, bucket = trace_bucket(thread->last_ns),
	      kind = thread->last_kind & ~TRACE_CALL_INNER;

	if (cfg->flags & TRACE_INSTR_IS_PTR || !thread->last_frame || !func ||
	    thread->last_ends != thread->begins + thread->ends ||
	    bpf_probe_read_user(&lasti, sizeof(lasti),
				(void *)(thread->last_frame + cfg->frame_instr)) ||
	    (__s32)lasti >= 0 || user_u64(&at, type + cfg->type_name) ||
	    bpf_probe_read_user(name, sizeof(name), (void *)at) ||
	    name[0] != 0x6f69737275636552 /* "Recursio" */ ||
	    name[1] << 8 != 0x726f7272456e << 8 /* "nError" and its end */)
		return;
	count(TRACE_STAT_REFUSED);
	if (kind < EV_BEGAN_MAX * EV_ENDED_MAX)
		__sync_fetch_and_add(&func->kinds[kind], -1);
	__sync_fetch_and_add(&func->all_ns, -thread->last_ns);
	if (bucket < TRACE_HIST)
		__sync_fetch_and_add(&func->hist[bucket], -1);
	if (thread->last_kind & TRACE_CALL_INNER) {
		__sync_fetch_and_add(&func->inner, -1);
		__sync_fetch_and_add(&func->inner_ns, -thread->last_ns);
	}
	caller->kids--;
	caller->below--;
	caller->child_ns -= thread->last_ns;
	thread->last_frame = 0;
}

/* 3.12 makes another exception of a StopIteration that leaves a generator, without a hit: what arrives in its
 * caller says which. */
static __always_inline void left_tell(struct hit *h, struct trace_call *top, __u64 type)
{
	struct trace_sums *func = func_at(top->func);

	if (h->proc->cfg.flags & (TRACE_SEES_RAISE | TRACE_EXC_IS_TYPE) || !func ||
	    func->kind == EV_FUNC_PLAIN || !top->type || !type || type == top->type)
		return;
	raise_tell(h->thread, h->proc, top->frame, top->func, type);
}

#endif
