/* SPDX-License-Identifier: GPL-2.0-only */
/* The bare timer: what a tick costs before any profiler has done anything in it. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("perf_event")
int on_tick(void *ctx)
{
	return 0;
}
