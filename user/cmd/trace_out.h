/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outputs of a trace, from records: what a live trace and a replay have in common.
 *
 *	trace_out_choose()	formats by suffix and -f
 *	trace_out_new()		opens the files, so that a wrong path fails before anything is attached
 *	trace_out_apply()	each record, in order; journals among the outputs get it too
 *	trace_out_finish()	after RECORD_END: all outputs whole, and named, or none
 *	trace_out_tell()	what is missing, and where the outputs are; the exit code
 *	trace_out_free()
 */
#ifndef UNCOIL_CMD_TRACE_OUT_H
#define UNCOIL_CMD_TRACE_OUT_H

#include <stdbool.h>
#include <stddef.h>

#include "cmd/output.h"
#include "model/calls.h"
#include "sink/trace.h"

struct err;
struct match;
struct trace_out;

struct trace_ask {
	const char *command; /* "trace", "replay": how sentences begin */
	const char *format;  /* -f; NULL: by suffix, */
	bool stats;          /* --stats: or the table, where neither tells */
	bool raw;            /* a journal may be among them */
	bool quiet;
	struct trace_look look;
};

/* Fills in what the outputs are (output.trace; NULL: a journal) and, if there is none, makes one: a file
 * named after the time, or standard output for the table. 0, or EXIT_USAGE with its sentence printed. */
int trace_out_choose(struct output *outputs, int *cnt, const struct trace_ask *ask);

/* `match`: which functions are wanted; live, where the journal is told by RECORD_TRACE what is in it. NULL:
 * those that RECORD_TRACE says. `outputs` and `match` must outlive it. NULL with a sentence. */
struct trace_out *trace_out_new(struct output *outputs, int cnt, const struct trace_ask *ask,
				struct match *match, struct err *err);

/* 0, or -errno with a sentence. If that is about an output and not about the record, *ret_output
 * (may be NULL) is true. */
int trace_out_apply(struct trace_out *t, enum record_type type, const void *data, size_t len,
		    bool *ret_output, struct err *err);

/* For questions and decisions (model/calls.h). */
struct calls *trace_out_calls(struct trace_out *t);

int trace_out_finish(struct trace_out *t, struct err *err);

/* On standard error, unless `quiet`. EXIT_DONE or EXIT_LOST. */
int trace_out_tell(struct trace_out *t);

/* Closes the outputs too, and removes those that did not get their names. */
void trace_out_free(struct trace_out *t);

#endif
