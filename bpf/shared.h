/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Control: what user space tells the kernel side, and the counters the kernel side keeps.
 *
 * struct py_cfg is all that BPF knows of Python: offsets and flags of one process. There is no
 * version in it, on purpose: a CPython release changes numbers here, never a branch over there,
 * unless its frames mean something new (then: one more flag).
 */
#ifndef UNCOIL_SHARED_H
#define UNCOIL_SHARED_H

#include <linux/types.h>

#include "events.h"

/* Reads of the target's thread states, frames and code objects are one bounded read each; every
 * offset below is smaller than these (checked in user/python/layout.c before the map is written, masked at use). */
#define PY_TSTATE_READ_MAX 256
#define PY_FRAME_READ_MAX  128
#define PY_CODE_READ_MAX   256
#define PY_TASK_READ_MAX   256

/* Since 3.11 the frames of a thread lie one behind the other in its data stack, callers at lower
 * addresses: one read of this many bytes, ending with a frame, holds several of its callers. What a
 * read costs is mostly the call, hardly its length. */
#define PY_WINDOW_MAX 2048

/* What is read of the collector at once: an int, and maybe an address behind it. */
#define PY_COLLECTING_READ 16

enum py_cfg_flag {
	PY_CFG_CFRAME =
		1
		<< 0, /* tstate_frame is a _PyCFrame *, whose current_frame is meant (3.11, 3.12) */
	PY_CFG_INSTR_IS_PTR = 1 << 1, /* frame_instr is an address (3.11+), not an int index */
	PY_CFG_FRAME_STACK = 1 << 3,  /* frames lie in the data stack (3.11+), not in the heap */
	PY_CFG_FRAME_OWNER =
		1 << 2, /* frames with owner >= frame_owner_skip are the C stack's shims (3.12+) */
};

/* Where asyncio's current tasks are (record --async): in the thread state, or before 3.14 in a dict of
 * all loops. Filled in once the process has loaded asyncio; all 0 before. */
struct task_cfg {
	__u64 type;        /* address of asyncio's Task class; 0: nothing here holds */
	__u64 dict;        /* address of the dict loop -> current task, or 0: */
	__u32 tstate_task; /* the thread state's current task */
	__u32 read;        /* bytes of a task to read: covers `coro` and `name` */
	__u32 coro;
	__u32 name;
	__u32 gen_frame; /* of a coroutine: its frame, or (gen_frame_ptr) where it points to it */
	__u32 gen_frame_ptr;
	__u32 type_base;
	__u32 type_flags;
	__u32 str_ascii; /* header of an ASCII str: text begins here */
	__u32 dict_keys;
	/* of a dict's keys; all below PY_KEYS_READ_MAX */
	__u32 keys_size;       /* how many slots the index has, as a number of 64 bits, or */
	__u32 keys_index_log2; /* a byte: the logarithm of the index's length in bytes; 0 = none */
	__u32 keys_kind;       /* a byte, 0 in the keys of this dict; 0 = none */
	__u32 keys_nentries;
	__u32 keys_index; /* the index; behind it the entries: { hash, key, value } */
	__u32 pad;
};
_Static_assert(sizeof(struct task_cfg) == 80, "control");
#define PY_KEYS_READ_MAX 64
#define PY_LOOPS_MAX     170 /* entries of that dict that are looked at, dead ones included, */
#define PY_LOOPS_LIVE    32  /* and live ones */

/* One process's Python. Offsets are in bytes; 0 = does not exist in this version, unless the name
 * is known to be a first member. */
