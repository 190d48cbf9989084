/* SPDX-License-Identifier: GPL-2.0-only */
/* The only place that touches the ring and the counters. */
#ifndef UNCOIL_EMIT_BPF_H
#define UNCOIL_EMIT_BPF_H

#include "maps.bpf.h"

/* A function that is verified once, by itself; of several objects' copies the linker keeps one. */
#ifndef SHARED
#define SHARED __weak __noinline
#endif

static __always_inline void stat_add(__u32 stat)
{
	__u64 *count = bpf_map_lookup_elem(&stats, &stat);

	if (count)
		(*count)++;
}

/* Leaves a program early, counted: `return drop(STAT_DROP_X)`. */
static __always_inline int drop(__u32 stat)
{
	stat_add(stat);
	return 0;
}

/* Calls step(i, data) for i from 0 until it returns non-zero, max times at the most. The verifier
 * follows a plain loop turn by turn, bpf_loop()'s body once. So each loop is the only thing in a SHARED
 * function: else all turns are followed anew for each way that leads to it (on_switch: 460,000
 * instructions and 2 s to load instead of 40,000 and 0.1 s). Kernels before 5.13 refuse an object that so
 * much as mentions a callback: all is compiled twice. */
#ifndef PLAIN_LOOPS
#define TURN                       static __always_inline /* what a loop does in a turn */
#define loop_each(max, step, data) bpf_loop(max, step, data, 0)
#else
#define TURN SHARED
#define loop_each(max, step, data)                                 \
	do {                                                       \
		for (__u32 loop_i = 0; loop_i < (max); loop_i++) { \
			if (step(loop_i, data))                    \
				break;                             \
		}                                                  \
	} while (0)
#endif

static __always_inline struct serials *serials_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&serials, &zero);
}

static __always_inline struct cost *cost_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&costs, &zero);
}

/* The next number after `count`, unlike any other CPU's; 0 = there is none left. */
static __always_inline __u32 serial_next(__u32 *count)
{
	__u32 cpu = bpf_get_smp_processor_id();

	if (*count >= ~0U >> serial_cpu_bits || cpu >> serial_cpu_bits)
		return 0;
	return (++*count << serial_cpu_bits) + cpu;
}

static __always_inline __u32 image_next(void)
{
	struct serials *here = serials_here();

	return here ? serial_next(&here->images) : 0;
}

static __always_inline void hdr_fill(struct ev_hdr *hdr, __u16 kind, __u32 size, __u32 image,
				     __u32 tgid, __u32 tid, __u32 thread)
{
	hdr->kind = kind;
	hdr->table = 0;
	hdr->size = size;
	hdr->ts_ns = bpf_ktime_get_ns();
	hdr->image = image;
	hdr->tgid = tgid;
	hdr->tid = tid;
	hdr->thread = thread;
}

/* The reader polls; it is woken only when the ring fills up, so that a tick does not pay for it. */
static __always_inline __u64 wake_flags(void)
{
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >= ring_wake_bytes ? BPF_RB_FORCE_WAKEUP
									      : BPF_RB_NO_WAKEUP;
}

/* Wakes the reader without telling it anything. */
static __always_inline void reader_wake(void)
{
	void *nothing = bpf_ringbuf_reserve(&ring, 8, 0);

	if (nothing)
		bpf_ringbuf_discard(nothing, BPF_RB_FORCE_WAKEUP);
}

#endif
