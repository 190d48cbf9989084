/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which frame is this hit of?
 *
 * The thread state knows, but that is one to three reads of the target's memory, and a read is a tenth of
 * what the whole hit costs. The interpreter itself has the frame in a register, at each place in its
 * code always the same one: which it is is seen from the first hits at a site, where the thread state is
 * asked too. A register is never just believed. At an end it must hold the frame that is on top of the
 * stack; at a begin the frame that it points to must have the one on top as its caller. Else the
 * thread state is asked, and a register that was wrong is not used again (STAT_HINT_WRONG).
 */
#ifndef UNCOIL_TRACE_FRAME_BPF_H
#define UNCOIL_TRACE_FRAME_BPF_H

#include "trace_stack.bpf.h"

#define REGS           15
#define TSTATES_MAX    512
#define DATASTACK_ENDS 16 /* datastack_top and datastack_limit, behind datastack_chunk */

/* The general registers but the stack pointer; callee-saved ones first, which it mostly is. */
#define EACH_REG(X) \
	X(0, rbx)   \
	X(1, rbp)   \
	X(2, r12)   \
	X(3, r13)   \
	X(4, r14)   \
	X(5, r15)   \
	X(6, rax)   \
	X(7, rcx)   \
	X(8, rdx)   \
	X(9, rsi)   \
	X(10, rdi)  \
	X(11, r8)   \
	X(12, r9)   \
	X(13, r10)  \
	X(14, r11)

/* The verifier wants each register read by its own constant offset: barriers keep compilers from joining
 * the reads. */
static __always_inline __u64 reg_get(const struct pt_regs *ctx, __u32 n)
{
	__u64 value = 0;

	switch (n) {
#define X(number, name)             \
	case number:                \
		value = ctx->name;  \
		barrier_var(value); \
		break;
		EACH_REG(X)
#undef X
	}
	return value;
}

static __always_inline __u64 arg_1(const struct pt_regs *ctx)
{
	__u64 value = ctx->rdi;

	barrier_var(value);
	return value;
}

static __always_inline __u64 arg_2(const struct pt_regs *ctx)
{
	__u64 value = ctx->rsi;

	barrier_var(value);
	return value;
}

static __always_inline __u64 arg_3(const struct pt_regs *ctx)
{
	__u64 value = ctx->rdx;

	barrier_var(value);
	return value;
}

/* By the place of a bit in a de Bruijn sequence, its number. */
const __u8 reg_numbers[32] = { 0,  1,  28, 2,  29, 14, 24, 3, 30, 22, 20, 15, 25, 17, 4,  8,
			       31, 27, 13, 23, 21, 19, 16, 7, 26, 12, 18, 6,  11, 5,  10, 9 };

/* Number of the lowest bit of a mask of registers. */
static __always_inline __u32 reg_first(__u32 regs)
{
	return reg_numbers[(((regs & -regs) * 0x077cb531U) >> 27) & 31];
}

/* This hit was of `frame`: which registers held it? Without a branch each, which would be as many ways
 * through it for the verifier to follow as there are sets of registers. */
static __noinline int hint_learn(struct trace_hint *hint, const struct pt_regs *ctx, __u64 frame)
{
	__u32 regs = 0;
	__u64 differ;

#define X(number, name)      \
	differ = ctx->name;  \
	barrier_var(differ); \
	differ ^= frame;     \
	differ |= -differ;   \
	barrier_var(differ); \
	regs |= (__u32)((differ >> 63) ^ 1) << (number);
	EACH_REG(X)
#undef X
	if (hint->seen)
		regs &= hint->regs;
	hint->regs = regs;
	hint->reg = reg_first(regs);
	hint->seen = regs ? hint->seen + 1 : 0;
	return 0;
}

/* A member of the frame that frame_read() read: `off` less frame_from. */
static __always_inline __u64 raw_u64(const struct trace_thread *thread, __u32 off)
{
	return off <= TRACE_FRAME_READ - 8 ? *(const __u64 *)(thread->raw + off) : 0;
}

static __always_inline int frame_read(struct trace_thread *thread, const struct trace_cfg *cfg,
				      __u64 frame)
{
	__u32 len = cfg->frame_read;

	barrier_var(len);
	if (len > TRACE_FRAME_READ)
		return -1;
	return bpf_probe_read_user(thread->raw, len, (void *)(frame + cfg->frame_from));
}

struct tstates {
	const struct trace_cfg *cfg;
	__u64 interp;
	__u64 tstate;
	__u64 thread_id;
	__u64 found;
};

static long tstates_turn(__u32 i, void *data)
{
	struct tstates *t = data;
	__u64 thread_id = 0;

	if (!t->tstate) {
		if (!t->interp || user_u64(&t->tstate, t->interp + t->cfg->interp_threads_head) ||
		    user_u64(&t->interp, t->interp + t->cfg->interp_next))
			return 1;
		return 0;
	}
	if (user_u64(&thread_id, t->tstate + t->cfg->tstate_thread_id))
		return 1;
	if (thread_id == t->thread_id) {
		t->found = t->tstate;
		return 1;
	}
	return user_u64(&t->tstate, t->tstate + t->cfg->tstate_next) ? 1 : 0;
}

