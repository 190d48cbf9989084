/* SPDX-License-Identifier: Apache-2.0 */
/* A code object read from memory, as a record: for one that did not come along a stack, or not whole. */
#ifndef UNCOIL_CMD_ANSWER_CODE_H
#define UNCOIL_CMD_ANSWER_CODE_H

struct buf;
struct mem;
struct py_abi;
struct want;

/* Appends the record (RECORD_CODE) to `out`, whose limit is RECORD_LEN_MAX: a line table is as long as
 * it has room for. 0; -ESTALE: what is there is not the code object that is wanted; or out->err. */
int code_record(struct mem *mem, const struct py_abi *abi, const struct want *want,
		struct buf *out);

#endif
