/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Control of the kernel side of `trace` (trace.bpf.c), an object of its own: what user space tells it
 * of a process, and what it keeps of threads, activations and functions.
 */
#ifndef UNCOIL_TRACE_H
#define UNCOIL_TRACE_H

#include <linux/types.h>

#include "bucket.h"
#include "events.h"

#define TRACE_PROCS_MAX   256
#define TRACE_SITES_MAX   40 /* SITES_MAX */
#define TRACE_THREADS_MAX 2048
#define TRACE_FUNCS_MAX   16384
_Static_assert(TRACE_FUNCS_MAX <= 0xffff, "ev_call.caller");
#define TRACE_CHUNKS     8192 /* by default: 262,144 activations that are open at once */
#define TRACE_SCRATCHES  16
#define TRACE_FRAME_READ 64 /* bytes of a frame that are read at once */

/* One process's Python, as far as calls go. Offsets in bytes. */
struct trace_cfg {
	__u64 runtime;
	__u64 code_type;                 /* address of PyCode_Type */
	__u32 flags;                     /* enum trace_cfg_flag */
	__u32 runtime_tstate_current;    /* before 3.12: the thread state that runs; 0 = */
	__u32 runtime_interpreters_head; /* look for it */
	__u32 interp_next;
	__u32 interp_threads_head;
	__u32 tstate_next;
	__u32 tstate_thread_id;
	__u32 tstate_frame; /* current frame, or the cframe */
	__u32 cframe_current_frame;
	__u32 tstate_exception; /* current_exception (3.12+), curexc_type */
	__u32 tstate_chunk;  /* datastack_chunk; datastack_top and datastack_limit follow (3.11+) */
	__u32 frame_from;    /* what is read of a frame at each begin: from this offset on, */
	__u32 frame_read;    /* so many bytes: frame_previous and frame_code */
	__u32 read_previous; /* where they are in what was read */
	__u32 read_code;
	__u32 frame_previous;
	__u32 frame_code;
	__u32 frame_code_tags;
	__u32 frame_globals;
	__u32 frame_instr;
	__u32 frame_owner;
	__u32 frame_tlbc;      /* index of the thread's copy of the bytecode; see code_tlbc */
	__u32 frame_state;     /* before 3.11: f_stacktop (3.8, 3.9), f_state (3.10) */
	__u32 frame_suspended; /* 3.10: the byte that says so; 0 = f_stacktop is not NULL */
	__u32 frame_object;    /* PyFrameObject.f_frame (3.11+), 0 = it is the frame itself */
	__u32 object_type;
	__u32 type_name;
	__u32 code_read;
	__u32 code_flags;
	__u32 code_firsttraceable; /* 3.11+: index of a function's first RESUME */
	__u32 code_firstlineno;
	__u32 code_version; /* 3.12+; 0 = none, the name's hash stands in */
	__u32 code_filename;
	__u32 code_name;
	__u32 code_qualname;
	__u32 code_linetable;
	__u32 code_start;
	__u32 code_tlbc;
	__u32 str_length;
	__u32 str_hash;
	__u32 str_state;
	__u32 str_kind_shift;
	__u32 str_data_max;
	__u32 bytes_size;
	__u32 bytes_data;
};

enum trace_cfg_flag {
	TRACE_CFRAME = 1 << 0,       /* tstate_frame is a _PyCFrame * (3.11, 3.12) */
	TRACE_INSTR_IS_PTR = 1 << 1, /* frame_instr is an address (3.11+) */
	TRACE_SEES_RAISE = 1 << 2,   /* each end is hit, also that by an exception */
	TRACE_EXC_IS_TYPE = 1 << 3,  /* tstate_exception is the type (before 3.12) */
	TRACE_RESUME_7 = 1 << 4,     /* RESUME's argument is & 7, and 4 is no begin (3.15) */
	TRACE_FILTERED = 1 << 5,     /* --match: not every function is followed */
	TRACE_FRAME_FIRST = 1 << 6,  /* the evaluation loop's first argument is the frame (3.8) */
	TRACE_FREE_UNSEEN =
		1 << 7, /* it is not known where code objects are freed: each begin looks */
};

/* Where a site keeps its frame: a register that was seen to hold it each time. */
struct trace_hint {
	__u32 regs;   /* bit n: register n of reg_get() may be it */
	__u32 seen;   /* how often that was found true */
	__u32 reg;    /* the one that is believed */
	__u32 behind; /* at this site the caller is the current frame already */
	__u32 extra; /* ns that a hit here takes beyond an emulated one; of raise: all but its program */
	__u32 pad;
};
#define TRACE_HINT_SEEN 32 /* so often, and it is believed; and checked at each use */

