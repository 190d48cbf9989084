/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The walk: from the current thread to its Python frames.
 *
 *	_PyRuntime -> interpreters -> thread states -> current frame -> previous -> ...
 *
 * How the thread state is found: tstate.bpf.h.
 *
 * The sampled thread is stopped in this very interrupt, so its frames do not move while they are
 * read; they may be half-made, though, and whatever is read is the target's word. Therefore: every
 * loop is bounded, every code object must have PyCode_Type as its type, and a frame that does not
 * hold is the end of the walk and is marked.
 *
 * Half-made is a whole stack in 3.11 and 3.12, where _PyEval_EvalFrameDefault() puts a new _PyCFrame
 * into the thread state before it fills it in (compilers join those two stores into one, some
 * instructions later): until then it says whatever the last call left at that place of the C stack.
 * And 3.12 ends a generator's frame (`previous` = NULL) before it makes its caller the current one.
 * A whole stack can be told: the frame that began the cframe has the caller's current frame before it,
 * which the caller's cframe names as well. Where the two differ nothing is believed, and the sample
 * says so: EV_STACK_UNSETTLED. (v3.11.7, v3.12.1: Python/ceval.c, Python/bytecodes.c YIELD_VALUE.)
 *
 * The garbage collector is no frame, but is put among them. An interpreter says that it collects, in
 * `collecting`, and since 3.15 which frame started that: the collector stands on it, below what Python
 * code it calls (finalizers, callbacks of weak references and of the gc module), and no other thread's
 * stack has that frame. Before, whose collection it is is not said: `collecting` stays set while such
 * code runs, and lets the GIL go, and another thread takes it. So all that the leaf says is: the GIL's
 * holder ran during a collection. A free-threaded build says which thread it is that stops all
 * others; the collector does, but while it calls Python code, and when it frees at the end.
 *
 * A code object's address is reused as soon as it is freed. Each frame carries a check over what
 * makes the code object this one: its name, file, first line and line table, and co_version, which
 * is new for every code object, or before 3.12 the hash of its name. The check is part of the
 * stack's hash: a reused address makes a new stack, whose names are copied anew.
 */
#ifndef UNCOIL_WALK_BPF_H
#define UNCOIL_WALK_BPF_H

#include "check.h"
#include "tstate.bpf.h"

static __always_inline __u64 frame_u64(const struct scratch *s, __u32 off)
{
	__u32 at = s->frame + off;

	return at <= PY_WINDOW_MAX - 8 ? *(const __u64 *)(s->window + at) : 0;
}

static __always_inline __u8 frame_u8(const struct scratch *s, __u32 off)
{
	__u32 at = s->frame + off;

	return at < PY_WINDOW_MAX ? s->window[at] : 0;
}

static __always_inline __u64 code_u64(const struct scratch *s, __u32 off)
{
	barrier_var(off); /* checked as it is used: verifiers before 6.9 lose a copy's bounds */
	return off <= PY_CODE_READ_MAX - 8 ? *(const __u64 *)(s->code + off) : 0;
}

static __always_inline __u32 code_u32(const struct scratch *s, __u32 off)
{
	barrier_var(off); /* checked as it is used: verifiers before 6.9 lose a copy's bounds */
	return off <= PY_CODE_READ_MAX - 4 ? *(const __u32 *)(s->code + off) : 0;
}

/* Address of the GIL's struct that this thread state takes; 0 = there is none. */
static __always_inline __u64 gil_find(const struct scratch *s, __u64 tstate)
{
	const struct py_cfg *cfg = &s->cfg;
	__u64 interp = 0, gil = 0;

	if (cfg->runtime_gil)
		return cfg->runtime + cfg->runtime_gil;
	if (tstate <= 1 || !cfg->interp_gil || user_u64(&interp, tstate + cfg->tstate_interp) ||
	    user_u64(&gil, interp + cfg->interp_gil))
		return 0;
	return gil;
}

/* Does this thread state hold the GIL? `last_holder` stays when the GIL is let go: `locked` tells. */
static __always_inline bool holds_gil(const struct scratch *s, __u64 tstate)
{
	__u64 gil = gil_find(s, tstate), holder = 0;
	__u32 locked = 0;

	return gil && !user_u64(&holder, gil + s->cfg.gil_holder) && holder == tstate &&
	       !bpf_probe_read_user(&locked, sizeof(locked), (void *)(gil + s->cfg.gil_locked)) &&
	       locked == 1;
}

