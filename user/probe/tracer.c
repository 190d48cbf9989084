/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/tracer.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "os/feature.h"
#include "probe/programs.h"
#include "probe/tracer_impl.h"

/* What is sent at one moment is over by then (probe/sampler.c). */
#define TICK_NS 2000000

struct tracer *tracer__new(const struct tracer_options *options)
{
	struct tracer *t = calloc(1, sizeof(*t));

	if (t)
		t->options = *options;
	return t;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static int on_event(void *ctx, void *data, size_t len)
{
	const struct ev_hdr *hdr = data;
	struct tracer *t = ctx;
	int err = t->fn ? t->fn(t->ctx, data, len) : 0;

	if (err < 0)
		return err;
	t->more = hdr->ts_ns > t->begin_ns + TICK_NS || now_ns() > t->end_at_ns;
	return t->more ? -ECANCELED : 0;
}

static size_t map_bytes(const struct bpf_map *map)
{
	size_t value = (bpf_map__value_size(map) + 7) & ~7u;
	size_t page = sysconf(_SC_PAGESIZE);

	return (value * bpf_map__max_entries(map) + page - 1) & ~(page - 1);
}

static void *map_array(const struct bpf_map *map)
{
	void *at =
		mmap(NULL, map_bytes(map), PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	return at == MAP_FAILED ? NULL : at;
}

static void unmap_array(void *at, const struct bpf_map *map)
{
	if (at)
		munmap(at, map_bytes(map));
}

/* Fills a queue of free numbers with `from` … `from` + cnt - 1, lowest on top. */
static int numbers_fill(const struct bpf_map *map, uint32_t from, uint32_t cnt)
{
	uint32_t number, old;

	while (!bpf_map_lookup_and_delete_elem(bpf_map__fd(map), NULL, &old))
		;
	for (number = from + cnt; number-- > from;)
		if (bpf_map_update_elem(bpf_map__fd(map), NULL, &number, BPF_ANY))
			return -errno;
	return 0;
}

static int maps_prepare(struct tracer *t)
{
	int err;

	t->proc_map = map_array(t->skel->maps.trace_procs);
	t->threads = map_array(t->skel->maps.trace_threads);
	t->chunks = map_array(t->skel->maps.chunks);
	t->funcs = map_array(t->skel->maps.funcs);
	t->stats = map_array(t->skel->maps.trace_stats);
	if (!t->proc_map || !t->threads || !t->chunks || !t->funcs || !t->stats)
		return -ENOMEM;
	t->chunk_cnt = bpf_map__max_entries(t->skel->maps.chunks);
	err = numbers_fill(t->skel->maps.free_slots, 1, TRACE_THREADS_MAX);
	if (!err)
		err = numbers_fill(t->skel->maps.free_chunks, 1, t->chunk_cnt);
	if (!err)
		err = numbers_fill(t->skel->maps.free_funcs, 1, TRACE_FUNCS_MAX);
	if (!err)
		err = numbers_fill(t->skel->maps.free_scratches, 0, TRACE_SCRATCHES);
	return err;
}

static void limits_raise(void)
{
	struct rlimit files, locked = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_MEMLOCK, &locked);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

int tracer__load(struct tracer *t, struct err *err)
{
	struct bpf_program *prog;
	int code;

	limits_raise();
	if (!feature_has(FEAT_LOOP))
		return err_set(err, -ENOTSUP,
			       "this kernel has no bpf_loop() (Linux 5.17): uncoil trace needs it");
	t->multi = uprobes_multi();
	programs_listen();
	t->skel = trace_bpf__open();
	if (!t->skel)
		return err_set(err, -errno, "cannot open the BPF programs: %s", err_str(errno));
	t->skel->rodata->trace_events = t->options.events;
	t->skel->rodata->trace_edges = t->options.edges;
	t->skel->rodata->trace_children = t->options.children;
	t->skel->rodata->trace_choose = t->options.choose;
	t->skel->rodata->trace_depth = t->options.depth;
	t->skel->rodata->trace_min_ns = t->options.min_ns;
	t->skel->rodata->trace_wake_bytes = t->options.ring_bytes / 4;
	t->skel->rodata->trace_cookies = t->multi || feature_has(FEAT_PERF_LINK);
	code = bpf_map__set_max_entries(t->skel->maps.trace_ring, t->options.ring_bytes);
	if (code)
		return err_set(err, code, "cannot size the ring buffer: %s", err_str(code));
	bpf_object__for_each_program(prog, t->skel->obj) if (bpf_program__type(prog) ==
							     BPF_PROG_TYPE_KPROBE)
		bpf_program__set_expected_attach_type(prog, uprobes_attach_type(t->multi));
	code = trace_bpf__load(t->skel);
	if (code)
		return programs_refused(code, err);
	code = maps_prepare(t);
	if (code)
		return err_set(err, code, "cannot set up the BPF maps: %s", err_str(code));
	code = trace_bpf__attach(t->skel);
	if (code)
		return err_set(err, code, "cannot watch threads end: %s", err_str(code));
	t->ring = ring_buffer__new(bpf_map__fd(t->skel->maps.trace_ring), on_event, t, NULL);
	if (!t->ring)
		return err_set(err, -errno, "cannot map the ring buffer: %s", err_str(errno));
	return 0;
}

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
		err = numbers_fill(t->skel->maps.free_chunks, 1, t->chunk_cnt);
	return err;
}

int tracer__fd(const struct tracer *t)
{
	return ring_buffer__epoll_fd(t->ring);
}

int tracer__consume(struct tracer *t, uint64_t patience_ns,
		    int (*fn)(void *ctx, void *data, size_t len), void *ctx)
{
	int err;

	t->fn = fn;
	t->ctx = ctx;
	t->begin_ns = now_ns();
	t->end_at_ns = patience_ns ? t->begin_ns + patience_ns : UINT64_MAX;
	t->more = false;
	err = ring_buffer__poll(t->ring, 0);
	if (err >= 0 || err == -EINTR)
		err = ring_buffer__consume(t->ring);
	if (t->more)
		return 1;
	return err < 0 ? err : 0;
}

void tracer__leave_tid(struct tracer *t, pid_t tid)
{
	uint32_t key = tid, one = 1;

	bpf_map_update_elem(bpf_map__fd(t->skel->maps.left_tids), &key, &one, BPF_ANY);
}

void tracer__leave(struct tracer *t, uint32_t serial)
{
	struct trace_thread *thread = &t->threads[(serial - 1) % TRACE_THREADS_MAX];

	if (serial && __atomic_load_n(&thread->serial, __ATOMIC_RELAXED) == serial)
		__atomic_store_n(&thread->left, 1, __ATOMIC_SEQ_CST);
}

void tracer__decide(struct tracer *t, uint32_t func, bool taken)
{
	if (func && func <= TRACE_FUNCS_MAX)
		__atomic_store_n(&t->funcs[func - 1].state,
				 taken ? TRACE_FUNC_TAKEN : TRACE_FUNC_LEFT, __ATOMIC_SEQ_CST);
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
				.below = s->below - s->inner_below };
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

int tracer__edges(struct tracer *t,
		  int (*fn)(void *ctx, const struct trace_edge_key *key,
			    const struct trace_edge *sum),
		  void *ctx)
{
	int fd = bpf_map__fd(t->skel->maps.edges), err = 0;
	struct trace_edge_key key, *prev = NULL;
	struct trace_edge sum;

	while (!err && !bpf_map_get_next_key(fd, prev, &key)) {
		prev = &key;
		if (!bpf_map_lookup_elem(fd, &key, &sum))
			err = fn(ctx, &key, &sum);
	}
	return err;
}

void tracer__stats(const struct tracer *t, uint64_t ret_stats[TRACE_STAT_MAX])
{
	int i;

	for (i = 0; i < TRACE_STAT_MAX; i++)
		ret_stats[i] = __atomic_load_n(&t->stats[i], __ATOMIC_RELAXED);
	/* each thread counts its own */
	for (i = 0; i < TRACE_THREADS_MAX; i++) {
		ret_stats[TRACE_STAT_BEGINS] += t->threads[i].begins;
		ret_stats[TRACE_STAT_ENDS] += t->threads[i].ends;
	}
}

void tracer__free(struct tracer *t)
{
	uint32_t i;

	if (!t)
		return;
	for (i = 0; i < t->proc_cnt; i++)
		tracer__detach(t, i);
	ring_buffer__free(t->ring);
	if (t->skel) {
		unmap_array(t->proc_map, t->skel->maps.trace_procs);
		unmap_array(t->threads, t->skel->maps.trace_threads);
		unmap_array(t->chunks, t->skel->maps.chunks);
		unmap_array(t->funcs, t->skel->maps.funcs);
		unmap_array(t->stats, t->skel->maps.trace_stats);
	}
	trace_bpf__destroy(t->skel);
	free(t);
}
