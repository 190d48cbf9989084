/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace while it goes on: processes, probes, the governor, and the way of each record from the ring into
 * the outputs (cmd/trace_out.h).
 *
 *	tracing_start -> tracing_step … -> tracing_stop -> tracing_free
 */
#ifndef UNCOIL_CMD_TRACING_H
#define UNCOIL_CMD_TRACING_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cmd/answer.h"
#include "cmd/child.h"
#include "cmd/options_trace.h"
#include "cmd/trace_out.h"
#include "model/governor.h"
#include "model/record.h"
#include "probe/calibrate_uprobe.h"
#include "python/module_name.h"
#include "python/sites.h"
#include "trace.h"

/* One process that is traced. */
struct tracing_proc {
	pid_t pid;
	uint32_t image;   /* unique; another one after each exec */
	uint32_t index;   /* the tracer's */
	int pidfd;        /* -1: it has ended */
	int file;         /* its Python's; -1: not open */
	bool ready;       /* its Python, and the places in it, are known */
	bool refused;     /* or will not be */
	bool on;          /* probes are in */
	uint64_t due_ns;  /* since when they should be; 0 = it is not measured. CLOCK_MONOTONIC */
	uint64_t exec_ns; /* when it exec'ed; 0 = before it was added */
	uint64_t cpu_begin_ns, cpu_ns; /* CPU time when it was added, and used since */
	uint64_t dev, inode;           /* of `file` */
	struct trace_cfg cfg;
	struct sites sites;
	struct module_key module_key;
};

/* What became of processes that were forked, or exec'ed, while the trace was on. */
struct tracing_kin {
	uint64_t late;       /* got their probes, */
	uint64_t gap_ns;     /* the last one after so long, and */
	uint64_t gap_sum_ns; /* all together */
	uint64_t missed;     /* ended before */
	uint64_t unknown;    /* ended, and no Python was found in them by then */
	uint64_t refused;    /* cannot be traced */
	uint64_t full;       /* were one too many */
};

struct tracing {
	struct trace_options options;
	struct output outputs[OUTPUTS_MAX];
	struct tracer *tracer;
	struct trace_out *out;
	struct answers *answers;
	struct child child;
	struct tracing_proc *procs;
	int proc_cnt, live_cnt;
	uint32_t image_cnt;
	struct tracing_kin kin;
	struct tracing_threads *threads; /* --thread (cmd/tracing_threads.h) */
	uint64_t sweep_ns, swept_ns;     /* when to sweep next, 0 = not; and not before */
	uint64_t again_ns;               /* when to look next at one that is not settled, 0 = not */
	struct uprobe_calibration cost;
	bool has_cost;
	struct err cost_why; /* if not */
	struct governor governor;
	uint64_t start_ns, stop_ns; /* CLOCK_MONOTONIC */
	uint64_t first_ns;          /* when it was on for the first time; 0 = never */
	uint64_t on_ns;             /* since when it is on; 0 = it is not */
	uint64_t traced_ns;
	uint64_t cpu_gone_ns; /* CPU time of processes that have ended */
	bool is_terminal, let_go;
	uint64_t progress_ns;
	struct err err;
};

/* Opens all that can fail, attaches, and begins. 0, or -errno with a sentence in t->err; tracing_free() is
 * due in any case. */
int tracing_start(struct tracing *t);

/* Waits for at most wait_ms and takes what has come. *ret_over: all processes have ended. */
int tracing_step(struct tracing *t, int wait_ms, bool *ret_over);

/* Takes the probes out, and what is left; the outputs are whole then. */
int tracing_stop(struct tracing *t);
void tracing_free(struct tracing *t);

/* For cmd/tracing_*.c: gives a record to the outputs. 0, or -errno with a sentence in t->err. */
int tracing_put(void *tracing, enum record_type type, const void *data, size_t len);

/* How the calls are seen and what that costs, on standard error. */
void tracing_tell(const struct tracing *t);

#endif
