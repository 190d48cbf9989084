/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uncoil diff: what has changed between two recordings, as a table and as a flame graph.
 *
 *	Own time (self): 3 of 214 functions changed, the others by no more than chance
 *	       A        B   change  95 % interval     function
 *	  22.77 %  30.10 %   +7.33   +3.10 .. +11.40  hash_password (app.py)
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/load.h"
#include "cmd/option_words.h"
#include "cmd/options.h"
#include "cmd/output.h"
#include "cmd/tell.h"
#include "model/compare.h"
#include "model/profile.h"
#include "model/report.h"
#include "sink/amount.h"
#include "sink/flame_diff.h"
#include "sink/sink.h"

#define ROWS_DEFAULT 25
#define ROWS_MAX     1000000
#define KEY_THREAD   0x100

struct diff {
	const char *paths[2];
	int path_cnt;
	uint64_t rows; /* of each table */
	bool all;      /* also what may be chance */
	struct report_options options;
	struct output output;
	struct profile *profiles[2];
	struct report *reports[2];
	struct compare *compare;
	struct err err;
};

static void head_print(const struct diff *d, int side)
{
	const struct report *r = d->reports[side];

	printf("%c  ", 'A' + side);
	cmd_show(stdout, d->paths[side]);
	fputs(": ", stdout);
	cmd_show(stdout, r->mode);
	printf(", %.1f s, %s", (double)r->duration_ns / 1e9, amount_of(r->unit, r->samples).text);
	if (r->unit == REPORT_SAMPLES && r->rate_hz)
		printf(" (%.1f s of CPU time)", (double)r->samples / r->rate_hz);
	putchar('\n');
	if (r->target_cnt) {
		printf("   pid %d, ", r->targets[0].pid);
		cmd_show(stdout, r->targets[0].python);
		fputs(": ", stdout);
		cmd_show(stdout, r->targets[0].command);
		if (r->target_cnt > 1)
			printf(", and %u more", r->target_cnt - 1);
		putchar('\n');
	}
}

/* What both leave out: losses first, as everywhere. Were there any? */
static bool remarks_print(const struct diff *d)
{
	const struct report_remark *remark;
	bool lost = false;
	uint32_t i;
	int turn, side;

	for (turn = 0; turn < 4; turn++) {
		side = turn & 1;
		for (i = 0; i < d->reports[side]->remark_cnt; i++) {
			remark = &d->reports[side]->remarks[i];
			if (!remark->count || remark->is_loss != (turn < 2))
				continue;
			printf("%c: %" PRIu64 " ", 'A' + side, remark->count);
			cmd_show(stdout, remark->text);
			putchar('\n');
			lost |= remark->is_loss;
		}
	}
	unmatched_tell(d->reports[0], stdout, "A: ");
	unmatched_tell(d->reports[1], stdout, "B: ");
	return lost;
}

static void row_print(const struct compare *c, const struct compare_row *row,
		      const struct change *change)
{
	printf("%8.2f %% %8.2f %% %+8.2f", 100 * change->a, 100 * change->b, 100 * change->diff);
	if (c->is_tested)
		printf("  %+7.2f .. %+7.2f %c", 100 * change->low, 100 * change->high,
		       change->is_real ? ' ' : '~');
	fputs("  ", stdout);
	cmd_show(stdout, row->func);
	if (*row->file) {
		fputs(" (", stdout);
		cmd_show(stdout, row->file);
		putchar(')');
	}
	putchar('\n');
}

static int total_first(const void *x, const void *y)
{
	const struct compare_row *a = *(const struct compare_row *const *)x;
	const struct compare_row *b = *(const struct compare_row *const *)y;
	double left = fabs(a->total.diff), right = fabs(b->total.diff);

	/* equal ones as they stand in compare->rows */
	return left < right ? 1 : left > right ? -1 : (a > b) - (a < b);
}

static void table_print(const struct diff *d, bool self)
{
	const struct compare *c = d->compare;
	uint32_t real = self ? c->self_real : c->total_real, i, left = 0;
	const struct compare_row **rows;
	const struct change *change;
	uint64_t put = 0;

	printf("\n%s: ", self ? "Own time (self)" : "With all they call (total)");
	if (!c->is_tested)
		printf("%u functions; measured times, so no test of chance\n", c->row_cnt);
	else if (real)
		printf("%u of %u functions changed, the others by no more than chance\n", real,
		       c->row_cnt);
	else
		printf("none of %u functions changed by more than chance\n", c->row_cnt);
	rows = calloc(c->row_cnt ? c->row_cnt : 1, sizeof(*rows));
	if (!rows)
		return;
	for (i = 0; i < c->row_cnt; i++)
		rows[i] = &c->rows[i];
	if (!self)
		qsort(rows, c->row_cnt, sizeof(*rows), total_first);
	for (i = 0; i < c->row_cnt; i++) {
		change = self ? &rows[i]->self : &rows[i]->total;
		if (!change->diff || (c->is_tested && !d->all && !change->is_real))
			continue;
		if (put == d->rows) {
			left++;
			continue;
		}
		if (!put++)
			printf("%10s %10s %8s%s  function\n", "A  ", "B  ", "change",
			       c->is_tested ? "  95 % interval       " : "");
		row_print(c, rows[i], change);
	}
	if (left)
		printf("and %u more (-n)\n", left);
	free(rows);
}

static bool tables_print(const struct diff *d)
{
	bool lost;

	head_print(d, 0);
	head_print(d, 1);
	lost = remarks_print(d);
	table_print(d, true);
	table_print(d, false);
	if (d->compare->is_tested)
		printf("\nShares are of each recording's own samples, changes in percentage points. "
		       "The intervals hold with 95 %%\nfor all functions together (Newcombe, "
		       "Bonferroni), if samples are independent: that the program did other\n"
		       "work in one of the recordings is no chance, and no test can know it.%s\n",
		       d->all ? " ~: may be chance." : "");
	return lost;
}

