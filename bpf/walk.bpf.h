/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The walk: from the current thread to its Python frames.
 *
 *	_PyRuntime -> interpreters -> thread states -> current frame -> previous -> ...
 *
 * The thread is found by thread_id, which is pthread_self(), which is the FS base: it needs no
 * pid-namespace arithmetic and exists in every version. It is searched once per thread; after that
 * the remembered thread state is asked whether it still says so. That a thread has none - it is no
 * Python thread - is remembered too, for NONE_NS, and only newer ones are looked at meanwhile: they
 * go to the list's head.
 *
 * A thread may have several thread states, one in each interpreter that it has run code of, and the
 * others' frames lie still: only the current one is the answer. Since 3.12 a thread state says so
 * itself (_status.active); before, one GIL for all knows its holder (gilstate.tstate_current). A
 * thread that runs C code without the GIL has no current thread state: it is the innermost that it
 * will come back to - the first one with frames in the interpreters' order, which is newest first.
 *
 * thread_id is that of the thread that made the thread state, which may not be the one that runs it
 * (uWSGI's threads in its second application; _xxsubinterpreters before 3.12). From 3.10 to 3.12 a
 * thread state that runs points to the C stack, and the stack tells whose it is.
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

#include "arch.bpf.h"
#include "check.h"
#include "emit.bpf.h"

#define TSTATES_MAX 512          /* thread states looked at to find the current thread's */
#define YOUNG_NS    1000000ULL   /* of CPU time: a thread has not begun to run Python before */
#define NONE_NS     100000000ULL /* how long a thread is believed to have none among the old ones */

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

static __always_inline struct scratch *scratch_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratches, &zero);
}

static __always_inline int tstate_load(struct scratch *s, __u64 tstate)
{
	__u32 len = s->cfg.tstate_read;

	s->loaded = 0;
	if (len > PY_TSTATE_READ_MAX || bpf_probe_read_user(s->tstate_raw, len, (void *)tstate))
		return -EFAULT;
	s->loaded = tstate;
	return 0;
}

static __always_inline __u64 tstate_u64(const struct scratch *s, __u32 off)
{
	return off <= PY_TSTATE_READ_MAX - 8 ? *(const __u64 *)(s->tstate_raw + off) : 0;
}

/* Of the thread state that is loaded: is it run on this thread's C stack? 1 = yes, -1 = on another,
 * 0 = nothing tells. (Idle, it points into itself: root_cframe.) */
static __always_inline int tstate_here(const struct scratch *s)
{
	__u64 cframe;

	if (!s->cfg.tstate_cframe || !s->sp)
		return 0;
	cframe = tstate_u64(s, s->cfg.tstate_cframe);
	if (cframe - s->loaded < 4096)
		return 0;
	return cframe >= s->sp && cframe < s->stack_top ? 1 : -1;
}

static __always_inline int tstate_names_me(const struct scratch *s)
{
	return tstate_u64(s, s->cfg.tstate_thread_id) == s->thread_id;
}

static __always_inline int tstate_is_current(const struct scratch *s)
{
	const struct py_cfg *cfg = &s->cfg;

	if (cfg->tstate_active)
		return !!((__u32)tstate_u64(s, cfg->tstate_status) & cfg->tstate_active);
	return s->loaded == s->current;
}

static __always_inline int tstate_frame(const struct scratch *s, __u64 *ret_frame)
{
	*ret_frame = tstate_u64(s, s->cfg.tstate_frame);
	if ((s->cfg.flags & PY_CFG_CFRAME) && *ret_frame)
		return user_u64(ret_frame, *ret_frame + s->cfg.cframe_current_frame);
	return 0;
}

/* How surely the thread state that is loaded is the one that this thread will come back to. */
enum { RANK_NOT, RANK_ELSEWHERE, RANK_IDLE, RANK_RUNS };

static __always_inline int tstate_rank(const struct scratch *s, int here)
{
	__u64 frame = 0;

	if (here <= 0 && !tstate_names_me(s))
		return RANK_NOT;
	if (here < 0)
		return RANK_ELSEWHERE;
	return !tstate_frame(s, &frame) && frame ? RANK_RUNS : RANK_IDLE;
}

/* One thread state, or one step to the next interpreter; 1 = stop, s->tstate is the current one or
 * 0, and then s->best the one that it may be; 2 = no more may be looked at now. */
