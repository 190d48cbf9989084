/* SPDX-License-Identifier: Apache-2.0 */
#include "model/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/err.h"

static const char magic[8] = "UNCOILJ\n";

struct record_head {
	uint32_t type, len, crc;
};

static uint32_t record_sum(uint32_t type, const void *data, uint32_t len)
{
	uint32_t head[2] = { type, len };
	uLong sum = crc32(0, (const Bytef *)head, sizeof(head));

	return len ? crc32(sum, data, len) : sum; /* crc32() of NULL would begin anew */
}

int journal_begin(FILE *out)
{
	return fwrite(magic, sizeof(magic), 1, out) == 1 ? 0 : -EIO;
}

int journal_write(FILE *out, enum record_type type, const void *data, size_t len)
{
	struct record_head head = { .type = type, .len = len };

	if (len > RECORD_LEN_MAX)
		return -EINVAL;
	head.crc = record_sum(type, data, len);
	if (fwrite(&head, sizeof(head), 1, out) != 1 || (len && fwrite(data, len, 1, out) != 1))
		return -EIO;
	return 0;
}

int journal_read(FILE *in,
		 int (*fn)(void *ctx, enum record_type type, const void *data, size_t len),
		 void *ctx, struct err *err)
{
	struct record_head head;
	char start[sizeof(magic)];
	uint64_t at = sizeof(magic);
	uint64_t *data = NULL;
	int code = 0;
	size_t got;

	if (fread(start, sizeof(start), 1, in) != 1 || memcmp(start, magic, sizeof(magic)) != 0)
		return err_set(err, -EINVAL, "it is not a journal of uncoil's");
	data = malloc(RECORD_LEN_MAX);
	if (!data)
		return err_set(err, -ENOMEM, "out of memory");
	for (;;) {
		got = fread(&head, 1, sizeof(head), in);
		if (got != sizeof(head)) {
			code = err_set(
				err, -EINVAL,
				"it is truncated: it stops at byte %llu without its end record",
				(unsigned long long)(at + got));
			break;
		}
		if (head.type == RECORD_NONE || head.type >= RECORD_MAX ||
		    head.len > RECORD_LEN_MAX) {
			code = err_set(err, -EINVAL,
				       "it is corrupt: no record can begin at byte %llu",
				       (unsigned long long)at);
			break;
		}
		got = head.len ? fread(data, 1, head.len, in) : 0;
		if (got != head.len) {
			code = err_set(err, -EINVAL,
				       "it is truncated: the record at byte %llu is cut off",
				       (unsigned long long)at);
			break;
		}
		if (record_sum(head.type, data, head.len) != head.crc) {
			code = err_set(
				err, -EINVAL,
				"it is corrupt: the checksum of the record at byte %llu is wrong",
				(unsigned long long)at);
			break;
		}
		at += sizeof(head) + head.len;
		code = fn(ctx, head.type, data, head.len);
		if (code || head.type == RECORD_END)
			break;
	}
	if (!code && fgetc(in) != EOF)
		code = err_set(err, -EINVAL, "it is corrupt: bytes follow its end at byte %llu",
			       (unsigned long long)at);
	free(data);
	return code;
}
