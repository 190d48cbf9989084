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
	/* waits are not told as samples, and what is not shown is not told */
	assert_int_equal(remark_like(report, "samples in Python threads that ran no")->count, 3);
	assert_int_equal(remark_like(report, "waits in Python threads that ran no")->count, 3);
	report_free(report);
	report = report_new(p, &plain);
	assert_int_equal(report->root->total, 900 + 600 + 30);
	assert_int_equal(report->waits, 2);
	assert_int_equal(remark_like(report, "-i shows")->count, 3);
	assert_int_equal(remark_like(report, "samples in Python threads that ran no")->count, 3);
	assert_int_equal(remark_like(report, "waits in Python threads that ran no")->count, 2);
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

static void put_wait(struct profile *p, uint32_t thread, uint64_t hash, uint64_t start_ns,
		     uint64_t wait_ns, uint64_t runq_ns, uint32_t flags)
{
	struct ev_wait ev = { .hdr = { EV_WAIT, 0, sizeof(ev), 0, 1, 7, 8, thread },
			      .hash = hash,
			      .start_ns = start_ns,
			      .wait_ns = wait_ns,
			      .runq_ns = runq_ns,
			      .flags = flags };

	put(p, RECORD_RING, &ev, sizeof(ev), 0);
}

static void put_waits(struct profile *p, uint64_t hash, uint64_t count, uint64_t ns)
{
	struct record_count r = { .key = { 1, 1, hash }, .count = count, .wait_ns = ns };

	put(p, RECORD_COUNTS, &r, sizeof(r), 0);
}

static void assert_event(const struct report *report, uint32_t i, const char *name, uint64_t ts_ns,
			 uint64_t duration_ns)
{
	assert_true(i < report->event_cnt);
	assert_int_equal(report->events[i].kind, REPORT_EVENT_WAIT);
	assert_string_equal(report->events[i].name, name);
	assert_int_equal(report->events[i].ts_ns, ts_ns);
	assert_int_equal(report->events[i].duration_ns, duration_ns);
}

/* A wait is one event, and its time in the run queue another; none of a thread's overlap. */
static void profile_keeps_times_of_waits(void **state)
{
	static const struct report_options timeline = { .timeline = true };
	struct ev_stack naps = stack_event(1, 200, EV_STACK_NO_FRAME | EV_STACK_WAIT, 0);
	struct ev_stack cut = stack_event(1, 201, EV_STACK_NO_FRAME | EV_STACK_WAIT, 0);
	struct ev_stack loops = stack_event(1, 300, EV_STACK_NO_FRAME | EV_STACK_WAIT, 0);
	struct record_times times = { .thread = 1,
				      .image = 1,
				      .times = { .wait_ns = 5000000 + 940 } };
	struct record_stats stats = { .stat[STAT_WAITS] = 7 };
	struct profile *p = profile__new();
	struct report *report;

	naps.wait = (struct wait){ .syscall = SYS_nanosleep, .state = 1 };
	loops.wait = (struct wait){ .syscall = SYS_epoll_pwait, .state = 1 };
	cut.wait = (struct wait){ .syscall = -1 }; /* it could have run on */
	put_meta_as(p, RECORD_FORMAT, RECORD_WALL, 0);
	put(p, RECORD_TIMELINE, NULL, 0, 0);
	put(p, RECORD_RING, &naps, naps.hdr.size, 0);
	put(p, RECORD_RING, &cut, cut.hdr.size, 0);
	put(p, RECORD_RING, &loops, loops.hdr.size, 0);
	put_waits(p, 200, 4, 600); /* one of them without its event */
	put_waits(p, 201, 1, 40);
	put_waits(p, 300, 1, 100);
	put_wait(p, 1, 200, 3000, 200, 0, EV_WAIT_OPEN);
	put_wait(p, 1, 200, 3000, 100, 0, EV_WAIT_OPEN | EV_WAIT_SHARE); /* said twice */
	put_wait(p, 1, 200, 2000, 300, 30, 0);
	put_wait(p, 1, 201, 2500, 1, 39, 0);
	put_wait(p, 1, 300, 2600, 100, 0, 0);  /* idle: not shown */
	put_wait(p, 1, 200, 1000, 1100, 0, 0); /* in part before another */
	put_wait(p, 1, 0, 2700, 0, 200, 0);    /* its stack is not known */
	put_wait(p, 1, 77, 2900, 50, 0, 0);    /* its stack never came */
	put_wait(p, 9, 0, 2900, 50, 0, 0);     /* nor did its thread */
	put(p, RECORD_TIMES, &times, sizeof(times), 0);
	put_end(p, &stats);
	report = report_new(p, &timeline);
	assert_event(report, 0, "[sleep]", 1000, 1100);
	assert_event(report, 1, "[sleep]", 2100, 200); /* what the one before left of it */
	assert_event(report, 2, "[run queue]", 2300, 30);
	assert_event(report, 3, "[run queue]", 2500, 40); /* of nothing else it waited */
	assert_event(report, 4, "[waiting, stack not known]", 2700, 200);
	assert_ptr_equal(report->events[4].leaf, report->root);
	assert_event(report, 5, "[sleep]", 3000, 200);
	assert_true(report->events[5].open);
	assert_false(report->events[4].open);
	assert_string_equal(report->events[5].leaf->func, "[no Python function running]");
	assert_int_equal(report->event_cnt, 6);
	assert_int_equal(remark_like(report, "waits without their time")->count, 1);
	assert_true(remark_like(report, "waits without their time")->is_loss);
	assert_int_equal(remark_like(report, "stack and time are not known")->count, 5);
	report_free(report);
	profile__free(p);
}

static void profile_counts_waits_that_it_has_no_room_for(void **state)
{
	static const struct report_options timeline = { .timeline = true };
	struct ev_stack naps = stack_event(1, 200, EV_STACK_NO_FRAME | EV_STACK_WAIT, 0);
	struct record_stats stats = { .stat[STAT_WAITS] = 5 };
	struct profile *p = profile__new();
	struct report *report;
	int i;

	naps.wait = (struct wait){ .syscall = SYS_nanosleep, .state = 1 };
	profile__limit_ticks(p, 4); /* and half as many waits */
	put_meta_as(p, RECORD_FORMAT, RECORD_WALL, 0);
	put(p, RECORD_TIMELINE, NULL, 0, 0);
	put(p, RECORD_RING, &naps, naps.hdr.size, 0);
	for (i = 0; i < 5; i++)
		put_wait(p, 1, 200, 1000 * i, 10, 0, 0);
	put_waits(p, 200, 5, 50);
	put_end(p, &stats);
	report = report_new(p, &timeline);
	assert_int_equal(report->event_cnt, 2);
	assert_int_equal(remark_like(report, "waits without their time")->count, 3);
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
		cmocka_unit_test(profile_keeps_times_of_waits),
		cmocka_unit_test(profile_counts_waits_that_it_has_no_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
