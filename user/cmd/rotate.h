/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record --rotate: a recording in parts, each a recording of its own in files of its own, with
 * nothing lost between two and nothing in both.
 *
 * The kernel side goes on through a cut. What is counted there goes into the part in which it is
 * read: both tables are emptied, and from then on it counts for the new part. A wait that goes on is
 * cut in two: the old part gets what there was of it, and the rest follows when it is over, less
 * what was given. It is one wait, counted where it ends. Times of samples and waits (--timeline) go where
 * these are counted: each says in which table it is. The new part begins with what must stay
 * known (model/keep.h).
 */
#ifndef UNCOIL_CMD_ROTATE_H
#define UNCOIL_CMD_ROTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct recording;
struct rotate;

struct rotate *rotate_new(void); /* NULL: out of memory */
void rotate_free(struct rotate *r);
struct keep *rotate_keep(struct rotate *r);

/* While a cut is made: keeps an event that is counted in the next part, for that part. False: it is of
 * this one. */
bool rotate_holds(struct rotate *r, const void *data, size_t len);

/* Ends the part: all that is its own is in its profile and journals, which have their end. 0, or
 * -errno with a sentence. */
int rotate_cut(struct recording *recording);

/* Begins the next one, in new files. */
int rotate_next(struct recording *recording);

/* FILE with a time before its suffix: flame-20261123T101500Z.svg; "-2" behind the time, and so on, if
 * that is there already. malloc'ed; NULL: out of memory. */
char *rotate_path(const char *file, int64_t unix_ns);

#endif
