/* SPDX-License-Identifier: Apache-2.0 */
/* --thread: what a report says of the chosen threads, and of the others. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "unit/model_fixture.h"

#define MS 1000000ULL

static void put_name(struct profile *p, uint32_t thread, const char *name)
{
	struct {
		struct record_thread head;
		uint32_t len;
		char name[16];
	} r = { .head = { .thread = thread }, .len = strlen(name) };

	memcpy(r.name, name, r.len);
	put(p, RECORD_THREAD_NAME, &r, offsetof(typeof(r), name) + r.len, 0);
}

/* A thread, with a stack in which it runs (100) and one in which it sleeps (200). */
static void put_thread(struct profile *p, uint32_t serial, int32_t tid, const char *name)
{
	struct ev_stack runs = stack_event(serial, 100, EV_STACK_NO_FRAME, 0);
	struct ev_stack naps = stack_event(serial, 200, EV_STACK_NO_FRAME | EV_STACK_WAIT, 0);

	runs.hdr.tid = naps.hdr.tid = tid;
	naps.wait = (struct wait){ .syscall = SYS_nanosleep, .state = 1 };
	put(p, RECORD_RING, &runs, runs.hdr.size, 0);
	put(p, RECORD_RING, &naps, naps.hdr.size, 0);
	if (name)
		put_name(p, serial, name);
}

static struct report *report_of(const struct profile *p, const char *one, const char *other)
{
	struct report_options options = {
		.threads = true, .timeline = true, .only = { one, other }, .only_cnt = other ? 2 : 1
	};
	struct report *report = report_new(p, &options);

	assert_non_null(report);
	return report;
}

static struct profile *sampled(void)
{
	struct record_stats stats = { .stat[STAT_SAMPLES] = 15, .stat[STAT_DROP_RING_FULL] = 1 };
	struct profile *p = profile__new();

	put_meta(p, RECORD_FORMAT, 0);
	put_thread(p, 1, 8, "worker-1");
	put_thread(p, 2, 9, "worker-2");
	put_thread(p, 3, 10, NULL);
	put_count(p, 1, 100, 2);
	put_count(p, 2, 100, 3);
	put_count(p, 3, 100, 9);
	put_end(p, &stats);
	return p;
}

static void threads_are_chosen_by_name_and_by_id(void **state)
{
	static const struct {
		const char *one, *other;
		uint64_t samples;
		uint32_t threads, unmatched;
	} cases[] = {
		{ "worker-*", NULL, 5, 2, 0 }, { "worker-1", NULL, 2, 1, 0 },
		{ "8", "10", 11, 2, 0 },       { "worker-[2-9]", "9", 3, 1, 0 },
		{ "*", "x", 14, 3, 1 },        { "worker", "Worker-1", 0, 0, 2 },
		{ "1", "worker-2", 3, 1, 1 },  { "work*", "*-1", 5, 2, 0 },
	};
	struct profile *p = sampled();
	const struct report_remark *left;
	struct report *report;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		report = report_of(p, cases[i].one, cases[i].other);
		assert_int_equal(report->samples, cases[i].samples);
		assert_int_equal(report->ticks, cases[i].samples);
		assert_int_equal(report->thread_cnt, cases[i].threads);
		assert_int_equal(report->unmatched_cnt, cases[i].unmatched);
		left = remark_like(report, "samples of other threads are left out (--thread)");
		assert_int_equal(left ? left->count : 0, 14 - cases[i].samples);
		assert_true(!left || !left->is_loss);
		/* of the chosen alone, too; what was lost may have been anybody's */
		left = remark_like(report, "that ran no Python function");
		assert_int_equal(left ? left->count : 0, cases[i].samples);
		assert_int_equal(remark_like(report, "ring buffer was full")->count, 1);
		report_free(report);
	}
	report = report_of(p, "*", "x");
	assert_string_equal(report->unmatched[0], "x");
	report_free(report);
	profile__free(p);
}