static int graph_write(struct diff *d)
{
	static int (*const steps[])(struct output *, struct err *) = { output_flush, output_link,
								       output_name };
	struct output *o = &d->output;
	size_t i;
	int code;

	errno = 0;
	code = flame_diff_write(d->compare, d->paths, o->file);
	if (code)
		return output_fail(o, code == -EIO && errno ? -errno : code, NULL, &d->err);
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]) && !code; i++)
		code = steps[i](o, &d->err);
	return code;
}

static const char *nothing_of(const struct report *report, const struct report_options *options)
{
	if (options->only_cnt)
		return report->unmatched_cnt == options->only_cnt
			       ? "thread that --thread names"
			       : "samples or time of the threads that --thread names";
	if (report->unit == REPORT_SAMPLES)
		return "samples";
	return options->idle ? "time" : "time but of waits for work (-i)";
}

/* 0, 1: done, but the recordings have losses; -errno. */
static int diff_run(struct diff *d)
{
	int i, code;

	for (i = 0; i < 2; i++) {
		code = journal_load(d->paths[i], "read", &d->profiles[i], &d->err);
		if (code)
			return code;
		d->reports[i] = report_new(d->profiles[i], &d->options);
		if (!d->reports[i])
			return err_set(&d->err, -ENOMEM, "out of memory");
	}
	if (strcmp(d->reports[0]->mode, d->reports[1]->mode) ||
	    d->reports[0]->unit != d->reports[1]->unit)
		return err_set(
			&d->err, -EINVAL,
			"A was recorded as \"%s\" and B as \"%s\": there is nothing to compare",
			d->reports[0]->mode, d->reports[1]->mode);
	for (i = 0; i < 2; i++)
		if (!d->reports[i]->root->total)
			return err_set(&d->err, -ENODATA, "%c has no %s: nothing to compare",
				       'A' + i, nothing_of(d->reports[i], &d->options));
	if (d->output.path) {
		code = output_open(&d->output, &d->err);
		if (code)
			return code;
	}
	d->compare = compare_new(d->reports[0], d->reports[1]);
	if (!d->compare)
		return err_set(&d->err, -ENOMEM, "out of memory");
	code = d->output.path ? graph_write(d) : 0;
	if (code)
		return code;
	return tables_print(d);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct diff *d = state->input;
	int code;

	switch (key) {
	case ARGP_KEY_INIT:
		state->err_stream = NULL; /* getopt's sentence is enough */
		return 0;
	case ARGP_KEY_ARG:
		if (d->path_cnt == 2)
			exit(cmd_usage("diff", "two journals are compared; '%s' is a third", arg));
		d->paths[d->path_cnt++] = arg;
		return 0;
	case 'o':
		if (d->output.path)
			exit(cmd_usage("diff", "one output at a time; '%s' is a second one", arg));
		d->output.path = arg;
		d->output.sink = sink_by_suffix(arg);
		if (d->output.sink != &sink_flame)
			exit(cmd_usage("diff", "the flame graph is an SVG: '%s' must end in .svg",
				       arg));
		return 0;
	case 'n':
		if (!cmd_number(arg, 1, ROWS_MAX, &d->rows))
			exit(cmd_usage("diff", "'%s' is no number of rows", arg));
		return 0;
	case 'a':
		d->all = true;
		return 0;
	case 'i':
		d->options.idle = true;
		return 0;
	case KEY_THREAD:
		code = option_thread("diff", arg, d->options.only, &d->options.only_cnt);
		if (code)
			exit(code);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const char doc[] =
	"Compares two recordings (journals of `record -f raw`) by function: which share of the time "
	"has changed, by how much, and whether it may be chance.\v"
	"A is before, B is after: +5 is a share that has grown by 5 percentage points. Lengths and "
	"rates may differ: each is measured by its own samples. Exit status: 0 done; 1 failed; 2 wrong "
	"usage; 3 done, but one of the recordings has losses.\n\n"
	"Example:\n"
	"  uncoil diff before.uncoil after.uncoil -o diff.svg";

int cmd_diff(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "output", 'o', "FILE.svg", 0, "Write a differential flame graph too", 0 },
		{ "rows", 'n', "ROWS", 0, "At most so many rows of each table; default 25", 0 },
		{ "all", 'a', 0, 0, "Show changes that may be chance too, marked ~", 0 },
		{ "idle", 'i', 0, 0, "Waits for work too: event loops, accept", 0 },
		{ "thread", KEY_THREAD, "NAME", 0, OPTION_THREAD_HELP, 0 },
		{ 0 }
	};
	static const struct argp argp = { options, parse, "A B", doc, NULL, NULL, NULL };
	/* by function: a line that has moved is no change */
	struct diff d = { .rows = ROWS_DEFAULT, .options.functions = true };
	int i, code;

	argp_err_exit_status = EXIT_USAGE;
	argv[0] = "uncoil diff"; /* as getopt's sentences and the help begin */
	if (argp_parse(&argp, argc, argv, 0, NULL, &d))
		return EXIT_USAGE;
	if (d.path_cnt < 2)
		return cmd_usage("diff", "two journals are needed: uncoil diff A B");
	code = diff_run(&d);
	output_done(&d.output);
	compare_free(d.compare);
	for (i = 0; i < 2; i++) {
		report_free(d.reports[i]);
		profile__free(d.profiles[i]);
	}
	if (code < 0)
		return cmd_fail("diff", &d.err);
	if (cmd_stdout_done("diff"))
		return EXIT_FAILED;
	return code ? EXIT_LOST : EXIT_DONE;
}
