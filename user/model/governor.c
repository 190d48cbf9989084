/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a bound on the target's slowdown is kept by a thing that is either all there or not at all.
 *
 * A traced call costs 1 us and more, a bare one 0.05: a program that does nothing but call is slowed down twenty
 * times while it is traced, and a bound of 25 % can be kept only by not tracing it most of the time. So there are
 * windows and pauses:
 *
 *	traced   ##                    ####                    ####
 *	credit   . .                 /|    |                 /|    |
 *	         0 -\--------------/--+-----\--------------/--+-----\---
 *	             \___________/           \___________/
 *	             first window: in debt    then a pause saves up, and the next window spends
 *
 * While the target works it earns credit, bound * useful time; what tracing costs is taken off. A window begins
 * when there is enough, and ends when what is left will be used up by detaching. A target that costs less than it
 * earns never gets to the end of its window: it is traced all the time. Credit does not pile up: a window is worth
 * five seconds' earnings, or as many more as make it as long as attaching and detaching are.
 *
 * Attaching takes 10 ms, detaching 50 to 100 and, without uprobe_multi, 100 for each breakpoint. The target
 * runs meanwhile (it was seen to lose 1 ms to both together), but runs into breakpoints: that is most of what a short
 * window costs, and it is known to come when a window is begun. What the programs did not count of it is added by the
 * window's own rate.
 *
 * How dear the next window will be is only known by the last: cost per useful time, times how busy the target was in
 * the pause. Of the first one nothing is known. It may run into debt, a little; and if attaching and detaching alone
 * could break the bound, were the target to do nothing but call, it is not begun.
 *
 * Two rules, because credit alone would allow two windows in a row at the ends of 30 s: credit is earned at
 * 85 % of the bound; and in the last 30 s cost must not be above the bound itself.
 *
 * An idle target's useful time is next to nothing, and any share of it too. What uses less than a hundredth of a
 * CPU counts as if it used that.
 */
#include "model/governor.h"

#include <stdio.h>
#include <string.h>

#define MS     1000000ULL
#define SECOND 1000000000ULL

#define SPAN_NS  (30 * SECOND) /* over which the bound is judged */
#define WORST_NS (5 * SECOND)
#define POINT_NS (250 * MS)
#define YOUNG_NS (5 * SECOND) /* until then, the 30 s are taken to go on as they began */

#define EARNED     .85       /* of the bound */
#define NEVER      .9        /* more than this part of it: a look may come late */
#define IDLE       .01       /* of a CPU: what counts as no less */
#define WINDOW_NS  (20 * MS) /* shorter ones are of no use */
#define WORTH_NS   (5 * SECOND)
#define WORTH_MAX  (25 * SECOND)
#define FIRST_NS   (2 * SECOND)  /* whose earnings the first window may owe */
#define STALL_NS   (1 * MS)      /* of the target, by attaching and detaching themselves */
#define CRAMPED_NS (60 * SECOND) /* with no room for a window: it is given up */
#define DEAR_FADES .75

#define LOOK_ON_MIN  (5 * MS)
#define LOOK_ON_MAX  (100 * MS)
#define LOOK_OFF_MIN (50 * MS)
#define LOOK_OFF_MAX SECOND

#define MILLION 1e6

static double larger(double a, double b)
{
	return a > b ? a : b;
}

static double smaller(double a, double b)
{
	return a < b ? a : b;
}

static double bound_of(const struct governor *g)
{
	return g->bound / MILLION;
}

void governor_init(struct governor *g, uint32_t bound, uint32_t hit_ns, uint64_t attach_ns,
		   uint64_t detach_ns)
{
	*g = (struct governor){ .bound = bound,
				.hit_ns = hit_ns,
				.attach_ns = attach_ns,
				.detach_ns = detach_ns,
				.dear = -1 };
}

static struct governor_point point_now(const struct governor *g)
{
	return (struct governor_point){ .now_ns = g->now_ns,
					.cost_ns = g->cost_ns,
					.useful_ns = g->useful_ns };
}

/* The last point that is at least so old; the first one if none is. */
static const struct governor_point *point_before(const struct governor *g, uint64_t age_ns)
{
	uint32_t oldest = g->point_cnt > GOVERNOR_POINTS ? g->point_cnt - GOVERNOR_POINTS : 0, i;
	const struct governor_point *point = &g->points[oldest % GOVERNOR_POINTS];

	for (i = oldest; i < g->point_cnt; i++) {
		if (g->now_ns - g->points[i % GOVERNOR_POINTS].now_ns < age_ns)
			break;
		point = &g->points[i % GOVERNOR_POINTS];
	}
	return point;
}

/* Useful time since then, an idle target's as told above. */
static double base_since(const struct governor *g, const struct governor_point *point)
{
	return larger(g->useful_ns - point->useful_ns, IDLE * (g->now_ns - point->now_ns));
}

