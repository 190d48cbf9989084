/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which line does an instruction belong to? CPython has answered in three encodings, and each is a
 * list of deltas that must be walked from its beginning:
 *
 *   lnotab (3.8, 3.9), Objects/lnotab_notes.txt: pairs (address increment: u8, line increment: s8).
 *     A pair says where the *next* line begins, so the last line has no end; increments too large
 *     for a byte take several pairs.
 *   deltas (3.10), PEP 626, Objects/lnotab_notes.txt and advance() of Objects/codeobject.c: pairs
 *     (length: u8, line delta: s8). A pair describes a range of its own; delta -128 is "no line"
 *     and leaves the running line as it was.
 *   entries (3.11+), Objects/locations.md: a byte 1cccclll (code, length in code units minus 1),
 *     then bytes whose top bit is clear. Columns are read of the one entry that is asked for; in all
 *     others they are stepped over by that bit, as CPython's own advance() does.
 *
 * The table is a target's memory: no sum here can overflow, and every loop eats input.
 */
#include "python/lines.h"

#include <stdbool.h>

/* Code units are two bytes since 3.6. */
#define CODE_UNIT 2

#define DELTA_NO_LINE (-128) /* 3.10 */

/* 0-9: same line, one byte of columns; the line stays as it is. */
enum entry_code {
	ENTRY_SHORT_LAST = 9,
	ENTRY_ONE_LINE = 10, /* 10-12: line + (code - 10), two bytes of columns */
	ENTRY_ONE_LINE_LAST = 12,
	ENTRY_NO_COLUMNS = 13, /* svarint line delta */
	ENTRY_LONG = 14,       /* svarint line delta, then end line and columns */
	ENTRY_NONE = 15,
};

/* Six bits a byte: six bytes hold any 32-bit value with its sign; CPython writes no more. */
#define VARINT_BYTES_MAX 6

static int8_t as_signed(uint8_t byte)
{
	return byte < 0x80 ? byte : (int)byte - 0x100;
}

/* CPython keeps lines in an int; a table that leaves its range, or goes below 0, is broken. */
static int32_t line_of(int64_t line)
{
	return line < 0 || line > INT32_MAX ? LINE_OFF : (int32_t)line;
}

static int32_t lookup_lnotab(const uint8_t *table, size_t len, int64_t line, uint32_t addr)
{
	uint64_t at = 0;
	size_t i;

	for (i = 0; i + 1 < len; i += 2) {
		at += table[i];
		if (at > addr)
			break;
		line += as_signed(table[i + 1]);
	}
	return line_of(line);
}

static int32_t lookup_deltas(const uint8_t *table, size_t len, int64_t line, uint32_t addr)
{
	uint64_t end = 0;
	int8_t delta;
	size_t i;

	for (i = 0; i + 1 < len; i += 2) {
		delta = as_signed(table[i + 1]);
		if (delta != DELTA_NO_LINE)
			line += delta;
		end += table[i];
		if (addr < end)
			return delta == DELTA_NO_LINE ? LINE_NONE : line_of(line);
	}
	return LINE_OFF;
}

/* Objects/locations.md: six bits a byte, least significant first, bit 6 set on all but the last.
 * False if it is cut or longer than any line needs; else *i is behind it. */
static bool get_varint(const uint8_t *table, size_t len, size_t *i, uint64_t *ret_value)
{
	unsigned int n;

	*ret_value = 0;
	for (n = 0; n < VARINT_BYTES_MAX; n++) {
		if (*i >= len || table[*i] & 0x80)
			return false;
		*ret_value |= (uint64_t)(table[*i] & 0x3f) << (6 * n);
		if (!(table[(*i)++] & 0x40))
			return true;
	}
	return false;
}

/* The lowest bit of the value is the sign. */
static bool get_svarint(const uint8_t *table, size_t len, size_t *i, int64_t *ret_value)
{
	uint64_t value;

	if (!get_varint(table, len, i, &value))
		return false;
	*ret_value = value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
	return true;
}

