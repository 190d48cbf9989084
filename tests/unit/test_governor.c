/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The governor against targets that are made up: in steps of a millisecond, what a target would do, what tracing
 * would cost it, and, from the outside and with no look into the governor, whether the bound was kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/governor.h"

#define MS     1000000ULL
#define SECOND 1000000000ULL
#define SPAN   30000 /* ms */
#define LONG   180000

struct sim {
	/* the target */
	double calls_per_us;            /* of useful time */
	double (*busy)(uint32_t at_ms); /* of a CPU, if nothing holds it up; NULL: 1 */
	/* the machine */
	double hit_ns, program_ns; /* two hits a call */
	double truth;              /* what it costs is so many times what is told; 0: once */
	uint32_t attach_ms, detach_ms;
	bool counts_all;  /* hits while attaching and detaching are counted */
	uint32_t late_ms; /* that the governor is called too late */
	/* what came of it */
	struct governor g;
	uint32_t now_ms, ms;
	double hits, program_sum, cpu_ns; /* told */
	double *cost, *useful;            /* of each ms, the truth */
	uint32_t traced_ms;
	enum governor_order last;
};

static struct governor_sums sums_of(const struct sim *s)
{
	return (struct governor_sums){ .hits = 77 + s->hits,
				       .program_ns = 5 + s->program_sum,
				       .cpu_ns = SECOND + s->cpu_ns };
}

static uint64_t time_of(const struct sim *s)
{
	return 1000 * SECOND + s->now_ms * MS;
}

/* A millisecond goes by: with breakpoints, and counted or not. */
static void tick(struct sim *s, bool probed, bool counted)
{
	double busy = s->busy ? s->busy(s->now_ms) : 1, calls, useful = busy * MS;
	double call_ns = probed ? 2 * (s->hit_ns + s->program_ns) * (s->truth ? s->truth : 1) : 0;
	double dear = s->calls_per_us / 1000 * call_ns;

	if (useful * (1 + dear) > MS)
		useful = MS / (1 + dear); /* no more CPU than one */
	if (s->now_ms >= s->ms)
		return;
	s->useful[s->now_ms] = useful;
	s->cost[s->now_ms] = useful * dear;
	s->cpu_ns += useful * (1 + dear);
	calls = useful * s->calls_per_us / 1000;
	if (probed && counted) {
		s->hits += 2 * calls;
		s->program_sum += 2 * calls * s->program_ns;
	}
	s->now_ms++;
}

static void run(struct sim *s, uint32_t bound, uint32_t ms)
{
	struct governor_sums sums;
	bool on = false;
	uint32_t i;

	s->ms = ms;
	s->cost = calloc(ms, sizeof(double));
	s->useful = calloc(ms, sizeof(double));
	governor_init(&s->g, bound, s->hit_ns, s->attach_ms * MS, s->detach_ms * MS);
	while (s->now_ms < ms) {
		sums = sums_of(s);
		s->last = governor_step(&s->g, time_of(s), &sums);
		if (s->last == GOVERNOR_LET_GO) {
			assert_false(on);
			while (s->now_ms < ms)
				tick(s, false, false);
		} else if (s->last == GOVERNOR_ATTACH) {
			assert_false(on);
			for (i = 0; i < s->attach_ms; i++)
				tick(s, true, s->counts_all);
			on = true;
			sums = sums_of(s);
			governor_attached(&s->g, time_of(s), s->attach_ms * MS, &sums);
		} else if (s->last == GOVERNOR_DETACH) {
			assert_true(on);
			for (i = 0; i < s->detach_ms; i++)
				tick(s, true, s->counts_all);
			on = false;
			sums = sums_of(s);
			governor_detached(&s->g, time_of(s), s->detach_ms * MS, &sums);
		}
		assert_true(s->last == GOVERNOR_LET_GO || governor_next_ns(&s->g) >= time_of(s) ||
			    s->last == GOVERNOR_ATTACH);
		do {
			tick(s, on, true);
			s->traced_ms += on;
		} while (s->now_ms < ms && time_of(s) < governor_next_ns(&s->g) + s->late_ms * MS);
	}
	sums = sums_of(s);
	governor_step(&s->g, time_of(s), &sums);
}

static void done(struct sim *s)
{
	free(s->cost);
	free(s->useful);
}