struct trace_proc {
	__u32 image; /* 0: not used */
	__u32 on;    /* all its probes are in: hits count, while this is `execs` */
	__u32 execs; /* so far, from 1: what is known of it is of that program; kernel side */
	__u32 epoch; /* raised whenever a code object is freed */
	__u32 window; /* raised whenever the probes are put in: before, code objects were freed unheard */
	__u32 pad_window;
	struct trace_cfg cfg;
	struct trace_hint hints[TRACE_SITES_MAX];
};

/* kin map: a child that user space was told of and has not taken into trace_procs yet. */
enum trace_kin {
	TRACE_KIN_NONE,
	TRACE_KIN_FORKED, /* it has its parent's memory, a copy, */
	TRACE_KIN_SHARES, /* or the same until it execs (vfork) */
	TRACE_KIN_EXECED, /* it has exec'ed meanwhile */
};

/* What user space decides of a function (--match), as soon as it knows its name. */
enum trace_func_state {
	TRACE_FUNC_NEW, /* not decided: traced, and user space leaves it out if need be */
	TRACE_FUNC_TAKEN,
	TRACE_FUNC_LEFT, /* not traced */
};

/* funcs map: one function, and sums of its activations, so few that the commonest activation - a call that
 * returns, calls nothing and is no recursion - adds to three of them. struct trace_func is made of it. */
struct trace_sums {
	__u64 code;
	__u32 image;
	__u32 kind;  /* enum ev_func_kind */
	__u32 state; /* enum trace_func_state; user space */
	__u32 told;  /* EV_CODE was sent */
	__u32 first; /* of a generator: where its first RESUME is, in bytes (lasti) */
	__u32 pad;
	__u64 identity; /* sum over what makes the code object this one */
	__u32 window;   /* in which that was looked at */
	__u32 pad2;
	__u64 kinds[EV_BEGAN_MAX * EV_ENDED_MAX]; /* [began * EV_ENDED_MAX + ended]: activations */
	__u64 all_ns;                             /* of all but those that began before */
	__u64 child_ns;                           /* of that, in what they called */
	__u64 max_ns;
	__u64 kids, below;
	__u64 extra_self, extra_total; /* struct trace_func */
	__u64 inner;                   /* those within another activation of the same function, */
	__u64 inner_ns, inner_below;   /* and their part of all_ns and below */
	__u32 hist[TRACE_HIST];
};

/* The sums of a function's activations, as they are recorded. */
struct trace_func {
	__u64 code;
	__u32 image;
	__u32 kind;                /* enum ev_func_kind */
	__u32 state;               /* enum trace_func_state */
	__u32 told;                /* EV_CODE was sent */
	__u32 first, pad;          /* struct trace_sums */
	__u64 began[EV_BEGAN_MAX]; /* activations by how they began, */
	__u64 ended[EV_ENDED_MAX]; /* and by how they ended */
	__u64 self_ns;
	__u64 total_ns; /* without those within another activation of the same function */
	__u64 max_ns;
	__u64 primitive; /* how many of them are not within another one */
	__u64 kids;      /* activations that it called, */
	__u64 below;     /* and those, and all that they called: of all in total_ns */
	__u64 extra_self,
		extra_total;    /* ns of self_ns and total_ns that were hits of raise, or stepped */
	__u32 hist[TRACE_HIST]; /* of all activations, by duration (trace_bucket()) */
};

/* How many of one function's activations another one called. */
struct trace_edge_key {
	__u32 caller; /* func; 0 = the first on its stack */
	__u32 callee;
};

struct trace_edge {
	__u64 calls;     /* begins that are calls */
	__u64 primitive; /* not within another activation of the callee */
	__u64 self_ns;
	__u64 total_ns;
	__u64 below;
};

/* One activation that is open. */
struct trace_call {
	__u64 frame;
	__u64 previous; /* the frame before it, when it began */
	__u64 start_ns;
	__u64 child_ns;
	__u64 type; /* of the exception that was last seen in it; 0 = none */
	__u16 func;
	__u16 caller; /* of the activation below it */
	__u32 flags;  /* EV_CALL_FLAGS; TRACE_CALL_* */
	__u32 kids;
	__u32 below;
	__u32 extra; /* ns of its time that other hits than its begin and its end took, or those */
	__u32 extra_below; /* took longer for than emulated ones do; and the same of all it called */
};
_Static_assert(sizeof(struct trace_call) == 64, "one line of the cache");

