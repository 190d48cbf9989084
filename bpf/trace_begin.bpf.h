/* SPDX-License-Identifier: GPL-2.0-only */
/* A hit: whose it is. And what is done where an activation begins. */
#ifndef UNCOIL_TRACE_BEGIN_BPF_H
#define UNCOIL_TRACE_BEGIN_BPF_H

#include "trace_frame.bpf.h"
#include "trace_func.bpf.h"

#define FRAME_OWNED_BY_GENERATOR 1 /* v3.12 Include/internal/pycore_frame.h */

struct hit {
	struct trace_thread *thread;
	struct trace_proc *proc;
};

/* A slot for a thread that is hit for the first time; 0: its process is not followed, not now, or
 * there is no room. TRACE_SLOT_LEFT: it is not asked for. */
SHARED __u32 slot_new(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32, tid = id, number, index, *proc;
	struct trace_thread *thread;
	struct trace_proc *of;
	struct ev_thread ev = {};
	__u32 i;

	proc = bpf_map_lookup_elem(&tgids, &tgid);
	if (!proc)
		return 0;
	of = proc_of(*proc);
	if (!of || of->on != of->execs)
		return 0;
	if (trace_choose && bpf_map_lookup_elem(&left_tids, &tid))
		return TRACE_SLOT_LEFT;
	if (bpf_map_pop_elem(&free_slots, &number)) {
		count(TRACE_STAT_DROP_THREADS);
		return 0;
	}
	index = number - 1;
	thread = bpf_map_lookup_elem(&trace_threads, &index);
	if (!thread)
		return 0;
	thread->tid = tid;
	thread->left = 0;
	thread->tgid = tgid;
	thread->proc = *proc;
	/* unlike any other, also of one that had this slot before */
	thread->serial = (thread->serial ?: number) + TRACE_THREADS_MAX;
	thread->tstate = 0;
	thread->thread_id = current_thread_id();
	thread->since_ns = bpf_ktime_get_ns();
	for (i = 0; i < TRACE_RECENT; i++)
		*(volatile __u64 *)&thread->recent[i].code = 0;
	thread->spare = 0;
	thread->parked_cnt = 0;
	__builtin_memset(&thread->stack, 0, sizeof(thread->stack));
	__builtin_memset(thread->active, 0, sizeof(thread->active));
	header(&ev.hdr, EV_THREAD, sizeof(ev), of->image, thread, thread->since_ns);
	ev.thread_id = thread->thread_id;
	BPF_CORE_READ_STR_INTO(&ev.comm, task, comm);
	if (bpf_ringbuf_output(&trace_ring, &ev, sizeof(ev), BPF_RB_FORCE_WAKEUP))
		count(TRACE_STAT_DROP_NAMES);
	return number;
}

static __always_inline bool hit_of(struct hit *h)
{
	__u32 index, *slot;

	slot = bpf_task_storage_get(&slots, bpf_get_current_task_btf(), 0,
				    BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!slot) {
		count(TRACE_STAT_DROP_THREADS);
		return false;
	}
	if (!*slot)
		*slot = slot_new();
	index = *slot - 1;
	h->thread = bpf_map_lookup_elem(&trace_threads, &index);
	if (!h->thread || h->thread->left)
		return false;
	h->proc = proc_of(h->thread->proc);
	return h->proc && h->proc->on == h->proc->execs;
}

/* Is this hit timed? */
static __always_inline bool is_timed(struct trace_thread *thread)
{
	return thread->hits++ % TRACE_HITS_PER_TIMED == 0;
}

/* One that was interrupted says nothing of what a program takes. */
#define TIMED_MAX_NS 10000

static __always_inline void time_add(__u64 begin)
{
	__u64 took = bpf_ktime_get_ns() - begin;

	if (took > TIMED_MAX_NS)
		return;
	count(TRACE_STAT_TIMED);
	count_add(TRACE_STAT_TIMED_NS, took);
}

