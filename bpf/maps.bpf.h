/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every map and every knob of the kernel side: declared here, defined in maps.bpf.c, and so one of
 * each in the linked object however many *.bpf.c use it.
 */
#ifndef UNCOIL_MAPS_BPF_H
#define UNCOIL_MAPS_BPF_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "events.h"
#include "shared.h"

#define PROCS_MAX   4096
#define THREADS_MAX 16384
#define COUNTS_MAX  16384
#define CODES_MAX   32768

/* One tick's working memory: too large for the BPF stack, and where the global functions (verified
 * once each, not once per iteration) find their arguments. */
struct scratch {
	struct py_cfg cfg;
	__u64 thread_id; /* whose thread state is searched */
	__u64 interp;    /* interpreter to look into next */
	__u64 tstate;    /* thread state to look at next; then the one found */
	__u64 loaded;    /* the thread state that `tstate_raw` is of */
	__u64 current;   /* the thread state that holds the GIL, where there is one GIL */
	__u64 sp;        /* the thread's C stack, [sp, stack_top), if it was in user mode; else 0 */
	__u64 stack_top;
	__u64 best;    /* the best one of this thread so far, none being surely the current */
	__u64 none_at; /* this one and older ones are not this thread's; 0 = not known */
	__u32 best_rank;
	__u32 tstates_left; /* how many more may be looked at */
	__u32 tstates_max;  /* at the most, to find out that the thread has none */
	__u32 torn;         /* one could not be read: there may be more */
	__u64 at;           /* frame to read next */
	__u64 hash;
	__u64 window_start; /* the target's addresses that `window` holds: [start, end) */
	__u64 window_end;
	__u64 gc_frame;       /* the frame that started the collector, not passed yet; 0 = none */
	__u64 code_last;      /* the last code object of this tick, */
	__u32 check_last;     /* and its check: nothing changes while the thread is stopped */
	__u32 entry_due;      /* the frame that began this cframe has not been passed yet, */
	__u64 entry_previous; /* and this is what it must say comes before it */
	__u32 changes;        /* frames of another function than the one before */
	__u32 gc_leaf;        /* enum ev_check: what is at the leaf; 0 = nothing */
	__u32 frame;          /* where the current frame begins in `window` */
	__u32 cfg_number;     /* which cfg this is; 0 = none */
	__u32 why;            /* enum ev_stack_flag: where the walk ended before the root */
	__u32 codes_max;      /* code objects that may be copied for this stack */
	__u32 code_bytes;     /* bytes of code objects that were copied for it */
	__u32 pad;
	__u8 window[PY_WINDOW_MAX];
	__u8 tstate_raw[PY_TSTATE_READ_MAX];
	__u8 code[PY_CODE_READ_MAX];
	struct thread_seen fresh; /* a thread that is seen for the first time */
	struct ev_stack stack;
	/* record --async (task.bpf.h) */
	__u64 ats[EV_FRAMES_MAX]; /* addresses of the frames that were followed, */
	__u32 at_cnt;             /* so many */
	__u32 tried;              /* tasks of the dict that were looked at */
	__u64 task;               /* the task, read into task_raw; 0 = none */
	__u64 task_frame;         /* of its coroutine */
	struct py_frame entry;    /* what goes into the stack; lasti 0: nothing */
	__u8 task_raw[PY_TASK_READ_MAX];
	__u8 keys[PY_KEYS_READ_MAX];
	__u64 loops[PY_LOOPS_MAX * 3]; /* { hash, key, value } */
	struct ev_task name;
	__u64 fds; /* where the thread's open files are: fdtable.fd */
	/* direct.bpf.h */
	__u64 pgd;       /* kernel address of the page tables' first */
	__u64 middle_of; /* which 1 GiB of the target's addresses, */
	__u64 middle;    /* and the kernel address of its table of 512 times 2 MiB */
};

/* the wire; read by user/probe/ring.c; size set at load (--ring-size) */
struct ring_map {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
};

