/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs time themselves: two readings of the clock around one run in so many (around each at
 * low rates). The kernel's own statistics (BPF_ENABLE_STATS) would say the same without a line of
 * code, but they make every run of every BPF program on the host dearer, other people's too.
 */
#include "probe/cost.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>

#include "shared.h"

static uint64_t scaled(uint64_t ns, uint64_t timed, uint64_t all)
{
	return timed ? (double)ns / timed * all : 0;
}

int cost_read(int map_fd, int cpu_cnt, struct cost_sum *ret)
{
	struct cost *values = calloc(cpu_cnt, sizeof(*values)), sum = {};
	uint32_t zero = 0;
	int cpu, err;

	if (!values)
		return -ENOMEM;
	err = bpf_map_lookup_elem(map_fd, &zero, values) ? -errno : 0;
	for (cpu = 0; cpu < cpu_cnt && !err; cpu++) {
		sum.ticks += values[cpu].ticks;
		sum.ticks_timed += values[cpu].ticks_timed;
		sum.ticks_ns += values[cpu].ticks_ns;
		sum.switches += values[cpu].switches;
		sum.switches_timed += values[cpu].switches_timed;
		sum.switches_ns += values[cpu].switches_ns;
		sum.cpu_ns += values[cpu].cpu_ns;
	}
	free(values);
	*ret = (struct cost_sum){ .ticks = sum.ticks,
				  .tick_ns = scaled(sum.ticks_ns, sum.ticks_timed, sum.ticks),
				  .switches = sum.switches,
				  .switch_ns =
					  scaled(sum.switches_ns, sum.switches_timed, sum.switches),
				  .cpu_ns = sum.cpu_ns };
	return err;
}