enum trace_call_flag {
	TRACE_CALL_RAISED = 1 << 16, /* an exception was seen in it, or may be back in it */
	TRACE_CALL_INNER = 1 << 17,  /* within another activation of the same function */
};

/* A stack of open activations is a chain of these. */
#define TRACE_CHUNK_CALLS 32
struct trace_chunk {
	__u32 below; /* the chunk before it; 0 = none */
	__u32 pad[15];
	struct trace_call calls[TRACE_CHUNK_CALLS];
};

/* A stack: its last chunk, and how many it holds. Chunk n is element n - 1. */
struct trace_stack {
	__u32 chunk; /* 0 = none */
	__u32 used;  /* in that chunk */
	__u32 depth; /* in all */
	__u32 pad;
	__u64 parked_ns; /* of one that is parked: since when */
};

#define TRACE_HITS_PER_TIMED 64 /* a power of two */
/* A thread's last functions by their code objects: good while no code object was freed. */
#define TRACE_RECENT         64
struct trace_recent {
	__u64 code;
	__u32 func;
	__u32 epoch; /* trace_proc.epoch */
};

#define TRACE_ACTIVE 256 /* counters of a thread's open activations by function */
struct trace_thread {
	__u32 tid; /* 0: this slot is free */
	__u32 tgid;
	__u32 proc; /* its index */
	__u32 serial;
	__u64 tstate; /* 0 = not known */
	__u64 thread_id;
	__u64 since_ns; /* when it was first seen */
	__u32 hits;     /* one in TRACE_HITS_PER_TIMED is timed */
	__u32 left;     /* --thread: it is none that was asked for; user space */
	__u32 spare;    /* a chunk that is kept, 0 = none */
	__u32 parked_cnt;
	__u8 raw[TRACE_FRAME_READ]; /* the frame that was read last */
	struct trace_stack stack;
	/* the activation that ended last, if it called nothing: its frame, and how long it took */
	__u64 last_frame;
	__u64 last_ns;
	__u64 last_ends; /* `ends` then */
	__u32 last_func;
	__u32 last_kind; /* in trace_sums.kinds; and TRACE_CALL_INNER */
	__u32 extra;     /* of this hit's place */
	__u32 pad_extra;
	__u64 now_ns;       /* of this hit */
	__u64 begins, ends; /* hits */
	struct trace_recent recent[TRACE_RECENT];
	__u16 active[TRACE_ACTIVE];
};

/* Instead of a slot's number: the thread has none, and gets none. */
#define TRACE_SLOT_LEFT 0xffffffffU

/* parked map: the stack of a greenlet that does not run, by the frame on top of it. */
struct trace_parked_key {
	__u64 frame;
	__u32 image;
	__u32 pad;
};

#define TRACE_STATS(X)                                                                     \
	X(BEGINS, "begins seen")                                                           \
	X(ENDS, "ends seen")                                                               \
	X(TWICE, "begins hit twice, counted once")                                         \
	X(UNBEGUN, "ends of frames that never began: the interpreter's own")               \
	X(REFUSED, "calls that the recursion limit refused, not counted")                  \
	X(SLOW, "hits whose frame was looked up in the thread state")                      \
	X(HINT_WRONG, "hits where a register did not hold the frame")                      \
	X(BEFORE, "ends of calls that had begun before, it is not known which")            \
	X(PARKED, "switches of greenlets")                                                 \
	X(SHORT, "calls shorter than asked for, filtered")                                 \
	X(TIMED, "hits whose program was timed")                                           \
	X(TIMED_NS, "nanoseconds that those took")                                         \
	X(DROP_CALLS, "calls lost: the ring buffer was full")                              \
	X(DROP_RAISES, "exceptions lost: the ring buffer was full")                        \
	X(DROP_FUNCS, "calls lost: the table of functions was full")                       \
	X(DROP_THREADS, "hits lost: the table of threads was full")                        \
	X(DROP_CHUNKS, "calls lost: too many were open at once")                           \
	X(DROP_TSTATE, "hits lost: the thread state was not found")                        \
	X(DROP_READ, "hits lost: a frame could not be read")                               \
	X(DROP_EDGES, "calls whose caller was lost: the table of callers was full")        \
	X(DROP_PARKED, "greenlets whose calls were given up: too many were switched away") \
	X(DROP_LIVES, "forks and execs lost: the ring buffer was full")                    \
	X(DROP_NAMES, "names of threads lost: the ring buffer was full")

enum trace_stat {
#define X(name, text) TRACE_STAT_##name,
	TRACE_STATS(X)
#undef X
		TRACE_STAT_MAX,
	TRACE_STAT_DROP_FIRST = TRACE_STAT_DROP_CALLS,
};

#endif