static void point_add(struct governor *g)
{
	const struct governor_point *before;

	if (g->point_cnt &&
	    g->now_ns - g->points[(g->point_cnt - 1) % GOVERNOR_POINTS].now_ns < POINT_NS)
		return;
	g->points[g->point_cnt++ % GOVERNOR_POINTS] = point_now(g);
	before = point_before(g, WORST_NS);
	if (g->now_ns - before->now_ns >= WORST_NS)
		g->worst = larger(g->worst, (g->cost_ns - before->cost_ns) / base_since(g, before));
}

static void spend(struct governor *g, double cost_ns)
{
	g->cost_ns += cost_ns;
	g->credit_ns -= cost_ns;
}

/* A sum that fell, because what it is of has ended, says nothing. */
static double grown(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

/* Takes in what has come together since the last time. */
static void look(struct governor *g, uint64_t now_ns, const struct governor_sums *sums)
{
	double cost = grown(sums->hits, g->last.hits) * g->hit_ns +
		      grown(sums->program_ns, g->last.program_ns);
	double useful = larger(0, grown(sums->cpu_ns, g->last.cpu_ns) - cost);
	uint64_t took = now_ns - g->now_ns;

	g->now_ns = now_ns;
	g->last = *sums;
	spend(g, cost);
	g->useful_ns += useful;
	g->credit_ns += EARNED * bound_of(g) * larger(useful, IDLE * took);
	if (took >= LOOK_ON_MIN / 2)
		g->rate = cost / took;
	point_add(g);
}

/* Useful time per time, in this pause; while there is none to go by, a whole CPU. */
static double busy(const struct governor *g)
{
	uint64_t took = g->now_ns - g->since_ns;

	if (!g->windows || took < LOOK_OFF_MIN)
		return 1;
	return (g->useful_ns - g->since.useful_ns) / took;
}

/* Credit per time, in this pause. */
static double earning(const struct governor *g)
{
	return EARNED * bound_of(g) * larger(IDLE, busy(g));
}

/* Cost per time of a window that began now: what is useful now becomes dearer, until there is no more CPU. */
static double rate_expected(const struct governor *g)
{
	double u = busy(g);

	if (g->dear < 0)
		return larger(u, 1);
	return smaller(g->dear * u, larger(u, 1) * g->dear / (1 + g->dear));
}

static double window_cost(const struct governor *g, uint64_t on_ns)
{
	return STALL_NS + rate_expected(g) * (g->attach_ns + g->detach_ns + on_ns);
}

/* The credit that a window is begun with. By what is usual: that of a burst would be too much for what follows. */
static double worth(const struct governor *g)
{
	const struct governor_point *before = point_before(g, SPAN_NS);
	double usual = earning(g), want = window_cost(g, g->attach_ns + g->detach_ns);

	if (g->now_ns - before->now_ns >= YOUNG_NS)
		usual = smaller(usual, EARNED * bound_of(g) * base_since(g, before) /
					       (g->now_ns - before->now_ns));
	want = smaller(larger(want, usual * WORTH_NS), usual * WORTH_MAX);
	return larger(want, window_cost(g, WINDOW_NS));
}

/* How much more than this may be spent, by the rule of the last 30 s. */
static double room(const struct governor *g)
{
	const struct governor_point *before = point_before(g, SPAN_NS);
	uint64_t span = g->now_ns - before->now_ns;
	double base = base_since(g, before);

	if (span && span < YOUNG_NS)
		base *= (double)YOUNG_NS / span;
	return NEVER * bound_of(g) * base - (g->cost_ns - before->cost_ns);
}

static enum governor_order let_go(struct governor *g, double cost_ns)
{
	g->is_gone = true;
	g->next_ns = UINT64_MAX;
	snprintf(g->why, sizeof(g->why),
		 "one window of %.2g s, with %.2g s to attach and %.2g s to detach, would cost the "
		 "process %.2g s of CPU time, more than %.3g %% of what it does in 30 s",
		 WINDOW_NS / 1e9, g->attach_ns / 1e9, g->detach_ns / 1e9, cost_ns / 1e9,
		 bound_of(g) * 100);
	return GOVERNOR_LET_GO;
}

static enum governor_order step_on(struct governor *g)
{
	double cost = g->cost_ns - g->since.cost_ns, useful = g->useful_ns - g->since.useful_ns;
	uint64_t on = g->now_ns - g->since_ns;
	double rate, cpu, detaching, left;

	rate = on ? cost / on : 0;
	cpu = on ? (useful + cost) / on : 1;
	rate = larger(rate, g->rate);
	detaching = rate * g->detach_ns;
	left = g->credit_ns - detaching;
	if (g->windows == 1) /* as much as a target earns that uses so much CPU */
		left += EARNED * bound_of(g) * FIRST_NS * larger(IDLE, smaller(1, cpu));
	if (g->windows > 1 || g->now_ns - g->start_ns >= YOUNG_NS)
		left = smaller(left, room(g) - detaching);
	if (left <= rate * LOOK_ON_MIN) /* at the next look it would be too late */
		return GOVERNOR_DETACH;
	g->credit_ns = smaller(g->credit_ns, g->credit_most_ns);
	g->next_ns = g->now_ns + LOOK_ON_MIN;
	if (on >= LOOK_ON_MIN)
		g->next_ns = g->now_ns +
			     (uint64_t)larger(LOOK_ON_MIN, smaller(LOOK_ON_MAX, left / rate / 2));
	return GOVERNOR_KEEP;
}

static enum governor_order step_off(struct governor *g)
{
	double least = window_cost(g, WINDOW_NS), want = worth(g);

	if (!g->windows) {
		/* were it to do nothing but call */
		if (least > bound_of(g) * SPAN_NS)
			return let_go(g, least);
		return GOVERNOR_ATTACH;
	}
	if (least <= earning(g) / EARNED * SPAN_NS)
		g->cramped_ns = 0;
	else if (!g->cramped_ns)
		g->cramped_ns = g->now_ns;
	else if (g->now_ns - g->cramped_ns >= CRAMPED_NS)
		return let_go(g, least);
	if (g->credit_ns >= want && room(g) >= least)
		return GOVERNOR_ATTACH;
	g->credit_ns = smaller(g->credit_ns, want);
	g->next_ns = g->now_ns +
		     (uint64_t)larger(LOOK_OFF_MIN,
				      smaller(LOOK_OFF_MAX, (want - g->credit_ns) / earning(g)));
	return GOVERNOR_KEEP;
}

enum governor_order governor_step(struct governor *g, uint64_t now_ns,
				  const struct governor_sums *sums)
{
	if (!g->start_ns) {
		g->start_ns = g->now_ns = g->since_ns = now_ns;
		g->last = *sums;
	}
	look(g, now_ns, sums);
	if (g->is_gone)
		return GOVERNOR_KEEP;
	if (g->bound)
		return g->is_on ? step_on(g) : step_off(g);
	g->next_ns = now_ns + LOOK_OFF_MAX;
	return g->is_on ? GOVERNOR_KEEP : GOVERNOR_ATTACH;
}

uint64_t governor_next_ns(const struct governor *g)
{
	return g->next_ns;
}

void governor_attached(struct governor *g, uint64_t now_ns, uint64_t attach_ns,
		       const struct governor_sums *sums)
{
	g->transit_hits = grown(sums->hits, g->last.hits);
	look(g, now_ns, sums);
	g->is_on = true;
	g->attach_ns = attach_ns;
	g->windows++;
	g->since_ns = now_ns;
	g->since = point_now(g);
	g->credit_most_ns = larger(g->credit_ns, EARNED * bound_of(g) * WORTH_NS);
	g->rate = 0;
	g->next_ns = now_ns + LOOK_ON_MIN;
}

void governor_detached(struct governor *g, uint64_t now_ns, uint64_t detach_ns,
		       const struct governor_sums *sums)
{
	uint64_t on = g->now_ns - g->since_ns; /* until the order was given */
	double cost = g->cost_ns - g->since.cost_ns, useful = g->useful_ns - g->since.useful_ns;
	double missed;

	g->traced_ns += on;
	g->transit_hits += grown(sums->hits, g->last.hits);
	g->detach_ns = detach_ns;
	g->is_on = false;
	g->dear = larger(g->dear * DEAR_FADES, smaller(1000, cost / larger(useful, MS)));
	missed = on ? cost / on * (g->attach_ns + detach_ns) - (double)g->transit_hits * g->hit_ns
		    : 0;
	look(g, now_ns, sums);
	spend(g, STALL_NS + larger(0, missed));
	g->since_ns = now_ns;
	g->since = point_now(g);
	g->next_ns = now_ns + LOOK_OFF_MIN;
}

const char *governor_why(const struct governor *g)
{
	return g->why;
}

struct governor_account governor_account(const struct governor *g)
{
	struct governor_account a = {
		.duration_ns = g->now_ns - g->start_ns,
		.traced_ns = g->traced_ns + (g->is_on ? g->now_ns - g->since_ns : 0),
		.windows = g->windows,
		.cost_ns = g->cost_ns,
		.worst = g->worst,
		.let_go = g->is_gone,
	};

	if (a.duration_ns)
		a.slowdown = g->cost_ns / larger(g->useful_ns, IDLE * a.duration_ns);
	return a;
}