struct py_cfg {
	__u64 runtime;   /* address of _PyRuntime in the target */
	__u64 code_type; /* address of PyCode_Type in the target: every code object's ob_type */
	__u32 flags;     /* enum py_cfg_flag */
	__u32 runtime_interpreters_head;
	__u32 runtime_tstate_current; /* who holds the GIL, 0 = see tstate_active */
	__u32 interp_next;
	__u32 interp_threads_head;
	__u32 tstate_read; /* bytes of a thread state to read: covers all tstate_* below */
	__u32 tstate_next;
	__u32 tstate_thread_id;
	__u32 tstate_frame; /* current frame, or the cframe */
	__u32 tstate_status;
	__u32 tstate_active; /* mask of the bit in tstate_status: it is the one that its thread uses */
	__u32 tstate_cframe;        /* points to the C stack of the thread that runs it; 0 = none */
	__u32 cframe_current_frame; /* its `previous` follows at once (3.11, 3.12) */
	__u32 frame_read;           /* bytes of a frame to read: covers all frame_* below */
	__u32 frame_previous;
	__u32 frame_code;
	__u32 frame_code_tags; /* low bits of that pointer which are not address (3.14+) */
	__u32 frame_instr;
	__u32 frame_owner;
	__u32 frame_owner_skip;
	__u32 frame_is_entry; /* _PyInterpreterFrame.is_entry (3.11), or 0 */
	__u32 frame_tlbc;     /* index of the thread's copy of the bytecode; see code_tlbc */
	__u32 code_read; /* bytes of a code object to read: covers all code_* below but code_start */
	__u32 code_firstlineno;
	__u32 code_filename;
	__u32 code_name;
	__u32 code_qualname;
	__u32 code_linetable;
	__u32 code_version; /* co_version, unique per code object; 0 = none: the name's hash stands in */
	__u32 code_start; /* co_code_adaptive */
	__u32 code_tlbc;  /* the threads' copies of it: { size, addresses[] }; 0 = there are none */
	__u32 object_type; /* PyObject.ob_type */
	__u32 str_length;
	__u32 str_hash;
	__u32 str_state;
	__u32 str_kind_shift; /* bits of `state` before `kind` */
	__u32 str_data_max;   /* header of the largest compact str: text begins here or before */
	__u32 bytes_size;
	__u32 bytes_data;
	__u32 tstate_interp;
	__u32 runtime_gil; /* the GIL's struct inside _PyRuntime (before 3.12), */
	__u32 interp_gil;  /* or a pointer to it inside the interpreter; both 0: there is none */
	__u32 gil_size;
	__u32 gil_holder;
	__u32 gil_locked;
	__u32 runtime_collecting; /* does the garbage collector run? in _PyRuntime (3.8), */
	__u32 interp_collecting;  /* or in the interpreter; both 0: not known */
	__u32 collecting_frame;   /* from there to the frame that started it; 0 = there is none */
	__u32 interp_stopper;     /* thread state that stops all others; 0 = the GIL does that */
	struct task_cfg task;
};
_Static_assert(sizeof(struct py_cfg) == 296, "control");

/* One byte for each tgid, modulo: may it be in the procs map? A power of two. */
#define PROC_HINTS 4096

enum proc_state {
	PROC_UNKNOWN, /* followed, and it is not known (yet) to run Python */
	PROC_PYTHON,  /* cfg is valid */
};

/* procs map: tgid -> what is known. Written by user space for roots and execs, by BPF on fork. */
struct proc {
	__u32 image;
	__u32 state;      /* enum proc_state */
	__u64 since_ns;   /* when this image began, if within the recording; CLOCK_MONOTONIC */
	__u32 cfg_number; /* another one for each cfg that user space writes: CPUs keep a copy */
	__u32 pad;
	struct py_cfg cfg;
};

/* A stack that this thread left the CPU with lately: what is seen of it without reading its code
 * objects, and its hash. */
#define MEMO_CNT 4
struct memo {
	__u64 chain; /* 0 = none */
	__u64 hash;
	__u64 end_ns; /* not believed any longer then */
};

/* What the sampler remembers of a thread. `timer_own` is set by the first tick of a timer that was
 * opened on this very thread; ticks of an inherited one are duplicates from then on. */
struct thread_seen {
	__u32 image;
	__u32 serial;
	__u64 thread_id;     /* pthread_self() */
	__u64 tstate;        /* last seen thread state, verified at each use; 0 = none yet */
	__u64 tstate_id;     /* the thread_id in it: its maker's, which may be another thread */
	__u64 sent_id;       /* the thread_id that user space was told */
	__u64 search_interp; /* where the search for the thread state goes on at the next tick, */
	__u64 search_tstate; /* 0, 0 = from the beginning */
	__u64 search_head;   /* the newest thread state when that search began */
	__u64 none_head;     /* of this one and older ones none was this thread's; 0 = not known */
	__u64 none_end_ns;   /* not looked at again before */
	__u32 none_sp;       /* their C stacks were compared with this thread's as well */
	__u32 pad;
	__u32 timer_own;
	__u32 is_off; /* left the CPU at since_ns, and did not come back yet */
	/* time, kept by switch.bpf.c */
	__u64 since_ns;  /* when it last came to the CPU or left it; 0 = neither was seen yet */
	__u64 hash;      /* the stack it left with; 0 = none that was counted */
	__u64 run_delay; /* the kernel's sum of its time in run queues, when it left */
	__u64 exec_ns;   /* the kernel's sum of its time on the CPU, at since_ns */
	__u64 switches;  /* the kernel's count of its switches away from the CPU, at since_ns */
	__u64 over_ns;   /* the wait that is over, and not counted yet: how much of it was in the */
	__u64 over_hash; /* run queue is known only once the kernel has summed it up */
	__u64 over_start_ns; /* when it began */
	struct thread_times times;
	struct memo memo[MEMO_CNT];
};

