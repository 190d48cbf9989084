/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers for things that a format writes once and names by number afterwards: equal bytes have the
 * same number, from 0 in the order in which they were first seen.
 */
#ifndef UNCOIL_BASE_INDEX_H
#define UNCOIL_BASE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct index_entry;

struct index {
	struct index_entry *entries; /* a hash, in order of their numbers */
	uint32_t cnt;
	int err; /* -ENOMEM, sticky: numbers mean nothing from then on */
};

void index_init(struct index *x);
void index_done(struct index *x);

/* The number of these bytes, which are copied; *ret_fresh (may be NULL): are they new? */
uint32_t index_of(struct index *x, const void *key, size_t len, bool *ret_fresh);
uint32_t index_of_str(struct index *x, const char *text, bool *ret_fresh);

/* Gives each key in order to fn until it returns non-zero, which is returned; keys of
 * index_of_str() are NUL-terminated. */
int index_each(const struct index *x, int (*fn)(void *ctx, const void *key, size_t len), void *ctx);

#endif
