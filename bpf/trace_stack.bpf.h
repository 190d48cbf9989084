/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stacks of open activations, beside the interpreter's own.
 *
 * A thread has one that is its current one: pushed at a begin, popped at an end. It lies in chunks, since
 * a recursion may be 10,000 deep and most threads are 20. What is on it is what tracing saw begin:
 * frames that were open before are not there, and nor are the interpreter's own, nor those of functions
 * that --match leaves out.
 *
 * Each hit says which frame it is of, so the stack never drifts: where the frame on top is not the one
 * that should be there,
 *
 *	- frames above it were left by an exception that no probe saw (3.11, 3.12): they are popped;
 *	- or another greenlet runs: the stack is parked, under the frame on top of it, until that frame
 *	  runs again. A greenlet's frames have a root of their own, so what cannot be reached from the
 *	  running frame is another greenlet's.
 */
#ifndef UNCOIL_TRACE_STACK_BPF_H
#define UNCOIL_TRACE_STACK_BPF_H

#include "bucket.h"
#include "loop.bpf.h"
#include "trace_maps.bpf.h"

#define DEEP_MAX      65536 /* activations that are popped, or looked through, at once */
#define ANCESTORS_MAX 512
#define DEAD_MAX      8 /* activations on top that an ancestor is compared with */

static __always_inline struct trace_chunk *chunk_at(__u32 chunk)
{
	__u32 index = chunk - 1;

	return bpf_map_lookup_elem(&chunks, &index);
}

/* The activation on top; NULL: there is none. */
static __always_inline struct trace_call *stack_top(const struct trace_stack *stack)
{
	struct trace_chunk *chunk;

	if (!stack->depth)
		return NULL;
	chunk = chunk_at(stack->chunk);
	return chunk ? &chunk->calls[(stack->used - 1) & (TRACE_CHUNK_CALLS - 1)] : NULL;
}

/* One step towards the root. */
static __always_inline void stack_down(struct trace_stack *stack)
{
	struct trace_chunk *chunk;

	stack->depth--;
	if (--stack->used || !stack->depth)
		return;
	chunk = chunk_at(stack->chunk);
	stack->chunk = chunk ? chunk->below : 0;
	stack->used = TRACE_CHUNK_CALLS;
}

/* Room for one more on top; NULL: there is none left. */
static __always_inline struct trace_call *stack_push(struct trace_thread *thread)
{
	struct trace_stack *stack = &thread->stack;
	struct trace_chunk *chunk;
	__u32 number;

	if (!stack->chunk || stack->used == TRACE_CHUNK_CALLS) {
		number = thread->spare;
		thread->spare = 0;
		if (!number && bpf_map_pop_elem(&free_chunks, &number))
			return NULL;
		chunk = chunk_at(number);
		if (!chunk)
			return NULL;
		chunk->below = stack->chunk;
		stack->chunk = number;
		stack->used = 0;
	}
	chunk = chunk_at(stack->chunk);
	if (!chunk)
		return NULL;
	stack->used++;
	stack->depth++;
	return &chunk->calls[(stack->used - 1) & (TRACE_CHUNK_CALLS - 1)];
}

/* The one that was freed last stays this thread's: what was in it is read still. */
static __always_inline void chunk_free(struct trace_thread *thread, __u32 number)
{
	__u32 spare = thread->spare;

	thread->spare = number;
	if (spare)
		bpf_map_push_elem(&free_chunks, &spare, BPF_ANY);
}

static __always_inline void stack_pop(struct trace_thread *thread)
{
	struct trace_stack *stack = &thread->stack;
	struct trace_chunk *chunk;
	__u32 number = stack->chunk;

	stack->depth--;
	if (--stack->used)
		return;
	chunk = chunk_at(number);
	stack->chunk = chunk ? chunk->below : 0;
	stack->used = stack->chunk ? TRACE_CHUNK_CALLS : 0;
	chunk_free(thread, number);
}

static __always_inline __u16 *active_of(struct trace_thread *thread, __u32 func)
{
	return &thread->active[func & (TRACE_ACTIVE - 1)];
}

struct search {
	struct trace_stack at; /* the activation that is looked at is on its top */
	__u64 frame;           /* what is looked for: this frame, or */
	__u32 func;            /* this function; */
	__u32 steps;           /* found so many below the top, or */
	__u32 found;           /* 0: not */
	__u32 pad;
};

static long search_turn(__u32 i, void *data)
{
	struct search *s = data;
	struct trace_call *call = stack_top(&s->at);

	if (!call)
		return 1;
	if (s->func ? call->func == s->func : call->frame == s->frame) {
		s->found = 1;
		return 1;
	}
	stack_down(&s->at);
	s->steps++;
	return 0;
}

static __noinline int stack_search(struct search *s)
{
	loop_each(DEEP_MAX, search_turn, s);
	return 0;
}

