/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output formats of a trace. Unlike a profile's (sink.h), which turn a whole report into bytes, they are
 * told of each call as it ends, and write it: nothing is kept that grows with the number of calls.
 * Those of sums wait for the end. Adding one is a file and a row in the table in trace.c.
 */
#ifndef UNCOIL_SINK_TRACE_H
#define UNCOIL_SINK_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "model/calls.h"

struct buf;

struct trace_look {
	bool compensate; /* take off what the probes cost, in sums */
	bool callers;    /* in the table: each function's callers */
};

struct trace_sink {
	const char *name;     /* -f NAME */
	const char *suffixes; /* space-separated file suffixes that choose it */
	const char *what;     /* for --help */
	bool each;            /* it needs each call, not sums */
	bool callers;         /* it shows callers whether they are asked for or not */
	/* Begins; what was recorded, and how, is known. NULL: out of memory. */
	void *(*begin)(FILE *out, struct calls *calls, const struct trace_look *look);
	/* The next call, exception, span; NULL: it has no use for them. 0, or -ENOMEM. */
	int (*call)(void *writer, const struct call *call);
	int (*mark)(void *writer, const struct call_mark *mark);
	int (*span)(void *writer, const struct call_span *span);
	/* Writes what is left. 0, -ENOMEM, or -EIO when the stream failed (errno says how). */
	int (*end)(void *writer);
	void (*free)(void *writer);
};

extern const struct trace_sink trace_perfetto;
extern const struct trace_sink trace_chrome;
extern const struct trace_sink trace_jsonl;
extern const struct trace_sink trace_pstats;
extern const struct trace_sink trace_stats; /* text */
extern const struct trace_sink trace_json;  /* the same table */

/* All of them, NULL-terminated; the first is the default. */
extern const struct trace_sink *const trace_sinks[];

const char *trace_sink_names(void);                              /* "perfetto, chrome, …" */
const struct trace_sink *trace_sink_by_name(const char *name);   /* NULL if there is none */
const struct trace_sink *trace_sink_by_suffix(const char *path); /* NULL if none claims it */

/*
 * What a trace says of itself, for formats that have a place for text: lines without a newline, given
 * to fn until it returns non-zero (returned). Clean UTF-8, otherwise as hostile as the target. -ENOMEM.
 *
 *	uncoil: exact calls, 30.0 s
 *	traced: 40 % of the time (12.0 s)		unless it is all of it
 *	overhead: slowed down by about 24 % (estimated), in the worst 5 s by 31 %; 12 windows, to stay
 *		below --max-overhead 25
 *	filtered: calls of 1.00 ms and more, up to depth 3
 *	pid 42, CPython 3.11.2: python app.py
 *	1,748,112 calls of 56 functions
 *	lost: 37 calls lost: the ring buffer was full	(or: nothing was lost)
 *	remark: 12 calls that had begun before they were first seen
 */
int trace_about_lines(const struct call_about *about, int (*fn)(void *ctx, const char *line),
		      void *ctx);

/* The same as the members of a JSON object, `before` first: "method", "durationNs" and so on. */
struct json;
void trace_about_json(struct json *j, const char *before, const struct call_about *about);

/* What it cost the processes, as a sentence without a full stop; has_account must hold. */
int trace_overhead(const struct call_about *about, struct buf *out);

/* What was taken off for the probes, as a sentence; "" if nothing was. */
int trace_compensation(const struct call_about *about, bool compensated, struct buf *out);

#endif
