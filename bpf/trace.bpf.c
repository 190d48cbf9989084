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
#include "trace_frame.bpf.h"
#include "trace_func.bpf.h"

#include <bpf/bpf_tracing.h>

#define FRAME_OWNED_BY_GENERATOR 1 /* v3.12 Include/internal/pycore_frame.h */

struct hit {
	struct trace_thread *thread;
	struct trace_proc *proc;
};

/* A slot for a thread that is hit for the first time; 0: its process is not followed, or there is no room. */
SHARED __u32 slot_new(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32, number, index, *proc;
	struct trace_thread *thread;
	struct trace_proc *of;
	struct ev_thread ev = {};

	proc = bpf_map_lookup_elem(&tgids, &tgid);
	if (!proc)
		return 0;
	of = proc_of(*proc);
	if (!of)
		return 0;
	if (bpf_map_pop_elem(&free_slots, &number)) {
		count(TRACE_STAT_DROP_THREADS);
		return 0;
	}
	index = number - 1;
	thread = bpf_map_lookup_elem(&trace_threads, &index);
	if (!thread)
		return 0;
	thread->tid = (__u32)id;
	thread->tgid = tgid;
	thread->proc = *proc;
	/* unlike any other, also of one that had this slot before */
	thread->serial = (thread->serial ?: number) + TRACE_THREADS_MAX;
	thread->tstate = 0;
	thread->thread_id = current_thread_id();
	thread->since_ns = bpf_ktime_get_ns();
	thread->spare = 0;
	thread->parked_cnt = 0;
	__builtin_memset(&thread->stack, 0, sizeof(thread->stack));
	__builtin_memset(thread->active, 0, sizeof(thread->active));
	header(&ev.hdr, EV_THREAD, sizeof(ev), of->image, thread, thread->since_ns);
	ev.thread_id = thread->thread_id;
	BPF_CORE_READ_STR_INTO(&ev.comm, task, comm);
	if (bpf_ringbuf_output(&trace_ring, &ev, sizeof(ev), BPF_RB_FORCE_WAKEUP))
		count(TRACE_STAT_DROP_THREADS);
	return number;
}

static __always_inline bool hit_of(struct hit *h)
{
	__u32 index, number, *slot;

#ifndef PLAIN_LOOPS
	slot = bpf_task_storage_get(&slots, bpf_get_current_task_btf(), 0,
				    BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!slot)
		return false;
	if (!*slot)
		*slot = slot_new();
	number = *slot;
#else
	__u32 tid = bpf_get_current_pid_tgid();

	slot = bpf_map_lookup_elem(&slots, &tid);
	number = slot ? *slot : slot_new();
	if (!slot && number)
		bpf_map_update_elem(&slots, &tid, &number, BPF_ANY);
#endif
	index = number - 1;
	h->thread = bpf_map_lookup_elem(&trace_threads, &index);
	if (!h->thread)
		return false;
	h->proc = proc_of(h->thread->proc);
	return h->proc && h->proc->on;
}

/* Is this hit timed? */
static __always_inline bool is_timed(struct trace_thread *thread)
{
	return thread->hits++ % TRACE_HITS_PER_TIMED == 0;
}

static __always_inline void time_add(__u64 begin)
{
	count(TRACE_STAT_TIMED);
	count_add(TRACE_STAT_TIMED_NS, bpf_ktime_get_ns() - begin);
}

static __always_inline struct trace_hint *hint_of(struct pt_regs *ctx, struct trace_proc *proc)
{
	__u64 site = trace_cookies ? bpf_get_attach_cookie(ctx) : TRACE_SITES_MAX;

	return site < TRACE_SITES_MAX ? &proc->hints[site] : NULL;
}