/* Is another activation of this function open on the current stack? */
SHARED int stack_has(struct trace_thread *thread, __u32 func)
{
	struct search s = { .func = func };

	if (!thread)
		return 0;
	s.at = thread->stack;
	stack_search(&s);
	return s.found;
}

/* Where the caller stands: in the call that led here, whatever frames that are not traced, or are the
 * interpreter's own, lie between. It has not moved since. */
static __always_inline __u32 caller_lasti(const struct trace_cfg *cfg,
					  const struct trace_call *caller)
{
	struct trace_sums *func = caller ? func_at(caller->func) : NULL;
	__u64 instr = 0;

	if (!caller || !func || user_u64(&instr, caller->frame + cfg->frame_instr))
		return EV_LASTI_NONE;
	if (!(cfg->flags & TRACE_INSTR_IS_PTR))
		return (__u32)instr;
	instr -= func->code + cfg->code_start;
	return instr < 1 << 24 ? instr : EV_LASTI_NONE; /* a thread's own copy of the bytecode */
}

static __always_inline void call_emit(struct trace_thread *thread, const struct trace_call *call,
				      const struct trace_call *caller, __u32 image, __u32 flags,
				      __u64 end_ns)
{
	struct trace_proc *proc = proc_of(thread->proc);
	__u32 lasti = proc ? caller_lasti(&proc->cfg, caller) : EV_LASTI_NONE;
	struct ev_call *ev;

	ev = bpf_ringbuf_reserve(&trace_ring, sizeof(*ev), 0);
	if (!ev) {
		count(TRACE_STAT_DROP_CALLS);
		return;
	}
	header(&ev->hdr, EV_CALL, sizeof(*ev), image, thread, end_ns);
	ev->start_ns = call->start_ns;
	ev->frame = call->frame;
	ev->child_ns = call->child_ns;
	ev->func = call->func;
	ev->depth = caller ? thread->stack.depth : 0;
	ev->flags = flags;
	ev->caller = call->caller;
	ev->lasti = lasti;
	bpf_ringbuf_submit(ev, wake());
}

static __always_inline void edge_add(const struct trace_call *call, __u32 caller, __u64 self,
				     __u64 total, bool is_call)
{
	struct trace_edge_key key = { .caller = caller, .callee = call->func };
	struct trace_edge *edge = bpf_map_lookup_elem(&edges, &key), fresh = {};

	if (!edge) {
		bpf_map_update_elem(&edges, &key, &fresh, BPF_NOEXIST);
		edge = bpf_map_lookup_elem(&edges, &key);
	}
	if (!edge) {
		count(TRACE_STAT_DROP_EDGES);
		return;
	}
	if (is_call)
		__sync_fetch_and_add(&edge->calls, 1);
	__sync_fetch_and_add(&edge->self_ns, self);
	if (call->flags & TRACE_CALL_INNER)
		return;
	if (is_call)
		__sync_fetch_and_add(&edge->primitive, 1);
	__sync_fetch_and_add(&edge->total_ns, total);
	__sync_fetch_and_add(&edge->below, call->below);
}

/* Adds an activation that is over to its function's sums. */
static __always_inline void func_add(const struct trace_call *call, __u32 ended, __u64 total)
{
	struct trace_sums *func = func_at(call->func);
	__u32 kind = EV_CALL_BEGAN(call->flags) * EV_ENDED_MAX + ended;
	__u32 bucket = trace_bucket(total);

	if (!func)
		return;
	if (kind < EV_BEGAN_MAX * EV_ENDED_MAX)
		__sync_fetch_and_add(&func->kinds[kind], 1);
	__sync_fetch_and_add(&func->all_ns, total);
	if (bucket < TRACE_HIST)
		__sync_fetch_and_add(&func->hist[bucket], 1);
	if (total > func->max_ns)
		func->max_ns = total;
	if (call->child_ns) {
		__sync_fetch_and_add(&func->child_ns, call->child_ns);
		__sync_fetch_and_add(&func->kids, call->kids);
		__sync_fetch_and_add(&func->below, call->below);
	}
	if (call->extra || call->extra_below) {
		__sync_fetch_and_add(&func->extra_self, call->extra);
		if (!(call->flags & TRACE_CALL_INNER))
			__sync_fetch_and_add(&func->extra_total, call->extra + call->extra_below);
	}
	if (call->flags & TRACE_CALL_INNER) {
		__sync_fetch_and_add(&func->inner, 1);
		__sync_fetch_and_add(&func->inner_ns, total);
		__sync_fetch_and_add(&func->inner_below, call->below);
	}
}

/* The activation on top is over. */
static __always_inline void call_end(struct trace_thread *thread, __u32 image,
				     struct trace_call *call, __u32 ended, __u32 flags, __u64 now)
{
	__u32 depth = thread->stack.depth - 1, began = EV_CALL_BEGAN(call->flags);
	__u64 total = now - call->start_ns;
	struct trace_call *caller;

