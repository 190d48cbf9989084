/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protocol buffers, written. The wire format is small (protobuf.dev, "Encoding"): a message is a
 * row of fields, each a tag (number and wire type) and then a varint or so many bytes. That is all
 * that is here: no descriptors, no generated code, no tree of a message in memory, so a sink can
 * write a field as soon as it knows it. A library would bring a compiler into the build and hold
 * each message whole.
 *
 *	pb_uint(b, 3, 300)	-> 18 ac 02
 *	pb_str(b, 6, "ab")	-> 32 02 61 62
 *
 * Errors stay in the buffer (buf.err). A nested message is a buffer of its own, added by pb_msg().
 */
#ifndef UNCOIL_BASE_PB_H
#define UNCOIL_BASE_PB_H

#include <stddef.h>
#include <stdint.h>

struct buf;

/* A bare varint, for the inside of packed fields; negative numbers go in as their uint64_t. */
void pb_varint(struct buf *out, uint64_t value);

/* Fields. Zero and "" are written too: the caller knows where they may be left out. */
void pb_uint(struct buf *out, uint32_t field, uint64_t value);
void pb_fixed64(struct buf *out, uint32_t field, uint64_t value);
void pb_bytes(struct buf *out, uint32_t field, const void *data, size_t len);
void pb_str(struct buf *out, uint32_t field, const char *text);
void pb_msg(struct buf *out, uint32_t field, const struct buf *message);

#endif
