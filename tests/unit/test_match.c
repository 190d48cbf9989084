/* SPDX-License-Identifier: Apache-2.0 */
/* --match: which functions a trace is about. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/err.h"
#include "model/match.h"

static void add(struct match *m, const char *pattern)
{
	struct err err = { "" };

	if (match_add(m, pattern, &err))
		fail_msg("%s: %s", pattern, err.msg);
}

/* One pattern alone. */
static bool takes(const char *pattern, const char *module, const char *name)
{
	struct match m = { 0 };
	bool taken;

	add(&m, pattern);
	taken = match_takes(&m, module, name);
	assert_int_equal(m.patterns[0].fitted, taken != (*pattern == '!'));
	match_done(&m);
	return taken;
}

static void one_pattern(void **state)
{
	static const struct {
		const char *pattern, *module, *name;
		bool taken;
	} cases[] = {
		/* the whole of both */
		{ "shop.*:handle_*", "shop.views", "handle_order", true },
		{ "shop.*:handle_*", "shop.views.api", "handle_", true },
		{ "shop.*:handle_*", "shop", "handle_order", false },
		{ "shop.*:handle_*", "workshop.views", "handle_order", false },
		{ "shop.*:handle_*", "shop.views", "Shop.handle_order", false },
		{ "shop.*:*.handle_*", "shop.views", "Shop.handle_order", true },
		{ "shop.*:*handle_*", "shop.views", "f.<locals>.handle_order", true },
		{ "shop:main", "shop", "main", true },
		{ "shop:main", "shop", "Shop.main", false },
		{ "shop*:*", "shop", "<module>", true },
		{ "*:<module>", "a.b", "<module>", true },
		{ "*:main", "", "main", true },
		{ "__main__:f", "__main__", "f", true },
		{ "Shop:f", "shop", "f", false },
		/* the name or its last part, anywhere */
		{ "handle_*", "shop", "handle_order", true },
		{ "handle_*", "shop", "Shop.handle_order", true },
		{ "handle_*", "shop", "f.<locals>.handle_order", true },
		{ "handle_*", "shop", "handle_x.<locals>.g", true }, /* `*` goes over dots */
		{ "handle_?", "shop", "handle_x.<locals>.g", false },
		{ "handle_*", "handle_shop", "f", false },
		{ "Shop.handle_*", "shop", "Shop.handle_order", true },
		{ "Shop.handle_*", "shop", "Outer.Shop.handle_order", false },
		{ "*.Shop.handle_*", "shop", "Outer.Shop.handle_order", true },
		{ "Shop", "shop", "Shop.handle", false },
		{ "<lambda>", "shop", "f.<locals>.<lambda>", true },
		{ "*", "", "", true },
		{ "f", "m", "f.", false },
		/* sets, and what is taken as it is */
		{ "f[0-9]", "m", "f7", true },
		{ "f[0-9]", "m", "f77", false },
		{ "f[!0-9]", "m", "f7", false },
		{ "f[^0-9]", "m", "fx", true },
		{ "f[]x]", "m", "f]", true },
		{ "f[[:digit:]]", "m", "f5", true },
		{ "f[:]", "m", "f:", true },
		{ "m[:]:f", "m:", "f", true },
		{ "f\\*", "m", "f*", true },
		{ "f\\*", "m", "fx", false },
		{ "f\\:g", "m", "f:g", true },
		{ "f\\\\[a]", "m", "f\\a", true },
		{ "f\\[", "m", "f[", true },
		{ "/etc/*", "m", "/etc/a/b", true },
		{ "*", ".hidden", ".hidden", true },
		/* `!` */
		{ "!f", "m", "f", false },
		{ "!f", "m", "g", true },
		{ "!m:*", "m", "f", false },
		{ "!m:*", NULL, "f", true },
		/* a module that is not known */
		{ "*:f", NULL, "f", true },
		{ "m*:f", NULL, "f", false },
		{ "f", NULL, "f", true },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (takes(cases[i].pattern, cases[i].module, cases[i].name) != cases[i].taken)
			fail_msg("'%s' and %s:%s: %d", cases[i].pattern,
				 cases[i].module ? cases[i].module : "(none)", cases[i].name,
				 !cases[i].taken);
}

static void several_patterns_in_any_order(void **state)
{
	static const char *const orders[][4] = { { "a:*", "b:*", "!*secret*", "nobody" },
						 { "!*secret*", "nobody", "b:*", "a:*" } };
	struct match m = { 0 };
	size_t i, k;

	assert_true(match_takes(&m, "a", "f"));
	assert_true(match_takes(&m, NULL, "f"));
	for (i = 0; i < 2; i++) {
		for (k = 0; k < 4; k++)
			add(&m, orders[i][k]);
		assert_int_equal(m.cnt, 4);
		assert_int_equal(m.take_cnt, 3);
		assert_true(match_takes(&m, "a", "f"));
		assert_true(match_takes(&m, "b", "C.f"));
		assert_false(match_takes(&m, "c", "f"));
		assert_false(match_takes(&m, "a", "my_secret"));
		assert_false(match_takes(&m, "c", "my_secret"));
		for (k = 0; k < 4; k++)
			assert_int_equal(m.patterns[k].fitted,
					 strcmp(m.patterns[k].text, "nobody") != 0);
		match_done(&m);
		assert_int_equal(m.cnt, 0);
	}
}

static void only_what_is_left_out(void **state)
{
	struct match m = { 0 };

	add(&m, "!importlib*:*");
	add(&m, "!<module>");
	assert_true(match_takes(&m, "shop", "f"));
	assert_false(match_takes(&m, "importlib._bootstrap", "_find_and_load"));
	assert_false(match_takes(&m, "shop", "<module>"));
	match_done(&m);
}

static void bad_patterns(void **state)
{
	char long_one[MATCH_BYTES_MAX + 2];
	const struct {
		const char *pattern, *says;
	} cases[] = {
		{ "", "not ''" },
		{ "!", "after one '!'" },
		{ "!!f", "after one '!'" },
		{ ":", "'NAME' is that function in any module" },
		{ ":f", "'f' is that function in any module" },
		{ "!:f", "no module before the colon" },
		{ "m:", "'m:*' is all of them" },
		{ "!m:", "'!m:*' is all of them" },
		{ "a:b:c", "two colons" },
		{ "::", "two colons" },
		{ "f[", "'[' is not closed" },
		{ "f[]", "'[' is not closed" },
		{ "f[!]", "'[' is not closed" },
		{ "m[a:f]", NULL },
		{ "m[a:f", "'[' is not closed" },
		{ "f[\\]", "'[' is not closed" },
		{ "f[[:alpha:]", "'[' is not closed" },
		{ "f\\", "ends in a backslash" },
		{ "\xff*", "not UTF-8" },
		{ "f\xc3", "not UTF-8" },
		{ "\xed\xa0\x80", "not UTF-8" },
		{ long_one, "more than 256 bytes" },
	};
	struct match m = { 0 };
	struct err err;
	size_t i;

	memset(long_one, 'x', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err.msg[0] = '\0';
		if (!cases[i].says) {
			add(&m, cases[i].pattern);
			match_done(&m);
			continue;
		}
		assert_int_equal(match_add(&m, cases[i].pattern, &err), -EINVAL);
		if (!strstr(err.msg, cases[i].says))
			fail_msg("'%s': %s", cases[i].pattern, err.msg);
		assert_int_equal(m.cnt, 0);
	}
	add(&m, long_one + 1); /* as long as they may be */
	for (i = 1; i < MATCH_MAX; i++)
		add(&m, "!g");
	assert_int_equal(match_add(&m, "f", &err), -E2BIG);
	assert_non_null(strstr(err.msg, "'f' is one too many, after 64"));
	assert_int_equal(m.cnt, MATCH_MAX);
	match_done(&m);
	match_done(&m);
}

static void names_of_any_script(void **state)
{
	locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);

	assert_true(takes("h\xc3\xa4ndle_*", "m", "h\xc3\xa4ndle_x"));
	assert_true(takes("*\xe5\x86\x85*:*", "\xe5\x86\x85\xe9\x83\xa8", "f"));
	assert_true(takes("*\xef\xbf\xbd", "m", "f\xef\xbf\xbd"));
	assert_true(takes("*\n*", "m", "\x1b[31m\n\xf0\x9f\x90\x8d"));
	assert_false(takes("h\xc3\xa4ndle", "m", "h\xc3\xa5ndle"));
	if (!locale) {
		print_message("SKIPPED: no locale C.UTF-8 here: what is a character\n");
		skip();
	}
	freelocale(locale);
	assert_true(takes("h?ndle", "m", "h\xc3\xa4ndle"));
	assert_false(takes("h???ndle", "m", "h\xc3\xa4ndle"));
	assert_true(takes("?", "m", "\xf0\x9f\x90\x8d"));
	assert_true(takes("[\xc3\xa4\xc3\xb6]x", "m", "\xc3\xb6x"));
	assert_false(takes("[!\xc3\xa4]x", "m", "\xc3\xa4x"));
	assert_true(takes("[!a]x", "m", "\xe5\x86\x85x"));
}