/* Is this thread in the garbage collector? Into s->gc_frame or s->gc_leaf, for the next walk(); the
 * thread state is loaded. One read, where it could be. */
SHARED int gc_look(__u64 tstate)
{
	struct scratch *s = scratch_here();
	__u64 words[PY_COLLECTING_READ / 8], at, interp, stopper = 0;
	const struct py_cfg *cfg;

	if (!s)
		return 0;
	cfg = &s->cfg;
	s->gc_frame = 0;
	s->gc_leaf = 0;
	if (tstate <= 1 || (!cfg->collecting_frame && !tstate_is_current(s)))
		return 0;
	interp = tstate_u64(s, cfg->tstate_interp);
	if (cfg->runtime_collecting)
		at = cfg->runtime + cfg->runtime_collecting;
	else if (cfg->interp_collecting)
		at = interp + cfg->interp_collecting;
	else
		return 0;
	if (target_words(s, words, at, PY_COLLECTING_READ / 8) || !(__u32)words[0])
		return 0;
	if (cfg->collecting_frame && words[1])
		s->gc_frame = words[1];
	else if (!cfg->interp_stopper)
		s->gc_leaf = holds_gil(s, tstate) ? EV_CHECK_GC_DURING : 0;
	else if (!user_u64(&stopper, interp + cfg->interp_stopper) && stopper == tstate)
		s->gc_leaf = EV_CHECK_GC;
	return 0;
}

#ifdef DIRECT
/* code_sum() without s->code; 0 = not to be had in this way, or none. */
static __always_inline __u32 code_sum_direct(struct scratch *s, __u64 code)
{
	const struct py_cfg *cfg = &s->cfg;
	__u64 hash = CHECK_SEED, name, word;
	struct page page, name_page;

	page_find(s, &page, code);
	if (!page.entry_at || !page_has(code, cfg->code_read + 4) ||
	    page_u64(&page, code + cfg->object_type) != cfg->code_type)
		return 0;
	name = page_u64(&page, code + cfg->code_name);
	hash = check_mix(hash, (__u32)page_u64(&page, code + cfg->code_firstlineno));
	hash = check_mix(hash, page_u64(&page, code + cfg->code_filename));
	hash = check_mix(hash, name);
	if (cfg->code_qualname)
		hash = check_mix(hash, page_u64(&page, code + cfg->code_qualname));
	hash = check_mix(hash, page_u64(&page, code + cfg->code_linetable));
	if (cfg->code_version) {
		word = (__u32)page_u64(&page, code + cfg->code_version);
	} else {
		name += cfg->str_hash;
		page_find(s, &name_page, name);
		if (!name_page.entry_at || !page_has(name, 8))
			return 0;
		word = page_u64(&name_page, name);
		if (!direct_holds(&name_page))
			return 0;
	}
	return direct_holds(&page) ? check_end(check_mix(hash, word)) : 0;
}
#else
static __always_inline __u32 code_sum_direct(struct scratch *s, __u64 code)
{
	return 0;
}
#endif

/* Sums up the code object at `code`; 0 = it is none. Where there are copies of the bytecode it is in
 * s->code then. */
static __always_inline __u32 code_sum(struct scratch *s, __u64 code)
{
	const struct py_cfg *cfg = &s->cfg;
	__u64 hash = CHECK_SEED, name, word = 0;
	__u32 len = cfg->code_read, sum;

	sum = cfg->code_tlbc ? 0 : code_sum_direct(s, code);
	if (sum)
		return sum;
	if (len > PY_CODE_READ_MAX || bpf_probe_read_user(s->code, len, (void *)code))
		return 0;
	if (code_u64(s, cfg->object_type) != cfg->code_type)
		return 0;
	name = code_u64(s, cfg->code_name);
	hash = check_mix(hash, code_u32(s, cfg->code_firstlineno));
	hash = check_mix(hash, code_u64(s, cfg->code_filename));
	hash = check_mix(hash, name);
	if (cfg->code_qualname)
		hash = check_mix(hash, code_u64(s, cfg->code_qualname));
	hash = check_mix(hash, code_u64(s, cfg->code_linetable));
	if (cfg->code_version)
		word = code_u32(s, cfg->code_version);
	else
		user_u64(&word, name + cfg->str_hash);
	return check_end(check_mix(hash, word));
}

