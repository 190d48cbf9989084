/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that appear whole or not at all. An output is opened before anything is attached, so that
 * a wrong path fails at once; it is written without a name (O_TMPFILE) and gets its name only when
 * it is complete, so that an error, a Ctrl-C or a kill -9 leaves what was there before.
 */
#ifndef UNCOIL_CMD_OUTPUT_H
#define UNCOIL_CMD_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

struct err;
struct report;
struct sink;
struct trace_sink;

struct output {
	const char *path;        /* "-" is standard output; a FIFO or device is written directly */
	const struct sink *sink; /* a profile's format, */
	const struct trace_sink *trace; /* or a trace's; both NULL: a journal */
	FILE *file;
	/* record --rotate: what -o says, and the part's own name, where `path` points to then */
	const char *file_path;
	char *part;
	char *temp; /* name of the temporary file where O_TMPFILE can't be had, else NULL */
	bool direct;
};

/* A name that chooses a journal by itself. */
bool output_is_journal(const char *path);

/* Would the second one overwrite the first? */
bool output_is_same(const struct output *a, const struct output *b);

/* Which format a path and -f ask for; fills sink. False if neither tells. */
bool output_choose(struct output *o, const char *format);

/* Opens it; mode 0600 for journals, 0666 less the umask for the rest. */
int output_open(struct output *o, struct err *err);

/* Returns `code` with "cannot write PATH: why", the path escaped; `why` NULL: the code's text. */
int output_fail(const struct output *o, int code, const char *why, struct err *err);

/*
 * The end of several outputs, each step for all of them before the next begins, so that a failure
 * leaves none behind: render what is no journal, flush to the disk, link beside its name, rename.
 * Each returns 0, or -errno with a sentence. What is written directly has no name to get.
 */
int output_render(struct output *o, const struct report *report, struct err *err);
int output_flush(struct output *o, struct err *err);
int output_link(struct output *o, struct err *err);
int output_name(struct output *o, struct err *err);

/* Closes; removes what did not get its name. */
void output_done(struct output *o);

#endif
