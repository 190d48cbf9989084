/* SPDX-License-Identifier: Apache-2.0 */
/* What a recording costs: the bound, the windows, the wait, the record and the sentence. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "model/overhead.h"
#include "model_fixture.h"
#include "sink/about.h"

#define SECOND 1000000000ULL
#define MS     1000000ULL

static void the_highest_rate_keeps_to_the_bound(void **state)
{
	static const uint32_t bares[] = { 500, 6000, 24000, 400000 };
	static const uint32_t bounds[] = { 10, 1000, 10000, 500000 };
	uint32_t rate;
	int i, k;

	(void)state;
	for (i = 0; i < 4; i++)
		for (k = 0; k < 4; k++) {
			rate = overhead_fit(bares[i], bounds[k]);
			assert_true(rate >= 1);
			if (rate > 1)
				assert_true(overhead_expected(rate, bares[i], bounds[k]) <=
					    bounds[k] / 1e6);
			assert_true(overhead_expected(rate + 1, bares[i], bounds[k]) >
				    bounds[k] / 1e6);
		}
}

/* One second of a process that keeps a CPU busy, with so many ticks of 2 us, and 1 ms of uncoil's own. */
static void second(struct overhead_sums *sums, uint64_t ticks)
{
	sums->ticks += ticks;
	sums->tick_ns += ticks * 2000;
	sums->cpu_ns += SECOND;
	sums->own_ns += MS;
}

static void the_worst_five_seconds(void **state)
{
	struct overhead o = { .bare_ns = 8000, .bound = 10000 };
	struct overhead_sums sums = { .own_ns = 40 * MS };
	struct record_overhead record;
	int i;

	(void)state;
	overhead_start(&o, 7, &sums);
	assert_false(overhead_due(&o, 7 + SECOND - 1));
	assert_true(overhead_due(&o, 7 + SECOND));
	for (i = 1; i <= 20; i++) {
		second(&sums, i > 8 && i <= 11 ? 1000 : 100); /* 3 s of 1 % more among them */
		overhead_look(&o, 7 + i * SECOND, &sums);
		assert_true(i < 5 ? o.worst == 0 : o.worst > 0);
	}
	assert_true(overhead_so_far(&o) > .00334 && overhead_so_far(&o) < .00336);
	record = overhead_part(&o, &sums);
	assert_int_equal(record.worst, (3 * 10000 + 2 * 1000) / 5 + 1000);
	assert_int_equal(record.ticks, 17 * 100 + 3 * 1000);
	assert_int_equal(record.own_ns, 20 * MS);
	assert_int_equal(record.start_ns, 40 * MS);
	assert_true(overhead_share(&record, 0) > .00334 && overhead_share(&record, 0) < .00336);
	/* the next part begins with nothing of this one's */
	second(&sums, 100);
	record = overhead_part(&o, &sums);
	assert_int_equal(record.ticks, 100);
	assert_int_equal(record.start_ns, 0);
	assert_int_equal(record.worst, 0);
}

static void a_process_that_hardly_runs_has_no_worst(void **state)
{
	struct overhead o = { .bare_ns = 8000 };
	struct overhead_sums sums = {};
	int i;

	(void)state;
	overhead_start(&o, 0, &sums);
	for (i = 1; i < 10; i++) {
		sums.cpu_ns += 49 * MS;
		sums.own_ns += 500 * MS;
		overhead_look(&o, i * SECOND, &sums);
	}
	assert_true(o.worst == 0);
}

/* After looks at which uncoil took so much of its own for a process that took so much. */
static int wait_after(uint32_t bound, uint64_t own_ns, uint64_t cpu_ns, int looks)
{
	struct overhead o = { .bound = bound };
	struct overhead_sums sums = {};
	int i, wait = 20;

	overhead_start(&o, 0, &sums);
	for (i = 1; i <= looks; i++) {
		sums.own_ns += own_ns;
		sums.cpu_ns += cpu_ns;
		overhead_look(&o, i * SECOND, &sums);
		wait = overhead_wait(&o, wait, 20);
	}
	return wait;
}