/* The worst of all spans of so long. */
static double slowdown(const struct sim *s, uint32_t span)
{
	double cost = 0, useful = 0, base, worst = 0;
	uint32_t i;

	for (i = 0; i < s->ms; i++) {
		cost += s->cost[i];
		useful += s->useful[i];
		if (i >= span) {
			cost -= s->cost[i - span];
			useful -= s->useful[i - span];
		}
		if (i + 1 < span)
			continue;
		base = useful > .01 * span * MS ? useful : .01 * span * MS;
		if (cost / base > worst)
			worst = cost / base;
	}
	return worst;
}

static double traced(const struct sim *s)
{
	return (double)s->traced_ms / s->ms;
}

/* With GOVERNOR_SHOW=1 set: what a bound makes of a target. */
static void show(const char *name, const struct sim *s)
{
	if (getenv("GOVERNOR_SHOW"))
		printf("%-12s %4.1f %%: 30 s %5.2f %%, 5 s %5.2f %%, traced %5.2f %% in %u\n", name,
		       s->g.bound / 1e4, slowdown(s, SPAN) * 100, slowdown(s, 5000) * 100,
		       traced(s) * 100, (unsigned int)s->g.windows);
}

/* 5 M calls/s: 7 times slower while it is traced. */
static struct sim call_heavy(void)
{
	return (struct sim){ .calls_per_us = 5,
			     .hit_ns = 600,
			     .program_ns = 100,
			     .attach_ms = 12,
			     .detach_ms = 70,
			     .counts_all = true };
}

static void a_program_that_only_calls(void **state)
{
	static const struct {
		uint32_t bound;
		double traced;
	} rows[] = { { 10000, .002 }, { 50000, .02 }, { 250000, .15 } };
	int i, k;

	(void)state;
	for (i = 0; i < 3; i++)
		for (k = 0; k < 2; k++) {
			struct sim s = call_heavy();
			struct governor_account a;
			double real;

			s.counts_all = k;
			s.late_ms = k ? 0 : 10;
			run(&s, rows[i].bound, LONG);
			real = slowdown(&s, SPAN);
			show("only calls", &s);
			if (getenv("SHOW"))
				print_message(
					"bound %g: 30 s %.4f 5 s %.4f traced %.4f windows %d\n",
					rows[i].bound / 1e6, real, slowdown(&s, 5000), traced(&s),
					(int)s.g.windows);
			assert_true(real <= rows[i].bound / 1e6);
			assert_true(real >= .5 * rows[i].bound / 1e6);
			assert_true(traced(&s) >= rows[i].traced);
			a = governor_account(&s.g);
			assert_false(a.let_go);
			assert_int_equal(a.duration_ns, LONG * MS);
			assert_true(a.traced_ns <= s.traced_ms * MS);
			assert_true(a.traced_ns >= .8 * s.traced_ms * MS);
			assert_true(a.windows >= 4);
			assert_true(a.slowdown <= rows[i].bound / 1e6);
			/* seen every 250 ms: of a little more than 5 s */
			assert_true(a.worst >= .8 * slowdown(&s, 5000) &&
				    a.worst <= 1.4 * slowdown(&s, 5000));
			done(&s);
		}
}

/* A hit is really 15 % dearer than was measured. */
static void what_is_measured_is_too_little(void **state)
{
	static const uint32_t bounds[] = { 10000, 50000, 250000 };
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct sim s = call_heavy();
		double cost = 0, useful = 0;
		uint32_t ms;

		s.truth = 1.15;
		run(&s, bounds[i], LONG);
		for (ms = 0; ms < LONG; ms++) {
			cost += s.cost[ms];
			useful += s.useful[ms];
		}
		show("15 % dearer", &s);
		assert_true(cost / useful <= bounds[i] / 1e6);
		assert_true(slowdown(&s, SPAN) <= 1.15 * bounds[i] / 1e6);
		done(&s);
	}
}

/* 100 ms to attach or detach each of seven places, one after the other: without uprobe_multi. */
static void places_that_come_and_go_one_by_one(void **state)
{
	static const uint32_t bounds[] = { 50000, 250000 };
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct sim s = call_heavy();

		s.detach_ms = 700;
		s.attach_ms = 100;
		run(&s, bounds[i], LONG);
		show("one by one", &s);
		assert_true(slowdown(&s, SPAN) <= bounds[i] / 1e6);
		assert_true(traced(&s) > (i ? .05 : .005));
		assert_false(s.g.is_gone);
		done(&s);
	}
}