/* Where the caller stood, for a timeline. */
static __always_inline __u32 caller_lasti(const struct trace_cfg *cfg,
					  const struct trace_call *caller, __u64 previous)
{
	struct trace_func *func = caller ? func_at(caller->func) : NULL;
	__u64 instr = 0;

	if (!func || caller->frame != previous || user_u64(&instr, previous + cfg->frame_instr))
		return EV_LASTI_NONE;
	if (!(cfg->flags & TRACE_INSTR_IS_PTR))
		return (__u32)instr;
	instr -= func->code + cfg->code_start;
	return instr < 1 << 24 ? instr : EV_LASTI_NONE; /* a thread's own copy of the bytecode */
}

/* Where the bytecode begins that this frame runs: the code object's own, or in a free-threaded build a
 * thread's copy (v3.14 Include/cpython/code.h, _PyCodeArray; index 0 is the code object's own). */
static __always_inline __u64 bytecode_start(const struct hit *h, __u64 code)
{
	const struct trace_cfg *cfg = &h->proc->cfg;
	__u64 start = code + cfg->code_start, copies = 0;
	__u32 index;

	if (!cfg->code_tlbc)
		return start;
	index = (__u32)raw_u64(h->thread, cfg->frame_tlbc);
	if (index && (user_u64(&copies, code + cfg->code_tlbc) ||
		      user_u64(&start, copies + 8 + (__u64)index * 8)))
		return 0;
	return start;
}

/* What kind of begin it is; EV_BEGAN_MAX: none (3.15's generator expression that is only made). */
static __always_inline __u32 began_of(const struct hit *h, const struct trace_func *func,
				      __u64 frame)
{
	const struct trace_cfg *cfg = &h->proc->cfg;
	__u64 instr = raw_u64(h->thread, cfg->frame_instr);
	__u8 owner = 0;

	if (func->kind == EV_FUNC_PLAIN)
		return EV_BEGAN_CALL;
	if (!(cfg->flags & TRACE_INSTR_IS_PTR))
		return (__s32)instr < 0 ? EV_BEGAN_CALL : EV_BEGAN_RESUME;
	if (cfg->flags & TRACE_RESUME_7) {
		bpf_probe_read_user(&owner, sizeof(owner), (void *)(frame + cfg->frame_owner));
		if (owner != FRAME_OWNED_BY_GENERATOR)
			return EV_BEGAN_MAX;
	}
	instr -= bytecode_start(h, func->code);
	return instr <= func->first ? EV_BEGAN_CALL : EV_BEGAN_RESUME;
}

/* The function that the frame in `raw` runs; 0: none, or there is no room. */
static __always_inline __u32 func_get(const struct hit *h, __u64 frame)
{
	const struct trace_cfg *cfg = &h->proc->cfg;
	struct func_key key = { .code = raw_u64(h->thread, cfg->frame_code) &
					~(__u64)cfg->frame_code_tags,
				.image = h->proc->image };
	__u32 *found = bpf_map_lookup_elem(&func_of, &key);
	__u64 globals = 0;

	if (found)
		return *found;
	user_u64(&globals, frame + cfg->frame_globals);
	return func_new(h->thread, h->proc, key.code, globals);
}

/* The frame on top begins, again. Either the interpreter has executed its first instruction twice (it was
 * instrumented, or gave up a specialised one), or it was left by an exception that C code has swallowed,
 * and its place is another call's now. True: it is the same begin. */
static __always_inline bool begins_twice(const struct hit *h, struct trace_call *top)
{
	if (!top->type || h->proc->cfg.flags & TRACE_SEES_RAISE) {
		count(TRACE_STAT_TWICE);
		return true;
	}
	stack_unwind(h->thread, h->proc->image, 1, LEFT_LATE, bpf_ktime_get_ns());
	return false;
}

/* An activation begins; its frame is in `raw`. `previous`: the frame that it was called from; `began`
 * EV_BEGAN_MAX: to be seen. */
