/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records: everything that a recording takes in, in the order it came in. A live recording applies
 * each record to the profile as it arrives, and `-f raw` writes the same records to a journal;
 * `replay` reads them back and applies them. Nothing else enters the profile, so the outputs are
 * the same, byte for byte.
 *
 * Two doors, two families: what the kernel side sent (RING, COUNTS, STATS) and what was answered
 * about a process (IMAGE, THREAD_NAME, CODE). All integers are little-endian, 64-bit aligned only
 * where the struct says so; strings are length-prefixed (u32) clean UTF-8 without NUL.
 */
#ifndef UNCOIL_MODEL_RECORD_H
#define UNCOIL_MODEL_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "python/code.h"
#include "shared.h"
#include "trace.h"

#define RECORD_FORMAT 2 /* raised when a record changes its meaning */

enum record_type {
	RECORD_NONE,
	RECORD_META,        /* struct record_meta, string mode */
	RECORD_RING,        /* one event as it was on the wire (bpf/events.h) */
	RECORD_COUNTS,      /* struct record_count [] */
	RECORD_IMAGE,       /* struct record_image, strings: command, comm, cwd, python */
	RECORD_THREAD_NAME, /* struct record_thread, string name */
	RECORD_CODE,        /* struct ev_code as on the wire, but read from the target's memory, and
			     * with a line table as long as RECORD_LEN_MAX allows */
	RECORD_TIMES,       /* struct record_times [], of threads that live at the end */
	RECORD_STATS,       /* struct record_stats: once, last but END */
	RECORD_END,         /* nothing; a journal without it was cut off */
	RECORD_TIMELINE, /* nothing: the time of each sample is recorded too (EV_TICK). Behind META */
	RECORD_TIMES_BEFORE, /* struct record_times []: what went before this part (--rotate) */
	RECORD_OVERHEAD,     /* struct record_overhead: once at most, behind all that was counted */
	RECORD_ASYNC,        /* nothing: stacks say which asyncio task they are of. Behind META */
	RECORD_TASKS,        /* struct record_tasks: from here on, of this image */
	RECORD_TRACE,  /* struct record_trace, strings: the patterns of --match. Behind META */
	RECORD_MODULE, /* struct record_module, string: the module of a function, "" = not known */
	RECORD_SUMS,   /* struct record_sum []: once, at the end, in several records if need be */
	RECORD_EDGES,  /* struct record_edge []: likewise, if callers were asked for */
	RECORD_TRACE_STATS,   /* struct record_trace_stats: once, instead of STATS */
	RECORD_TRACE_ACCOUNT, /* struct record_trace_account, strings: why it was let go, "" = it was
			       * not; and the patterns of --thread that no thread fits. Before STATS */
	RECORD_MAX
};

#define RECORD_LEN_MAX    (1u << 20)
#define RECORD_STRING_MAX 4096 /* of one string in a record, clean: what is longer is cut */

/* Takes a length-prefixed string off the front of a record: clean, to be freed; NULL if it does not hold. */
char *record_string(const uint8_t **at, size_t *left);

/* What is recorded of a thread. */
enum record_mode {
	RECORD_CPU,    /* samples while it is on the CPU */
	RECORD_WALL,   /* those, and its waits */
	RECORD_OFFCPU, /* its waits */
	RECORD_GIL,    /* samples while it is on the CPU and holds the GIL */
	RECORD_MODE_MAX,
	RECORD_CALLS = RECORD_MODE_MAX, /* trace: its calls, no samples; not a profile's */
};

/* Are waits recorded, and with them what each thread's time went to? */
static inline bool record_mode_waits(enum record_mode mode)
{
	return mode == RECORD_WALL || mode == RECORD_OFFCPU;
}

struct record_meta {
	uint32_t format;  /* RECORD_FORMAT */
	uint32_t rate_hz; /* 0: no samples */
	uint32_t mode;    /* enum record_mode */
	uint32_t pad;     /* 0 */
	int64_t start_unix_ns;
	uint64_t start_ns; /* CLOCK_MONOTONIC */
};

struct record_count {
	struct count_key key;
	uint64_t count;   /* samples or waits, by the stack's EV_STACK_WAIT */
	uint64_t wait_ns; /* of waits: until the thread was woken, */
	uint64_t runq_ns; /* and from then until it ran */
};

/* Of a thread's whole life, less what a RECORD_TIMES_BEFORE says. */
struct record_times {
	uint32_t thread; /* serial */
	uint32_t image;
	struct thread_times times;
};

