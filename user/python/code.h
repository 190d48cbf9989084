/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code objects: from the raw bytes of a code object and of the objects it points to, to a name and
 * a line. Pure: the bytes come from the ring (EV_CODE) or from code_read(), and both go through
 * code_decode().
 */
#ifndef UNCOIL_PYTHON_CODE_H
#define UNCOIL_PYTHON_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "python/lines.h"
#include "python/offsets.h"

struct mem;
struct buf;

struct bytes {
	const uint8_t *data; /* may be NULL when len is 0 */
	size_t len;
};

/* Raw parts, each from the start of the target's object; len 0 = not read. A part may be cut. */
struct code_raw {
	struct bytes facts;                    /* the code object, code_size bytes at the most */
	struct bytes name, qualname, filename; /* str objects */
	struct bytes linetable;                /* bytes object */
};

/* What uncoil knows of one code object. All text is valid UTF-8 without NUL; owned. */
struct py_code {
	char *name;     /* qualname where the version has one, else co_name; never NULL */
	char *filename; /* co_filename; never NULL */
	int32_t firstlineno;
	uint8_t *lines; /* line table's bytes, without the object's header; NULL if none */
	size_t lines_len;
	bool name_missing, filename_missing, lines_missing; /* could not be read: text is "?" */
	bool name_cut, filename_cut, lines_cut;             /* only the beginning was read */
};

/* Everything about an interpreter that decoding its objects needs. */
struct py_abi {
	uint16_t major, minor;
	struct py_offsets off;
	enum py_lines lines;
	uint32_t str_kind_shift; /* bits of PyASCIIObject.state before `kind` */
	struct py_live live;     /* not in a recording: zero in replay */
	enum py_build build;     /* likewise */
};

/* 0, or -EINVAL when the facts are too short to be a code object, or -ENOMEM. On success ret_code
 * is to be freed with code_done(). */
int code_decode(const struct py_abi *abi, const struct code_raw *raw, struct py_code *ret_code);
void code_done(struct py_code *code);

/* Would reading it again tell more? A name that was cut is as long as it will ever be shown. */
bool code_partial(const struct py_code *code);

/* Takes the parts of `fresh` that tell more; what is left of it is to be freed. */
void code_merge(struct py_code *code, struct py_code *fresh);

/* Since 3.12 the interpreter runs a shim below each __init__ that it calls itself, with the frame of
 * a code object that is no function of anybody's: _Py_InitCleanup, Python/specialize.c of 3.12 and
 * 3.13; its file and its name are both "__init__". */
bool code_is_shim(const struct py_code *code);

/* A task's name from its str object, which may be cut: *ret_code has nothing but a name. */
int code_task_name(const struct py_abi *abi, struct bytes raw, struct py_code *ret_code);

/* The sum that travels in py_frame.check: over the identity fields in `facts`, plus the name's hash
 * where the version has no co_version (code_version offset 0). `name` is the raw str object, at
 * least up to its hash. bpf/walk.bpf.h computes the same one. */
uint32_t code_check(const struct py_abi *abi, struct bytes facts, struct bytes name);

/* Reads a code object's parts from a live target into one buffer, for code_decode(); -EFAULT or
 * -ESRCH when even the facts cannot be had; a part that cannot is left empty. The parts point
 * into `store`. */
int code_read(struct mem *mem, const struct py_abi *abi, uint64_t code, struct buf *store,
	      struct code_raw *ret_raw);

/* Line for an instruction: `lasti` as in struct py_frame (bpf/events.h). Returns firstlineno where
 * there is no table to tell, or before the first instruction; 0 for "no line", and where a table
 * that was cut does not reach. */
struct line_place code_place(const struct py_abi *abi, const struct py_code *code, uint32_t lasti);

/* Its line alone. */
int32_t code_line(const struct py_abi *abi, const struct py_code *code, uint32_t lasti);

#endif
