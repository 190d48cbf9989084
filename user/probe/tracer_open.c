/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel side has kept when the probes are out: activations that are open, and sums. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "probe/tracer_impl.h"

struct open_calls {
	struct tracer *t;
	uint64_t now_ns;
	int (*fn)(void *ctx, void *data, size_t len);
	void *ctx;
};

/* As bpf/trace_stack.bpf.h does. */
static void func_add(struct trace_sums *func, const struct trace_call *call, uint64_t child_ns,
		     uint64_t total)
{
	func->kinds[EV_CALL_BEGAN(call->flags) * EV_ENDED_MAX + EV_ENDED_OPEN]++;
	func->all_ns += total;
	func->child_ns += child_ns;
	func->kids += call->kids;
	func->below += call->below;
	func->hist[trace_bucket(total)]++;
	if (total > func->max_ns)
		func->max_ns = total;
	if (call->flags & TRACE_CALL_INNER) {
		func->inner++;
		func->inner_ns += total;
		func->inner_below += call->below;
	}
}

/* Those of one stack, innermost first: what each called is its own time too. */
static int stack_tell(const struct open_calls *o, const struct trace_thread *thread,
		      const struct trace_stack *stack)
{
	uint32_t chunk = stack->chunk, used = stack->used, depth = stack->depth;
	const struct trace_call *call;
	struct trace_sums *func;
	uint64_t child_ns = 0, total;
	struct ev_call ev;
	int err = 0;

	while (depth && !err) {
		if (!chunk || chunk > o->t->chunk_cnt || !used || used > TRACE_CHUNK_CALLS)
			return -EINVAL;
		call = &o->t->chunks[chunk - 1].calls[used - 1];
		func = call->func && call->func <= TRACE_FUNCS_MAX ? &o->t->funcs[call->func - 1]
								   : NULL;
		total = o->now_ns > call->start_ns ? o->now_ns - call->start_ns : 0;
		child_ns += call->child_ns;
		if (child_ns > total)
			child_ns = total;
		depth--;
		ev = (struct ev_call){
			.hdr = { .kind = EV_CALL,
				 .size = sizeof(ev),
				 .ts_ns = call->start_ns + total,
				 .image = o->t->proc_map[thread->proc].image,
				 .tgid = thread->tgid,
				 .tid = thread->tid,
				 .thread = thread->serial },
			.start_ns = call->start_ns,
			.frame = call->frame,
			.child_ns = child_ns,
			.func = call->func,
			.depth = depth,
			.flags = EV_CALL_FLAGS(EV_CALL_BEGAN(call->flags), EV_ENDED_OPEN),
			.caller = call->caller,
			.lasti = EV_LASTI_NONE,
		};
		if (func)
			func_add(func, call, child_ns, total);
		child_ns = total;
		if (o->t->options.events && !(o->t->options.depth && depth >= o->t->options.depth))
			err = o->fn(o->ctx, &ev, sizeof(ev));
		if (!--used) {
			chunk = o->t->chunks[chunk - 1].below;
			used = TRACE_CHUNK_CALLS;
		}
	}
	return err;
}

/* A parked stack's thread is not remembered: any of its process will do for what the ring says. */
static const struct trace_thread *thread_of_image(const struct tracer *t, uint32_t image)
{
	uint32_t i;

	for (i = 0; i < TRACE_THREADS_MAX; i++)
		if (t->threads[i].serial && t->proc_map[t->threads[i].proc].image == image)
			return &t->threads[i];
	return NULL;
}

int tracer__open_calls(struct tracer *t, uint64_t now, int (*fn)(void *ctx, void *data, size_t len),
		       void *ctx)
{
	struct open_calls o = { t, now, fn, ctx };
	struct trace_parked_key key;
	const struct trace_thread *thread;
	struct trace_stack stack;
	int fd = bpf_map__fd(t->skel->maps.parked), err = 0;
	uint32_t i;

	for (i = 0; i < TRACE_THREADS_MAX && !err; i++) {
		if (t->threads[i].tid && !t->threads[i].left && t->threads[i].stack.depth)
			err = stack_tell(&o, &t->threads[i], &t->threads[i].stack);
		t->threads[i].stack = (struct trace_stack){};
		t->threads[i].spare = 0;
		t->threads[i].parked_cnt = 0;
		memset(t->threads[i].active, 0, sizeof(t->threads[i].active));
	}
	while (!err && !bpf_map_get_next_key(fd, NULL, &key)) {
		thread = thread_of_image(t, key.image);
		if (thread && !bpf_map_lookup_elem(fd, &key, &stack))
			err = stack_tell(&o, thread, &stack);
		bpf_map_delete_elem(fd, &key);
	}
	if (!err)
		err = tracer_numbers_fill(t->skel->maps.free_chunks, 1, t->chunk_cnt);
	return err;
}

static struct trace_func sums_of(const struct trace_sums *s)
{
	struct trace_func f = { .code = s->code,
				.image = s->image,
				.kind = s->kind,
				.state = s->state,
				.told = s->told,
				.first = s->first,
				.self_ns = s->all_ns - s->child_ns,
				.total_ns = s->all_ns - s->inner_ns,
				.max_ns = s->max_ns,
				.kids = s->kids,
				.below = s->below - s->inner_below,
				.extra_self = s->extra_self,
				.extra_total = s->extra_total };
	uint64_t all = 0;
	int began, ended;

	for (began = 0; began < EV_BEGAN_MAX; began++)
		for (ended = 0; ended < EV_ENDED_MAX; ended++) {
			uint64_t cnt = s->kinds[began * EV_ENDED_MAX + ended];

			f.began[began] += cnt;
			f.ended[ended] += cnt;
			all += began == EV_BEGAN_BEFORE ? 0 : cnt;
		}
	f.primitive = all - s->inner;
	memcpy(f.hist, s->hist, sizeof(f.hist));
	return f;
}

int tracer__sums(struct tracer *t,
		 int (*fn)(void *ctx, uint32_t func, const struct trace_func *sum), void *ctx)
{
	uint32_t i;
	int err = 0;

	for (i = 0; i < TRACE_FUNCS_MAX && !err; i++)
		if (t->funcs[i].image) {
			struct trace_func sum = sums_of(&t->funcs[i]);

			err = fn(ctx, i + 1, &sum);
		}
	return err;
}
