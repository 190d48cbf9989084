/* SPDX-License-Identifier: Apache-2.0 */
/* What the model says of time: waits, each thread's times, when samples were taken. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "unit/model_fixture.h"

static void profile_adds_waits_up(void **state)
{
	static const struct report_options plain, with_idle = { .idle = true };
	struct profile *p = profile__new();
	struct ev_stack runs = stack_event(1, 100, EV_STACK_NO_FRAME, 0);
	struct ev_stack naps = stack_event(1, 200, EV_STACK_NO_FRAME | EV_STACK_WAIT, 0);
	struct ev_stack loops = stack_event(1, 300, EV_STACK_NO_FRAME | EV_STACK_WAIT, 0);
	struct record_count waits[] = {
		{ .key = { 1, 1, 200 }, .count = 2, .wait_ns = 500, .runq_ns = 30 },
		{ .key = { 1, 1, 300 }, .count = 1, .wait_ns = 3000000 },
		{ .key = { 1, 1, 999 }, .count = 4, .wait_ns = 1 }, /* its stack never came */
	};
	struct record_times times = { .thread = 1,
				      .image = 1,
				      .times = {
					      .cpu_ns = 900, .wait_ns = 3000600, .runq_ns = 30 } };
	struct record_stats stats = { .stat[STAT_SAMPLES] = 3,
				      .stat[STAT_WAITS] = 8,
				      .stat[STAT_SWITCH_UNHEARD] = 2 };
	const struct report_node *node;
	struct report *report;

	naps.wait = (struct wait){ .syscall = SYS_nanosleep, .state = 1 };
	loops.wait = (struct wait){ .syscall = SYS_epoll_pwait, .state = 1 };
	put_meta_as(p, RECORD_FORMAT, RECORD_MODE_MAX, -EINVAL);
	put_meta_as(p, RECORD_FORMAT, RECORD_WALL, 0);
	put(p, RECORD_RING, &runs, runs.hdr.size, 0);
	put(p, RECORD_RING, &naps, naps.hdr.size, 0);
	put(p, RECORD_RING, &loops, loops.hdr.size, 0);
	put_count(p, 1, 100, 3);
	put(p, RECORD_COUNTS, waits, sizeof(waits), 0);
	put(p, RECORD_TIMES, &times, sizeof(times), 0);
	put_end(p, &stats);
	report = report_new(p, &with_idle);
	assert_int_equal(report->unit, REPORT_NS);
	/* CPU time as measured, not as sampled; and what no stack is known of */
	assert_int_equal(report->root->total, 900 + 3000600 + 30);
	node = report->root->child; /* heaviest first */
	assert_string_equal(node->func, "[no Python function running]");
	assert_int_equal(node->self, 900);
	assert_string_equal(node->child->func, "[epoll]");
	assert_string_equal(node->child->next->func, "[sleep]");
	assert_int_equal(node->child->next->total, 500);
	assert_string_equal(node->child->next->next->func, "[run queue]");
	assert_string_equal(node->next->func, "[waiting, stack not known]");
	assert_int_equal(node->next->total, 100);
	assert_int_equal(remark_like(report, "stack did not arrive")->count, 4);
	assert_int_equal(remark_like(report, "between the kernel's table")->count, 1);
	assert_null(remark_like(report, "-i shows"));
	assert_int_equal(remark_like(report, "kernel told nothing of")->count, 2);
	assert_false(remark_like(report, "kernel told nothing of")->is_loss);
	report_free(report);
	report = report_new(p, &plain);
	assert_int_equal(report->root->total, 900 + 600 + 30);
	assert_int_equal(report->waits, 2);
	assert_int_equal(remark_like(report, "-i shows")->count, 3);
	assert_int_equal(report->threads[0].wait_ns, 3000600); /* all of its time, always */
	report_free(report);
	profile__free(p);
}

static void put_tick(struct profile *p, uint32_t thread, uint64_t hash, uint64_t ts_ns)
{
	struct ev_tick ev = { .hdr = { EV_TICK, 0, sizeof(ev), ts_ns, 1, 7, 8, thread },
			      .hash = hash };

	put(p, RECORD_RING, &ev, sizeof(ev), 0);
}

/* Threads 1 (9 samples) and 2 (3), whose ticks come out of order; one has none. */
static void profile_keeps_times(void **state)
{
	static const struct report_options plain, timeline = { .timeline = true };
	struct profile *p = profile__new();
	struct ev_stack a = stack_event(1, 100, EV_STACK_NO_FRAME, 0);
	struct ev_stack b = stack_event(2, 100, EV_STACK_NO_FRAME, 0);
	struct record_stats stats = { .stat[STAT_SAMPLES] = 4 };
	struct report *report;

	b.hdr.tid = 9;
	put_meta(p, RECORD_FORMAT, 0);
	assert_false(profile__has_timeline(p));
	put(p, RECORD_TIMELINE, NULL, 0, 0);
	assert_true(profile__has_timeline(p));
	put(p, RECORD_RING, &a, a.hdr.size, 0);
	put(p, RECORD_RING, &b, b.hdr.size, 0);
	put_tick(p, 1, 100, 3000);
	put_tick(p, 2, 100, 2000);
	put_tick(p, 1, 100, 4000);
	put_tick(p, 1, 77, 5000); /* of a stack that never came */
	put_count(p, 1, 100, 3);  /* one of them without its tick */
	put_count(p, 2, 100, 1);
	put_end(p, &stats);
	report = report_new(p, &timeline);
	assert_int_equal(report->event_cnt, 3);
	assert_int_equal(report->events[0].ts_ns, 2000);
	assert_int_equal(report->threads[report->events[0].thread].tid, 9);
	assert_int_equal(report->events[1].ts_ns, 3000);
	assert_int_equal(report->threads[report->events[1].thread].tid, 8);
	assert_int_equal(report->events[2].ts_ns, 4000);
	assert_ptr_equal(report->events[2].leaf, report->root->child);
	assert_int_equal(report->events[2].kind, REPORT_EVENT_SAMPLE);
	assert_int_equal(remark_like(report, "without their time")->count, 1);
	assert_true(remark_like(report, "without their time")->is_loss);
	report_free(report);
	report = report_new(p, &plain);
	assert_int_equal(report->event_cnt, 0);
	assert_int_equal(report->root->total, 4);
	report_free(report);
	profile__free(p);
}

static void profile_counts_times_that_it_has_no_room_for(void **state)
{
	static const struct report_options timeline = { .timeline = true };
	struct profile *p = profile__new();
	struct ev_stack a = stack_event(1, 100, EV_STACK_NO_FRAME, 0);
	struct record_stats stats = { .stat[STAT_SAMPLES] = 5 };
	struct report *report;
	int i;

	profile__limit_ticks(p, 2);
	put_meta(p, RECORD_FORMAT, 0);
	put(p, RECORD_TIMELINE, NULL, 0, 0);
	put(p, RECORD_RING, &a, a.hdr.size, 0);
	for (i = 0; i < 5; i++)
		put_tick(p, 1, 100, 1000 + i);
	put_count(p, 1, 100, 5);
	put_end(p, &stats);
	report = report_new(p, &timeline);
	assert_int_equal(report->event_cnt, 2);
	assert_int_equal(report->samples, 5);
	assert_int_equal(remark_like(report, "the timeline: it is full")->count, 3);
	assert_null(remark_like(report, "ring buffer was full"));
	report_free(report);
	profile__free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(profile_adds_waits_up),
		cmocka_unit_test(profile_keeps_times),
		cmocka_unit_test(profile_counts_times_that_it_has_no_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
