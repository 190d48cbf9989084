/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the interpreter keeps the addresses of its opcodes' handlers.
 *
 * Built with computed gotos (or, 3.14 on, with tail calls), the evaluation loop jumps through a table
 * of 256 addresses, one per opcode, which a stripped binary has too: in .rodata, or, where code may be
 * loaded anywhere, in .data.rel.ro with the values in the relocations. Nothing names it. It is known by
 * what is in it: 256 addresses of code in a row, of which those of the opcodes that this version does
 * not use are one and the same, that of the handler of unknown opcodes, and nearly all others differ.
 * That tells it from every other table, and from that of another version. 3.15 has two in a row: the one
 * that is used while a trace is recorded holds a single address, and is none by this rule.
 */
#ifndef UNCOIL_PYTHON_OPTABLE_H
#define UNCOIL_PYTHON_OPTABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "python/opcode_table.h"

struct elf;
struct elf_image;
struct err;

struct optable {
	const struct opcode_row *row;
	uint64_t at;         /* the table's own address, as the file has it, */
	uint64_t entry[256]; /* and the handlers' */
	uint64_t unknown;    /* the handler of opcodes that are none */
	uint32_t distinct;   /* different addresses */
};

/* Finds the table of CPython 3.`minor` in a file and its loaded image. -ENOTSUP: the version has no
 * row; -ENOENT: there is none (built without computed gotos?); -EEXIST: more than one would do. */
int optable_find(struct elf *elf, const struct elf_image *image, uint16_t minor,
		 struct optable *ret_table, struct err *err);

/* Do these 256 addresses look like the table of this version? Pure; fills in distinct and unknown. */
bool optable_fits(const struct opcode_row *row, const uint64_t entry[static 256],
		  struct optable *ret_table);

#endif
