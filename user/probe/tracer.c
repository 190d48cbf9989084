/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/tracer.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "os/feature.h"
#include "probe/programs.h"
#include "probe/tracer_impl.h"
#include "python/trace_layout.h"

struct tracer *tracer__new(const struct tracer_options *options)
{
	struct tracer *t = calloc(1, sizeof(*t));

	if (t)
		t->options = *options;
	return t;
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

int tracer_numbers_fill(const struct bpf_map *map, uint32_t from, uint32_t cnt)
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
	err = tracer_numbers_fill(t->skel->maps.free_slots, 1, TRACE_THREADS_MAX);
	if (!err)
		err = tracer_numbers_fill(t->skel->maps.free_chunks, 1, t->chunk_cnt);
	if (!err)
		err = tracer_numbers_fill(t->skel->maps.free_funcs, 1, TRACE_FUNCS_MAX);
	if (!err)
		err = tracer_numbers_fill(t->skel->maps.free_scratches, 0, TRACE_SCRATCHES);
	return err;
}

int tracer__load(struct tracer *t, struct err *err)
{
	struct bpf_program *prog;
	int code;

	programs_limits();
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
	code = drain_open(&t->drain, bpf_map__fd(t->skel->maps.trace_ring));
	if (code)
		return err_set(err, code, "cannot map the ring buffer: %s", err_str(code));
	return 0;
}

/* A place that none had yet, since of one that has ended something may be parked still. */
static uint32_t place_find(const struct tracer *t)
{
	uint32_t i;

	if (t->proc_cnt < TRACE_PROCS_MAX)
		return t->proc_cnt;
	for (i = 0; i < TRACE_PROCS_MAX && !t->procs[i].gone; i++)
		;
	return i;
}

int tracer__follow(struct tracer *t, pid_t pid, uint32_t image, uint32_t *ret_index)
{
	uint32_t tgid = pid, index = place_find(t);

	if (index == TRACE_PROCS_MAX)
		return -E2BIG;
	t->procs[index] = (struct traced){ .pid = pid, .image = image, .execs = 1 };
	t->procs[index].uprobes.multi = t->multi;
	t->proc_map[index] = (struct trace_proc){ .image = image, .execs = 1 };
	if (bpf_map_update_elem(bpf_map__fd(t->skel->maps.tgids), &tgid, &index, BPF_ANY)) {
		t->procs[index].gone = true;
		return -errno;
	}
	if (index == t->proc_cnt)
		t->proc_cnt++;
	*ret_index = index;
	return 0;
}

enum trace_kin tracer__kin(struct tracer *t, pid_t pid)
{
	int fd = bpf_map__fd(t->skel->maps.kin);
	uint32_t tgid = pid, how;

	if (bpf_map_lookup_elem(fd, &tgid, &how))
		return TRACE_KIN_NONE;
	bpf_map_delete_elem(fd, &tgid);
	return how;
}

void tracer__renew(struct tracer *t, uint32_t index, uint32_t image)
{
	struct trace_proc *proc = &t->proc_map[index];

	t->procs[index].image = proc->image = image;
	memset(&proc->cfg, 0, sizeof(proc->cfg));
	memset(proc->hints, 0, sizeof(proc->hints));
	/* if it execs again, what is learned from here on is not of that, and will not count */
	t->procs[index].execs = __atomic_load_n(&proc->execs, __ATOMIC_SEQ_CST);
}

void tracer__layout(struct tracer *t, uint32_t index, const struct trace_cfg *cfg)
{
	t->proc_map[index].cfg = *cfg;
}

void tracer__forget(struct tracer *t, uint32_t index)
{
	uint32_t tgid = t->procs[index].pid;

	tracer__detach(t, index);
	bpf_map_delete_elem(bpf_map__fd(t->skel->maps.tgids), &tgid);
	t->procs[index].gone = true;
}

static const struct bpf_program *program_of(const struct tracer *t, const struct sites *sites,
					    enum site_kind kind)
{
	switch (kind) {
	case SITE_BEGIN:
		return t->skel->progs.on_begin;
	case SITE_ENTER:
		return sites->minor >= 11 ? t->skel->progs.on_throw : t->skel->progs.on_enter;
	case SITE_USDT_BEGIN:
		return t->skel->progs.on_usdt_begin;
	case SITE_RETURN:
		return t->skel->progs.on_return;
	case SITE_YIELD:
		return t->skel->progs.on_yield;
	case SITE_LEAVE:
	case SITE_USDT_END:
		return t->skel->progs.on_leave;
	case SITE_CLEAR:
		return t->skel->progs.on_clear;
	case SITE_RAISE:
		return t->skel->progs.on_raise;
	case SITE_FREE:
		return t->skel->progs.on_dealloc;
	default:
		return NULL;
	}
}

/* What is to be taken off for a hit here besides what is for each begin and end. */
static uint32_t extra_ns(const struct tracer *t, const struct site *site)
{
	bool stepped = site->insn.probe == INSN_STEPPED;
	uint32_t cost = stepped ? t->options.stepped_ns : t->options.emulated_ns;

	if (site->kind == SITE_RAISE)
		return cost;
	return stepped && cost ? cost - t->options.emulated_ns : 0;
}

static int points_of(const struct tracer *t, const struct sites *sites,
		     struct uprobe_point points[SITES_MAX])
{
	int i, cnt = 0;

	for (i = 0; i < sites->cnt; i++) {
		const struct site *site = &sites->list[i];

		if (!trace_wants(sites, site->kind))
			continue;
		points[cnt++] = (struct uprobe_point){
			.prog_fd = bpf_program__fd(program_of(t, sites, site->kind)),
			.offset = site->offset,
			.semaphore = site->semaphore,
			.cookie = i,
		};
	}
	return cnt;
}

int tracer__attach(struct tracer *t, uint32_t index, int file, const struct sites *sites,
		   struct err *err)
{
	struct uprobe_point points[SITES_MAX];
	struct traced *traced = &t->procs[index];
	struct sites_state state;
	char path[32];
	int i, cnt, code;

	code = sites_verify(traced->pid, sites, &state, err);
	if (code)
		return code;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	cnt = points_of(t, sites, points);
	/* what was freed since the probes were out was not heard of */
	t->proc_map[index].window++;
	t->proc_map[index].epoch++;
	for (i = 0; i < sites->cnt; i++)
		t->proc_map[index].hints[i].extra = extra_ns(t, &sites->list[i]);
	code = uprobes_attach(&traced->uprobes, traced->pid, path, points, cnt, err);
	/* all at once, whatever the attaching took: no end without its begin */
	if (!code)
		__atomic_store_n(&t->proc_map[index].on, traced->execs, __ATOMIC_SEQ_CST);
	return code;
}

int tracer__sweep(struct tracer *t, uint32_t index, int file, const struct sites *sites,
		  struct err *err)
{
	struct uprobe_point points[SITES_MAX];
	int cnt = points_of(t, sites, points);
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return uprobes_sweep(&t->procs[index].uprobes, path, points, cnt, err);
}

void tracer__detach(struct tracer *t, uint32_t index)
{
	__atomic_store_n(&t->proc_map[index].on, 0, __ATOMIC_SEQ_CST);
	uprobes_detach(&t->procs[index].uprobes);
}

int tracer__fd(const struct tracer *t)
{
	return drain_fd(&t->drain);
}

int tracer__consume(struct tracer *t, uint64_t patience_ns,
		    int (*fn)(void *ctx, void *data, size_t len), void *ctx)
{
	return drain_consume(&t->drain, patience_ns, fn, ctx);
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
	drain_close(&t->drain);
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
