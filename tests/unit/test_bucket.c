/* SPDX-License-Identifier: Apache-2.0 */
/* Durations in fourths of a power of two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bucket.h"

static void begins_are_where_it_says(void **state)
{
	uint32_t i;

	assert_int_equal(trace_bucket(0), 0);
	assert_int_equal(trace_bucket(19), 0);
	assert_int_equal(trace_bucket(20), 1);
	assert_int_equal(trace_bucket(32), 4);
	assert_int_equal(trace_bucket_from(0), 0);
	assert_int_equal(trace_bucket_from(TRACE_HIST - 1), (1ULL << 43) / 4 * 7);
	for (i = 1; i < TRACE_HIST; i++) {
		assert_int_equal(trace_bucket(trace_bucket_from(i)), i);
		assert_int_equal(trace_bucket(trace_bucket_from(i) - 1), i - 1);
	}
	assert_int_equal(trace_bucket_from(TRACE_HIST), 1ULL << 44);
}

static void what_is_too_long_is_in_the_last(void **state)
{
	uint64_t ns;

	for (ns = 1ULL << 44; ns; ns <<= 1)
		assert_int_equal(trace_bucket(ns), TRACE_HIST - 1);
	assert_int_equal(trace_bucket(UINT64_MAX), TRACE_HIST - 1);
}

/* No bound is more than a quarter above the one before. */
static void none_is_wide(void **state)
{
	uint32_t i;

	for (i = 1; i < TRACE_HIST; i++)
		assert_true(4 * trace_bucket_from(i + 1) <= 5 * trace_bucket_from(i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(begins_are_where_it_says),
		cmocka_unit_test(what_is_too_long_is_in_the_last),
		cmocka_unit_test(none_is_wide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