static double idle(uint32_t at_ms)
{
	return at_ms % 100 ? 0 : .02; /* 20 us every 100 ms */
}

static void an_idle_target_is_traced_all_the_time(void **state)
{
	static const uint32_t bounds[] = { 10000, 250000 };
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct sim s = call_heavy();

		s.calls_per_us = .1;
		s.busy = idle;
		run(&s, bounds[i], LONG);
		assert_true(s.traced_ms >= LONG - s.attach_ms - 1);
		assert_int_equal(s.g.windows, 1);
		done(&s);
	}
}

/* 100,000 calls/s cost 14 %. */
static void what_costs_less_than_the_bound_is_traced_all_the_time(void **state)
{
	struct sim s = call_heavy();

	(void)state;
	s.calls_per_us = .1;
	run(&s, 250000, LONG);
	assert_true(s.traced_ms >= LONG - s.attach_ms - 1);
	done(&s);
	s = call_heavy();
	s.calls_per_us = .1;
	run(&s, 50000, LONG);
	show("14 % at 5 %", &s);
	assert_true(slowdown(&s, SPAN) <= .05);
	assert_true(traced(&s) > .2);
	done(&s);
}

static double light(uint32_t at_ms)
{
	return at_ms % 10 ? .02 : .12; /* a thirtieth of a CPU */
}

static void a_server_with_little_to_do(void **state)
{
	static const uint32_t bounds[] = { 50000, 250000 };
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct sim s = call_heavy();

		s.calls_per_us = 1; /* 140 % dearer */
		s.busy = light;
		run(&s, bounds[i], LONG);
		show("light", &s);
		assert_true(slowdown(&s, SPAN) <= bounds[i] / 1e6);
		assert_true(traced(&s) > .25 * bounds[i] / 1.4e6);
		done(&s);
	}
}

static double bursts(uint32_t at_ms)
{
	return at_ms % 20000 < 3000 ? 1 : .05;
}

/* Busy for 3 s of 20: at each burst's begin it may be traced, and nobody knows. */
static void bursts_are_noticed(void **state)
{
	struct sim s = call_heavy();

	(void)state;
	s.busy = bursts;
	run(&s, 250000, LONG);
	show("bursts", &s);
	/* a burst's earnings may be spent when it is over */
	assert_true(slowdown(&s, SPAN) <= 1.2 * .25 && slowdown(&s, 60000) <= .25);
	assert_true(traced(&s) > .02);
	done(&s);
	s = call_heavy();
	s.busy = bursts;
	s.calls_per_us = .15;
	run(&s, 250000, LONG);
	show("cheap bursts", &s);
	assert_true(slowdown(&s, SPAN) <= .25);
	assert_true(traced(&s) > .9);
	done(&s);
}

static double late(uint32_t at_ms)
{
	return at_ms < 60000 ? .00001 : 1;
}

/* After a minute of nothing there is no more to spend than after five seconds. */
static void what_was_idle_wakes_up(void **state)
{
	struct sim s = call_heavy();
	uint32_t ms;
	double cost = 0;

	(void)state;
	s.busy = late;
	run(&s, 10000, LONG);
	show("wakes up", &s);
	for (ms = 60000; ms < 65000; ms++)
		cost += s.cost[ms];
	assert_true(cost < .5 * SECOND);
	for (ms = 60000; ms < 90000; ms++)
		cost += s.cost[ms] * (ms >= 65000);
	assert_true(cost < .01 * 30 * SECOND);
	assert_true(s.g.windows > 1 && !s.g.is_gone);
	done(&s);
}

static void no_bound_no_pause(void **state)
{
	struct sim s = call_heavy();

	(void)state;
	run(&s, 0, 40000);
	assert_true(s.traced_ms >= 40000 - s.attach_ms - 1);
	assert_true(slowdown(&s, SPAN) > 5);
	assert_true(governor_account(&s.g).slowdown > 5);
	done(&s);
}