/* What a system call waits on, by its number (user/os/syscall.h). */
#define SYSCALLS_MAX 512
enum syscall_kind {
	SYSCALL_OTHER,
	SYSCALL_FD,     /* a file descriptor, its first argument */
	SYSCALL_POLL,   /* struct pollfd [], counted by the second argument */
	SYSCALL_SELECT, /* descriptors below its first argument */
	SYSCALL_FUTEX,  /* the word at its first argument */
};

/* Serials are made per CPU, (count << serial_cpu_bits) + cpu, because an atomic add that returns its
 * sum needs Linux 5.12; bits for as many CPUs as there can be. User space numbers threads up to
 * SERIALS_USER and images up to IMAGES_USER itself: the kernel side's begin above. */
#define SERIALS_USER 65536
#define IMAGES_USER  1024
struct serials {
	__u32 threads; /* raised where a thread is first seen, */
	__u32 images;  /* at a fork and at an exec */
};

/* counts maps: how often one thread was seen with one stack. */
struct count_key {
	__u32 thread;
	__u32 image;
	__u64 hash;
};

struct count_val {
	__u64 count;   /* samples, or waits that are over */
	__u64 wait_ns; /* of waits: until the thread was woken, */
	__u64 runq_ns; /* and from then until it ran */
	__u32 flags;   /* enum ev_stack_flag of the stack */
	__u32 pending; /* not 0: its frames' code objects are not all shipped yet */
};

/* costs map: what the programs took of the threads that they interrupted, on one CPU. Reading the clock
 * twice is not free either, so only one run in so many is timed (`ticks_per_timed`). */
#define SWITCHES_PER_TIMED 16 /* a power of two */
struct cost {
	__u64 ticks;       /* runs of the timer's program, whatever came of them */
	__u64 ticks_timed; /* of these, */
	__u64 ticks_ns;    /* and what they took together */
	__u64 switches;    /* to or from a thread that is followed */
	__u64 switches_timed;
	__u64 switches_ns;
	__u64 cpu_ns; /* that threads which are followed were on the CPU, until they left it */
};

/* codes map: which code objects were shipped. */
struct code_key {
	__u64 code;
	__u32 image;
	__u32 check;
};

/*
 * Per-CPU counters. SAMPLES is what was asked for and came; DROP_* are losses, each with the
 * sentence that every output shows for it. Nothing leaves a program early but by a filter or one
 * of these.
 */
#define STATS(X)                                                                                  \
	X(SAMPLES, "samples taken")                                                               \
	X(STACKS_NEW, "stacks shipped")                                                           \
	X(CODES_NEW, "code objects shipped")                                                      \
	X(DUPLICATE_TIMER, "ticks of a second timer on one thread, filtered")                     \
	X(EXITING, "ticks in threads that were ending, filtered")                                 \
	X(WAITS, "waits that are over")                                                           \
	X(WALKS, "stacks walked at a switch")                                                     \
	X(SWITCH_UNHEARD, "switches not heard of, made up for from the kernel's own sums")        \
	X(NOT_HOLDER, "ticks of threads that did not hold the GIL, filtered")                     \
	X(DROP_RING_THREAD, "samples lost: the ring buffer was full at a thread's first tick")    \
	X(DROP_RING_FULL, "samples lost: the ring buffer was full")                               \
	X(DROP_COUNTS_FULL, "samples lost: the table of stacks was full")                         \
	X(DROP_THREADS_FULL, "samples lost: the table of threads, or of their numbers, was full") \
	X(DROP_PROCS_FULL, "processes not followed: the table of them, or of numbers, was full")  \
	X(DROP_LIFE_EVENT, "forks, execs or exits lost: the ring buffer was full")                \
	X(DROP_WAITS, "waits lost: the ring buffer or the table of stacks was full")              \
	X(DROP_TIMES, "threads whose times were lost: the ring buffer was full")                  \
	X(DROP_SCRATCH, "samples lost: no scratch memory")

enum stat_id {
#define X(name, text) STAT_##name,
	STATS(X)
#undef X
		STAT_MAX,
	STAT_DROP_FIRST = STAT_DROP_RING_THREAD, /* this one and all after it are losses */
};

#endif /* UNCOIL_SHARED_H */
