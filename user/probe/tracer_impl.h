/* SPDX-License-Identifier: Apache-2.0 */
/* What tracer.c and tracer_open.c share, and nobody else sees. */
#ifndef UNCOIL_PROBE_TRACER_IMPL_H
#define UNCOIL_PROBE_TRACER_IMPL_H

#include "probe/drain.h"
#include "probe/tracer.h"
#include "probe/uprobes.h"
#include "trace.skel.h"

/* One process. */
struct traced {
	pid_t pid;
	uint32_t image;
	uint32_t execs; /* when what is known of it was learned */
	bool gone;      /* it has ended: its place is free */
	struct uprobes uprobes;
};

struct tracer {
	struct tracer_options options;
	struct trace_bpf *skel;
	struct drain drain;
	bool multi;
	struct traced procs[TRACE_PROCS_MAX];
	uint32_t proc_cnt;
	/* the kernel side's arrays */
	struct trace_proc *proc_map;
	struct trace_thread *threads;
	struct trace_chunk *chunks;
	struct trace_sums *funcs;
	uint64_t *stats;
	uint32_t chunk_cnt;
};

/* Fills a queue of free numbers with `from` … `from` + cnt - 1, lowest on top. 0 or -errno. */
int tracer_numbers_fill(const struct bpf_map *map, uint32_t from, uint32_t cnt);

#endif
