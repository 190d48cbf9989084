/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which functions, lines, threads or files have how much: one flat list out of a report's tree,
 * for several reports side by side. A live view keeps the last few refreshes in the columns, and
 * what happened between two of them is their difference; a comparison has one recording in each.
 */
#ifndef UNCOIL_MODEL_RANK_H
#define UNCOIL_MODEL_RANK_H

#include <stdint.h>

#include "model/report.h"

#define RANK_COLUMNS 8

enum rank_by { RANK_FUNCTION, RANK_LINE, RANK_THREAD, RANK_FILE, RANK_BY_MAX };

struct rank_value {
	uint64_t self;  /* of stacks that end here, in the report's unit */
	uint64_t total; /* of stacks that pass here; each once, recursion notwithstanding */
};

struct rank_row {
	enum frame_kind kind;
	const char *func; /* or the thread's name, or what is waited for; "" for a file */
	const char *file; /* as shown; "" if there is none */
	int32_t line;     /* 0: none */
	int32_t pid, tid; /* of threads, and of what they wait for */
	const struct rank_row *thread; /* of what a thread waits for: its row; else NULL */
	struct rank_value at[RANK_COLUMNS];
};

struct rank;

struct rank *rank_new(enum rank_by by); /* NULL: out of memory */

/* Waits are told apart by where: "[lock]" has a row for each function, line, thread or file that waited
 * for it, which are the row's file and line then, and its func is "[lock] in f". Threads want a report
 * with report_options.threads. Before the first rank_put(). */
void rank_waits_apart(struct rank *rank);
void rank_free(struct rank *rank);

/* Puts what the report says into one column, in place of what was there. The report may go
 * afterwards. 0, or -ENOMEM. */
int rank_put(struct rank *rank, unsigned int column, const struct report *report);

/* All rows, in the order in which they were first seen; valid until the next rank_put(). */
struct rank_row *const *rank_rows(const struct rank *rank, uint32_t *ret_cnt);

/* All there was in a column. */
uint64_t rank_sum(const struct rank *rank, unsigned int column);

#endif
