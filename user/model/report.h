/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a recording says, ready to be written down: one tree of frames with counts, and everything
 * an output must say about itself. The sinks take this and nothing else.
 *
 * All text is valid UTF-8 without NUL (base/text.h), but otherwise as hostile as the target made
 * it: sinks escape. Nodes are in a canonical order (heaviest first, then by text), so the same
 * report is written the same way, byte for byte.
 */
#ifndef UNCOIL_MODEL_REPORT_H
#define UNCOIL_MODEL_REPORT_H

#include <stdbool.h>
#include <stdint.h>

enum frame_kind {
	FRAME_ROOT,    /* the tree's root, "all" */
	FRAME_PROCESS, /* "process 123 (gunicorn)"; only with -t */
	FRAME_THREAD,  /* "thread 124 (MainThread)"; only with -t */
	FRAME_TASK,    /* "task fetch-7", "tasks of handle"; only with record --async */
	FRAME_APP,     /* Python of the application itself */
	FRAME_LIBRARY, /* Python under site-packages, dist-packages */
	FRAME_STDLIB,  /* Python of the standard library, and frozen modules */
	FRAME_MARK,    /* no frame but a remark: "[truncated]", "[no Python frame]" */
	FRAME_GC,      /* no frame but the garbage collector */
	FRAME_WAIT,    /* no frame but what a thread waited for: "[sleep]", "[run queue]" */
	FRAME_KIND_MAX
};

/* What the tree's numbers count. */
enum report_unit {
	REPORT_SAMPLES, /* ticks of the timer: each stands for 1 / rate_hz of CPU time */
	REPORT_NS,      /* nanoseconds, measured: modes that know of waiting */
};

struct report_node {
	enum frame_kind kind;
	const char *func;   /* qualified name, or the whole label for kinds without a file */
	const char *file;   /* as shown (shortened); "" for kinds without a file */
	const char *path;   /* co_filename in full; "" likewise */
	int32_t line;       /* 0 = none, or not asked for (-F) */
	int32_t column;     /* --columns: in bytes of UTF-8, from 1; 0 = none, or not asked for */
	int32_t first_line; /* of the function: co_firstlineno; 0 = not known */
	int32_t id;         /* FRAME_PROCESS: pid; FRAME_THREAD: tid; else 0 */
	const char *name;   /* of that process or thread; NULL for other kinds */
	uint64_t self;      /* of stacks whose leaf this is, in the report's unit */
	uint64_t total;     /* self and all below */
	struct report_node *parent, *child, *next; /* first child, next sibling */
};

/* One sentence with a count: what was lost, cut or not known. */
struct report_remark {
	uint64_t count;
	const char *text; /* "samples lost: the ring buffer was full" */
	bool is_loss;     /* data was lost: exit code 3 */
};

struct report_target {
	int32_t pid;         /* as seen by the recorder */
	const char *command; /* masked command line */
	const char *python;  /* "CPython 3.11.2", or "not identified" */
};

struct report_thread {
	int32_t pid, tid;
	const char *name;
	uint64_t samples;                  /* ticks, whatever the unit */
	uint64_t cpu_ns, wait_ns, runq_ns; /* REPORT_NS: where its time went; 0, 0, 0: not known */
	const char *process;               /* its process' name */
	uint32_t serial;                   /* unique in a recording: a tid may be used again */
};

enum report_event_kind {
	REPORT_EVENT_SAMPLE, /* a tick of the timer: the thread was there at that moment */
	REPORT_EVENT_WAIT, /* the thread was off the CPU, and this is what for. No two of one thread
			      * overlap: the run queue after a wait is an event of its own */
	REPORT_EVENT_KIND_MAX
};

/* What happened when, for formats that draw time. */
struct report_event {
	enum report_event_kind kind;
	uint32_t thread; /* index in report.threads */
	uint64_t ts_ns;  /* CLOCK_MONOTONIC; start_ns is the recording's beginning on that clock */
	uint64_t duration_ns;           /* of a wait, never 0; 0: a moment */
	const struct report_node *leaf; /* its stack: this node and its parents */
	const char *name; /* of a wait: "[lock]", as the tree's leaves have it; NULL: a sample */
	bool open;        /* it was not over at the recording's end */
};

struct report_self { /* one function's sums over the whole tree, for the summary */
	enum frame_kind kind;
	const char *func, *file;
	uint64_t self;
	uint64_t total; /* each sample once, recursion notwithstanding */
};

/* What the recording cost the processes (model/overhead.h), for the one sentence that says so. */
struct report_overhead {
	bool known;
	bool bare_known;              /* what a tick without a program takes was calibrated */
	uint64_t cpu_ns;              /* the processes' CPU time; 0: none */
	uint64_t own_ns;              /* uncoil's, without that of writing the outputs */
	uint64_t start_ns;            /* uncoil's before the first sample; 0: not in this part */
	uint64_t ticks, tick_ns;      /* how many; one of them, on average */
	uint64_t switches, switch_ns; /* likewise */
	double share;                 /* all of that but start_ns, of cpu_ns; 0: cannot be told */
	double worst;                 /* in 5 s; 0: cannot be told */
	double bound;                 /* --max-overhead; 0: none */
};

struct report {
	const char *mode; /* "on-CPU" */
	bool waits_only;  /* off-CPU: nothing was sampled */
	enum report_unit unit;
	uint32_t rate_hz;     /* samples per second of CPU time and thread */
	uint64_t duration_ns; /* of the recording */
	int64_t start_unix_ns;
	uint64_t samples; /* in the tree: root->total, in the report's unit */
	uint64_t ticks;   /* samples that the tree is made from, */
	uint64_t waits;   /* and waits */
	struct report_node *root;
	const struct report_target *targets;
	uint32_t target_cnt;
	const struct report_thread *threads; /* most samples first */
	uint32_t thread_cnt;
	const struct report_self *functions; /* most self samples first, then total */
	uint32_t function_cnt;
	const struct report_self *tasks; /* record --async: the same of frames of tasks */
	uint32_t task_cnt;
	const struct report_remark *remarks;
	uint32_t remark_cnt;
	const char *const *unmatched; /* report_options.only that no thread fits */
	uint32_t unmatched_cnt;
	struct report_overhead overhead;
	/* with report_options.timeline, if the profile has one: */
	uint64_t start_ns;                 /* CLOCK_MONOTONIC, when it was start_unix_ns */
	const struct report_event *events; /* in order of time, then of threads */
	uint64_t event_cnt;
};

#endif
