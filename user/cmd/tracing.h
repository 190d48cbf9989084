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
#include "probe/calibrate_uprobe.h"
#include "python/module_name.h"
#include "python/sites.h"

/* One process that is traced. */
struct tracing_proc {
	pid_t pid;
	uint32_t image; /* from 1 */
	uint32_t index; /* the tracer's */
	int pidfd;      /* -1: it has ended */
	int file;       /* its Python's; -1: not open */
	bool on;        /* probes are in */
	struct sites sites;
	struct module_key module_key;
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
	struct uprobe_calibration cost;
	bool has_cost;
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

/* How the calls are seen and what that costs, on standard error. */
void tracing_tell(const struct tracing *t);

#endif