/* If even the shortest window would break the bound, none is begun. */
static void lets_go_before_the_first_window(void **state)
{
	struct sim s = call_heavy();

	(void)state;
	s.attach_ms = 100;
	s.detach_ms = 700;
	run(&s, 10000, 5000);
	assert_int_equal(s.traced_ms, 0);
	assert_int_equal(s.g.windows, 0);
	assert_true(governor_account(&s.g).let_go);
	assert_string_equal(
		governor_why(&s.g),
		"one window of 0.02 s, with 0.1 s to attach and 0.7 s to detach, would cost the "
		"process 0.82 s of CPU time, more than 1 % of what it does in 30 s");
	done(&s);
}

/* Detaching turned out to take much longer than it was expected to. */
static void lets_go_when_it_learns(void **state)
{
	struct sim s = call_heavy();
	struct governor_sums sums;
	enum governor_order order;
	int i;

	(void)state;
	governor_init(&s.g, 10000, 600, 10 * MS, 50 * MS);
	sums = sums_of(&s);
	assert_int_equal(governor_step(&s.g, time_of(&s), &sums), GOVERNOR_ATTACH);
	governor_attached(&s.g, time_of(&s), 10 * MS, &sums);
	s.ms = LONG;
	s.cost = calloc(LONG, sizeof(double));
	s.useful = calloc(LONG, sizeof(double));
	for (i = 0; i < 5; i++)
		tick(&s, true, true);
	sums = sums_of(&s);
	assert_int_equal(governor_step(&s.g, time_of(&s), &sums), GOVERNOR_DETACH);
	for (i = 0; i < 2000; i++)
		tick(&s, true, true);
	sums = sums_of(&s);
	governor_detached(&s.g, time_of(&s), 2 * SECOND, &sums);
	do {
		tick(&s, false, false);
		sums = sums_of(&s);
		order = governor_step(&s.g, time_of(&s), &sums);
	} while (order == GOVERNOR_KEEP);
	assert_int_equal(order, GOVERNOR_LET_GO);
	assert_true(s.now_ms > 60000 && s.now_ms < 64000);
	sums = sums_of(&s);
	assert_int_equal(governor_step(&s.g, time_of(&s) + SECOND, &sums), GOVERNOR_KEEP);
	assert_true(governor_next_ns(&s.g) == UINT64_MAX);
	done(&s);
}

/* A process that ended takes its sums along: no cost, no credit, and no nonsense. */
static void sums_that_fall(void **state)
{
	struct governor_sums sums = { .hits = 1000, .program_ns = 1000, .cpu_ns = SECOND };
	struct governor g;

	(void)state;
	governor_init(&g, 10000, 600, 10 * MS, 50 * MS);
	assert_int_equal(governor_step(&g, SECOND, &sums), GOVERNOR_ATTACH);
	governor_attached(&g, SECOND + 10 * MS, 10 * MS, &sums);
	sums = (struct governor_sums){ .cpu_ns = MS };
	assert_int_equal(governor_step(&g, SECOND + 20 * MS, &sums), GOVERNOR_KEEP);
	assert_int_equal(governor_account(&g).cost_ns, 0);
}

/* The first one is short: nobody knows yet how dear it is. */
static void the_first_window_is_short(void **state)
{
	struct sim s = call_heavy();

	(void)state;
	run(&s, 10000, 5000);
	assert_true(s.traced_ms >= 5 && s.traced_ms <= 30);
	assert_int_equal(s.g.windows, 1);
	done(&s);
	s = call_heavy();
	run(&s, 250000, 5000);
	assert_true(s.traced_ms > 200);
	done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_that_only_calls),
		cmocka_unit_test(what_is_measured_is_too_little),
		cmocka_unit_test(places_that_come_and_go_one_by_one),
		cmocka_unit_test(an_idle_target_is_traced_all_the_time),
		cmocka_unit_test(what_costs_less_than_the_bound_is_traced_all_the_time),
		cmocka_unit_test(a_server_with_little_to_do),
		cmocka_unit_test(bursts_are_noticed),
		cmocka_unit_test(what_was_idle_wakes_up),
		cmocka_unit_test(no_bound_no_pause),
		cmocka_unit_test(lets_go_before_the_first_window),
		cmocka_unit_test(lets_go_when_it_learns),
		cmocka_unit_test(sums_that_fall),
		cmocka_unit_test(the_first_window_is_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
