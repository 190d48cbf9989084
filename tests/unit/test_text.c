/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"

#define BAD          "\xef\xbf\xbd" /* U+FFFD */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct sample {
	const char *in, *out;
};

static void check_clean(const char *in, size_t len, const char *out)
{
	struct buf b;

	buf_init(&b, 4096);
	assert_int_equal(text_clean(&b, in, len), 0);
	assert_string_equal(buf_text(&b), out);
	assert_int_equal(b.len, strlen(out));
	buf_done(&b);
}

static void check_all(int (*escape)(struct buf *, const char *), const struct sample *samples,
		      size_t cnt)
{
	struct buf b;
	size_t i;

	buf_init(&b, 4096);
	for (i = 0; i < cnt; i++) {
		buf_clear(&b);
		assert_int_equal(escape(&b, samples[i].in), 0);
		assert_string_equal(buf_text(&b), samples[i].out);
	}
	buf_done(&b);
}

static void clean_keeps_what_is_well_formed(void **state)
{
	static const char *const fine[] = {
		"",
		"plain",
		"\x1b[31m\n\t\x7f",
		"\xc2\x80",
		"\xdf\xbf",
		"\xe0\xa0\x80",
		"\xed\x9f\xbf",
		"\xee\x80\x80",
		"\xef\xbf\xbf",
		"\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf",
		"\xe8\xa8\x88\xe7\xae\x97",
		"\xf0\x9f\x90\x8d",
	};
	size_t i;

	for (i = 0; i < COUNT(fine); i++)
		check_clean(fine[i], strlen(fine[i]), fine[i]);
}

/* The Unicode standard's own examples (tables 3-8 to 3-11), then ends of input. */
static void clean_replaces_maximal_parts(void **state)
{
	static const struct sample samples[] = {
		{ "\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", BAD BAD BAD BAD BAD BAD BAD BAD "A" },
		{ "\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", BAD BAD BAD BAD BAD BAD BAD BAD "A" },
		{ "\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", BAD BAD BAD BAD BAD "A" BAD BAD "B" },
		{ "\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", BAD BAD BAD BAD "A" },
		{ "\xf5\x80", BAD BAD },
		{ "a\xe2\x82", "a" BAD },
		{ "a\xf0\x9f\x90", "a" BAD },
		{ "\xc3", BAD },
		{ "\xc3(", BAD "(" },
	};
	size_t i;

	for (i = 0; i < COUNT(samples); i++)
		check_clean(samples[i].in, strlen(samples[i].in), samples[i].out);
}

static void clean_shows_nul(void **state)
{
	check_clean("a\0b\0", 4,
		    "a\xe2\x90\x80"
		    "b\xe2\x90\x80");
	/* a NUL ends a character that was begun */
	check_clean("\xe2\x82\0", 3, BAD "\xe2\x90\x80");
}

static void clean_reads_no_further_than_told(void **state)
{
	check_clean("\xe2\x82\xac", 2, BAD);
	check_clean("abc", 0, "");
}

static void clean_appends_and_keeps_the_limit(void **state)
{
	struct buf b;

	buf_init(&b, 4);
	assert_int_equal(text_clean(&b, "ab", 2), 0);
	assert_int_equal(text_clean(&b, "cd", 2), 0);
	assert_string_equal(buf_text(&b), "abcd");
	assert_int_equal(text_clean(&b, "\xff", 1), -E2BIG);
	assert_string_equal(buf_text(&b), "abcd");
	buf_done(&b);
}

static void terminal(void **state)
{
	static const struct sample samples[] = {
		{ "", "" },
		{ "</script>&;\"'\\", "</script>&;\"'\\" },
		{ "\x1b]0;x\x07", "\\x1b]0;x\\x07" },
		{ "a\nb\r\tc\x7f", "a\\x0ab\\x0d\\x09c\\x7f" },
		{ "\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0", "\\x80\\x9b\\x9f\xc2\xa0" },
		{ "\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa\xe2\x80\xae\xe2\x80\xaf",
		  "\xe2\x80\xa7\\u2028\\u2029\\u202a\\u202e\xe2\x80\xaf" },
		{ "\xe2\x81\xa5\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa",
		  "\xe2\x81\xa5\\u2066\\u2069\xe2\x81\xaa" },
		{ "\xe8\xa8\x88 \xf0\x9f\x90\x8d", "\xe8\xa8\x88 \xf0\x9f\x90\x8d" },
		{ "\xff", BAD },
		/* a raw C1 byte is no character: 8-bit terminals must not see it either */
		{ "\x9b"
		  "31m",
		  BAD "31m" },
	};

	check_all(text_terminal, samples, COUNT(samples));
}

static void xml(void **state)
{
	static const struct sample samples[] = {
		{ "</script><script>", "&lt;/script&gt;&lt;script&gt;" },
		{ "]]>", "]]&gt;" },
		{ "&amp; \"x\" 'y'", "&amp;amp; &quot;x&quot; &#39;y&#39;" },
		{ "\x01\x1b[0m\n", "\\x01\\x1b[0m\\x0a" },
		{ "\xef\xbf\xbd\xef\xbf\xbe\xef\xbf\xbf", BAD "\\ufffe\\uffff" },
		{ "\xf0\x9f\xbf\xbe", "\xf0\x9f\xbf\xbe" }, /* U+1FFFE: allowed, if odd */
		{ "\xe2\x80\xae", "\\u202e" },
		{ "\xed\xa0\x80", BAD BAD BAD },
		{ "\xe8\xa8\x88;\xf0\x9f\x90\x8d", "\xe8\xa8\x88;\xf0\x9f\x90\x8d" },
	};

	check_all(text_xml, samples, COUNT(samples));
}

static void folded(void **state)
{
	static const struct sample samples[] = {
		{ "a;b c 42", "a\\x3bb c 42" },
		{ "a\nb 1", "a\\x0ab 1" },
		{ "<&>\"", "<&>\"" },
		{ "\xfe\xe8\xa8\x88", BAD "\xe8\xa8\x88" },
	};

	check_all(text_folded, samples, COUNT(samples));
}

static void json(void **state)
{
	static const struct sample samples[] = {
		{ "", "\"\"" },
		{ "a\"b\\c/", "\"a\\\"b\\\\c/\"" },
		{ "</script>&", "\"\\u003c/script\\u003e\\u0026\"" },
		{ "\x1b\n\x7f", "\"\\u001b\\u000a\x7f\"" },
		{ "\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xae", "\"\\u2028\\u2029\xe2\x80\xae\"" },
		{ "\xff\xf0\x9f\x90\x8d", "\"" BAD "\xf0\x9f\x90\x8d\"" },
	};

	check_all(text_json, samples, COUNT(samples));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_keeps_what_is_well_formed),
		cmocka_unit_test(clean_replaces_maximal_parts),
		cmocka_unit_test(clean_shows_nul),
		cmocka_unit_test(clean_reads_no_further_than_told),
		cmocka_unit_test(clean_appends_and_keeps_the_limit),
		cmocka_unit_test(terminal),
		cmocka_unit_test(xml),
		cmocka_unit_test(folded),
		cmocka_unit_test(json),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