/* Where a column that is counted from 0 is shown; 0: it is no column. */
static int32_t column_of(uint64_t column)
{
	return column < INT32_MAX ? (int32_t)column + 1 : 0;
}

/* What follows the line delta of an entry, at byte i. Whatever is cut or broken is not known. */
static void columns_read(const uint8_t *table, size_t len, size_t i, unsigned int code,
			 struct line_place *place)
{
	uint64_t lines, column, end;

	if (code <= ENTRY_SHORT_LAST) {
		if (i >= len || table[i] & 0x80)
			return;
		place->column = column_of(code << 3 | table[i] >> 4);
		place->end_column = place->column + (table[i] & 15);
	} else if (code <= ENTRY_ONE_LINE_LAST) {
		if (i + 1 >= len || table[i] & 0x80 || table[i + 1] & 0x80)
			return;
		place->column = column_of(table[i]);
		place->end_column = column_of(table[i + 1]);
	} else if (code == ENTRY_LONG) {
		/* columns are one more here, and 0 is none */
		if (!get_varint(table, len, &i, &lines) || lines > INT32_MAX ||
		    !get_varint(table, len, &i, &column) || !get_varint(table, len, &i, &end))
			return;
		if (place->line + (int64_t)lines <= INT32_MAX)
			place->end_line = place->line + (int32_t)lines;
		place->column = column ? column_of(column - 1) : 0;
		place->end_column = end ? column_of(end - 1) : 0;
	}
}

/* `ret_place` may be NULL: only the line is wanted. */
static int32_t lookup_entries(const uint8_t *table, size_t len, int64_t line, uint32_t addr,
			      struct line_place *ret_place)
{
	uint64_t end = 0;
	size_t i = 0;

	while (i < len) {
		unsigned int code = table[i] >> 3 & 15;
		int64_t delta = 0;
		size_t head;

		if (!(table[i] & 0x80))
			return LINE_OFF;
		end += ((table[i] & 7) + 1) * CODE_UNIT;
		head = ++i;
		if (code >= ENTRY_ONE_LINE && code <= ENTRY_ONE_LINE_LAST)
			delta = code - ENTRY_ONE_LINE;
		else if (code == ENTRY_NO_COLUMNS || code == ENTRY_LONG)
			if (!get_svarint(table, len, &head, &delta))
				return LINE_OFF;
		line += delta;
		/* before this the sum is an int plus less than 2^36: no overflow here either */
		if (line < INT32_MIN || line > INT32_MAX)
			return LINE_OFF;
		if (addr < end) {
			int32_t found = code == ENTRY_NONE ? LINE_NONE : line_of(line);

			if (ret_place && found >= 0) {
				ret_place->line = ret_place->end_line = found;
				columns_read(table, len, head, code, ret_place);
			}
			return found;
		}
		while (i < len && !(table[i] & 0x80))
			i++;
	}
	return LINE_OFF;
}

int32_t lines_lookup(enum py_lines encoding, const uint8_t *table, size_t len, int32_t firstlineno,
		     uint32_t addr)
{
	switch (encoding) {
	case PY_LINES_LNOTAB:
		return lookup_lnotab(table, len, firstlineno, addr);
	case PY_LINES_DELTAS:
		return lookup_deltas(table, len, firstlineno, addr);
	case PY_LINES_ENTRIES:
		return lookup_entries(table, len, firstlineno, addr, NULL);
	}
	return LINE_OFF;
}

struct line_place lines_place(enum py_lines encoding, const uint8_t *table, size_t len,
			      int32_t firstlineno, uint32_t addr)
{
	struct line_place place = {};

	if (encoding == PY_LINES_ENTRIES)
		place.line = lookup_entries(table, len, firstlineno, addr, &place);
	else
		place.line = lines_lookup(encoding, table, len, firstlineno, addr);
	return place;
}
