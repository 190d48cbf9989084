/* SPDX-License-Identifier: Apache-2.0 */
/* The three encodings of "which bytecode belongs to which line". Pure, fuzzed. */
#ifndef UNCOIL_PYTHON_LINES_H
#define UNCOIL_PYTHON_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "python/offsets.h"

#define LINE_NONE (-1) /* the instruction has no line (3.10+) */
#define LINE_OFF  (-2) /* the table does not reach so far, or is broken there */

/* Line of the instruction at byte offset `addr` of the bytecode. */
int32_t lines_lookup(enum py_lines encoding, const uint8_t *table, size_t len, int32_t firstlineno,
		     uint32_t addr);

#endif
