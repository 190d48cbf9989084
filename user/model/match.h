/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which functions a trace is about: what --match says. A pattern is one of
 *
 *   MODULE:NAME   a function of a module (its globals' __name__) whose whole qualified name fits NAME
 *   NAME          a function of any module whose qualified name fits, or what follows its last dot
 *   !PATTERN      the same, left out
 *
 * A function is taken if it fits one of the patterns, or if there are none but those with a `!`; and
 * no pattern with a `!`. The order in which they are given does not matter.
 *
 * MODULE and NAME are globs of fnmatch(3) over the whole text: `*` is anything, dots included, `?` one
 * character, [a-z] and [!a-z] one of a set (ranges within ASCII), `\` takes the next character as it
 * is.
 */
#ifndef UNCOIL_MODEL_MATCH_H
#define UNCOIL_MODEL_MATCH_H

#include <locale.h>
#include <stdbool.h>
#include <stdint.h>

struct err;

#define MATCH_MAX       64  /* patterns */
#define MATCH_BYTES_MAX 256 /* of one */

struct match_pattern {
	char *text;   /* as it was given */
	char *module; /* NULL: any */
	char *name;
	bool leaves_out; /* `!` */
	bool fitted;     /* a function that was asked about */
};

/* All 0: no pattern, every function is taken. */
struct match {
	struct match_pattern *patterns;
	uint32_t cnt;
	uint32_t take_cnt; /* of them, those without `!` */
	locale_t locale;   /* of characters; 0 = bytes */
};

/* Adds a pattern, a copy of it. -EINVAL with a sentence if it is none, -E2BIG if it is one too many,
 * -ENOMEM. */
int match_add(struct match *m, const char *pattern, struct err *err);
void match_done(struct match *m);

/* Is this function taken? Both are clean UTF-8 (base/text.h). `module` NULL: not known, or it has none;
 * then MODULE fits it only if it fits the empty text: `*` does. `name` is the qualified name, or before
 * CPython 3.11 the plain one. Takes time in proportion to the lengths of pattern and name, multiplied,
 * whatever they are. */
bool match_takes(struct match *m, const char *module, const char *name);

#endif