static __always_inline int begin(struct hit *h, __u64 frame, __u64 previous, __u32 began)
{
	struct trace_thread *thread = h->thread;
	struct trace_call *top, *call;
	__u32 number = func_get(h, frame);
	struct trace_func *func = func_at(number);
	__u32 flags;
	__u16 *active;

	if (!func || func->state == TRACE_FUNC_LEFT)
		return 0;
	if (!func->told)
		func_tell(thread, h->proc, number);
	if (began == EV_BEGAN_MAX)
		began = began_of(h, func, frame);
	if (began == EV_BEGAN_MAX)
		return 0;
	top = stack_top(&thread->stack);
	if (top && top->frame == frame) {
		if (begins_twice(h, top))
			return 0;
		top = stack_top(&thread->stack);
	}
	if ((top || thread->parked_cnt) && (!top || top->frame != previous)) {
		stack_locate(thread, h->proc, previous, bpf_ktime_get_ns());
		top = stack_top(&thread->stack);
	}
	/* an exception may be back in a generator that goes on: it is not seen to be raised again */
	flags = began == EV_BEGAN_CALL ? began : began | TRACE_CALL_RAISED;
	active = active_of(thread, number);
	if (*active && ((top && top->func == number) || stack_has(thread, number)))
		flags |= TRACE_CALL_INNER;
	call = stack_push(thread);
	if (!call) {
		count(TRACE_STAT_DROP_CHUNKS);
		return 0;
	}
	(*active)++;
	call->frame = frame;
	call->previous = previous;
	call->child_ns = 0;
	call->type = 0;
	call->func = number;
	call->kids = 0;
	call->below = 0;
	call->flags = flags;
	call->caller = top && top->frame == previous ? top->func : 0;
	call->lasti = trace_events ? caller_lasti(&h->proc->cfg, top, previous) : EV_LASTI_NONE;
	call->start_ns = bpf_ktime_get_ns();
	return 0;
}

#define CHECKED_EACH \
	64 /* hints that nothing contradicts are compared with the thread state so often */

/* Does what was read at the register's frame fit what is known? 1: yes; 0: the thread state is to be
 * asked. */
static __always_inline bool hint_fits(const struct hit *h, struct trace_hint *hint)
{
	const struct trace_cfg *cfg = &h->proc->cfg;
	__u64 previous = raw_u64(h->thread, cfg->frame_previous);
	struct trace_call *top = stack_top(&h->thread->stack);

	if (top && top->frame == previous)
		return true;
	if (top && !(cfg->flags & TRACE_FILTERED))
		return frame_up(cfg, previous) == top->frame; /* a shim of the C stack's between */
	return ++hint->seen % CHECKED_EACH;
}

/* RESUME: the frame from its register if that can be, else from the thread state, into `raw`; 0: it is not
 * known. */
static __always_inline __u64 begin_frame(struct pt_regs *ctx, struct hit *h)
{
	const struct trace_cfg *cfg = &h->proc->cfg;
	struct trace_hint *hint = hint_of(ctx, h->proc);
	__u64 frame = 0, current;

	if (hint && hint->seen >= TRACE_HINT_SEEN) {
		frame = reg_get(ctx, hint->reg);
		if (!frame_read(h->thread, cfg, frame) && hint_fits(h, hint))
			return frame;
	}
	current = frame_current(h->thread, cfg);
	if (!current)
		return 0;
	if (hint) {
		if (frame && frame != current) {
			count(TRACE_STAT_HINT_WRONG);
			hint->seen = 0;
		}
		hint_learn(hint, ctx, current);
	}
	if (frame != current && frame_read(h->thread, cfg, current)) {
		count(TRACE_STAT_DROP_READ);
		return 0;
	}
	return current;
}