/* The thread state of this thread, from the interpreters' lists; 0: there is none. */
static __noinline __u64 tstate_search(const struct trace_cfg *cfg, __u64 thread_id)
{
	struct tstates t = { .cfg = cfg, .thread_id = thread_id };

	if (!cfg || user_u64(&t.interp, cfg->runtime + cfg->runtime_interpreters_head))
		return 0;
	loop_each(TSTATES_MAX, tstates_turn, &t);
	return t.found;
}

/* The thread state that runs; 0: not known (counted). Before 3.12 it holds the one GIL, and the runtime
 * says who does. */
static __always_inline __u64 tstate_get(struct trace_thread *thread, const struct trace_cfg *cfg)
{
	__u64 tstate = 0;

	if (cfg->runtime_tstate_current) {
		user_u64(&tstate, cfg->runtime + cfg->runtime_tstate_current);
	} else {
		if (!thread->tstate)
			thread->tstate = tstate_search(cfg, thread->thread_id);
		tstate = thread->tstate;
	}
	if (!tstate)
		count(TRACE_STAT_DROP_TSTATE);
	return tstate;
}

/* The frame that the thread state calls current; 0: there is none, or it cannot be read. */
SHARED __u64 frame_current(struct trace_thread *thread, const struct trace_cfg *cfg)
{
	__u64 tstate, frame = 0;

	if (!thread || !cfg)
		return 0;
	count(TRACE_STAT_SLOW);
	tstate = tstate_get(thread, cfg);
	if (!tstate)
		return 0;
	if (user_u64(&frame, tstate + cfg->tstate_frame) ||
	    ((cfg->flags & TRACE_CFRAME) && frame &&
	     user_u64(&frame, frame + cfg->cframe_current_frame))) {
		count(TRACE_STAT_DROP_READ);
		return 0;
	}
	return frame;
}

static __always_inline __u64 frame_up(const struct trace_cfg *cfg, __u64 frame)
{
	__u64 previous = 0;

	user_u64(&previous, frame + cfg->frame_previous);
	return previous;
}

/* Of the activations on top of the stack, which is the first whose frame is this one? 0: it is the top one,
 * 1: the one below, …; DEAD_MAX: none of them. */
static __always_inline __u32 near_top(const struct trace_thread *thread, __u64 frame)
{
	struct trace_stack at = thread->stack;
	struct trace_call *call;
	__u32 i;

	for (i = 0; i < DEAD_MAX; i++) {
		call = stack_top(&at);
		if (!call)
			return DEAD_MAX;
		if (call->frame == frame)
			return i;
		stack_down(&at);
	}
	return DEAD_MAX;
}

struct locate {
	struct trace_thread *thread;
	const struct trace_cfg *cfg;
	__u64 frame;
	__u32 image;
	__u32 dead;  /* so many activations above the ancestor are over */
	__u32 found; /* the stack is the frame's */
	__u32 pad;
};

static long locate_turn(__u32 i, void *data)
{
	struct locate *l = data;

	if (!l->frame || !l->thread || !l->cfg)
		return 1;
	l->dead = near_top(l->thread, l->frame);
	if (l->dead < DEAD_MAX) {
		l->found = 1;
		return 1;
	}
	if (l->thread->parked_cnt && stack_unpark(l->thread, l->image, l->frame)) {
		l->dead = 0;
		l->found = 1;
		return 1;
	}
	l->frame = frame_up(l->cfg, l->frame);
	return 0;
}

/* Is the frame on top one that the interpreter has given up? An exception was seen in it, and it lies in
 * the part of the data stack that is free now. A generator's frame lies elsewhere: it is over too, if
 * what is below it is. */
static __always_inline bool top_is_dead(struct trace_thread *thread, const struct trace_cfg *cfg,
					const struct trace_call *top)
{
	__u64 stack[3], tstate; /* datastack_chunk, _top, _limit */

	if (!(top->flags & TRACE_CALL_RAISED) || !cfg->tstate_chunk)
		return false;
	tstate = tstate_get(thread, cfg);
	if (!tstate ||
	    bpf_probe_read_user(stack, sizeof(stack), (void *)(tstate + cfg->tstate_chunk)))
		return false;
	if (top->frame < stack[0] || top->frame >= stack[2])
		return top->previous >= stack[0] && top->previous < stack[1];
	return top->frame >= stack[1];
}

/* Makes the current stack the one that `frame` runs on: its nearest activation that is followed is on
 * top then, or it is empty. */
SHARED int stack_locate(struct trace_thread *thread, const struct trace_proc *proc, __u64 frame,
			__u64 now)
{
	struct locate l = { .thread = thread, .frame = frame, .dead = DEAD_MAX };
	struct trace_call *top;
	__u32 i;

	if (!thread || !proc)
		return 0;
	l.cfg = &proc->cfg;
	l.image = proc->image;
	loop_each(ANCESTORS_MAX, locate_turn, &l);
	if (l.found) {
		if (l.dead)
			stack_unwind(thread, l.image, l.dead, LEFT_LATE, now);
		return 0;
	}
	if (!(proc->cfg.flags & TRACE_SEES_RAISE)) {
		for (i = 0; i < DEAD_MAX; i++) {
			top = stack_top(&thread->stack);
			if (!top || !top_is_dead(thread, &proc->cfg, top))
				break;
			stack_unwind(thread, l.image, 1, LEFT_LATE, now);
		}
	}
	if (thread->stack.depth)
		stack_park(thread, proc->image);
	return 0;
}

#endif
