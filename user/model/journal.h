/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: a file of records (model/record.h).
 *
 *	"UNCOILJ\n"                                   8 bytes
 *	u32 type, u32 length, u32 crc32, payload      again and again; the sum covers type, length
 *	                                              and payload (zlib's crc32)
 *	RECORD_END                                    or the file was cut off
 */
#ifndef UNCOIL_MODEL_JOURNAL_H
#define UNCOIL_MODEL_JOURNAL_H

#include <stdint.h>
#include <stdio.h>

#include "model/record.h"

struct err;

/* Both return 0, or -EIO when the stream failed. */
int journal_begin(FILE *out);
int journal_write(FILE *out, enum record_type type, const void *data, size_t len);

/* Reads a whole journal and gives each record to fn, until it returns non-zero (returned). Data is
 * aligned to 8 and valid during the call. Not a journal, a wrong sum, a record that ends too early
 * or a missing end: -EINVAL with a sentence that names the byte. */
int journal_read(FILE *in,
		 int (*fn)(void *ctx, enum record_type type, const void *data, size_t len),
		 void *ctx, struct err *err);

#endif
