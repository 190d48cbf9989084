/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uncoil top: the recording of `record`, shown while it goes on.
 *
 * Three parts: recording.c takes what comes, top_view.c says what the screen looks like, screen.c
 * has the terminal. Nothing is shown until all is attached, so that what fails is told as any
 * command tells it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cmd/budget.h"
#include "cmd/cmd.h"
#include "cmd/recording.h"
#include "cmd/screen.h"
#include "cmd/tell.h"
#include "cmd/top_view.h"
#include "model/report.h"
#include "probe/sampler.h"

#define STEP_MS     20
#define REFRESH_NS  1000000000ULL
#define REFRESH_MAX 20 /* of what uncoil's own time is spent with: one part in so many */
#define SCREEN_MAX  (16u << 20)

struct top {
	struct recording recording;
	struct top_view view;
	char *target; /* what the first line says of the processes */
	char how[64];
	uint64_t refresh_ns; /* when the next one is due */
	uint64_t samples, waits, lost;
	bool ended;
	bool draw;
};

static uint64_t now_ns(void)
{
	return recording_clock_ns(CLOCK_MONOTONIC);
}

static char *target_text(const struct options *o)
{
	struct buf text;
	char *copy = NULL;

	buf_init(&text, CMD_COMMAND_MAX + 64);
	buf_fmt(&text, "pid %d ", o->pids[0]);
	cmd_command(o->pids[0], &text);
	if (o->pid_cnt > 1)
		buf_fmt(&text, " and %d more", o->pid_cnt - 1);
	if (!text.err)
		copy = strdup(buf_text(&text));
	buf_done(&text);
	return copy;
}

static void how_text(struct top *t)
{
	const struct options *o = &t->recording.options;
	char rate[24] = "";

	if (o->rate_hz)
		snprintf(rate, sizeof(rate), ", %u Hz", o->rate_hz);
	snprintf(t->how, sizeof(t->how), "%s%s%s%s", options_mode_text(o->mode), rate,
		 record_mode_waits(o->mode) && !o->report.idle ? ", without idle" : "",
		 t->view.chosen ? ", some threads" : "");
}

/* What the kernel side counts as samples and losses, up to now. */
static void stats_take(struct top *t)
{
	uint64_t stats[STAT_MAX];
	int stat;

	if (sampler__stats(t->recording.sampler, stats))
		return;
	if (!t->view.chosen) { /* else the report has those of the chosen threads */
		t->samples = stats[STAT_SAMPLES];
		t->waits = stats[STAT_WAITS];
	}
	t->lost = 0;
	for (stat = STAT_DROP_FIRST; stat < STAT_MAX; stat++)
		t->lost += stats[stat];
}

/* Takes what was counted, and shows it: every second, or less often where that would cost more than
 * one part in REFRESH_MAX of a CPU. */
static int refresh(struct top *t)
{
	struct recording *r = &t->recording;
	bool waits = record_mode_waits(r->options.mode);
	struct report_options options = r->options.report;
	uint64_t begin = now_ns(), cost;
	struct report *report;
	int code;

	options.threads = waits;
	/* one that has not ended yet is what a process waits for now */
	code = waits ? recording_look(r) : recording_counts(r);
	if (code)
		return code;
	stats_take(t);
	if (!t->view.paused) {
		report = report_new(r->profile, &options);
		if (report && t->view.chosen) {
			t->samples = report->ticks;
			t->waits = report->waits;
		}
		code = report ? top_view__refresh(&t->view, report, (begin - r->start_ns) / 1e9)
			      : -ENOMEM;
		report_free(report);
		if (code)
			return err_set(&r->err, code, "out of memory");
		t->draw = true;
	}
	cost = (now_ns() - begin) * REFRESH_MAX;
	t->refresh_ns = begin + (cost > REFRESH_NS ? cost : REFRESH_NS);
	return 0;
}

static int draw(struct top *t)
{
	struct top_head head = { .target = t->target,
				 .how = t->how,
				 .seconds = (now_ns() - t->recording.start_ns) / 1e9,
				 .samples = t->samples,
				 .waits = t->waits,
				 .lost = t->lost,
				 .ended = t->ended };
	unsigned int rows, cols;
	struct buf out;
	int err;

	screen_size(&rows, &cols);
	buf_init(&out, SCREEN_MAX);
	err = top_view__draw(&t->view, &head, rows, cols, &out);
	if (!err)
		screen_put(out.data, out.len);
	buf_done(&out);
	t->draw = false;
	return err;
}

/* Once all processes have ended, the last screen stays until somebody has read it. */
static int top_run(struct top *t)
{
	int code = 0, key;
	bool over = false;

	t->draw = true;
	while (!code && !t->view.quit && !screen_ended()) {
		if (screen_changed())
			t->draw = true;
		while ((key = screen_key()) != KEY_NONE)
			t->draw = top_view__key(&t->view, key) || t->draw;
		code = recording_step(&t->recording, STEP_MS, &over);
		if (!code && (now_ns() >= t->refresh_ns || (over && !t->ended)))
			code = refresh(t);
		t->draw |= over != t->ended;
		t->ended = over;
		if (!code && t->draw)
			code = draw(t);
	}
	return code;
}

static int top_finish(struct top *t)
{
	struct recording *r = &t->recording;
	struct report *report;
	bool lost;

	report = report_new(r->profile, &r->options.report);
	if (!report) {
		err_set(&r->err, -ENOMEM, "out of memory");
		return cmd_fail("top", &r->err);
	}
	lost = report_tell(report, &r->options);
	report_free(report);
	return lost ? EXIT_LOST : EXIT_DONE;
}

int cmd_top(int argc, char **argv)
{
	struct top t = {};
	struct recording *r = &t.recording;
	int code;

	child_init(&r->child);
	code = options_top(&r->options, argc, argv);
	if (code)
		return code;
	code = screen_require(&r->err);
	if (code)
		return cmd_fail("top", &r->err);
	t.target = target_text(&r->options);
	code = top_view__init(&t.view, r->options.mode);
	if (code || !t.target)
		code = err_set(&r->err, -ENOMEM, "out of memory");
	t.view.chosen = r->options.report.only_cnt;
	recording_signals(); /* until the screen's */
	if (!code)
		code = recording_start(r);
	how_text(&t);
	if (!code)
		budget_warn(r);
	if (!code && !recording_signal())
		code = screen_begin(&r->err);
	if (!code && !recording_signal())
		code = top_run(&t);
	screen_end();
	if (!code)
		code = recording_stop(r);
	code = code ? cmd_fail("top", &r->err) : top_finish(&t);
	recording_free(r);
	top_view__done(&t.view);
	free(t.target);
	return code;
}
