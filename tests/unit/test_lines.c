/* SPDX-License-Identifier: Apache-2.0 */
/* Line tables: what each CPython says of its own (lines_golden.h), and tables that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "python/lines.h"

struct golden {
	int minor;
	int firstlineno;
	uint32_t code_len;
	const char *name;
	const char *table;  /* hex */
	const char *runs;   /* "addr:line ...", a run reaches to the next; line -1 is none */
	const char *places; /* "addr:line:end line:column:end column ..." likewise, 3.11+; or "" */
};

#include "unit/lines_golden.h"

#define GOLDEN_CNT (sizeof(goldens) / sizeof(goldens[0]))

static int hex_digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

static size_t unhex(const char *hex, uint8_t *to)
{
	size_t len = 0;

	for (; *hex; hex += 2)
		to[len++] = (uint8_t)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
	return len;
}

static enum py_lines encoding_of(int minor)
{
	return minor < 10 ? PY_LINES_LNOTAB : minor == 10 ? PY_LINES_DELTAS : PY_LINES_ENTRIES;
}

static void test_every_address(void **state)
{
	const struct golden *g;
	static uint8_t table[65536];
	uint32_t addr, end, checked = 0;
	long line;
	size_t i, len;
	char *at;

	for (i = 0; i < GOLDEN_CNT; i++) {
		g = &goldens[i];
		len = unhex(g->table, table);
		strtoul(g->runs, &at, 10);
		for (addr = 0; addr < g->code_len;) {
			line = strtol(at + 1, &at, 10);
			end = *at ? (uint32_t)strtoul(at, &at, 10) : g->code_len;
			for (; addr < end; addr += 2, checked++) {
				int32_t got = lines_lookup(encoding_of(g->minor), table, len,
							   g->firstlineno, addr);

				if (got != line)
					fail_msg("3.%d %s at %u: %d, not %ld", g->minor, g->name,
						 addr, got, line);
			}
		}
		if (g->minor >= 10)
			assert_int_equal(lines_lookup(encoding_of(g->minor), table, len,
						      g->firstlineno, g->code_len),
					 LINE_OFF);
	}
	print_message("%zu code objects, %u addresses\n", GOLDEN_CNT, checked);
	assert_true(checked > 10000);
}

/* Columns: the same from co_positions(), which counts from 0 and says -1 here for None. */
static void test_every_place(void **state)
{
	const struct golden *g;
	static uint8_t table[65536];
	uint32_t addr, end, checked = 0, with_columns = 0;
	long want[4];
	size_t i, len;
	char *at;
	int k;

	for (i = 0; i < GOLDEN_CNT; i++) {
		g = &goldens[i];
		if (!*g->places)
			continue;
		len = unhex(g->table, table);
		strtoul(g->places, &at, 10);
		for (addr = 0; addr < g->code_len;) {
			for (k = 0; k < 4; k++)
				want[k] = strtol(at + 1, &at, 10);
			end = *at ? (uint32_t)strtoul(at, &at, 10) : g->code_len;
			for (; addr < end; addr += 2, checked++) {
				struct line_place got = lines_place(PY_LINES_ENTRIES, table, len,
								    g->firstlineno, addr);

				assert_int_equal(got.line, want[0] < 0 ? LINE_NONE : want[0]);
				assert_int_equal(got.end_line, want[1] < 0 ? 0 : want[1]);
				assert_int_equal(got.column, want[2] + 1);
				assert_int_equal(got.end_column, want[3] + 1);
				with_columns += got.column != 0;
			}
		}
	}
	print_message("%u addresses, %u with columns\n", checked, with_columns);
	assert_true(checked > 2000 && with_columns > 1500);
}

/* Whatever a table is cut to, what is still said agrees with the whole one or is LINE_OFF. An
 * lnotab is excepted: its last pair has no end (code.c deals with that). */
