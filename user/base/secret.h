/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines without their secrets. Whatever looks like one is replaced by "***" before it gets
 * into a journal or an output; when in doubt it is replaced. What counts is in secret.c.
 */
#ifndef UNCOIL_BASE_SECRET_H
#define UNCOIL_BASE_SECRET_H

#include <stddef.h>

struct buf;

#define SECRET_LINE_MAX 4096 /* bytes appended at most, the closing "…" included */

/* Appends one line for a command: its words in order, one space between, words with white space in
 * single quotes. `bytes` is as in /proc/PID/cmdline: words that end in NUL. Give all of it: a word
 * cut short may no longer look like a secret. Cut at SECRET_LINE_MAX (never within a UTF-8
 * sequence) and marked with "…"; the code of `python -c` after 80 characters.
 * The result has no NUL but is otherwise as hostile as the input: text_clean() it.
 * 0, -ENOMEM, or -E2BIG when `out` is full; sticky in out->err. */
int secret_cmdline(struct buf *out, const void *bytes, size_t len);

/* The same for an argument vector. */
int secret_argv(struct buf *out, int argc, char *const argv[]);

#endif