static __always_inline struct trace_hint *hint_of(struct pt_regs *ctx, struct trace_proc *proc)
{
	__u64 site = trace_cookies ? bpf_get_attach_cookie(ctx) : TRACE_SITES_MAX;

	return site < TRACE_SITES_MAX ? &proc->hints[site] : NULL;
}

/* Where the bytecode begins that this frame runs: the code object's own, or in a free-threaded build a
 * thread's copy (v3.14 Include/cpython/code.h, _PyCodeArray; index 0 is the code object's own). */
static __always_inline __u64 bytecode_start(const struct hit *h, __u64 code, __u64 frame)
{
	const struct trace_cfg *cfg = &h->proc->cfg;
	__u64 start = code + cfg->code_start, copies = 0;
	__u32 index = 0;

	if (!cfg->code_tlbc)
		return start;
	if (bpf_probe_read_user(&index, sizeof(index), (void *)(frame + cfg->frame_tlbc)))
		return 0;
	if (index && (user_u64(&copies, code + cfg->code_tlbc) ||
		      user_u64(&start, copies + 8 + (__u64)index * 8)))
		return 0;
	return start;
}

/* What kind of begin it is; EV_BEGAN_MAX: none (3.15's generator expression that is only made). */
static __always_inline __u32 began_of(const struct hit *h, const struct trace_sums *func,
				      __u64 frame)
{
	const struct trace_cfg *cfg = &h->proc->cfg;
	__u64 instr = 0;
	__u8 owner = 0;

	if (func->kind == EV_FUNC_PLAIN)
		return EV_BEGAN_CALL;
	user_u64(&instr, frame + cfg->frame_instr);
	if (!(cfg->flags & TRACE_INSTR_IS_PTR))
		return (__s32)instr < 0 ? EV_BEGAN_CALL : EV_BEGAN_RESUME;
	if (cfg->flags & TRACE_RESUME_7) {
		bpf_probe_read_user(&owner, sizeof(owner), (void *)(frame + cfg->frame_owner));
		if (owner != FRAME_OWNED_BY_GENERATOR)
			return EV_BEGAN_MAX;
	}
	instr -= bytecode_start(h, func->code, frame);
	return instr <= func->first ? EV_BEGAN_CALL : EV_BEGAN_RESUME;
}

/* The function that the frame in `raw` runs; 0: none, or there is no room. */
static __always_inline __u32 func_get(const struct hit *h, __u64 frame)
{
	const struct trace_cfg *cfg = &h->proc->cfg;
	__u64 code = raw_u64(h->thread, cfg->read_code) & ~(__u64)cfg->frame_code_tags;
	struct trace_recent *recent =
		&h->thread->recent[(code >> 5 ^ code >> 11) & (TRACE_RECENT - 1)];
	struct func_key key = { .code = code, .image = h->proc->image };
	__u32 epoch = *(volatile __u32 *)&h->proc->epoch, number, *found;
	struct trace_sums *func;
	__u64 globals = 0;

	if (recent->code == code && recent->epoch == epoch && !(cfg->flags & TRACE_FREE_UNSEEN))
		return recent->func;
	found = bpf_map_lookup_elem(&func_of, &key);
	number = found ? *found : 0;
	func = func_at(number);
	if (func && (func->window != h->proc->window || cfg->flags & TRACE_FREE_UNSEEN) &&
	    !func_same(h->proc, number))
		number = 0;
	if (!number) {
		user_u64(&globals, frame + cfg->frame_globals);
		number = func_new(h->thread, h->proc, code, globals);
	}
	if (number) {
		recent->code = code;
		recent->func = number;
		recent->epoch = epoch;
	}
	return number;
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
	struct trace_sums *func = func_at(number);
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
	call->extra = thread->extra;
	call->extra_below = 0;
	call->flags = flags;
	call->caller = top ? top->func : 0;
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
	__u64 previous = raw_u64(h->thread, cfg->read_previous);
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

	h->thread->extra = hint ? hint->extra : 0;
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

#endif