static void put_tick(struct profile *p, uint32_t thread, int32_t tid)
{
	struct ev_tick ev = { .hdr = { EV_TICK, 0, sizeof(ev), 1000, 1, 7, tid, thread },
			      .hash = 100 };

	put(p, RECORD_RING, &ev, sizeof(ev), 0);
}

static void put_wait(struct profile *p, uint32_t thread, int32_t tid, uint64_t hash)
{
	struct ev_wait ev = { .hdr = { EV_WAIT, 0, sizeof(ev), 0, 1, 7, tid, thread },
			      .hash = hash,
			      .start_ns = 2000,
			      .wait_ns = 20 * MS };
	struct record_count r = { .key = { thread, 1, hash }, .count = 1, .wait_ns = 20 * MS };

	put(p, RECORD_RING, &ev, sizeof(ev), 0);
	if (hash)
		put(p, RECORD_COUNTS, &r, sizeof(r), 0);
}

/* Of time, too: its CPU time, its waits, and what is known of it only as a sum. */
static void what_is_left_out_is_all_of_the_others(void **state)
{
	static const struct report_options all = { .timeline = true };
	struct profile *p = profile__new();
	struct record_stats stats = { .stat[STAT_SAMPLES] = 2, .stat[STAT_WAITS] = 2 };
	struct record_times times[] = {
		{ .thread = 1, .image = 1, .times = { .cpu_ns = 10 * MS, .wait_ns = 25 * MS } },
		{ .thread = 2, .image = 1, .times = { .cpu_ns = 11 * MS, .wait_ns = 24 * MS } },
		{ .thread = 3, .image = 1, .times = { .cpu_ns = 5 * MS, .wait_ns = 30 * MS - 1 } },
	};
	struct report *report;
	uint64_t i;

	put_meta_as(p, RECORD_FORMAT, RECORD_WALL, 0);
	put(p, RECORD_TIMELINE, NULL, 0, 0);
	put_thread(p, 1, 8, "worker-1");
	put_thread(p, 2, 9, "worker-2");
	put_thread(p, 3, 10, "sleeper"); /* neither samples nor waits of a known stack */
	for (i = 1; i < 3; i++) {
		put_count(p, i, 100, 1);
		put_tick(p, i, 7 + i);
		put_wait(p, i, 7 + i, 200);
	}
	put_wait(p, 3, 10, 0);
	put(p, RECORD_TIMES, times, sizeof(times), 0);
	put_end(p, &stats);
	report = report_new(p, &all);
	assert_int_equal(report->samples, 3 * 35 * MS - 1);
	assert_int_equal(report->event_cnt, 5);
	assert_null(remark_like(report, "other threads"));
	report_free(report);
	report = report_of(p, "worker-1", NULL);
	assert_int_equal(report->samples, 35 * MS);
	assert_int_equal(report->ticks, 1);
	assert_int_equal(report->waits, 1);
	assert_int_equal(remark_like(report, "ms of other threads are left out")->count, 70);
	/* 5 ms of its waits are not in the timeline, 4 and 10 of the others' */
	assert_int_equal(remark_like(report, "stack and time are not known")->count, 5);
	/* no events, no tracks */
	assert_int_equal(report->event_cnt, 2);
	for (i = 0; i < report->event_cnt; i++)
		assert_int_equal(report->threads[report->events[i].thread].tid, 8);
	assert_int_equal(report->thread_cnt, 1);
	assert_null(report->root->child->next);
	assert_string_equal(report->root->child->child->name, "worker-1");
	assert_null(report->root->child->child->next);
	report_free(report);
	report = report_of(p, "sleeper", NULL);
	assert_int_equal(report->samples, 35 * MS - 1);
	assert_int_equal(report->event_cnt, 1);
	report_free(report);
	profile__free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_are_chosen_by_name_and_by_id),
		cmocka_unit_test(what_is_left_out_is_all_of_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
