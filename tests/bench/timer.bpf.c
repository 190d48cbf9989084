/* SPDX-License-Identifier: GPL-2.0-only */
/* The bare timer, and the bare switch: what they cost before any profiler has done anything. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("perf_event")
int on_tick(void *ctx)
{
	return 0;
}

SEC("tp_btf/sched_switch")
int on_switch(void *ctx)
{
	return 0;
}