SHARED int tstate_step(void)
{
	struct scratch *s = scratch_here();
	int here, rank;

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
	if (!s->tstates_left)
		return 2;
	s->tstates_left--;
	s->torn = s->tstate != s->none_at && tstate_load(s, s->tstate);
	if (s->torn || s->tstate == s->none_at) {
		s->tstate = 0;
		return 1;
	}
	here = tstate_here(s);
	rank = tstate_rank(s, here);
	if (rank > RANK_ELSEWHERE && tstate_is_current(s))
		return 1;
	if (rank > (int)s->best_rank) {
		s->best_rank = rank;
		s->best = s->loaded;
	}
	/* an interpreter has one for each thread, and this is the last interpreter */
	if (!s->interp && s->best && rank != RANK_NOT) {
		s->tstate = 0;
		return 1;
	}
	s->tstate = tstate_u64(s, s->cfg.tstate_next);
	return 0;
}

static long tstate_turn(__u32 i, void *found)
{
	int stop = tstate_step();

	if (!stop)
		return 0;
	*(int *)found = stop == 1;
	return 1;
}

/* Looks at as many as may be; 1 = came to an end (tstate_step). A function of its own, as all that
 * loop, so that a verifier which follows plain loops does so once, not for each way that leads here. */
SHARED int tstates_look(void)
{
	int found = 0;

	loop_each(TSTATES_MAX, tstate_turn, &found);
	return found;
}

/* Are there other interpreters than the main one? `main` follows `head`, which is the newest (struct
 * pyinterpreters, v3.8 to v3.15 Include/internal/pycore_runtime*.h). */
static __always_inline int interps_many(const struct scratch *s)
{
	__u64 head_main[2];

	return bpf_probe_read_user(head_main, sizeof(head_main),
				   (void *)(s->cfg.runtime + s->cfg.runtime_interpreters_head)) ||
	       head_main[0] != head_main[1];
}

/* Is the thread state that is loaded still in its interpreter's list? One that was freed looks like it
 * did. `prev` lies before `next` in every version (Include/cpython/pystate.h). */
static __always_inline int tstate_is_linked(const struct scratch *s)
{
	__u64 prev = tstate_u64(s, s->cfg.tstate_next - 8), back = 0, interp = 0;

	if (prev)
		return !user_u64(&back, prev + s->cfg.tstate_next) && back == s->loaded;
	return !user_u64(&interp, s->loaded + s->cfg.tstate_interp) &&
	       !user_u64(&back, interp + s->cfg.interp_threads_head) && back == s->loaded;
}

/* The thread state that is loaded is this thread's. */
static __always_inline __u64 tstate_take(struct scratch *s, struct thread_seen *thread)
{
	thread->none_head = 0;
	thread->tstate = s->loaded;
	thread->tstate_id = tstate_u64(s, s->cfg.tstate_thread_id);
	return s->loaded;
}

/* A thread that is born may have a thread state that does not name it yet: all are looked at each time. */
static __always_inline bool is_young(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, se.sum_exec_runtime) < YOUNG_NS;
}

/* Where to look for the thread's state: from the newest on, or where the last search stopped. False: it
 * has none, as was found out lately. */
static __always_inline bool search_begin(struct scratch *s, struct thread_seen *thread)
{
	const struct py_cfg *cfg = &s->cfg;
	__u64 head = 0;

	s->tstates_left = thread->tstate || is_young() ? TSTATES_MAX : s->tstates_max;
	s->torn = 0;
	s->none_at = 0;
	if (thread->none_head && (thread->none_sp || !s->sp) &&
	    bpf_ktime_get_ns() < thread->none_end_ns)
		s->none_at = thread->none_head;
	s->interp = thread->search_interp;
	s->tstate = thread->search_tstate;
	if (s->interp || s->tstate)
		return true;
	if (user_u64(&s->interp, cfg->runtime + cfg->runtime_interpreters_head) ||
	    (s->interp && user_u64(&head, s->interp + cfg->interp_threads_head)))
		return false;
	thread->search_head = head;
	return !s->none_at || head != s->none_at;
}

/* None of them is this thread's. Where only newer ones were looked at, that holds no longer than before. */
static __always_inline void none_remember(const struct scratch *s, struct thread_seen *thread)
{
	if (is_young())
		return;
	if (!s->none_at) {
		thread->none_end_ns = bpf_ktime_get_ns() + NONE_NS;
		thread->none_sp = s->sp || !s->cfg.tstate_cframe;
	}
	thread->none_head = thread->search_head;
}