/* tgid -> struct proc; written by user/probe (roots, execs) and life.bpf.c (forks) */
struct procs_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PROCS_MAX);
	__type(key, __u32);
	__type(value, struct proc);
};

/* tid -> struct thread_seen; made at a thread's first tick or switch (count.bpf.h), or by user space for
 * one that sleeps when the recording begins; removed at its exit and exec */
struct threads_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, THREADS_MAX);
	__type(key, __u32);
	__type(value, struct thread_seen);
};

/* (thread, stack) -> count; written at ticks and switches into the one that `counts_active` names, drained
 * by user space from the other, once all programs that saw the old value are over (sampler__flip) */
struct counts_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, COUNTS_MAX);
	__type(key, struct count_key);
	__type(value, struct count_val);
};

/* code objects already shipped, the longest unused forgotten first (and then shipped again); the
 * value means nothing */
struct codes_map {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CODES_MAX);
	__type(key, struct code_key);
	__type(value, __u32);
};

struct stats_map {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STAT_MAX);
	__type(key, __u32);
	__type(value, __u64);
};

struct scratches_map {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
};

struct serials_map {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct serials);
};

struct code_scratches_map {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ev_code);
};

struct costs_map {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cost);
};

extern struct ring_map ring SEC(".maps");
extern struct procs_map procs SEC(".maps");
extern struct threads_map threads SEC(".maps");
extern struct counts_map counts_a SEC(".maps");
extern struct counts_map counts_b SEC(".maps");
extern struct codes_map codes SEC(".maps");
extern struct stats_map stats SEC(".maps");
extern struct scratches_map scratches SEC(".maps");
extern struct code_scratches_map code_scratches SEC(".maps");
extern struct serials_map serials SEC(".maps");
extern struct costs_map costs SEC(".maps");

/* set before load, constant afterwards */
extern const volatile __u64 hash_seed; /* random per recording: a target cannot aim at collisions */
extern const volatile __u32 follow_children; /* -s */
extern const volatile __u32 has_cookie;      /* bpf_get_attach_cookie(), Linux 5.15 */
extern const volatile __u32 timeline;        /* an event for each sample, with its time */
extern const volatile __u32 ring_wake_bytes; /* unread bytes at which the reader is woken */
extern const volatile __u32 trace_switches;  /* switch.bpf.c is attached */
extern const volatile __u32 serial_cpu_bits; /* of a serial, for the CPU that made it */
extern const volatile __u32 holder_only;     /* only ticks of the thread that holds the GIL count */
extern const volatile __u32 ticks_per_timed; /* one tick in so many is timed; a power of two */
extern const volatile __u32 async_tasks;     /* stacks say which asyncio task they are of */

extern const volatile __u8 syscalls[SYSCALLS_MAX]; /* enum syscall_kind */

/* live */
extern __u32
	ready; /* user: 1 once all is attached; before, nothing but forks, execs and exits is emitted */
extern __u64 start_ns;    /* user: when `ready` was set; CLOCK_MONOTONIC */
extern __u64 end_ns;      /* user: set before `ready` is 0 again; CLOCK_MONOTONIC */
extern __u64 direct_base; /* BPF: where the kernel maps all memory; 0 = not known (direct.bpf.h) */
extern __u32 direct_five; /* BPF: its page tables have five levels */
extern __u64 direct_probe[3]; /* user: an address of its own, and the two words that are there */
extern __u8 proc_hints[PROC_HINTS]; /* user, and life.bpf.c: proc_may_be() */
extern __u32 counts_active;         /* user: 0 = counts_a, 1 = counts_b */
extern __u32 counts_used;           /* BPF: entries made in the active counts map; user resets it */

/* May there be an entry of this process in `procs`? Every switch of the host asks that, and mostly of a
 * process that nobody records: one byte answers. It is set before the entry is made, and stays. */
static inline bool proc_may_be(__u32 tgid)
{
	return *(volatile __u8 *)&proc_hints[tgid & (PROC_HINTS - 1)];
}

/* The table to count into, looked at once. */
static inline __u32 counts_table(void)
{
	return *(volatile __u32 *)&counts_active;
}

#endif