	func_add(call, ended, total);
	thread->last_frame = call->kids ? 0 : call->frame;
	thread->last_ns = total;
	thread->last_ends = thread->begins + thread->ends;
	thread->last_func = call->func;
	thread->last_kind = (began * EV_ENDED_MAX + ended) | (call->flags & TRACE_CALL_INNER);
	(*active_of(thread, call->func))--;
	stack_pop(thread); /* what was on top can be read still: chunk_free() */
	caller = stack_top(&thread->stack);
	barrier_var(caller); /* for the verifier: NULL is to be seen by itself */
	if (trace_events) {
		flags |= EV_CALL_FLAGS(began, ended) | (call->flags & EV_CALL_PARKED);
		if (total < trace_min_ns || (trace_depth && depth >= trace_depth))
			count(TRACE_STAT_SHORT);
		else
			call_emit(thread, call, caller, image, flags, now);
	}
	if (trace_edges)
		edge_add(call, caller ? caller->func : 0, total - call->child_ns, total,
			 began == EV_BEGAN_CALL);
	if (!caller)
		return;
	caller->child_ns += total;
	caller->kids++;
	caller->below += call->below + 1;
	caller->extra += thread->extra;
	caller->extra_below += call->extra + call->extra_below;
}

struct unwind {
	struct trace_thread *thread;
	__u64 now;
	__u32 left; /* how many are over */
	__u32 image;
	__u32 ended;
	__u32 flags;
};

static long unwind_turn(__u32 i, void *data)
{
	struct unwind *u = data;
	struct trace_call *call;

	if (!u->left || !u->thread)
		return 1;
	call = stack_top(&u->thread->stack);
	if (!call)
		return 1;
	u->left--;
	call_end(u->thread, u->image, call, u->ended, u->flags, u->now);
	return 0;
}

/* `left` activations on top are over. `how`: enum ev_call_ended, and flags of the call. */
SHARED int stack_unwind(struct trace_thread *thread, __u32 image, __u32 left, __u32 how, __u64 now)
{
	struct unwind u = { .thread = thread,
			    .now = now,
			    .left = left,
			    .image = image,
			    .ended = how & 7,
			    .flags = how & ~7U };

	if (thread)
		loop_each(DEEP_MAX, unwind_turn, &u);
	return 0;
}

/* What an exception left, and no probe saw. */
#define LEFT_LATE (EV_ENDED_RAISE | EV_CALL_LATE)

/* A stack that was put aside under a frame which is another one's by now: nobody saw it end. */
static __noinline int stack_give_up(struct trace_thread *thread, struct trace_parked_key *key,
				    __u64 now)
{
	struct trace_stack *stale = bpf_map_lookup_elem(&parked, key), current = thread->stack;

	if (!stale)
		return 0;
	thread->stack = *stale;
	bpf_map_delete_elem(&parked, key);
	if (thread->parked_cnt)
		thread->parked_cnt--;
	stack_unwind(thread, key->image, DEEP_MAX, EV_ENDED_UNSEEN, now);
	thread->stack = current;
	return 0;
}

/* Puts the current stack aside: another greenlet runs. */
static __noinline int stack_park(struct trace_thread *thread, __u32 image)
{
	struct trace_call *top = stack_top(&thread->stack);
	struct trace_parked_key key = { .image = image };

	if (!top)
		return 0;
	key.frame = top->frame;
	stack_give_up(thread, &key, bpf_ktime_get_ns());
	top->flags |= EV_CALL_PARKED;
	thread->stack.parked_ns = bpf_ktime_get_ns();
	count(TRACE_STAT_PARKED);
	if (bpf_map_update_elem(&parked, &key, &thread->stack, BPF_NOEXIST)) {
		count(TRACE_STAT_DROP_PARKED);
		stack_unwind(thread, image, DEEP_MAX, EV_ENDED_UNSEEN, thread->stack.parked_ns);
	} else {
		thread->parked_cnt++;
	}
	__builtin_memset(&thread->stack, 0, sizeof(thread->stack));
	return 0;
}

/* Goes on with the stack that was put aside under this frame; false: there is none. */
static __noinline bool stack_unpark(struct trace_thread *thread, __u32 image, __u64 frame)
{
	struct trace_parked_key key = { .frame = frame, .image = image };
	struct trace_stack *stack = bpf_map_lookup_elem(&parked, &key), found;
	struct trace_call *top;

	if (!stack)
		return false;
	found = *stack;
	bpf_map_delete_elem(&parked, &key);
	if (thread->stack.depth)
		stack_park(thread, image);
	thread->stack = found;
	if (thread->parked_cnt)
		thread->parked_cnt--;
	top = stack_top(&thread->stack);
	/* what ran meanwhile is no time of its own */
	if (top)
		top->child_ns += bpf_ktime_get_ns() - found.parked_ns;
	return true;
}

#endif