/* Address of the current thread's PyThreadState, which is loaded then; 0 if it has none, 1 if more
 * had to be searched than may be at a time: the next tick or switch goes on where this one stopped. The list may
 * have changed by then; what is found must still name this thread, and what is not there any more
 * cannot be read. */
static __always_inline __u64 tstate_find(struct scratch *s, struct thread_seen *thread)
{
	const struct py_cfg *cfg = &s->cfg;
	int found;

	s->thread_id = thread->thread_id;
	s->best = s->current = 0;
	s->best_rank = RANK_NOT;
	if (cfg->runtime_tstate_current)
		user_u64(&s->current, cfg->runtime + cfg->runtime_tstate_current);
	if (thread->tstate && !tstate_load(s, thread->tstate) &&
	    tstate_u64(s, cfg->tstate_thread_id) == thread->tstate_id) {
		if (tstate_is_current(s) && tstate_here(s) >= 0)
			return thread->tstate;
	} else {
		thread->tstate = 0;
		s->thread_id = thread->thread_id = current_thread_id();
	}
	if (s->current && !tstate_load(s, s->current) &&
	    tstate_rank(s, tstate_here(s)) > RANK_ELSEWHERE)
		return tstate_take(s, thread);
	/* one that waits is nobody's current one; it is its thread's only one if there is but one
	 * interpreter */
	if (thread->tstate && !interps_many(s) && !tstate_load(s, thread->tstate) &&
	    tstate_is_linked(s))
		return thread->tstate;
	if (!s->thread_id || !search_begin(s, thread))
		return 0;
	found = tstates_look();
	/* too many to be searched: what was its thread state is better than none */
	if (!found && !s->best && !thread->tstate) {
		thread->search_interp = s->interp;
		thread->search_tstate = s->tstate;
		return !thread->none_head; /* it had none, and the newest are not its */
	}
	thread->search_interp = thread->search_tstate = 0;
	if (found && !s->best && !s->tstate && !s->torn)
		none_remember(s, thread);
	if (found && s->tstate)
		return tstate_take(s, thread);
	if (found || s->best)
		thread->tstate = s->best;
	if (!thread->tstate || (s->loaded != thread->tstate && tstate_load(s, thread->tstate)))
		return thread->tstate = 0;
	return tstate_take(s, thread);
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

/* Reads the code object at `code` into s->code and sums it up; 0 = it is none. */
static __always_inline __u32 code_sum(struct scratch *s, __u64 code)
{
	const struct py_cfg *cfg = &s->cfg;
	__u32 len = cfg->code_read;
	__u64 hash = CHECK_SEED, name, word = 0;

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

/* One frame; 1 = the walk is over. */
SHARED int walk_step(void)
{
	struct scratch *s = scratch_here();
	const struct py_cfg *cfg;
	__u64 code, instr, previous, start;
	__u32 n, check, lasti;

	if (!s || !s->at)
		return 1;
	cfg = &s->cfg;
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

/* One more than fits, so that a stack of exactly EV_FRAMES_MAX is not "truncated"; shims of the C
 * stack take turns with frames at worst. */
SHARED int frames_walk(void)
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

	if (bpf_probe_read_user(both, sizeof(both), (void *)at))
		return EV_STACK_UNREADABLE;
	*ret_frame = both[0];
	if (!both[0])
		return 0; /* no frames: the thread's first cframe, or a new greenlet's */
	if (!both[1] || user_u64(&s->entry_previous, both[1] + s->cfg.cframe_current_frame))
		return EV_STACK_UNSETTLED;
	s->entry_due = 1;
	return 0;
}

/* The thread's current frame into s->at; 0, or the flag that says why not. */
static __always_inline __u32 frame_first(struct scratch *s, __u64 tstate)
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

/* Fills s->stack's frames, flags and hash. */
static __always_inline void walk(struct scratch *s, __u64 tstate)
{
	__u64 begin = s->hash;

	s->code_last = 0;
	s->changes = 0;
	s->why = frame_first(s, tstate);
	if (!s->why)
		frames_walk();
	if (s->entry_due && (!s->at || (s->why & ~EV_STACK_TRUNCATED)))
		s->why = EV_STACK_UNSETTLED;
	if (s->why & EV_STACK_UNSETTLED) {
		s->stack.frame_cnt = 0;
		s->hash = begin;
	}
	if (s->at && !s->why)
		s->why = EV_STACK_TRUNCATED;
	if (!s->stack.frame_cnt && !s->why)
		s->why = EV_STACK_NO_FRAME;
	s->stack.flags |= s->why;
}

#endif
