/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uncoil trace: exact calls. What goes on meanwhile is in tracing.c; how calls are seen, in
 * docs/tracing.md.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/recording.h"
#include "cmd/tracing.h"
#include "probe/tracer.h"

#define PROGRESS_NS 250000000ULL
#define STEP_MS     100

static void progress(struct tracing *t, bool last)
{
	uint64_t now = recording_clock_ns(CLOCK_MONOTONIC), stats[TRACE_STAT_MAX], lost = 0;
	int i;

	if (!t->is_terminal || t->options.quiet || (!last && now - t->progress_ns < PROGRESS_NS))
		return;
	t->progress_ns = now;
	tracer__stats(t->tracer, stats);
	for (i = TRACE_STAT_DROP_FIRST; i < TRACE_STAT_MAX; i++)
		lost += stats[i];
	fprintf(stderr, "\r\033[K%.1f s, %" PRIu64 " calls, %" PRIu64 " lost%s%s",
		(now - t->start_ns) / 1e9, stats[TRACE_STAT_BEGINS], lost,
		t->on_ns ? "" : ", pause", last ? "\n" : " (Ctrl-C ends it)");
}

static int run(struct tracing *t)
{
	uint64_t end_ns, now;
	bool over = false;
	int code = 0, wait_ms;

	now = recording_clock_ns(CLOCK_MONOTONIC);
	end_ns = t->options.duration_ns ? now + t->options.duration_ns : 0;
	while (!code && !over && !recording_signal()) {
		now = recording_clock_ns(CLOCK_MONOTONIC);
		if (end_ns && now >= end_ns)
			break;
		wait_ms = end_ns && end_ns < now + STEP_MS * 1000000ULL
				  ? (end_ns - now) / 1000000 + 1
				  : STEP_MS;
		code = tracing_step(t, wait_ms, &over);
		progress(t, false);
	}
	return code;
}

static int ready_cnt(const struct tracing *t)
{
	int i, cnt = 0;

	for (i = 0; i < t->proc_cnt; i++)
		cnt += t->procs[i].ready;
	return cnt;
}

static void begin_tell(const struct tracing *t)
{
	const struct trace_options *o = &t->options;
	int cnt = ready_cnt(t);

	fprintf(stderr, "tracing %d process%s%s, exact calls", cnt, cnt == 1 ? "" : "es",
		o->children ? " and what they fork" : "");
	if (o->max_overhead)
		fprintf(stderr, ", slowing %s down by %.3g %% at the most",
			cnt == 1 && !o->children ? "it" : "them", o->max_overhead / 1e4);
	else
		fputs(", whatever that costs", stderr);
	fputs("; Ctrl-C ends it\n", stderr);
	if (!t->has_cost)
		fprintf(stderr,
			"what a hit costs could not be measured (%s): 1 us is taken for it, and nothing "
			"is taken off the sums\n",
			t->cost_why.msg);
	if (o->verbose)
		tracing_tell(t);
}

int cmd_trace(int argc, char **argv)
{
	struct tracing t = {};
	int code;

	child_init(&t.child);
	code = options_trace(&t.options, argc, argv);
	if (code) {
		options_trace_done(&t.options);
		return code;
	}
	t.is_terminal = isatty(STDERR_FILENO);
	recording_signals();
	code = tracing_start(&t);
	if (!code && !t.options.quiet)
		begin_tell(&t);
	if (!code)
		code = run(&t);
	if (!code) {
		progress(&t, true);
		code = tracing_stop(&t);
		child_tell(&t.child, t.options.quiet);
	}
	if (!code) {
		code = trace_out_tell(t.out);
		if (!t.options.quiet)
			options_trace_unmatched(&t.options, stderr);
	} else {
		code = cmd_fail("trace", &t.err);
	}
	child_stop(&t.child);
	tracing_free(&t);
	return code;
}
