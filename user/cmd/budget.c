/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/budget.h"

#include <stdio.h>
#include <time.h>

#include "cmd/recording.h"
#include "model/overhead.h"
#include "probe/calibrate.h"
#include "probe/cost.h"
#include "probe/sampler.h"

/* How long the ring and the table of counts may go unread if nothing asks for it. Looking costs 40 us
 * each time, so often is only for what fills them. */
#define LOOK_MS       100
#define LOOK_OFTEN_MS 20
#define RATE_OFTEN    1000

static void calibrate(struct recording *r)
{
	struct calibration tick;

	if (!calibrate_tick(&tick))
		r->overhead.bare_ns = tick.tick_ns;
}

void budget_begin(struct recording *r)
{
	struct options *o = &r->options;
	double expected;

	r->look_min_ms = record_mode_waits(o->mode) || o->timeline || o->rate_hz > RATE_OFTEN
				 ? LOOK_OFTEN_MS
				 : LOOK_MS;
	r->look_ms = r->look_min_ms;
	r->overhead.bound = o->max_overhead;
	if (!o->rate_hz || o->rate_given || !o->max_overhead)
		return; /* the rate is what it is */
	calibrate(r);
	if (!r->overhead.bare_ns)
		return;
	expected = overhead_expected(o->rate_hz, r->overhead.bare_ns, o->max_overhead);
	if (expected * 1e6 <= o->max_overhead)
		return;
	r->rate_wanted = o->rate_hz;
	o->rate_hz = overhead_fit(r->overhead.bare_ns, o->max_overhead);
}

void budget_warn(const struct recording *r)
{
	const struct options *o = &r->options;
	uint32_t rate = r->rate_wanted ? r->rate_wanted : o->rate_hz;
	uint32_t bare = r->overhead.bare_ns, bound = o->max_overhead;
	double expected = overhead_expected(rate, bare, bound);

	if (!bare || !bound || expected * 1e6 <= bound)
		return;
	fprintf(stderr,
		"%s%u Hz would cost about %.2g %% of the processes' CPU time (%.1f us a tick), more "
		"than --max-overhead %g; ",
		r->rate_wanted ? "" : "warning: ", rate, expected * 100,
		overhead_tick_ns(bare) / 1e3, bound / 1e4);
	if (r->rate_wanted)
		fprintf(stderr, "%u Hz is taken instead; -r sets it\n", o->rate_hz);
	else
		fprintf(stderr, "up to -r %u would fit; --max-overhead 0 sets no bound\n",
			overhead_fit(bare, bound));
}

static int sums_read(const struct recording *r, bool exact, struct overhead_sums *ret)
{
	struct cost_sum cost;
	int err = sampler__cost(r->sampler, exact, &cost);

	*ret = (struct overhead_sums){ .ticks = cost.ticks,
				       .tick_ns = cost.tick_ns,
				       .switches = cost.switches,
				       .switch_ns = cost.switch_ns,
				       .cpu_ns = cost.cpu_ns,
				       .own_ns = recording_clock_ns(CLOCK_PROCESS_CPUTIME_ID) };
	return err;
}

void budget_started(struct recording *r)
{
	struct overhead_sums sums;

	if (r->options.rate_hz && !r->overhead.bare_ns)
		calibrate(r);
	if (!sums_read(r, false, &sums))
		overhead_start(&r->overhead, recording_clock_ns(CLOCK_MONOTONIC), &sums);
}

void budget_look(struct recording *r)
{
	uint64_t now = recording_clock_ns(CLOCK_MONOTONIC);
	struct overhead_sums sums;

	if (!overhead_due(&r->overhead, now) || sums_read(r, false, &sums))
		return;
	overhead_look(&r->overhead, now, &sums);
	r->look_ms = overhead_wait(&r->overhead, r->look_ms, r->look_min_ms);
}

int budget_tell(struct recording *r)
{
	struct record_overhead record;
	struct overhead_sums sums;
	int err = sums_read(r, true, &sums);

	if (err)
		return err_set(&r->err, err, "cannot read what the recording cost: %s",
			       err_str(err));
	record = overhead_part(&r->overhead, &sums);
	if (record_mode_waits(r->options.mode))
		record.cpu_ns =
			0; /* the threads' times are exact, and have those that never left */
	return recording_put(r, RECORD_OVERHEAD, &record, sizeof(record));
}
