/* SPDX-License-Identifier: Apache-2.0 */
/* What the BPF programs took of the threads that they interrupted: the kernel side's sums. */
#ifndef UNCOIL_PROBE_COST_H
#define UNCOIL_PROBE_COST_H

#include <stdint.h>

/* Since the start, over all CPUs. What was timed of it stands for the rest. */
struct cost_sum {
	uint64_t ticks, tick_ns;      /* runs of the timer's program, and what they took together */
	uint64_t switches, switch_ns; /* to or from followed threads; likewise */
	uint64_t cpu_ns;              /* that followed threads were on the CPU */
};

/* Reads the costs map, whose CPU time is that of switches alone. -errno. */
int cost_read(int map_fd, int cpu_cnt, struct cost_sum *ret);

#endif
