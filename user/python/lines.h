/* SPDX-License-Identifier: Apache-2.0 */
/* The three encodings of "which bytecode belongs to which line". Pure, fuzzed. */
#ifndef UNCOIL_PYTHON_LINES_H
#define UNCOIL_PYTHON_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "python/offsets.h"

#define LINE_NONE (-1) /* the instruction has no line (3.10+) */
#define LINE_OFF  (-2) /* the table does not reach so far, or is broken there */

/* Where in its file an instruction is. Columns count bytes of UTF-8, from 1; the end is the first one
 * behind it. 0: not known. */
struct line_place {
	int32_t line; /* or LINE_NONE, LINE_OFF */
	int32_t end_line;
	int32_t column, end_column;
};

/* The same as lines_lookup() with what else the table tells: 3.11+, nothing in what is before. */
struct line_place lines_place(enum py_lines encoding, const uint8_t *table, size_t len,
			      int32_t firstlineno, uint32_t addr);

/* Line of the instruction at byte offset `addr` of the bytecode. */
int32_t lines_lookup(enum py_lines encoding, const uint8_t *table, size_t len, int32_t firstlineno,
		     uint32_t addr);

#endif
