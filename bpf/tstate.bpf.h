/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From the current thread to its Python thread state.
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
 */
#ifndef UNCOIL_TSTATE_BPF_H
#define UNCOIL_TSTATE_BPF_H

#include "direct.bpf.h"

#define TSTATES_MAX 512          /* thread states looked at to find the current thread's */
#define YOUNG_NS    1000000ULL   /* of CPU time: a thread has not begun to run Python before */
#define NONE_NS     100000000ULL /* how long a thread is believed to have none among the old ones */

static __always_inline struct scratch *scratch_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratches, &zero);
}

#ifdef DIRECT
static __always_inline void tstate_word(struct scratch *s, const struct page *page, __u64 tstate,
					__u32 off)
{
	barrier_var(off); /* as in tstate_u64() */
	if (off <= PY_TSTATE_READ_MAX - 8)
		*(__u64 *)(s->tstate_raw + off) = page_u64(page, tstate + off);
}

/* Those words of it that tstate_u64() is asked for. False: not to be had in this way. */
static __always_inline bool tstate_words(struct scratch *s, __u64 tstate, __u32 len)
{
	const struct py_cfg *cfg = &s->cfg;
	struct page page;

	page_find(s, &page, tstate);
	if (!page.entry_at || !page_has(tstate, len))
		return false;
	tstate_word(s, &page, tstate, cfg->tstate_thread_id);
	tstate_word(s, &page, tstate, cfg->tstate_frame);
	tstate_word(s, &page, tstate, cfg->tstate_interp);
	tstate_word(s, &page, tstate, cfg->tstate_next);
	tstate_word(s, &page, tstate, cfg->tstate_next - 8);
	if (cfg->tstate_active)
		tstate_word(s, &page, tstate, cfg->tstate_status);
	if (cfg->tstate_cframe)
		tstate_word(s, &page, tstate, cfg->tstate_cframe);
	return direct_holds(&page);
}
#else
static __always_inline bool tstate_words(struct scratch *s, __u64 tstate, __u32 len)
{
	return false;
}
#endif

/* Reads a thread state into s->tstate_raw. */
static __always_inline int tstate_read(struct scratch *s, __u64 tstate)
{
	__u32 len = s->cfg.tstate_read;

	s->loaded = 0;
	if (len > PY_TSTATE_READ_MAX)
		return -EFAULT;
	if (!tstate_words(s, tstate, len) &&
	    bpf_probe_read_user(s->tstate_raw, len, (void *)tstate))
		return -EFAULT;
	s->loaded = tstate;
	return 0;
}

SHARED int tstate_load(__u64 tstate)
{
	struct scratch *s = scratch_here();

	return s ? tstate_read(s, tstate) : -EFAULT;
}

/* The first look at the target in a tick or a switch: who holds the GIL, and the thread state that was this
 * thread's. */
SHARED int tstate_open(__u64 tstate)
{
	struct scratch *s = scratch_here();

	if (!s)
		return -EFAULT;
	direct_begin(s);
	s->current = 0;
	if (s->cfg.runtime_tstate_current)
		target_words(s, &s->current, s->cfg.runtime + s->cfg.runtime_tstate_current, 1);
	return tstate ? tstate_read(s, tstate) : -EFAULT;
}

static __always_inline __u64 tstate_u64(const struct scratch *s, __u32 off)
{
	barrier_var(off); /* checked as it is used: verifiers before 6.9 lose a copy's bounds */
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
	s->torn = s->tstate != s->none_at && tstate_read(s, s->tstate);
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

/* Looks at as many as may be; 1 = came to an end (tstate_step). */
SHARED int tstates_look(void)
{
	int found = 0;

	loop_each(TSTATES_MAX, tstate_turn, &found);
	return found;
}

/* Are there other interpreters than the main one? `main` follows `head`, which is the newest (struct
 * pyinterpreters, v3.8 to v3.15 Include/internal/pycore_runtime*.h). */
static __always_inline int interps_many(struct scratch *s)
{
	__u64 head_main[2];

	return target_words(s, head_main, s->cfg.runtime + s->cfg.runtime_interpreters_head, 2) ||
	       head_main[0] != head_main[1];
}

/* Is the thread state that is loaded still in its interpreter's list? One that was freed looks like it
 * did. `prev` lies before `next` in every version (Include/cpython/pystate.h). */
static __always_inline int tstate_is_linked(struct scratch *s)
{
	__u64 prev = tstate_u64(s, s->cfg.tstate_next - 8), back = 0;
	__u64 interp = tstate_u64(s, s->cfg.tstate_interp);

	if (prev)
		return !target_words(s, &back, prev + s->cfg.tstate_next, 1) && back == s->loaded;
	return !target_words(s, &back, interp + s->cfg.interp_threads_head, 1) && back == s->loaded;
}

/* Is this thread state, which is nobody's current one, its thread's only one? It is loaded then. */
SHARED int tstate_waits(__u64 tstate)
{
	struct scratch *s = scratch_here();

	return s && !interps_many(s) && (s->loaded == tstate || !tstate_read(s, tstate)) &&
	       tstate_is_linked(s);
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
	s->best = 0;
	s->best_rank = RANK_NOT;
	if (!tstate_open(thread->tstate) &&
	    tstate_u64(s, cfg->tstate_thread_id) == thread->tstate_id) {
		if (tstate_is_current(s) && tstate_here(s) >= 0)
			return thread->tstate;
	} else {
		thread->tstate = 0;
		s->thread_id = thread->thread_id = current_thread_id();
	}
	if (s->current && !tstate_load(s->current) &&
	    tstate_rank(s, tstate_here(s)) > RANK_ELSEWHERE)
		return tstate_take(s, thread);
	/* one that waits is nobody's current one; it is its thread's only one if there is but one
	 * interpreter */
	if (thread->tstate && tstate_waits(thread->tstate))
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
	if (!thread->tstate || (s->loaded != thread->tstate && tstate_load(thread->tstate)))
		return thread->tstate = 0;
	return tstate_take(s, thread);
}

#endif
