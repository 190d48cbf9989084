/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The walk: from the current thread to its Python frames.
 *
 *	_PyRuntime -> interpreters -> thread states -> current frame -> previous -> ...
 *
 * The thread is found by thread_id, which is pthread_self(), which is the FS base: it needs no
 * pid-namespace arithmetic and exists in every version. It is searched once per thread; after that
 * the remembered thread state is asked whether it still says so.
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
 * A code object's address is reused as soon as it is freed. Each frame carries a check over what
 * makes the code object this one: its name, file, first line and line table, and co_version, which
 * is new for every code object, or before 3.12 the hash of its name. The check is part of the
 * stack's hash: a reused address makes a new stack, whose names are copied anew.
 */
#ifndef UNCOIL_WALK_BPF_H
#define UNCOIL_WALK_BPF_H

#include "check.h"
#include "emit.bpf.h"

#include <vmlinux.h>

#include <bpf/bpf_core_read.h>

#define TSTATES_MAX 512 /* thread states looked at to find the current thread's */

#ifndef EINVAL
#define EINVAL 22
#define EFAULT 14
#endif

static __always_inline int user_u64(__u64 *ret, __u64 addr)
{
	return bpf_probe_read_user(ret, sizeof(*ret), (void *)addr);
}

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
	return off <= PY_CODE_READ_MAX - 8 ? *(const __u64 *)(s->code + off) : 0;
}

static __always_inline __u32 code_u32(const struct scratch *s, __u32 off)
{
	return off <= PY_CODE_READ_MAX - 4 ? *(const __u32 *)(s->code + off) : 0;
}

/* pthread_self() of the current thread. The one place that knows the architecture. */
static __always_inline __u64 current_thread_id(void)
{
#if defined(__TARGET_ARCH_x86)
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, thread.fsbase);
#else
#error "thread identity is not known for this architecture"
#endif
}

static __always_inline struct scratch *scratch_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratches, &zero);
}

/* One thread state, or one step to the next interpreter; 1 = stop, s->tstate is the answer. */
__noinline int tstate_step(void)
{
	struct scratch *s = scratch_here();
	__u64 thread_id = 0;

	if (!s)
		return 1;
	if (!s->tstate) {
		if (!s->interp)
			return 1;
		if (user_u64(&s->tstate, s->interp + s->cfg.interp_threads_head) ||
		    user_u64(&s->interp, s->interp + s->cfg.interp_next)) {
			s->tstate = 0;
			return 1;
		}
		return 0;
	}
	if (user_u64(&thread_id, s->tstate + s->cfg.tstate_thread_id)) {
		s->tstate = 0;
		return 1;
	}
	if (thread_id == s->thread_id)
		return 1;
	if (user_u64(&s->tstate, s->tstate + s->cfg.tstate_next)) {
		s->tstate = 0;
		return 1;
	}
	return 0;
}

static long tstate_turn(__u32 i, void *found)
{
	if (!tstate_step())
		return 0;
	*(int *)found = 1;
	return 1;
}

/* Address of the current thread's PyThreadState, 0 if it has none, 1 if more than TSTATES_MAX had to
 * be searched: the next tick goes on where this one stopped. The list may have changed by then; what
 * is found must still name this thread, and what is not there any more cannot be read. */
static __always_inline __u64 tstate_find(struct scratch *s, struct thread *thread)
{
	const struct py_cfg *cfg = &s->cfg;
	__u64 thread_id = 0;
	int found = 0;

	if (thread->tstate && !user_u64(&thread_id, thread->tstate + cfg->tstate_thread_id) &&
	    thread_id == thread->thread_id)
		return thread->tstate;
	thread->thread_id = current_thread_id();
	thread->tstate = 0;
	s->thread_id = thread->thread_id;
	s->interp = thread->search_interp;
	s->tstate = thread->search_tstate;
	if (!s->thread_id || (!s->interp && !s->tstate &&
			      user_u64(&s->interp, cfg->runtime + cfg->runtime_interpreters_head)))
		return 0;
	loop_each(TSTATES_MAX, tstate_turn, &found);
	if (!found) {
		thread->search_interp = s->interp;
		thread->search_tstate = s->tstate;
		return 1;
	}
	thread->search_interp = thread->search_tstate = 0;
	thread->tstate = s->tstate;
	return s->tstate;
}

