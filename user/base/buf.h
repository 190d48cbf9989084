/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growable byte buffer that is born with a maximum: what a target or a file can make us hold is
 * bounded where the buffer is made, not where it is filled.
 */
#ifndef UNCOIL_BASE_BUF_H
#define UNCOIL_BASE_BUF_H

#include <stddef.h>

struct buf {
	char *data; /* always NUL-terminated once anything was added; NULL before */
	size_t len; /* bytes in use, the terminator not counted */
	size_t cap;
	size_t max;
	int err; /* first failure (-ENOMEM, -E2BIG), sticky: check once at the end */
};

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);  /* frees; the buffer can be init'ed again */
void buf_clear(struct buf *b); /* empties, keeps the memory, forgets the error */
int buf_add(struct buf *b, const void *data, size_t len);
int buf_str(struct buf *b, const char *str);
int buf_fmt(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The text so far, "" if none. Owned by the buffer, valid until the next call that adds. */
const char *buf_text(const struct buf *b);

#endif
