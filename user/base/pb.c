/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pb.h"

#include <string.h>

#include "base/buf.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LEN = 2 };

void pb_varint(struct buf *out, uint64_t value)
{
	uint8_t bytes[10];
	size_t len = 0;

	do {
		bytes[len++] = (value & 0x7f) | (value > 0x7f ? 0x80 : 0);
		value >>= 7;
	} while (value);
	buf_add(out, bytes, len);
}

void pb_uint(struct buf *out, uint32_t field, uint64_t value)
{
	pb_varint(out, (uint64_t)field << 3 | WIRE_VARINT);
	pb_varint(out, value);
}

void pb_fixed64(struct buf *out, uint32_t field, uint64_t value)
{
	uint8_t bytes[8];
	int i;

	for (i = 0; i < 8; i++)
		bytes[i] = value >> 8 * i;
	pb_varint(out, (uint64_t)field << 3 | WIRE_FIXED64);
	buf_add(out, bytes, sizeof(bytes));
}

void pb_bytes(struct buf *out, uint32_t field, const void *data, size_t len)
{
	pb_varint(out, (uint64_t)field << 3 | WIRE_LEN);
	pb_varint(out, len);
	buf_add(out, data, len);
}

void pb_str(struct buf *out, uint32_t field, const char *text)
{
	pb_bytes(out, field, text, strlen(text));
}

void pb_msg(struct buf *out, uint32_t field, const struct buf *message)
{
	pb_bytes(out, field, buf_text(message), message->len);
	if (message->err && !out->err)
		out->err = message->err;
}
