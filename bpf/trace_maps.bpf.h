/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every map and every knob of trace.bpf.c. The arrays are mapped by user space too (user/probe/tracer.c),
 * which writes to them only while no probe is in.
 *
 * These programs run as part of the thread that hit the probe, and may be preempted: nothing here is
 * kept per CPU. What belongs to a thread is touched by that thread alone; what threads share is added
 * to atomically, or handed out by a queue.
 */
#ifndef UNCOIL_TRACE_MAPS_BPF_H
#define UNCOIL_TRACE_MAPS_BPF_H

#include "arch.bpf.h"
#include "trace.h"

/* the wire; size set at load */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} trace_ring SEC(".maps");

/* tgid -> index in trace_procs; user space */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TRACE_PROCS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} tgids SEC(".maps");

/* tgid -> enum trace_kin (-s); user space takes it out */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16 * TRACE_PROCS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} kin SEC(".maps");

/* tid -> 1: of a thread that is not asked for (--thread); user space, before its process is on */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8 * TRACE_THREADS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} left_tids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TRACE_PROCS_MAX);
	__type(key, __u32);
	__type(value, struct trace_proc);
} trace_procs SEC(".maps");

/* Which slot of trace_threads a thread has, from 1. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u32);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TRACE_THREADS_MAX);
	__type(key, __u32);
	__type(value, struct trace_thread);
} trace_threads SEC(".maps");

/* open activations; size set at load */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TRACE_CHUNKS);
	__type(key, __u32);
	__type(value, struct trace_chunk);
} chunks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TRACE_THREADS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct trace_parked_key);
	__type(value, struct trace_stack);
} parked SEC(".maps");

struct func_key {
	__u64 code;
	__u32 image;
	__u32 pad;
};

/* code object -> func; an entry goes when the code object is freed */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TRACE_FUNCS_MAX);
	__type(key, struct func_key);
	__type(value, __u32);
} func_of SEC(".maps");

/* func n is element n - 1 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TRACE_FUNCS_MAX);
	__type(key, __u32);
	__type(value, struct trace_sums);
} funcs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4 * TRACE_FUNCS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct trace_edge_key);
	__type(value, struct trace_edge);
} edges SEC(".maps");

/* numbers that are free: of threads' slots, chunks, funcs and of scratches; filled by user space */
#define FREE_NUMBERS(name, max)                    \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_STACK);  \
		__uint(max_entries, max);          \
		__uint(key_size, 0);               \
		__uint(value_size, sizeof(__u32)); \
	} name SEC(".maps")

FREE_NUMBERS(free_slots, TRACE_THREADS_MAX);
FREE_NUMBERS(free_chunks, TRACE_CHUNKS);
FREE_NUMBERS(free_funcs, TRACE_FUNCS_MAX);
FREE_NUMBERS(free_scratches, TRACE_SCRATCHES);

/* where a code object is put together before it is sent */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TRACE_SCRATCHES);
	__type(key, __u32);
	__type(value, struct ev_code);
} trace_scratches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TRACE_STAT_MAX);
	__type(key, __u32);
	__type(value, __u64);
} trace_stats SEC(".maps");

/* set before load, constant afterwards */
const volatile __u32 trace_events = 0;     /* each call is told */
const volatile __u32 trace_edges = 0;      /* who called whom is summed up */
const volatile __u32 trace_wake_bytes = 0; /* unread bytes at which the reader is woken */
const volatile __u32 trace_depth = 0;      /* deeper ones are not told; 0 = all are */
const volatile __u64 trace_min_ns = 0;     /* nor shorter ones */
const volatile __u32 trace_children = 0;   /* children are traced too */
const volatile __u32 trace_choose = 0;     /* threads that are left exist */
const volatile __u32 trace_cookies = 0;    /* a probe's cookie is its site's index */

char LICENSE[] SEC("license") = "GPL";

static __always_inline void count_add(enum trace_stat stat, __u64 n)
{
	__u32 key = stat;
	__u64 *sum = bpf_map_lookup_elem(&trace_stats, &key);

	if (sum)
		__sync_fetch_and_add(sum, n);
}

static __always_inline void count(enum trace_stat stat)
{
	count_add(stat, 1);
}

static __always_inline __u64 wake(void)
{
	return bpf_ringbuf_query(&trace_ring, BPF_RB_AVAIL_DATA) >= trace_wake_bytes
		       ? BPF_RB_FORCE_WAKEUP
		       : BPF_RB_NO_WAKEUP;
}

static __always_inline int user_u64(__u64 *ret, __u64 addr)
{
	return bpf_probe_read_user(ret, sizeof(*ret), (void *)addr);
}

static __always_inline struct trace_proc *proc_of(__u32 index)
{
	return bpf_map_lookup_elem(&trace_procs, &index);
}

static __always_inline struct trace_sums *func_at(__u32 func)
{
	__u32 index = func - 1;

	return bpf_map_lookup_elem(&funcs, &index);
}

static __always_inline void header(struct ev_hdr *hdr, __u16 kind, __u32 size, __u32 image,
				   const struct trace_thread *thread, __u64 ts_ns)
{
	hdr->kind = kind;
	hdr->table = 0;
	hdr->size = size;
	hdr->ts_ns = ts_ns;
	hdr->image = image;
	hdr->tgid = thread->tgid;
	hdr->tid = thread->tid;
	hdr->thread = thread->serial;
}

#endif