/* Makes s->frame name the frame at `at`: in the window already, or by a read that also takes what
 * lies below it in the same page (which is there if the frame is). */
static __always_inline int frame_load(struct scratch *s, __u64 at)
{
	__u32 len = s->cfg.frame_read, size;
	__u64 start = at;

	if (len > PY_FRAME_READ_MAX)
		return -EINVAL;
	if (at >= s->window_start && at + len <= s->window_end) {
		s->frame = at - s->window_start;
		return 0;
	}
	if (s->cfg.flags & PY_CFG_FRAME_STACK) {
		start = at & ~(__u64)4095;
		if (at - start > PY_WINDOW_MAX - PY_FRAME_READ_MAX)
			start = at - (PY_WINDOW_MAX - PY_FRAME_READ_MAX);
	}
	size = at + len - start;
	s->window_end = 0;
	if (size > PY_WINDOW_MAX || bpf_probe_read_user(s->window, size, (void *)start))
		return -EFAULT;
	s->window_start = start;
	s->window_end = at + len;
	s->frame = at - start;
	return 0;
}

/* A frame that began a cframe was passed. False: it does not fit the cframe before, nothing does. */
static __always_inline int entry_fits(struct scratch *s, __u64 previous)
{
	if (s->entry_due && previous != s->entry_previous) {
		s->why = EV_STACK_UNSETTLED;
		return 0;
	}
	s->entry_due = 0;
	return 1;
}

/* Where the bytecode begins that this frame runs: a free-threaded build gives each thread its own
 * copy (Include/cpython/code.h, _PyCodeArray; index 0 is the code object's own). 0 = not readable. */
static __always_inline __u64 bytecode_start(const struct scratch *s, __u64 code)
{
	const struct py_cfg *cfg = &s->cfg;
	__u64 start = code + cfg->code_start;
	__u32 index;

	if (!cfg->code_tlbc)
		return start;
	index = (__u32)frame_u64(s, cfg->frame_tlbc);
	if (index && user_u64(&start, code_u64(s, cfg->code_tlbc) + 8 + (__u64)index * 8))
		return 0;
	return start;
}

/* The collector, as what runs above the frames that follow. */
static __always_inline void gc_add(struct scratch *s, __u32 check)
{
	__u32 n = s->stack.frame_cnt;

	s->gc_frame = 0;
	if (n >= EV_FRAMES_MAX)
		return; /* the walk ends here, truncated */
	s->stack.frames[n].code = 0;
	s->stack.frames[n].lasti = 0;
	s->stack.frames[n].check = check;
	s->stack.frame_cnt = n + 1;
	s->stack.flags |= EV_STACK_GC;
	s->hash = check_mix(s->hash, check);
}

/* One frame; 1 = the walk is over. */
TURN int walk_step(void)
{
	struct scratch *s = scratch_here();
	const struct py_cfg *cfg;
	__u64 code, instr, previous, start;
	__u32 n, check, lasti;

	if (!s || !s->at)
		return 1;
	cfg = &s->cfg;
	if (s->at == s->gc_frame)
		gc_add(s, EV_CHECK_GC);
	n = s->stack.frame_cnt;
	if (n >= EV_FRAMES_MAX) {
		s->why = EV_STACK_TRUNCATED;
		return 1;
	}
	if (frame_load(s, s->at)) {
		s->why = EV_STACK_UNREADABLE;
		return 1;
	}
	previous = frame_u64(s, cfg->frame_previous);
	if ((cfg->flags & PY_CFG_FRAME_OWNER) &&
	    frame_u8(s, cfg->frame_owner) >= cfg->frame_owner_skip) {
		s->at = previous;
		return !entry_fits(s, previous);
	}
	code = frame_u64(s, cfg->frame_code) & ~(__u64)cfg->frame_code_tags;
	if (code != s->code_last && s->changes++ >= EV_CHANGES_MAX) {
		s->why = EV_STACK_TRUNCATED;
		return 1;
	}
	check = code == s->code_last ? s->check_last : code_sum(s, code);
	if (!check) {
		s->why = EV_STACK_UNREADABLE;
		return 1;
	}
	s->code_last = code;
	s->check_last = check;
	instr = frame_u64(s, cfg->frame_instr);
	lasti = (__u32)instr;
	if (cfg->flags & PY_CFG_INSTR_IS_PTR) {
		start = bytecode_start(s, code);
		lasti = start ? (__u32)(instr - start) : EV_LASTI_NONE;
	}
	if (async_tasks) {
		s->ats[n] = s->at;
		s->at_cnt = n + 1;
	}
	s->stack.frames[n].code = code;
	s->stack.frames[n].lasti = lasti;
	s->stack.frames[n].check = check;
	s->stack.frame_cnt = n + 1;
	s->hash = check_mix(s->hash, code);
	s->hash = check_mix(s->hash, ((__u64)check << 32) | lasti);
	s->at = previous;
	return cfg->frame_is_entry && frame_u8(s, cfg->frame_is_entry) && !entry_fits(s, previous);
}