SEC("uprobe")
int on_begin(struct pt_regs *ctx)
{
	__u64 frame, since = 0;
	struct hit h;

	if (!hit_of(&h))
		return 0;
	if (is_timed(h.thread))
		since = bpf_ktime_get_ns();
	count(TRACE_STAT_BEGINS);
	frame = begin_frame(ctx, &h);
	if (frame)
		begin(&h, frame, raw_u64(h.thread, h.proc->cfg.frame_previous), EV_BEGAN_MAX);
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
	count(TRACE_STAT_BEGINS);
	h.thread->tstate = arg_1(ctx);
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
	if (is_timed(h.thread))
		since = bpf_ktime_get_ns();
	count(TRACE_STAT_BEGINS);
	cfg = &h.proc->cfg;
	if (cfg->flags & TRACE_FRAME_FIRST) {
		thrown = frame;
		frame = arg1;
	}
	if (frame_read(h.thread, cfg, frame)) {
		count(TRACE_STAT_DROP_READ);
		return 0;
	}
	begin(&h, frame, raw_u64(h.thread, cfg->frame_previous),
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
	count(TRACE_STAT_BEGINS);
	cfg = &h.proc->cfg;
	frame = begin_frame(ctx, &h);
	if (!frame)
		return 0;
	tstate = tstate_get(h.thread, cfg);
	if (tstate)
		user_u64(&type, tstate + cfg->tstate_exception);
	return begin(&h, frame, raw_u64(h.thread, cfg->frame_previous),
		     type ? EV_BEGAN_THROW : EV_BEGAN_MAX);
}

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
	__u64 name = 0;
	struct ev_raise *ev;
	long len = 0;

	if (!trace_events || !thread || !proc)
		return 0;
	ev = bpf_ringbuf_reserve(&trace_ring, sizeof(*ev), 0);
	if (!ev) {
		count(TRACE_STAT_DROP_RAISES);
		return 0;
	}
	header(&ev->hdr, EV_RAISE, sizeof(*ev), proc->image, thread, bpf_ktime_get_ns());
	ev->frame = frame;
	ev->type = type;
	ev->func = func;
	if (!user_u64(&name, type + proc->cfg.type_name))
		len = bpf_probe_read_user_str(ev->name, sizeof(ev->name), (void *)name);
	ev->name_len = len > 0 ? len - 1 : 0;
	bpf_ringbuf_submit(ev, wake());
	return 0;
}

/* How the activation on top ended, where return, yield and exception are one place. `tstate`: 0 = to be
 * looked up, if it is needed. */
static __always_inline __u32 ended_how(struct hit *h, struct trace_call *top, __u64 tstate)
{
	const struct trace_cfg *cfg = &h->proc->cfg;
	struct trace_func *func = func_at(top->func);
	__u64 state = 0, type;

	/* before 3.11 the frame says whether it is suspended */
	if (cfg->frame_state && func && func->kind != EV_FUNC_PLAIN &&
	    !user_u64(&state, top->frame + cfg->frame_state)) {
		if (cfg->frame_suspended ? (__u8)state == (__u8)cfg->frame_suspended : state != 0)
			return EV_ENDED_YIELD;
	}
	if (!(top->flags & TRACE_CALL_RAISED))
		return EV_ENDED_RETURN;
	type = exception_type(cfg, tstate ?: tstate_get(h->thread, cfg));
	if (!type)
		return EV_ENDED_RETURN;
	if (type != top->type)
		raise_tell(h->thread, h->proc, top->frame, top->func, type);
	return EV_ENDED_RAISE;
}

