/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must stay known from one part of a recording to the next (record --rotate).
 *
 * Each part is a recording of its own: a new profile, a new journal. But the kernel side sends a
 * thread, a code object and a stack that is in use once, not once a part. So the records that
 * brought them are kept here, and given to the next part as they came: it is complete by itself,
 * and still there is one way into a profile.
 *
 *	threads  while they live, and for as long as a stack of theirs is kept
 *	stacks   that a thread holds (its wait goes on), or that came while the cut was made
 *	codes    of the part that ends; given when the first stack of the new part names them
 *
 * What is not needed is dropped at each cut, so memory is that of about two parts, however many
 * there are; and no more than KEEP_BYTES_MAX: beyond it nothing new is kept, and what is lost by
 * that is counted by the profile (stacks that did not arrive).
 */
#ifndef UNCOIL_MODEL_KEEP_H
#define UNCOIL_MODEL_KEEP_H

#include "model/profile.h"

#define KEEP_BYTES_MAX (48u << 20)

struct keep;

typedef int (*keep_put_fn)(void *ctx, enum record_type type, const void *data, size_t len);

struct keep *keep__new(void); /* NULL: out of memory */
void keep__free(struct keep *k);

/* Looks at a record that came in. Records that do not hold are not kept. 0 or -ENOMEM. */
int keep__see(struct keep *k, enum record_type type, const void *data, size_t len);

/* If the record is a stack: gives `put` the code objects that it names and this part has not got
 * yet. 0, or what put() returned. */
int keep__codes(struct keep *k, enum record_type type, const void *data, size_t len,
		keep_put_fn put, void *ctx);

/* The cut, in this order: it begins: all that comes from now on is kept; a thread lives, and holds
 * this stack (0: none) ... */
void keep__begin(struct keep *k);
void keep__lives(struct keep *k, uint32_t thread);
void keep__holds(struct keep *k, uint32_t thread, uint32_t image, uint64_t hash);

/* ... and what is not needed goes: `forget` is told each code object that goes, so that the kernel
 * side sends it anew. */
void keep__drop(struct keep *k, void (*forget)(void *ctx, const struct code_key *key), void *ctx);

/* Is anything kept of this image? */
bool keep__image(const struct keep *k, uint32_t image);

/* Gives `put` the threads and stacks for the new part. 0, or what put() returned. */
int keep__tell(struct keep *k, keep_put_fn put, void *ctx);

#endif
