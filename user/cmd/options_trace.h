/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of trace. */
#ifndef UNCOIL_CMD_OPTIONS_TRACE_H
#define UNCOIL_CMD_OPTIONS_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "cmd/options.h"
#include "cmd/output.h"
#include "model/match.h"
#include "model/profile.h"

#define TRACE_PIDS_MAX 256 /* TRACE_PROCS_MAX */

/* Formats, and what each needs of a trace. */
enum trace_format {
	FORMAT_PERFETTO, /* timelines: each call is told */
	FORMAT_CHROME,
	FORMAT_JSONL,
	FORMAT_STATS, /* sums by function: a table for people, */
	FORMAT_JSON,  /* and the same for programs */
	FORMAT_PSTATS,
	FORMAT_RAW, /* a journal: what was recorded, for replay */
	FORMAT_MAX
};

struct trace_output {
	enum trace_format format;
	struct output output; /* its path; sink stays NULL, and nothing is open */
};

struct trace_options {
	pid_t pids[TRACE_PIDS_MAX];
	int pid_cnt;
	char **command;       /* NULL-terminated, into argv; NULL: none, then there are pids */
	uint64_t duration_ns; /* 0 = until it is ended */
	bool children;        /* -s */
	struct match match;   /* --match; owned */
	const char *only[REPORT_ONLY_MAX]; /* --thread: ids, and globs of names; into argv */
	uint32_t only_cnt;                 /* 0: all threads */
	uint64_t min_ns;                   /* --min-duration: of calls in timelines; 0 = all */
	uint32_t depth;                    /* --depth: activations of a thread at once; 0 = all */
	uint32_t max_overhead;             /* of the target's speed, in millionths; 0 = no bound */
	uint32_t ring_bytes;               /* a power of two */
	bool calls;      /* each call is to be told: a timeline is wanted. Else sums alone */
	bool callers;    /* --callers: who called whom, in stats and json */
	bool edges;      /* sums by caller and callee are needed: callers, or pstats */
	bool compensate; /* the probes' own time is taken off the sums */
	bool quiet, verbose;
	struct trace_output outputs[OUTPUTS_MAX];
	int output_cnt; /* 1 at least */
};

/*
 * Fills `o` from the command line. 0, or an exit code: EXIT_USAGE with its sentence printed. --help
 * exits. options_trace_done() is due in any case.
 */
int options_trace(struct trace_options *o, int argc, char **argv);
void options_trace_done(struct trace_options *o);

/* Says which --match no function fitted of all that match_takes() was asked about, a line each. */
void options_trace_unmatched(const struct trace_options *o, FILE *out);

/* "perfetto". */
const char *trace_format_name(enum trace_format format);

/* Does it show each call, and not sums? A journal may have both, and shows neither. */
bool trace_format_is_timeline(enum trace_format format);
bool trace_format_is_sums(enum trace_format format);

#endif
