/* SPDX-License-Identifier: GPL-2.0-only */
#include "maps.bpf.h"

struct ring_map ring SEC(".maps");
struct procs_map procs SEC(".maps");
struct threads_map threads SEC(".maps");
struct counts_map counts_a SEC(".maps");
struct counts_map counts_b SEC(".maps");
struct codes_map codes SEC(".maps");
struct stats_map stats SEC(".maps");
struct scratches_map scratches SEC(".maps");
struct code_scratches_map code_scratches SEC(".maps");
struct serials_map serials SEC(".maps");
struct costs_map costs SEC(".maps");

const volatile __u64 hash_seed = 0;
const volatile __u32 follow_children = 0;
const volatile __u32 has_cookie = 0;
const volatile __u32 timeline = 0;
const volatile __u32 ring_wake_bytes = 0;
const volatile __u32 trace_switches = 0;
const volatile __u32 holder_only = 0;
const volatile __u32 ticks_per_timed = 1;
const volatile __u32 async_tasks = 0;
const volatile __u32 serial_cpu_bits = 0;
const volatile __u8 syscalls[SYSCALLS_MAX] = {};

__u8 proc_hints[PROC_HINTS] SEC(".data.hints") = {};
__u32 ready = 0;
__u64 end_ns = 0;
__u64 start_ns = 0;
__u64 direct_base = 0;
__u32 direct_five = 0;
__u64 direct_probe[3] = {};
__u32 counts_active = 0;
__u32 counts_used = 0;

char LICENSE[] SEC("license") = "GPL";