static void test_cut_tables(void **state)
{
	static uint8_t table[65536];
	size_t i, len, cut;
	uint32_t addr;

	for (i = 0; i < GOLDEN_CNT; i += 7) {
		const struct golden *g = &goldens[i];
		enum py_lines enc = encoding_of(g->minor);

		if (enc == PY_LINES_LNOTAB)
			continue;
		len = unhex(g->table, table);
		for (cut = 0; cut < len && cut < 64; cut++) {
			for (addr = 0; addr < g->code_len && addr < 256; addr += 2) {
				int32_t got = lines_lookup(enc, table, cut, g->firstlineno, addr);

				if (got != LINE_OFF)
					assert_int_equal(got, lines_lookup(enc, table, len,
									   g->firstlineno, addr));
			}
		}
	}
}

#define LOOKUP(enc, first, addr, ...)                       \
	lines_lookup(enc, (const uint8_t[]){ __VA_ARGS__ }, \
		     sizeof((const uint8_t[]){ __VA_ARGS__ }), first, addr)

static void test_lnotab(void **state)
{
	/* the example of Objects/lnotab_notes.txt, from line 0 */
	const uint8_t notes[] = { 0, 1, 6, 1, 44, 5, 255, 0, 45, 127, 0, 73, 11, 1 };
	const struct {
		uint32_t addr;
		int32_t line;
	} want[] = { { 0, 1 },   { 5, 1 },     { 6, 2 },     { 49, 2 },    { 50, 7 },
		     { 349, 7 }, { 350, 207 }, { 360, 207 }, { 361, 208 }, { 100000, 208 } };
	size_t i;

	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_equal(
			lines_lookup(PY_LINES_LNOTAB, notes, sizeof(notes), 0, want[i].addr),
			want[i].line);
	assert_int_equal(lines_lookup(PY_LINES_LNOTAB, NULL, 0, 7, 40), 7);
	assert_int_equal(LOOKUP(PY_LINES_LNOTAB, 5, 4, 2), 5);              /* half a pair */
	assert_int_equal(LOOKUP(PY_LINES_LNOTAB, 5, 4, 2, 0x80), LINE_OFF); /* line -123 */
	assert_int_equal(LOOKUP(PY_LINES_LNOTAB, INT32_MAX, 4, 2, 1), LINE_OFF);
}

static void test_deltas(void **state)
{
	/* -128 is "no line" and moves nothing */
	assert_int_equal(LOOKUP(PY_LINES_DELTAS, 9, 0, 4, 1, 2, 0x80, 2, 2), 10);
	assert_int_equal(LOOKUP(PY_LINES_DELTAS, 9, 4, 4, 1, 2, 0x80, 2, 2), LINE_NONE);
	assert_int_equal(LOOKUP(PY_LINES_DELTAS, 9, 6, 4, 1, 2, 0x80, 2, 2), 12);
	assert_int_equal(LOOKUP(PY_LINES_DELTAS, 9, 8, 4, 1, 2, 0x80, 2, 2), LINE_OFF);
	/* an empty range carries a line delta that a byte cannot */
	assert_int_equal(LOOKUP(PY_LINES_DELTAS, 9, 0, 0, 127, 2, 127), 263);
	assert_int_equal(LOOKUP(PY_LINES_DELTAS, 9, 0, 2), LINE_OFF);
	assert_int_equal(lines_lookup(PY_LINES_DELTAS, NULL, 0, 9, 0), LINE_OFF);
	assert_int_equal(LOOKUP(PY_LINES_DELTAS, INT32_MAX, 0, 2, 1), LINE_OFF);
	assert_int_equal(LOOKUP(PY_LINES_DELTAS, INT32_MIN, 0, 2, 0x81), LINE_OFF);
}

#define PLACE(addr, ...)                                                \
	lines_place(PY_LINES_ENTRIES, (const uint8_t[]){ __VA_ARGS__ }, \
		    sizeof((const uint8_t[]){ __VA_ARGS__ }), 5, addr)
#define HEAD(code, units) (0x80 | (code) << 3 | ((units)-1))

