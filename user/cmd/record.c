/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uncoil record: attaches, lets time pass, and writes down what was seen.
 * What goes on meanwhile is in recording.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "cmd/budget.h"
#include "cmd/cmd.h"
#include "cmd/recording.h"
#include "cmd/rotate.h"
#include "cmd/tell.h"
#include "model/report.h"
#include "probe/sampler.h"

#define PROGRESS_NS 250000000ULL

static void progress(struct recording *r, bool last)
{
	uint64_t now = recording_clock_ns(CLOCK_MONOTONIC), stats[STAT_MAX], lost = 0;
	bool waits = record_mode_waits(r->options.mode);
	double share;
	int stat;

	if (!r->is_terminal || r->options.quiet || (!last && now - r->progress_ns < PROGRESS_NS))
		return;
	r->progress_ns = now;
	if (sampler__stats(r->sampler, stats))
		return;
	for (stat = STAT_DROP_FIRST; stat < STAT_MAX; stat++)
		lost += stats[stat];
	fprintf(stderr, "\r\033[K%.1f s, %" PRIu64 " %s, %u stacks, %" PRIu64 " lost",
		(now - r->start_ns) / 1e9, stats[waits ? STAT_WAITS : STAT_SAMPLES],
		waits ? "waits" : "samples", profile__stacks(r->profile), lost);
	share = overhead_so_far(&r->overhead);
	if (share > 0)
		fprintf(stderr, ", overhead %.1f %%", share * 100);
	fputs(last ? "\n" : " (Ctrl-C ends it)", stderr);
}

/* Says what went wrong, and what stands nevertheless. */
static int fail(struct recording *r)
{
	struct err why = r->err;

	if (r->part_cnt)
		err_set(&r->err, -EIO,
			"%s; the recording has ended, its %u part%s before that %s whole", why.msg,
			r->part_cnt, r->part_cnt == 1 ? "" : "s", r->part_cnt == 1 ? "is" : "are");
	return cmd_fail("record", &r->err);
}

/* Writes the outputs; an exit code. */
static int reports_write(struct recording *r)
{
	struct report *report = report_new(r->profile, &r->options.report);
	int code;

	if (!report) {
		err_set(&r->err, -ENOMEM, "out of memory");
		return fail(r);
	}
	code = outputs_write(&r->options, report, &r->err);
	if (code) {
		report_free(report);
		return fail(r);
	}
	if (report_tell(report, &r->options))
		r->lost = true;
	report_free(report);
	r->part_cnt += r->rotate != NULL;
	return r->lost ? EXIT_LOST : EXIT_DONE;
}

/* --rotate: this part's files are written, and the next part's begun. Not 0: r->failed, or -errno with
 * a sentence. */
static int part_turn(struct recording *r)
{
	int code, i;

	code = rotate_cut(r);
	if (code)
		return code;
	if (r->is_terminal && !r->options.quiet)
		fputs("\r\033[K", stderr);
	code = reports_write(r);
	if (code != EXIT_DONE && code != EXIT_LOST) {
		r->failed = true;
		return -EIO;
	}
	for (i = 0; i < r->options.output_cnt; i++)
		output_done(&r->options.outputs[i]);
	return rotate_next(r);
}

/* Milliseconds until there is something to do at the latest: a look, or the moment `due_ns`, if any. */
static int step_ms(const struct recording *r, uint64_t now, uint64_t due_ns)
{
	if (due_ns && due_ns < now + r->look_ms * 1000000ULL)
		return due_ns > now ? (due_ns - now) / 1000000 + 1 : 0;
	return r->look_ms;
}

static int recording_run(struct recording *r)
{
	uint64_t end_ns = r->options.duration_ns ? r->start_ns + r->options.duration_ns : 0, now;
	uint64_t turn_ns = r->start_ns + r->options.rotate_ns, due_ns;
	int code = 0;
	bool over;

	while (!code && !recording_signal()) {
		now = recording_clock_ns(CLOCK_MONOTONIC);
		if (end_ns && now >= end_ns)
			break;
		due_ns = r->rotate && (!end_ns || turn_ns < end_ns) ? turn_ns : end_ns;
		code = recording_step(r, step_ms(r, now, due_ns), &over);
		if (over)
			break;
		progress(r, false);
		if (code || !r->rotate || recording_clock_ns(CLOCK_MONOTONIC) < turn_ns)
			continue;
		code = part_turn(r);
		/* by the clock, but never two at once */
		while (turn_ns <= recording_clock_ns(CLOCK_MONOTONIC))
			turn_ns += r->options.rotate_ns;
	}
	r->interrupted = recording_signal() != 0;
	if (r->interrupted && r->is_terminal && !r->options.quiet)
		fputs("\r\033[Kwriting; Ctrl-C again gives it up\n", stderr);
	return code;
}

static int recording_finish(struct recording *r)
{
	struct err why;

	if (r->options.command && !answers__any_python(r->answers, &why) && !r->interrupted) {
		err_set(&r->err, -ENOENT, "no Python ran in the command itself%s%s%s",
			r->options.children ? "" : " (-s follows its child processes)",
			why.msg[0] ? ": " : "", why.msg);
		return cmd_fail("record", &r->err);
	}
	return reports_write(r);
}

static void begin_tell(const struct recording *r)
{
	const struct options *o = &r->options;

	fprintf(stderr, "recording %u process%s, %s", r->image_cnt, r->image_cnt == 1 ? "" : "es",
		options_mode_text(o->mode));
	if (o->rate_hz)
		fprintf(stderr, ", at %u Hz", o->rate_hz);
	fprintf(stderr, "; Ctrl-C ends it\n");
	budget_warn(r);
}

int cmd_record(int argc, char **argv)
{
	struct recording r = {};
	bool started;
	int code;

	child_init(&r.child);
	code = options_record(&r.options, argc, argv);
	if (code)
		return code;
	r.is_terminal = isatty(STDERR_FILENO);
	recording_signals();
	code = recording_start(&r);
	started = !code;
	if (!code && !r.options.quiet)
		begin_tell(&r);
	if (!code)
		code = recording_run(&r);
	if (!code) {
		code = recording_stop(&r);
		progress(&r, true);
	}
	if (started)
		child_tell(&r.child, r.options.quiet);
	if (!code)
		code = recording_finish(&r);
	else
		code = r.failed ? EXIT_FAILED : fail(&r);
	child_stop(&r.child);
	recording_free(&r);
	return code;
}
