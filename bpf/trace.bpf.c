/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Exact calls: probes on the instructions where Python functions begin and end (user/python/sites.h says
 * which, and what a hit of each means). Each thread has a stack of what is open beside the interpreter's
 * own; an activation that is over is added to its function's sums and, for a timeline, told in one record.
 *
 * How each CPython is seen:
 *
 *	3.8 - 3.10	enter is each begin, leave each end (or USDT's entry and return)
 *	3.11, 3.12	begin, return, yield; enter where throw() and close() begin; what an exception
 *			leaves is seen when the exception is seen in its caller (raise), or by the next hit
 *	3.13 on		the same, and clear is each end but a yield, by exception too
 *
 * An object of its own: the sampler's programs are not loaded for it, nor these for the sampler.
 */
#include "trace_begin.bpf.h"
#include "trace_end.bpf.h"
#include "trace_life.bpf.h"

#include <bpf/bpf_tracing.h>

SEC("uprobe")
int on_begin(struct pt_regs *ctx)
{
	__u64 frame, since = 0;
	struct hit h;

	if (!hit_of(&h))
		return 0;
	if (is_timed(h.thread)) {
		since = bpf_ktime_get_ns();
		/* once more: what came before is to be in it */
		if (!hit_of(&h))
			return 0;
	}
	h.thread->begins++;
	frame = begin_frame(ctx, &h);
	if (frame)
		begin(&h, frame, raw_u64(h.thread, h.proc->cfg.read_previous), EV_BEGAN_MAX);
	if (since)
		time_add(since);
	return 0;
}

/* 3.11 on: throw(), close(), a generator that is freed. Its frame is not the current one yet. */
SEC("uprobe")
int on_throw(struct pt_regs *ctx)
{
	struct hit h;

	if (!(__u32)arg_3(ctx) || !hit_of(&h))
		return 0;
	h.thread->begins++;
	h.thread->tstate = arg_1(ctx);
	h.thread->extra = 0;
	if (frame_read(h.thread, &h.proc->cfg, arg_2(ctx))) {
		count(TRACE_STAT_DROP_READ);
		return 0;
	}
	return begin(&h, arg_2(ctx), frame_current(h.thread, &h.proc->cfg), EV_BEGAN_THROW);
}

/* Before 3.11: the evaluation loop is entered. */
SEC("uprobe")
int on_enter(struct pt_regs *ctx)
{
	__u64 arg1 = arg_1(ctx), frame = arg_2(ctx), thrown = arg_3(ctx);
	const struct trace_cfg *cfg;
	__u64 since = 0;
	struct hit h;

	if (!hit_of(&h))
		return 0;
	if (is_timed(h.thread)) {
		since = bpf_ktime_get_ns();
		/* once more: what came before is to be in it */
		if (!hit_of(&h))
			return 0;
	}
	h.thread->begins++;
	h.thread->extra = 0;
	cfg = &h.proc->cfg;
	if (cfg->flags & TRACE_FRAME_FIRST) {
		thrown = frame;
		frame = arg1;
	}
	if (frame_read(h.thread, cfg, frame)) {
		count(TRACE_STAT_DROP_READ);
		return 0;
	}
	begin(&h, frame, raw_u64(h.thread, cfg->read_previous),
	      (__u32)thrown ? EV_BEGAN_THROW : EV_BEGAN_MAX);
	if (since)
		time_add(since);
	return 0;
}

/* USDT function__entry: the frame is the current one already, and nothing says what threw. */
SEC("uprobe")
int on_usdt_begin(struct pt_regs *ctx)
{
	const struct trace_cfg *cfg;
	__u64 frame, tstate, type = 0;
	struct hit h;

	if (!hit_of(&h))
		return 0;
	h.thread->begins++;
	cfg = &h.proc->cfg;
	frame = begin_frame(ctx, &h);
	if (!frame)
		return 0;
	tstate = tstate_get(h.thread, cfg);
	if (tstate)
		user_u64(&type, tstate + cfg->tstate_exception);
	return begin(&h, frame, raw_u64(h.thread, cfg->read_previous),
		     type ? EV_BEGAN_THROW : EV_BEGAN_MAX);
}

static __always_inline int end_hit(struct pt_regs *ctx, __u32 ended)
{
	__u64 now = bpf_ktime_get_ns();
	struct hit h;

	if (!hit_of(&h))
		return 0;
	h.thread->ends++;
	if (!is_idle(&h))
		end(&h, end_frame(ctx, &h), 0, ended, now);
	if (is_timed(h.thread))
		time_add(now);
	return 0;
}

SEC("uprobe")
int on_return(struct pt_regs *ctx)
{
	return end_hit(ctx, EV_ENDED_RETURN);
}

SEC("uprobe")
int on_yield(struct pt_regs *ctx)
{
	return end_hit(ctx, EV_ENDED_YIELD);
}

/* Before 3.11: the evaluation loop is left, or USDT function__return. */
SEC("uprobe")
int on_leave(struct pt_regs *ctx)
{
	return end_hit(ctx, EV_ENDED_MAX);
}

/* 3.13 on: _PyEval_FrameClearAndPop(tstate, frame) */
SEC("uprobe")
int on_clear(struct pt_regs *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	struct hit h;

	if (!hit_of(&h))
		return 0;
	h.thread->ends++;
	h.thread->tstate = arg_1(ctx);
	h.thread->extra = 0;
	if (!is_idle(&h))
		end(&h, arg_2(ctx), arg_1(ctx), EV_ENDED_MAX, now);
	if (is_timed(h.thread))
		time_add(now);
	return 0;
}

/* PyTraceBack_Here(frame object): an exception arises in a frame, or passes it. Others than the interpreter
 * call it too, with frames that never ran. */
SEC("uprobe")
int on_raise(struct pt_regs *ctx)
{
	__u64 now = bpf_ktime_get_ns(), frame = arg_1(ctx), type;
	const struct trace_cfg *cfg;
	struct trace_hint *hint;
	struct trace_call *top;
	struct hit h;

	if (!hit_of(&h))
		return 0;
	h.thread->now_ns = now;
	cfg = &h.proc->cfg;
	if (cfg->frame_object && user_u64(&frame, arg_1(ctx) + cfg->frame_object)) {
		count(TRACE_STAT_DROP_READ);
		return 0;
	}
	type = exception_type(cfg, tstate_get(h.thread, cfg));
	top = stack_top(&h.thread->stack);
	if (top && top->frame != frame)
		left_tell(&h, top, type);
	if (!top || top->frame != frame) {
		if (is_idle(&h) || frame != frame_current(h.thread, cfg))
			return 0;
		stack_locate(h.thread, h.proc, frame, now);
		top = stack_top(&h.thread->stack);
	}
	if (!top || top->frame != frame)
		return type ? raise_tell(h.thread, h.proc, frame, 0, type) : 0;
	refused_undo(h.thread, cfg, top, type);
	top->flags |= TRACE_CALL_RAISED;
	top->type = type;
	if (type)
		raise_tell(h.thread, h.proc, frame, top->func, type);
	hint = hint_of(ctx, h.proc);
	if (hint)
		top->extra += hint->extra + (__u32)(bpf_ktime_get_ns() - now);
	return 0;
}

/* A code object is freed: what gets its address is another function. */
SEC("uprobe")
int on_dealloc(struct pt_regs *ctx)
{
	struct func_key key = { .code = arg_1(ctx) };
	struct hit h;

	if (!hit_of(&h))
		return 0;
	key.image = h.proc->image;
	bpf_map_delete_elem(&func_of, &key);
	__sync_fetch_and_add(&h.proc->epoch, 1);
	return 0;
}