/* An activation that was open when its thread was first hit. */
static __noinline int end_before(struct hit *h, __u32 number, __u64 frame, __u32 ended, __u64 now)
{
	struct trace_thread *thread = h->thread;
	struct trace_call call = { .frame = frame,
				   .start_ns = thread->since_ns,
				   .func = number,
				   .flags = EV_BEGAN_BEFORE,
				   .lasti = EV_LASTI_NONE };
	struct trace_func *func = func_at(number);

	if (!func || func->state == TRACE_FUNC_LEFT)
		return 0;
	__sync_fetch_and_add(&func->began[EV_BEGAN_BEFORE], 1);
	if (ended < EV_ENDED_MAX)
		__sync_fetch_and_add(&func->ended[ended], 1);
	if (trace_events)
		call_emit(thread, &call, h->proc->image, 0, EV_CALL_FLAGS(EV_BEGAN_BEFORE, ended),
			  now);
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

	if (!thread || !proc)
		return 0;
	if (thread->parked_cnt && stack_unpark(thread, proc->image, frame))
		return 1;
	if (is_unbegun(&h, frame)) {
		count(TRACE_STAT_UNBEGUN);
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
		end_before(&h, func_get(&h, frame), frame, ended, now);
	return 0;
}

/* The frame that ends, where no argument says so; 0: it is not known, or none that is followed. */
static __noinline __u64 end_frame(struct pt_regs *ctx, struct hit *h)
{
	const struct trace_cfg *cfg = &h->proc->cfg;
	struct trace_call *top = stack_top(&h->thread->stack);
	struct trace_hint *hint = hint_of(ctx, h->proc);
	__u64 frame = 0, current, up;

	if (hint && hint->seen >= TRACE_HINT_SEEN) {
		frame = reg_get(ctx, hint->reg);
		if (top && top->frame == frame)
			return frame;
		if (!h->thread->parked_cnt && (cfg->flags & TRACE_FILTERED) &&
		    near_top(h->thread, frame) == DEAD_MAX)
			return 0;
	}
	current = frame_current(h->thread, cfg);
	/* some sites are behind the store that makes the caller current */
	if (top && (current == top->frame || (current == top->previous && !top->type))) {
		if (hint) {
			if (frame)
				count(TRACE_STAT_HINT_WRONG);
			hint_learn(hint, ctx, top->frame);
		}
		return top->frame;
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

static __always_inline int end_hit(struct pt_regs *ctx, __u32 ended)
{
	__u64 now = bpf_ktime_get_ns();
	struct hit h;

	if (!hit_of(&h))
		return 0;
	count(TRACE_STAT_ENDS);
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
	count(TRACE_STAT_ENDS);
	h.thread->tstate = arg_1(ctx);
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
	struct trace_call *top;
	struct hit h;

	if (!hit_of(&h))
		return 0;
	cfg = &h.proc->cfg;
	if (cfg->frame_object && user_u64(&frame, arg_1(ctx) + cfg->frame_object))
		return 0;
	top = stack_top(&h.thread->stack);
	if (!top || top->frame != frame) {
		if (is_idle(&h) || frame != frame_current(h.thread, cfg))
			return 0;
		stack_locate(h.thread, h.proc, frame, now);
		top = stack_top(&h.thread->stack);
	}
	type = exception_type(cfg, tstate_get(h.thread, cfg));
	if (!top || top->frame != frame)
		return type ? raise_tell(h.thread, h.proc, frame, 0, type) : 0;
	top->flags |= TRACE_CALL_RAISED;
	top->type = type;
	return type ? raise_tell(h.thread, h.proc, frame, top->func, type) : 0;
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
	return 0;
}

/* A thread ends, or execs: what is open is over. */
static __always_inline int thread_over(struct task_struct *task)
{
	__u32 number, index, *slot;
	struct trace_thread *thread;
	struct trace_proc *proc;

#ifndef PLAIN_LOOPS
	slot = bpf_task_storage_get(&slots, task, 0, 0);
#else
	__u32 tid = task->pid;

	slot = bpf_map_lookup_elem(&slots, &tid);
#endif
	if (!slot || !*slot)
		return 0;
	number = *slot;
	*slot = 0;
	index = number - 1;
	thread = bpf_map_lookup_elem(&trace_threads, &index);
	if (!thread)
		return 0;
	proc = proc_of(thread->proc);
	if (thread->stack.depth)
		stack_unwind(thread, proc ? proc->image : 0, DEEP_MAX, EV_ENDED_OPEN,
			     bpf_ktime_get_ns());
	if (thread->spare)
		bpf_map_push_elem(&free_chunks, &thread->spare, BPF_ANY);
	thread->spare = 0;
	thread->tid = 0;
#ifdef PLAIN_LOOPS
	bpf_map_delete_elem(&slots, &tid);
#endif
	bpf_map_push_elem(&free_slots, &number, BPF_ANY);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_trace_exit, struct task_struct *task)
{
	return thread_over(task);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_trace_exec, struct task_struct *task, int old_pid)
{
	return thread_over(task);
}