enum record_image_flag {
	RECORD_IMAGE_PYTHON = 1 << 0,  /* an interpreter was found: abi holds */
	RECORD_IMAGE_ROOT = 1 << 1,    /* asked for by -p or --, not a child */
	RECORD_IMAGE_REFUSED = 1 << 2, /* a Python that is not supported: `python` tells which */
	RECORD_IMAGE_ALL = (1 << 3) - 1,
};

/* What is known of a process image. A later one for the same image replaces it. */
struct record_image {
	uint32_t image;
	int32_t pid;
	uint32_t flags; /* enum record_image_flag */
	uint32_t hex;   /* PY_VERSION_HEX */
	uint32_t lines; /* enum py_lines */
	uint32_t str_kind_shift;
	struct py_offsets off;
};

enum record_thread_flag {
	RECORD_THREAD_NOT_READ = 1 << 0, /* there was no time to read its name, which is "" */
};

struct record_thread {
	uint32_t thread; /* serial */
	uint32_t flags;  /* enum record_thread_flag */
};

/* What the recording cost the processes, from its start to this record (model/overhead.h). */
struct record_overhead {
	uint64_t cpu_ns;   /* the processes' CPU time; 0: their threads' times tell */
	uint64_t own_ns;   /* uncoil's own, since it samples, */
	uint64_t start_ns; /* and what it took to get there */
	uint64_t ticks;    /* that interrupted them, each for bare_ns, and */
	uint64_t tick_ns;  /* for so much more together */
	uint64_t switches, switch_ns;
	uint32_t bare_ns; /* a tick without a program, calibrated; 0: not known */
	uint32_t bound;   /* --max-overhead in millionths; 0: none */
	uint32_t worst;   /* the highest share in 5 s, in millionths; 0: none can be told */
	uint32_t pad;     /* 0 */
};

enum record_tasks_flag {
	RECORD_TASKS_REFUSED = 1 << 0, /* it has an asyncio, and not one that is known */
};

struct record_tasks {
	uint32_t image;
	uint32_t flags;   /* enum record_tasks_flag */
	uint64_t told_ns; /* CLOCK_MONOTONIC */
};

/* What was traced. */
struct record_trace {
	uint32_t flags; /* enum record_trace_flag */
	uint32_t depth; /* 0: all */
	uint64_t min_ns;
};

enum record_trace_flag {
	RECORD_TRACE_EVENTS = 1 << 0, /* each call is told (EV_CALL); else only sums */
	RECORD_TRACE_EDGES = 1 << 1,  /* RECORD_EDGES will come */
};

/* Where a function is defined: its globals' __name__. */
struct record_module {
	uint32_t image;
	uint32_t func; /* EV_FUNC's number */
};

struct record_sum {
	uint32_t func, pad;
	struct trace_func sum;
};

struct record_edge {
	struct trace_edge_key key;
	struct trace_edge sum;
};

struct record_trace_stats {
	uint64_t duration_ns;
	uint64_t traced_ns; /* of it, what was traced: the rest is pauses (--max-overhead) */
	uint64_t begin_ns;  /* what a begin's and an end's hit took the target on average here, */
	uint64_t end_ns;    /* and 0: not known */
	uint64_t inside_ns; /* of a call's two hits, what falls between its two times */
	uint64_t stat[TRACE_STAT_MAX]; /* an older journal has fewer */
};

/* How a trace went. */
struct record_trace_account {
	uint32_t flags;    /* 0 */
	uint32_t bound;    /* --max-overhead in millionths; 0: none */
	uint32_t slowdown; /* of the processes, estimated, in millionths; and in the worst 5 s, */
	uint32_t worst;    /* 0: none was measured */
	uint64_t windows;  /* that were begun */
	uint64_t cost_ns;  /* what the probes took of the processes' CPU time, estimated */
	/* processes that were forked, or exec'ed, while it was on: */
	uint64_t late;       /* got their probes, */
	uint64_t gap_ns;     /* the last one after so long, and */
	uint64_t gap_sum_ns; /* all together */
	uint64_t missed;     /* ended before */
	uint64_t unknown;    /* ended, and no Python was found in them by then */
	uint64_t refused;    /* cannot be traced */
	uint64_t full;       /* were one too many */
	/* --thread: threads that were traced until their name was known to be none that was asked for */
	uint64_t threads_late;
};

struct record_stats {
	uint64_t duration_ns;
	uint64_t ticks_expected; /* CPU time of the targets' threads over the period; 0 = unknown */
	uint64_t ticks_slack;    /* at most this many of them are rounding */
	uint64_t stat[STAT_MAX];
};

#endif
