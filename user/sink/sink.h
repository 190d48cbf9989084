/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output formats. A sink turns a report into bytes on a stream and knows nothing else; adding one
 * is a file and a row in the table in sink.c.
 */
#ifndef UNCOIL_SINK_SINK_H
#define UNCOIL_SINK_SINK_H

#include <stdbool.h>
#include <stdio.h>

struct report;

struct sink {
	const char *name;     /* -f NAME */
	const char *suffixes; /* space-separated file suffixes that choose it: ".svg" */
	const char *what;     /* for --help */
	bool timeline;        /* it draws time, and needs report.events */
	/* 0, -ENOMEM, or -EIO when the stream failed (its errno is the caller's to look at). */
	int (*write)(const struct report *report, FILE *out);
};

extern const struct sink sink_flame;      /* interactive SVG */
extern const struct sink sink_folded;     /* one line a stack: "a;b;c 42" */
extern const struct sink sink_summary;    /* text: top functions, threads, remarks */
extern const struct sink sink_speedscope; /* JSON for speedscope */
extern const struct sink sink_pprof;      /* profile.proto, gzip'ed */
extern const struct sink sink_perfetto;   /* timeline: Perfetto's protobuf trace */
extern const struct sink sink_chrome;     /* timeline: trace event JSON */

/* All of them, NULL-terminated. */
extern const struct sink *const sinks[];

/* Their names, "flame, folded, …", for sentences. */
const char *sink_names(void);

const struct sink *sink_by_name(const char *name);   /* NULL if there is none */
const struct sink *sink_by_suffix(const char *path); /* NULL if none claims it */

/* Length of the suffix that chose it; 0: none does. */
size_t sink_suffix(const char *path);

/* Length of the one of these space-separated suffixes that the path ends in; 0: none. */
size_t sink_suffix_of(const char *path, const char *suffixes);

#endif