static long walk_turn(__u32 i, void *unused)
{
	return walk_step() ? 1 : 0; /* the verifier wants to see 0 or 1 */
}

/* All frames from s->at on: one more than fits, so that a stack of exactly EV_FRAMES_MAX is not
 * "truncated"; shims of the C stack take turns with frames at worst. */
SHARED int walk_frames(void)
{
	loop_each(2 * EV_FRAMES_MAX + 1, walk_turn, NULL);
	return 0;
}

/* Where the C stack of the thread is that was in user mode with this stack pointer, for the next
 * walk(). Above a thread's stack are its thread-locals, where FS points; the first thread's stack is
 * above everything else. */
static __always_inline void stack_is(struct scratch *s, __u64 sp)
{
	__u64 top = current_thread_id();

	s->sp = sp;
	s->stack_top = sp < top ? top : ~0ULL;
}

/* The current frame by way of the cframe, and what the walk will check it against; 0, or the flag that
 * says why not. */
static __always_inline __u32 cframe_read(struct scratch *s, __u64 cframe, __u64 *ret_frame)
{
	__u64 both[2], at = cframe + s->cfg.cframe_current_frame; /* current_frame, previous */

	if (target_words(s, both, at, 2))
		return EV_STACK_UNREADABLE;
	*ret_frame = both[0];
	if (!both[0])
		return 0; /* no frames: the thread's first cframe, or a new greenlet's */
	if (!both[1] ||
	    target_words(s, &s->entry_previous, both[1] + s->cfg.cframe_current_frame, 1))
		return EV_STACK_UNSETTLED;
	s->entry_due = 1;
	return 0;
}

static __always_inline __u32 frame_begin(struct scratch *s, __u64 tstate)
{
	__u64 frame;
	__u32 flag = 0;

	s->at = 0;
	s->entry_due = 0;
	s->window_end = 0; /* another tick's */
	if (tstate <= 1)
		return tstate ? EV_STACK_NOT_SEARCHED : EV_STACK_NO_TSTATE;
	frame = tstate_u64(s, s->cfg.tstate_frame);
	if ((s->cfg.flags & PY_CFG_CFRAME) && frame)
		flag = cframe_read(s, frame, &frame);
	s->at = flag ? 0 : frame;
	return flag;
}

/* The thread's current frame into s->at; 0, or the flag that says why not. */
SHARED __u32 frame_first(__u64 tstate)
{
	struct scratch *s = scratch_here();

	return s ? frame_begin(s, tstate) : EV_STACK_UNREADABLE;
}

/* Fills s->stack's frames, flags and hash. */
SHARED int walk(__u64 tstate)
{
	struct scratch *s = scratch_here();
	__u64 begin;

	if (!s)
		return 0;
	begin = s->hash;
	s->code_last = 0;
	s->changes = 0;
	s->at_cnt = 0;
	s->why = frame_begin(s, tstate);
	if (s->gc_leaf && !s->why)
		gc_add(s, s->gc_leaf);
	if (!s->why)
		walk_frames();
	if (s->entry_due && (!s->at || (s->why & ~EV_STACK_TRUNCATED)))
		s->why = EV_STACK_UNSETTLED;
	if (s->why & EV_STACK_UNSETTLED) {
		s->stack.frame_cnt = 0;
		s->stack.flags &= ~EV_STACK_GC;
		s->at_cnt = 0;
		s->hash = begin;
	}
	if (s->at && !s->why)
		s->why = EV_STACK_TRUNCATED;
	if (s->stack.frame_cnt == !!(s->stack.flags & EV_STACK_GC) && !s->why)
		s->why = EV_STACK_NO_FRAME;
	s->stack.flags |= s->why;
	return 0;
}

#endif