static void looking_keeps_to_a_quarter(void **state)
{
	(void)state;
	assert_int_equal(wait_after(10000, 2 * MS, SECOND, 9), 20);
	assert_int_equal(wait_after(10000, 2 * MS, SECOND / 2, 1), 40);
	assert_int_equal(wait_after(10000, 2 * MS, 0, 9), 250);
	assert_int_equal(wait_after(0, 2 * MS, 0, 9), 20);
}

static char *sentence(const struct record_overhead *record, uint32_t mode)
{
	static const struct report_options options;
	struct profile *p = profile__new();
	struct report *report;
	struct buf text;
	char *copy;

	assert_non_null(p);
	put_meta_as(p, RECORD_FORMAT, mode, 0);
	if (record)
		put(p, RECORD_OVERHEAD, record, sizeof(*record), 0);
	put_end(p, &(struct record_stats){ .duration_ns = SECOND });
	report = report_new(p, &options);
	assert_non_null(report);
	buf_init(&text, 4096);
	assert_int_equal(about_overhead(report, &text), 0);
	assert_int_equal(about_has_share(report),
			 text.len && strncmp(buf_text(&text), "not worth", 9));
	copy = strdup(buf_text(&text));
	buf_done(&text);
	report_free(report);
	profile__free(p);
	return copy;
}

static void assert_says(const struct record_overhead *record, const char *want)
{
	char *text = sentence(record, RECORD_CPU);

	assert_string_equal(text, want);
	free(text);
}

static void what_it_says(void **state)
{
	struct record_overhead record = { .cpu_ns = 10 * SECOND,
					  .own_ns = 21 * MS,
					  .start_ns = 35 * MS,
					  .ticks = 1990,
					  .tick_ns = 1990 * 2300,
					  .bare_ns = 6000,
					  .bound = 10000,
					  .worst = 3999 };

	(void)state;
	assert_says(NULL, "");
	assert_says(&record, "about 0.38 % of the processes' 10 s of CPU time (estimated: 1,990 "
			     "ticks of 8.3 us, 21 ms of uncoil's own; 35 ms to start); "
			     "worst 5 s: 0.4 %");
	record.bound = 3000;
	record.worst = record.start_ns = 0;
	record.switches = 1;
	record.switch_ns = 700;
	assert_says(&record, "about 0.38 % of the processes' 10 s of CPU time (estimated: 1,990 "
			     "ticks of 8.3 us, 1 switch of 0.7 us, 21 ms of uncoil's own); more "
			     "than --max-overhead 0.3");
	record = (struct record_overhead){
		.cpu_ns = 12 * MS, .own_ns = 250 * MS, .ticks = 1, .tick_ns = 3000, .bound = 10000
	};
	assert_says(&record,
		    "not worth a share of the processes' 12 ms of CPU time (estimated: 1 tick of 3 "
		    "us, 250 ms of uncoil's own); without the timer's interrupt, which could not "
		    "be measured");
	record = (struct record_overhead){ .cpu_ns = 2 * SECOND, .own_ns = 10000 };
	assert_says(&record, "less than 0.01 % of the processes' 2 s of CPU time (estimated: 10 us "
			     "of uncoil's own)");
}

static void a_record_that_does_not_hold(void **state)
{
	struct record_overhead record = {};
	struct profile *p = profile__new();

	(void)state;
	put_meta(p, RECORD_FORMAT, 0);
	put(p, RECORD_OVERHEAD, &record, sizeof(record) - 1, -EINVAL);
	put(p, RECORD_OVERHEAD, NULL, 0, -EINVAL);
	profile__free(p);
}

/* Any numbers at all make a sentence. */
static void hostile_numbers(void **state)
{
	struct record_overhead record;
	char *text;

	(void)state;
	memset(&record, 0xff, sizeof(record));
	text = sentence(&record, RECORD_WALL);
	assert_null(strstr(text, "nan"));
	free(text);
	record.cpu_ns = 0;
	free(sentence(&record, RECORD_WALL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_highest_rate_keeps_to_the_bound),
		cmocka_unit_test(the_worst_five_seconds),
		cmocka_unit_test(a_process_that_hardly_runs_has_no_worst),
		cmocka_unit_test(looking_keeps_to_a_quarter),
		cmocka_unit_test(what_it_says),
		cmocka_unit_test(a_record_that_does_not_hold),
		cmocka_unit_test(hostile_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
