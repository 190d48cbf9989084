/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace's sums as a table: a row a function, with its callers. Functions that a reader takes for the same
 * (name, file, line) are one row, whatever process or code object they are of.
 *
 * Each probe hit takes the target time, which is in what was measured. Taken off, if `compensate`,
 * with what a begin's and an end's hit cost here, and what of the two falls between a call's two times:
 *
 *	total -= below * (begin + end) + primitive * inside
 *	self  -= kids * (begin + end - inside) + calls * inside + extra
 *
 * never below 0, where `below` is all calls within those in total, and kids those it made itself. A caller's
 * share of a self time is taken off in proportion. Percentiles and the longest call are as measured.
 */
#ifndef UNCOIL_MODEL_CALLS_TABLE_H
#define UNCOIL_MODEL_CALLS_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/calls.h"

struct call_row;

struct call_caller {
	const struct call_row *row; /* NULL: none that is traced */
	uint64_t calls;
	uint64_t primitive; /* not within another call of the same function */
	uint64_t self_ns, total_ns;
};

struct call_row {
	const char *name, *module, *file, *path; /* the trace's; of the first function in it */
	int32_t line;
	enum ev_func_kind kind;
	uint64_t calls; /* activations: of all ways to begin */
	uint64_t began[EV_BEGAN_MAX], ended[EV_ENDED_MAX];
	uint64_t primitive; /* of calls: not within another one of the same function */
	uint64_t self_ns, total_ns, max_ns;
	uint64_t kids, below;
	uint64_t extra_self, extra_total; /* struct trace_func */
	uint64_t hist[TRACE_HIST];        /* bucket.h */
	struct call_caller *callers;      /* most calls first */
	uint32_t caller_cnt;
};

struct call_table {
	struct call_row **rows; /* most self time first */
	uint32_t row_cnt;
	struct call_caller *callers; /* of all */
	uint32_t caller_cnt;
	bool compensated; /* it was asked for, and the costs are known */
};

struct call_table_options {
	bool compensate;
	bool modules; /* tell functions apart by module too */
};

/* After RECORD_END; lives no longer than the trace. NULL: out of memory. */
struct call_table *call_table_new(struct calls *c, const struct call_table_options *options);
void call_table_free(struct call_table *t);

/* The duration that `share` (0.5, 0.99) of a row's calls do not exceed, in ns: of the bucket that it falls
 * in, in proportion, so within a quarter of the truth, and never more than the longest. 0: no calls. */
uint64_t call_row_percentile(const struct call_row *row, double share);

#endif
