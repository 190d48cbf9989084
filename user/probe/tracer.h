/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact calls: the BPF programs of bpf/trace.bpf.c, the probes, the ring and the sums. Its life:
 *
 *	tracer__new -> __load -> __follow (each process) -> __layout, __attach (each)
 *	-> __consume … -> __detach (each) -> __open_calls, __sums, __edges, __stats -> __free
 *
 * A process may be attached to and detached from again and again (windows). Everything that it puts into
 * the kernel and into the targets hangs on file descriptors: after a kill -9 nothing is left.
 */
#ifndef UNCOIL_PROBE_TRACER_H
#define UNCOIL_PROBE_TRACER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "python/sites.h"
#include "trace.h"

struct err;
struct tracer;

struct tracer_options {
	bool events;         /* tell each call (EV_CALL), and exceptions; else only sums */
	bool edges;          /* sum up who called whom */
	bool children;       /* tell of all that is forked; else of copies of the memory alone */
	bool choose;         /* tracer__leave*() may be called */
	uint32_t depth;      /* tell none that is deeper; 0 = all */
	uint64_t min_ns;     /* nor any that is shorter */
	uint32_t ring_bytes; /* power of two, at least 4096 */
	uint32_t emulated_ns, stepped_ns; /* what a breakpoint costs here; 0: not known */
};

struct tracer *tracer__new(const struct tracer_options *options); /* NULL: out of memory */
void tracer__free(struct tracer *t); /* takes NULL and half-built ones */

/* Loads the programs; nothing is attached yet. 0, or -errno with a sentence. */
int tracer__load(struct tracer *t, struct err *err);

/* Announces a process as `image`, from 1; *ret_index names it below. From now on its forks and execs are told
 * (EV_FORK, EV_EXEC: with image 0, which is the caller's to give). -E2BIG: there are too many. */
int tracer__follow(struct tracer *t, pid_t pid, uint32_t image, uint32_t *ret_index);

/* Takes a child, which was followed just now, from those that are to be. TRACE_KIN_NONE: it was none, or has
 * ended. */
enum trace_kin tracer__kin(struct tracer *t, pid_t pid);

/* It has exec'ed: it is another image, and its layout is not known. Its probes are to be out. */
void tracer__renew(struct tracer *t, uint32_t index, uint32_t image);

/* Before it is attached to for the first time. */
void tracer__layout(struct tracer *t, uint32_t index, const struct trace_cfg *cfg);

/* It has ended: detaches, and the index may become another's. */
void tracer__forget(struct tracer *t, uint32_t index);

/* Puts the probes in: the sites are looked at first, in the process's own memory (sites_verify()). `file`:
 * descriptor of the file they are offsets of. All or nothing; 0, or -errno with a sentence. */
int tracer__attach(struct tracer *t, uint32_t index, int file, const struct sites *sites,
		   struct err *err);

/* Takes them out of children that were forked with them (uprobes_sweep()). */
int tracer__sweep(struct tracer *t, uint32_t index, int file, const struct sites *sites,
		  struct err *err);

/* Takes them out again. */
void tracer__detach(struct tracer *t, uint32_t index);

/* Gives each activation that is still open to fn, as the EV_CALL that it would have been if it ended at
 * `now_ns`, outermost last; and forgets it. Only while nothing is attached. 0, or what fn returned. */
int tracer__open_calls(struct tracer *t, uint64_t now_ns,
		       int (*fn)(void *ctx, void *data, size_t len), void *ctx);

int tracer__fd(const struct tracer *t); /* readable when the kernel side wants to be read */

/* As sampler__consume(). */
int tracer__consume(struct tracer *t, uint64_t patience_ns,
		    int (*fn)(void *ctx, void *data, size_t len), void *ctx);

/* --thread: one that is not asked for: by its id, before it was hit, or by its serial (ev_hdr.thread). */
void tracer__leave_tid(struct tracer *t, pid_t tid);
void tracer__leave(struct tracer *t, uint32_t serial);

/* --match: what becomes of a function. */
void tracer__decide(struct tracer *t, uint32_t func, bool taken);

/* Sums of each function so far, and of each pair, until fn returns non-zero (returned). */
int tracer__sums(struct tracer *t,
		 int (*fn)(void *ctx, uint32_t func, const struct trace_func *sum), void *ctx);
int tracer__edges(struct tracer *t,
		  int (*fn)(void *ctx, const struct trace_edge_key *key,
			    const struct trace_edge *sum),
		  void *ctx);

/* The kernel side's counters. */
void tracer__stats(const struct tracer *t, uint64_t ret_stats[TRACE_STAT_MAX]);

#endif
