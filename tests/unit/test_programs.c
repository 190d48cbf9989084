/* SPDX-License-Identifier: Apache-2.0 */
/* Why a kernel refuses a program, found in what libbpf prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "probe/programs.h"

static void said(const char *printed, const char *want)
{
	char text[64];

	programs_refusal(printed, text, sizeof(text));
	assert_string_equal(text, want);
}

static void the_verifiers_last_words(void **state)
{
	(void)state;
	said("libbpf: prog 'on_tick': -- BEGIN PROG LOAD LOG --\n"
	     "1493: (79) r5 = *(u64 *)(r2 +2656)\n"
	     "R2 unbounded memory access\n"
	     "processed 199 insns (limit 1000000)\n"
	     "-- END PROG LOAD LOG --\n",
	     "on_tick: R2 unbounded memory access");
	said("prog 'a': -- BEGIN PROG LOAD LOG --\nno statistics\n-- END PROG LOAD LOG --\n",
	     "a: no statistics");
	said("prog 'a': -- BEGIN PROG LOAD LOG --\ncut of", "a: cut of");
	said("prog 'a': -- BEGIN PROG LOAD LOG --\n\x1b[31mred\n-- END PROG LOAD LOG --",
	     "a: ?[31mred");
}

static void nothing_is_made_up(void **state)
{
	(void)state;
	said("libbpf: prog 'on_tick': BPF program load failed: Permission denied\n", "");
	said("", "");
	said("prog 'a': -- BEGIN PROG LOAD LOG --\n", "a: ");
	said("-- BEGIN PROG LOAD LOG --\nx\nprog '", "");
}

static void it_is_cut_where_there_is_no_room(void **state)
{
	(void)state;
	said("prog 'on_switch': -- BEGIN PROG LOAD LOG --\n"
	     "012345678901234567890123456789012345678901234567890123456789\nprocessed 1 insns\n",
	     "on_switch: 0123456789012345678901234567890123456789012345678901");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_verifiers_last_words),
		cmocka_unit_test(nothing_is_made_up),
		cmocka_unit_test(it_is_cut_where_there_is_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
