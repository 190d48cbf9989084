/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace's sums as a table, to be read on a terminal:
 *
 *	uncoil: exact calls, 3.0 s
 *	…
 *	   calls  errors      self     total       p50       p99       max  function
 *	    1200       3   1.20 s    2.31 s    812 us   1.40 ms   9.02 ms  Cart.add (shop/cart.py:12)
 *	    1198               …                                             < handle (shop/views.py:7)
 *
 * Calls are activations: each run of a function from a begin to an end, so a generator counts each time it
 * is resumed. Errors are those that an exception left. Total time counts recursion once. With --callers
 * each function is followed by who called it: how often, and what of its times is due to that caller. All
 * functions are there, most self time first: a table cut short cannot be searched.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/text.h"
#include "model/calls_table.h"
#include "sink/amount.h"
#include "sink/trace.h"

#define TEXT_MAX_BYTES (8u << 20)

struct writer {
	FILE *out;
	struct calls *calls;
	struct trace_look look;
	struct buf text;
	int err;
};

static const char *shown(struct writer *w, const char *text)
{
	buf_clear(&w->text);
	if (text_terminal(&w->text, text))
		w->err = -ENOMEM;
	return buf_text(&w->text);
}

static int put_line(void *ctx, const char *line)
{
	struct writer *w = ctx;

	fprintf(w->out, "%s\n", shown(w, line));
	return w->err;
}

/* "name (file:line)", in steps, as each borrows the scratch buffer. */
static void put_func(struct writer *w, const struct call_row *row)
{
	fputs(shown(w, row->name), w->out);
	if (row->file[0]) {
		fprintf(w->out, " (%s", shown(w, row->file));
		fprintf(w->out, row->line > 0 ? ":%" PRId32 ")" : ")", row->line);
	}
	fputc('\n', w->out);
}

static void put_time(struct writer *w, uint64_t ns)
{
	fprintf(w->out, " %9s", amount_cell(REPORT_NS, ns).text);
}

static void put_callers(struct writer *w, const struct call_row *row)
{
	const struct call_caller *caller;
	uint32_t i;

	for (i = 0; i < row->caller_cnt; i++) {
		caller = &row->callers[i];
		fprintf(w->out, "%10" PRIu64 " %7s", caller->calls, "");
		put_time(w, caller->self_ns);
		put_time(w, caller->total_ns);
		fprintf(w->out, " %29s    < ", "");
		if (caller->row)
			put_func(w, caller->row);
		else
			fputs("[nothing that is traced]\n", w->out);
	}
}

static void put_row(struct writer *w, const struct call_row *row)
{
	uint64_t errors = row->ended[EV_ENDED_RAISE];

	if (!row->calls)
		return; /* it is there as a caller */
	fprintf(w->out, "%10" PRIu64, row->calls);
	fprintf(w->out, " %7s", errors ? amount_cell(REPORT_SAMPLES, errors).text : "");
	put_time(w, row->self_ns);
	put_time(w, row->total_ns);
	put_time(w, call_row_percentile(row, 0.5));
	put_time(w, call_row_percentile(row, 0.99));
	put_time(w, row->max_ns);
	fputs("  ", w->out);
	put_func(w, row);
	if (w->look.callers)
		put_callers(w, row);
}

static void *stats_begin(FILE *out, struct calls *calls, const struct trace_look *look)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->out = out;
	w->calls = calls;
	w->look = *look;
	buf_init(&w->text, TEXT_MAX_BYTES);
	return w;
}

static void put_all(struct writer *w, const struct call_about *about,
		    const struct call_table *table)
{
	struct buf line;
	uint32_t i;

	buf_init(&line, 1024);
	trace_about_lines(about, put_line, w);
	trace_compensation(about, table->compensated, &line);
	put_line(w, buf_text(&line));
	buf_done(&line);
	fprintf(w->out, "\n%10s %7s %9s %9s %9s %9s %9s  function\n", "calls", "errors", "self",
		"total", "p50", "p99", "max");
	for (i = 0; i < table->row_cnt; i++)
		put_row(w, table->rows[i]);
}

static int stats_end(void *writer)
{
	struct writer *w = writer;
	struct call_table_options options = { .compensate = w->look.compensate, .modules = true };
	struct call_table *table = call_table_new(w->calls, &options);
	struct call_about *about = calls__about(w->calls);

	if (table && about)
		put_all(w, about, table);
	else
		w->err = -ENOMEM;
	call_about_free(about);
	call_table_free(table);
	return w->err ? w->err : ferror(w->out) ? -EIO : 0;
}

static void stats_free(void *writer)
{
	struct writer *w = writer;

	buf_done(&w->text);
	free(w);
}

const struct trace_sink trace_stats = {
	.name = "stats",
	.suffixes = ".txt",
	.what = "a table: each function's calls, errors and times",
	.begin = stats_begin,
	.end = stats_end,
	.free = stats_free,
};
