/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a recording costs the processes that are recorded: expected before it begins, estimated while it
 * goes on, told at its end. All of it is an estimate:
 *
 *	share = (ticks * (bare tick + program) + switches * program + uncoil's own CPU time)
 *	        / the processes' CPU time
 *
 * The bare tick is calibrated at the start (probe/calibrate.h), the programs are timed while they run
 * (probe/cost.h), CPU times are the kernel's. What uncoil takes to start is told beside, and is no part
 * of the share: in a short recording it would be most of it. Not in it: caches that a tick leaves colder, and what
 * other processes pay (a look into a table at a fork, exec, exit, with wall and offcpu at a switch).
 */
#ifndef UNCOIL_MODEL_OVERHEAD_H
#define UNCOIL_MODEL_OVERHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "model/record.h"

#define OVERHEAD_BOUND_DEFAULT 10000 /* 1 %, in millionths */

/* Sums since the start, of all followed processes. */
struct overhead_sums {
	uint64_t ticks, tick_ns;      /* how many, and what the program took in all of them */
	uint64_t switches, switch_ns; /* likewise */
	uint64_t cpu_ns;              /* the processes' CPU time */
	uint64_t own_ns;              /* uncoil's */
};

/* Looks, one a second, and the worst that lay between one and the fifth after it. */
#define OVERHEAD_LOOK_NS 1000000000ULL
#define OVERHEAD_SPAN    5
struct overhead {
	uint32_t bare_ns;           /* one tick without a program; 0: not known */
	uint32_t bound;             /* --max-overhead, in millionths; 0: none */
	struct overhead_sums begin; /* of this part of the recording */
	struct overhead_sums looks[OVERHEAD_SPAN + 1];
	uint64_t start_ns; /* uncoil's CPU time until it sampled; 0: another part has told it */
	uint64_t look_ns;  /* when the last one was, CLOCK_MONOTONIC */
	uint32_t look_cnt;
	double worst;
};

/* The share of CPU time, of a process that keeps a CPU busy, that sampling at this rate will cost. */
double overhead_expected(uint32_t rate_hz, uint32_t bare_ns, uint32_t bound);

/* The highest rate that keeps to a bound, at least 1. */
uint32_t overhead_fit(uint32_t bare_ns, uint32_t bound);

/* What one tick will take, the program included. */
uint32_t overhead_tick_ns(uint32_t bare_ns);

/* What the sums are when the first sample may come. */
void overhead_start(struct overhead *o, uint64_t now_ns, const struct overhead_sums *sums);

/* Is it time for the next look? */
bool overhead_due(const struct overhead *o, uint64_t now_ns);
void overhead_look(struct overhead *o, uint64_t now_ns, const struct overhead_sums *sums);

/* How long to wait until the next look into the ring, in ms, as uncoil's own CPU time was in the last
 * second, and at least min_ms: it must not use up the bound by looking at a process that does nothing. */
int overhead_wait(const struct overhead *o, int wait_ms, int min_ms);

/* The share from this part's beginning to the last look; 0: it cannot be told yet. */
double overhead_so_far(const struct overhead *o);

/* This part's record; then the next part begins. */
struct record_overhead overhead_part(struct overhead *o, const struct overhead_sums *sums);

/* The share that a record tells, but for the start; cpu_ns: where it says none. 0: it cannot be told. */
double overhead_share(const struct record_overhead *record, uint64_t cpu_ns);

#endif
