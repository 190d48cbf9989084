/* SPDX-License-Identifier: GPL-2.0-only */
/* The only place that touches the ring and the counters. */
#ifndef UNCOIL_EMIT_BPF_H
#define UNCOIL_EMIT_BPF_H

#include "loop.bpf.h"
#include "maps.bpf.h"

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
