/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a recording says about itself, for the formats that have a place for text or JSON but none of
 * their own for losses: how it was recorded, of what, how much, and what is missing and why.
 */
#ifndef UNCOIL_SINK_ABOUT_H
#define UNCOIL_SINK_ABOUT_H

#include <stdbool.h>
#include <stdio.h>

struct buf;
struct report;

/*
 * Lines without a newline, clean UTF-8 but otherwise as hostile as the target made them, given to fn
 * until it returns non-zero (returned). -ENOMEM.
 *
 *	uncoil: on-CPU, 99 Hz per thread, 30.0 s
 *	pid 42, CPython 3.11.2: python app.py
 *	1748 samples
 *	overhead: about 0.29 % of the processes' 10 s of CPU time (estimated: …	(as about_overhead() has it)
 *	lost: 37 samples lost: the ring buffer was full		(or: nothing was lost)
 *	remark: 12 samples in threads that have no Python thread state
 */
int about_lines(const struct report *report, int (*fn)(void *ctx, const char *line), void *ctx);

/*
 * What the recording cost, as one sentence without its first word and without a full stop; nothing if the
 * recording does not tell:
 *
 *	about 0.29 % of the processes' 10 s of CPU time (estimated: 990 ticks of 8.3 us, 21 ms of
 *	uncoil's own; 35 ms to start); worst 5 s: 0.31 %
 */
int about_overhead(const struct report *report, struct buf *out);

/* Did the processes use enough CPU time for that sentence to tell a share of it? */
bool about_has_share(const struct report *report);

/* "on-CPU, pid 42 python app.py, 1748 samples, 37 lost": for titles. */
int about_title(const struct report *report, struct buf *out);

/*
 * A JSON object:
 *	{"version":"0.1.0","mode":"on-CPU","unit":"samples","samples":1748,"lost":37,
 *	 "remarks":[{"count":37,"text":"samples lost: the ring buffer was full","loss":true}],
 *	 "about":["uncoil: on-CPU, …", …]}
 * `samples` is the sum of the tree, in `unit` ("samples" or "nanoseconds").
 */
int about_json(const struct report *report, FILE *out);

#endif
