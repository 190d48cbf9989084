/* SPDX-License-Identifier: Apache-2.0 */
#include "model/overhead.h"

/*
 * What is not known before a recording, and assumed: measured on the machines that this was made on
 * (docs/performance.md), where a bare tick is 6 us and more. Where that is less, these are too.
 */
#define WALK_NS     4000 /* the program: 1 to 10 us, by depth and by how cold the caches are */
#define OWN_TICK_NS 300  /* uncoil's own CPU time, for each sample */
#define OWN_LOOKS   2000 /* and for looking 50 times a second: in millionths of a CPU */

/* The part of the bound that looking may take up. */
#define OWN_PART 4

#define WAIT_MAX 250

#define MILLION 1000000

/* A share of next to nothing is no number: 5 % of a CPU is the least that is judged. */
#define WINDOW_CPU_MIN (OVERHEAD_SPAN * OVERHEAD_LOOK_NS / 20)

static double own_looks(uint32_t bound)
{
	double most = (double)bound / OWN_PART;

	return (bound && most < OWN_LOOKS ? most : OWN_LOOKS) / MILLION;
}

uint32_t overhead_tick_ns(uint32_t bare_ns)
{
	return bare_ns + WALK_NS;
}

double overhead_expected(uint32_t rate_hz, uint32_t bare_ns, uint32_t bound)
{
	return rate_hz * (overhead_tick_ns(bare_ns) + OWN_TICK_NS) / 1e9 + own_looks(bound);
}

uint32_t overhead_fit(uint32_t bare_ns, uint32_t bound)
{
	double left = (double)bound / MILLION - own_looks(bound);
	double rate = left * 1e9 / (overhead_tick_ns(bare_ns) + OWN_TICK_NS);

	return rate < 1 ? 1 : rate;
}

static struct overhead_sums less(const struct overhead_sums *a, const struct overhead_sums *b)
{
	return (struct overhead_sums){ .ticks = a->ticks - b->ticks,
				       .tick_ns = a->tick_ns - b->tick_ns,
				       .switches = a->switches - b->switches,
				       .switch_ns = a->switch_ns - b->switch_ns,
				       .cpu_ns = a->cpu_ns - b->cpu_ns,
				       .own_ns = a->own_ns - b->own_ns };
}

static double cost_ns(const struct overhead_sums *sums, uint32_t bare_ns)
{
	return (double)sums->ticks * bare_ns + sums->tick_ns + sums->switch_ns + sums->own_ns;
}

void overhead_start(struct overhead *o, uint64_t now_ns, const struct overhead_sums *sums)
{
	o->start_ns = sums->own_ns;
	o->begin =
		(struct overhead_sums){ .own_ns = sums->own_ns }; /* some ticks have come already */
	overhead_look(o, now_ns, sums);
}

bool overhead_due(const struct overhead *o, uint64_t now_ns)
{
	return now_ns - o->look_ns >= OVERHEAD_LOOK_NS;
}

void overhead_look(struct overhead *o, uint64_t now_ns, const struct overhead_sums *sums)
{
	struct overhead_sums span;
	double share;

	o->looks[o->look_cnt++ % (OVERHEAD_SPAN + 1)] = *sums;
	o->look_ns = now_ns;
	if (o->look_cnt <= OVERHEAD_SPAN)
		return;
	span = less(sums, &o->looks[o->look_cnt % (OVERHEAD_SPAN + 1)]);
	if (span.cpu_ns < WINDOW_CPU_MIN)
		return;
	share = cost_ns(&span, o->bare_ns) / span.cpu_ns;
	if (share > o->worst)
		o->worst = share;
}

int overhead_wait(const struct overhead *o, int wait_ms, int min_ms)
{
	struct overhead_sums last;
	double most;

	if (!o->bound || o->look_cnt < 2)
		return wait_ms;
	last = less(&o->looks[(o->look_cnt - 1) % (OVERHEAD_SPAN + 1)],
		    &o->looks[(o->look_cnt - 2) % (OVERHEAD_SPAN + 1)]);
	most = (double)last.cpu_ns * o->bound / MILLION / OWN_PART;
	if (last.own_ns > most)
		wait_ms *= 2;
	else if (last.own_ns < most / 4)
		wait_ms /= 2;
	return wait_ms < min_ms ? min_ms : wait_ms > WAIT_MAX ? WAIT_MAX : wait_ms;
}

double overhead_so_far(const struct overhead *o)
{
	struct overhead_sums sums;

	if (o->look_cnt < 2)
		return 0;
	sums = less(&o->looks[(o->look_cnt - 1) % (OVERHEAD_SPAN + 1)], &o->begin);
	return sums.cpu_ns ? cost_ns(&sums, o->bare_ns) / sums.cpu_ns : 0;
}

struct record_overhead overhead_part(struct overhead *o, const struct overhead_sums *sums)
{
	struct overhead_sums part = less(sums, &o->begin);
	struct record_overhead record = { .cpu_ns = part.cpu_ns,
					  .own_ns = part.own_ns,
					  .start_ns = o->start_ns,
					  .ticks = part.ticks,
					  .tick_ns = part.tick_ns,
					  .switches = part.switches,
					  .switch_ns = part.switch_ns,
					  .bare_ns = o->bare_ns,
					  .bound = o->bound,
					  .worst = o->worst * MILLION };

	o->begin = *sums;
	o->start_ns = 0;
	o->look_cnt = 0;
	o->worst = 0;
	return record;
}

double overhead_share(const struct record_overhead *record, uint64_t cpu_ns)
{
	const struct overhead_sums sums = { .ticks = record->ticks,
					    .tick_ns = record->tick_ns,
					    .switch_ns = record->switch_ns,
					    .own_ns = record->own_ns };

	if (record->cpu_ns)
		cpu_ns = record->cpu_ns;
	return cpu_ns ? cost_ns(&sums, record->bare_ns) / cpu_ns : 0;
}