static double ms_of(const char *pattern, const char *name)
{
	struct match m = { 0 };
	struct timespec a, b;

	add(&m, pattern);
	clock_gettime(CLOCK_MONOTONIC, &a);
	assert_false(match_takes(&m, name, name));
	clock_gettime(CLOCK_MONOTONIC, &b);
	match_done(&m);
	return (b.tv_sec - a.tv_sec) * 1e3 + (b.tv_nsec - a.tv_nsec) / 1e6;
}

/* Each star doubles the ways to match for whoever tries them all. */
static void many_stars_take_no_time(void **state)
{
	char name[8192], stars[MATCH_BYTES_MAX + 1] = "", sets[MATCH_BYTES_MAX + 1] = "";
	double ms;
	size_t i;

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (i = 0; i + 2 < MATCH_BYTES_MAX; i += 2)
		memcpy(stars + i, "*ab", 4);
	for (i = 0; i + 7 < MATCH_BYTES_MAX; i += 7)
		memcpy(sets + i, "*?[a-b]b", 9);
	ms = ms_of(stars, name) + ms_of(sets, name);
	/* names of dots: the last part alone is looked at */
	memset(name, '.', sizeof(name) - 1);
	ms += ms_of(stars, name) + ms_of(sets, name);
	if (ms > 1000)
		fail_msg("%f ms", ms);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_pattern),
		cmocka_unit_test(several_patterns_in_any_order),
		cmocka_unit_test(only_what_is_left_out),
		cmocka_unit_test(bad_patterns),
		cmocka_unit_test(names_of_any_script),
		cmocka_unit_test(many_stars_take_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
