/* SPDX-License-Identifier: Apache-2.0 */
/* The command lines of record, top and replay. */
#ifndef UNCOIL_CMD_OPTIONS_H
#define UNCOIL_CMD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cmd/output.h"
#include "model/profile.h"

#define OUTPUTS_MAX 16
#define PIDS_MAX    1023 /* SAMPLER_ROOTS_MAX */

struct options {
	pid_t pids[PIDS_MAX];
	int pid_cnt;
	char **command;       /* NULL-terminated; NULL: none */
	const char *journal;  /* replay's argument */
	uint64_t duration_ns; /* 0 = until it is ended */
	uint64_t rotate_ns;   /* a new part each; 0 = never */
	uint32_t rate_hz;
	bool rate_given;       /* by -r: honoured, whatever it costs */
	uint32_t max_overhead; /* of the processes' CPU time, in millionths; 0 = no bound */
	uint32_t ring_bytes;
	bool children;
	bool timeline;    /* record: the time of each sample too */
	bool tasks;       /* stacks say which asyncio task they are of */
	bool stats;       /* of a trace: the table, */
	bool callers;     /* with callers, */
	bool as_measured; /* --no-compensate: and with what the probes cost */
	bool quiet;
	enum record_mode mode;
	const char *format;
	struct report_options report;
	struct output outputs[OUTPUTS_MAX];
	int output_cnt;
};

/* What a mode is called in outputs: "on-CPU". */
const char *options_mode_text(enum record_mode mode);

/* 0, or an exit code (EXIT_USAGE with its sentence printed). */
int options_record(struct options *o, int argc, char **argv);
int options_top(struct options *o, int argc, char **argv);
int options_replay(struct options *o, int argc, char **argv);

/* The rest of replay's, once it is known what the journal has in it: for a profile, for a trace. 0, or
 * EXIT_USAGE. */
struct trace_ask;
int options_replay_profile(struct options *o);
int options_replay_trace(struct options *o, struct trace_ask *ret_ask);

#endif
