/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of a trace: known to the kernel side, and their probes in and out. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "probe/tracer_impl.h"
#include "python/trace_layout.h"

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
	int cnt, code;

	code = sites_verify(traced->pid, sites, &state, err);
	if (code)
		return code;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	cnt = points_of(t, sites, points);
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

void tracer__times(const struct tracer *t, uint32_t index, uint64_t *ret_attach_ns,
		   uint64_t *ret_detach_ns)
{
	*ret_attach_ns = t->procs[index].uprobes.attach_ns;
	*ret_detach_ns = t->procs[index].uprobes.detach_ns;
}
