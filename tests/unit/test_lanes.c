/* SPDX-License-Identifier: Apache-2.0 */
/* Slices on lanes: none overlaps another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "model/lanes.h"

static uint32_t place(struct lanes *l, uint64_t *start, uint64_t end, uint32_t level)
{
	struct lane_place place;
	uint32_t before = l->cnt;

	assert_int_equal(lanes_place(l, 0, *start, end, level, &place), 0);
	assert_int_equal(place.fresh, place.lane == before);
	*start = place.draw_ns;
	return place.lane;
}

static void nested_and_apart_are_on_one(void **state)
{
	struct lanes l = {};
	uint64_t a = 10, c = 30, b = 25, all = 5;

	assert_int_equal(place(&l, &a, 20, 1), 0);
	assert_int_equal(place(&l, &c, 40, 2), 0);
	assert_int_equal(place(&l, &b, 50, 1), 0); /* around c, behind a */
	assert_int_equal(place(&l, &all, 60, 0), 0);
	assert_int_equal(all, 5);
	lanes_done(&l);
}

static void overlapping_are_not(void **state)
{
	struct lanes l = {};
	uint64_t a = 10, b = 15, c = 19, d = 20;

	assert_int_equal(place(&l, &a, 20, 0), 0);
	assert_int_equal(place(&l, &b, 25, 0), 1);
	assert_int_equal(place(&l, &c, 26, 0), 2);
	assert_int_equal(place(&l, &d, 30, 0), 0); /* where a ends */
	lanes_done(&l);
}

static void equal_starts_are_made_different(void **state)
{
	struct lanes l = {};
	uint64_t inner = 10, middle = 10, outer = 10;

	assert_int_equal(place(&l, &inner, 20, 2), 0);
	assert_int_equal(place(&l, &middle, 20, 1), 0);
	assert_int_equal(place(&l, &outer, 20, 0), 0);
	assert_int_equal(inner, 10);
	assert_int_equal(middle, 9);
	assert_int_equal(outer, 8);
	lanes_done(&l);
}

/* A hundred thousand calls of one function in a loop, each with two of its own. */
static void many_siblings_take_no_room(void **state)
{
	struct lanes l = {};
	uint64_t at, start;
	uint32_t i;

	for (i = 0, at = 100; i < 100000; i++, at += 100) {
		start = at + 10;
		assert_int_equal(place(&l, &start, at + 20, 2), 0);
		start = at + 30;
		assert_int_equal(place(&l, &start, at + 40, 2), 0);
		start = at;
		assert_int_equal(place(&l, &start, at + 50, 1), 0);
	}
	start = 10;
	assert_int_equal(place(&l, &start, at, 0), 0);
	assert_int_equal(l.cnt, 1);
	assert_true(l.lanes[0].cap <= 128);
	lanes_done(&l);
}

struct slice {
	uint64_t start, end;
	uint32_t lane;
};

static int by_end(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;

	return (x->end > y->end) - (x->end < y->end);
}

/* Whatever comes, in the order of ends: no two on one lane overlap without one holding the other. */
static void none_overlap_whatever_comes(void **state)
{
	struct slice slices[300];
	struct lanes l = {};
	uint32_t round, i, k;

	srand(1);
	for (round = 0; round < 200; round++) {
		for (i = 0; i < 300; i++) {
			slices[i].start = 1000 + rand() % 2000;
			slices[i].end = slices[i].start + 1 + rand() % (round + 1);
		}
		qsort(slices, 300, sizeof(slices[0]), by_end);
		for (i = 0; i < 300; i++)
			slices[i].lane = place(&l, &slices[i].start, slices[i].end, rand() % 3);
		for (i = 0; i < 300; i++)
			for (k = 0; k < i; k++) {
				if (slices[i].lane != slices[k].lane)
					continue;
				assert_true(slices[k].end <= slices[i].start ||
					    slices[k].start > slices[i].start);
			}
		lanes_done(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nested_and_apart_are_on_one),
		cmocka_unit_test(overlapping_are_not),
		cmocka_unit_test(equal_starts_are_made_different),
		cmocka_unit_test(many_siblings_take_no_room),
		cmocka_unit_test(none_overlap_whatever_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