static void test_entries(void **state)
{
	/* 13: svarint; 200 is 0x48 0x03 as varint, so as svarint +100; 0x49 0x03 is -100 */
	assert_int_equal(LOOKUP(PY_LINES_ENTRIES, 5, 0, HEAD(13, 1), 0x48, 0x03), 105);
	assert_int_equal(LOOKUP(PY_LINES_ENTRIES, 200, 0, HEAD(13, 1), 0x49, 0x03), 100);
	assert_int_equal(LOOKUP(PY_LINES_ENTRIES, 5, 0, HEAD(13, 1), 0x49, 0x03), LINE_OFF);
	/* 15: none, and the running line stays */
	assert_int_equal(LOOKUP(PY_LINES_ENTRIES, 5, 0, HEAD(15, 2), HEAD(11, 8), 0, 0), LINE_NONE);
	assert_int_equal(LOOKUP(PY_LINES_ENTRIES, 5, 4, HEAD(15, 2), HEAD(11, 8), 0, 0), 6);
	assert_int_equal(LOOKUP(PY_LINES_ENTRIES, 5, 19, HEAD(15, 2), HEAD(11, 8), 0, 0), 6);
	assert_int_equal(LOOKUP(PY_LINES_ENTRIES, 5, 20, HEAD(15, 2), HEAD(11, 8), 0, 0), LINE_OFF);
	/* columns that are cut, or none, are not known; the line is */
	assert_int_equal(PLACE(0, HEAD(0, 1)).column, 0);
	assert_int_equal(PLACE(0, HEAD(0, 1)).line, 5);
	assert_int_equal(PLACE(0, HEAD(3, 1), 0x72).column, 32);
	assert_int_equal(PLACE(0, HEAD(3, 1), 0x72).end_column, 34);
	assert_int_equal(PLACE(0, HEAD(11, 1), 4).column, 0);
	assert_int_equal(PLACE(0, HEAD(11, 1), 4, 0x80).column, 0);
	assert_int_equal(PLACE(0, HEAD(14, 1), 0, 2, 0, 3).column, 0);
	assert_int_equal(PLACE(0, HEAD(14, 1), 0, 2, 0, 3).end_column, 3);
	assert_int_equal(PLACE(0, HEAD(14, 1), 0, 2, 0, 3).end_line, 7);
	assert_int_equal(PLACE(0, HEAD(14, 1), 0, 0x7f, 0x7f).end_line, 5);
	/* line 0: a module's RESUME (3.11+) */
	assert_int_equal(LOOKUP(PY_LINES_ENTRIES, 1, 0, HEAD(13, 1), 3), 0);
	/* an entry that does not begin as one, a varint that is cut, one that does not end */
	assert_int_equal(LOOKUP(PY_LINES_ENTRIES, 5, 0, 0x7f), LINE_OFF);
	assert_int_equal(LOOKUP(PY_LINES_ENTRIES, 5, 0, HEAD(13, 1), 0x48), LINE_OFF);
	assert_int_equal(LOOKUP(PY_LINES_ENTRIES, 5, 0, HEAD(13, 1), HEAD(15, 1)), LINE_OFF);
	assert_int_equal(LOOKUP(PY_LINES_ENTRIES, 5, 0, HEAD(14, 1), 0x7f, 0x7f, 0x7f, 0x7f, 0x7f,
				0x7f, 0x7f, 0x3f),
			 LINE_OFF);
	assert_int_equal(LOOKUP(PY_LINES_ENTRIES, INT32_MAX, 0, HEAD(11, 1), 0, 0), LINE_OFF);
	assert_int_equal(lines_lookup(PY_LINES_ENTRIES, NULL, 0, 5, 0), LINE_OFF);
}

static void test_unknown_encoding(void **state)
{
	assert_int_equal(LOOKUP((enum py_lines)77, 5, 0, 2, 1), LINE_OFF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_address),    cmocka_unit_test(test_every_place),
		cmocka_unit_test(test_cut_tables),       cmocka_unit_test(test_lnotab),
		cmocka_unit_test(test_deltas),           cmocka_unit_test(test_entries),
		cmocka_unit_test(test_unknown_encoding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