/* Reads the code object at `code` into s->code and sums it up; 0 = it is none. */
static __always_inline __u32 code_sum(struct scratch *s, __u64 code)
{
	const struct py_cfg *cfg = &s->cfg;
	__u32 len = cfg->code_read;
	__u64 hash = CHECK_SEED, name, word = 0;

	if (len > PY_CODE_READ_MAX || bpf_probe_read_user(s->code, len, (void *)code))
		return 0;
	if (code_u64(s, 8) != cfg->code_type)
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
		s->stack.flags = EV_STACK_UNSETTLED;
		return 0;
	}
	s->entry_due = 0;
	return 1;
}

/* One frame; 1 = the walk is over. */
__noinline int walk_step(void)
{
	struct scratch *s = scratch_here();
	const struct py_cfg *cfg;
	__u64 code, instr, previous;
	__u32 n, check, lasti;

	if (!s || !s->at)
		return 1;
	cfg = &s->cfg;
	n = s->stack.frame_cnt;
	if (n >= EV_FRAMES_MAX) {
		s->stack.flags |= EV_STACK_TRUNCATED;
		return 1;
	}
	if (frame_load(s, s->at)) {
		s->stack.flags |= EV_STACK_UNREADABLE;
		return 1;
	}
	previous = frame_u64(s, cfg->frame_previous);
	if ((cfg->flags & PY_CFG_FRAME_OWNER) &&
	    frame_u8(s, cfg->frame_owner) >= cfg->frame_owner_skip) {
		s->at = previous;
		return !entry_fits(s, previous);
	}
	code = frame_u64(s, cfg->frame_code);
	if (code != s->code_last && s->changes++ >= EV_CHANGES_MAX) {
		s->stack.flags |= EV_STACK_TRUNCATED;
		return 1;
	}
	check = code == s->code_last ? s->check_last : code_sum(s, code);
	if (!check) {
		s->stack.flags |= EV_STACK_UNREADABLE;
		return 1;
	}
	s->code_last = code;
	s->check_last = check;
	instr = frame_u64(s, cfg->frame_instr);
	lasti = cfg->flags & PY_CFG_INSTR_IS_PTR ? (__u32)(instr - code - cfg->code_start)
						 : (__u32)instr;
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

/* The current frame by way of the cframe, and what the walk will check it against; 0 or -EFAULT. */
static __always_inline int cframe_read(struct scratch *s, __u64 cframe, __u64 *ret_frame)
{
	__u64 both[2], at = cframe + s->cfg.cframe_current_frame; /* current_frame, previous */

	if (bpf_probe_read_user(both, sizeof(both), (void *)at))
		return -EFAULT;
	*ret_frame = both[0];
	if (!both[0])
		return 0; /* no frames: the thread's first cframe, or a new greenlet's */
	if (!both[1] || user_u64(&s->entry_previous, both[1] + s->cfg.cframe_current_frame))
		s->stack.flags = EV_STACK_UNSETTLED;
	s->entry_due = 1;
	return 0;
}

/* Fills s->stack's frames, flags and hash. */
static __always_inline void walk(struct scratch *s, struct thread *thread)
{
	const struct py_cfg *cfg = &s->cfg;
	__u64 tstate = tstate_find(s, thread), frame = 0;

	s->entry_due = 0;
	if (tstate <= 1) {
		s->stack.flags = tstate ? EV_STACK_NOT_SEARCHED : EV_STACK_NO_TSTATE;
		return;
	}
	if (user_u64(&frame, tstate + cfg->tstate_frame) ||
	    ((cfg->flags & PY_CFG_CFRAME) && frame && cframe_read(s, frame, &frame))) {
		s->stack.flags = EV_STACK_UNREADABLE;
		return;
	}
	s->at = s->stack.flags ? 0 : frame;
	s->window_end = 0; /* another tick's */
	s->code_last = 0;
	s->changes = 0;
	/* one more than fits, so that a stack of exactly EV_FRAMES_MAX is not "truncated"; shims of
	 * the C stack take turns with frames at worst */
	loop_each(2 * EV_FRAMES_MAX + 1, walk_turn, NULL);
	if (s->entry_due && (!s->at || (s->stack.flags & ~EV_STACK_TRUNCATED)))
		s->stack.flags = EV_STACK_UNSETTLED;
	if (s->stack.flags & EV_STACK_UNSETTLED) {
		s->stack.frame_cnt = 0;
		s->hash = hash_seed;
	}
	if (s->at && !s->stack.flags)
		s->stack.flags = EV_STACK_TRUNCATED;
	if (!s->stack.frame_cnt && !s->stack.flags)
		s->stack.flags = EV_STACK_NO_FRAME;
}

#endif
