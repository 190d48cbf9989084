/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The summary is read on a terminal, often over ssh, by someone who wants three answers: which
 * functions burn the time, by what path they are reached, and whether the recording can be
 * trusted. Hence the order below. Lines keep to 80 columns unless a name itself is longer: a name
 * cut short cannot be searched for. The "hot path" follows the heaviest child from the root until
 * a frame's own samples outweigh each of its children: there the time is spent.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/text.h"
#include "model/report.h"
#include "sink/about.h"
#include "sink/amount.h"
#include "sink/sink.h"

#define COLUMNS        80
#define ROWS_MAX       25 /* of the tables of functions and threads */
#define TARGETS_MAX    10
#define TEXT_MAX_BYTES (1u << 20)

struct page {
	const struct report *report;
	FILE *out;
	struct buf text; /* scratch for what must be escaped */
	int err;
};

/* `text` fit for a terminal; valid until the next call. */
static const char *shown(struct page *page, const char *text)
{
	buf_clear(&page->text);
	if (text_terminal(&page->text, text))
		page->err = -ENOMEM;
	return buf_text(&page->text);
}

/* `n` as a cell of a table. */
static void put_cell(struct page *page, uint64_t n)
{
	fprintf(page->out, "%9s", amount_cell(page->report->unit, n).text);
}

/* What is counted, as a heading has it. */
static const char *counted(const struct page *page)
{
	return page->report->unit == REPORT_NS ? "time" : "samples";
}

static double percent(const struct page *page, uint64_t samples)
{
	return page->report->samples ? 100.0 * (double)samples / (double)page->report->samples : 0;
}

/* "func (file:line)", in two steps as each borrows the scratch buffer. */
static void put_frame(struct page *page, const char *func, const char *file, int32_t line,
		      int32_t column)
{
	fputs(shown(page, func), page->out);
	if (!file[0])
		return;
	fprintf(page->out, " (%s", shown(page, file));
	if (line > 0)
		fprintf(page->out, ":%" PRId32, line);
	if (column > 0)
		fprintf(page->out, ":%" PRId32, column);
	fputc(')', page->out);
}

/* Words of a sentence, the lines after the first indented like the first, which is begun. */
static void put_wrapped(struct page *page, const char *text, size_t indent)
{
	const char *word = shown(page, text);
	size_t column = indent, len;

	while (*word) {
		len = strcspn(word, " ");
		if (column > indent && column + 1 + len > COLUMNS) {
			fprintf(page->out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			fputc(' ', page->out);
			column++;
		}
		fwrite(word, 1, len, page->out);
		column += len;
		word += len;
		word += strspn(word, " ");
	}
	fputc('\n', page->out);
}

static void put_targets(struct page *page)
{
	const struct report *report = page->report;
	const struct report_target *target;
	uint32_t i;

	for (i = 0; i < report->target_cnt && i < TARGETS_MAX; i++) {
		target = &report->targets[i];
		fprintf(page->out, "%-10spid %" PRId32 ", %s\n", i ? "" : "Target", target->pid,
			shown(page, target->python));
		fprintf(page->out, "%-10s%s\n", "", shown(page, target->command));
	}
	if (i < report->target_cnt)
		fprintf(page->out, "%-10sand %" PRIu32 " more\n", "", report->target_cnt - i);
}

static void put_how(struct page *page)
{
	const struct report *report = page->report;
	time_t start = report->start_unix_ns / 1000000000;
	char when[64];
	struct tm tm;

	fprintf(page->out, "%-10s%s", report->unit == REPORT_NS ? "Recorded" : "Sampled",
		shown(page, report->mode));
	if (report->rate_hz)
		fprintf(page->out, ", %" PRIu32 " Hz per thread", report->rate_hz);
	fprintf(page->out, ", %.1f s", (double)report->duration_ns / 1e9);
	if (start && gmtime_r(&start, &tm) && strftime(when, sizeof(when), "%F %T UTC", &tm))
		fprintf(page->out, " from %s", when);
	fprintf(page->out, "\n%-10s%s", report->unit == REPORT_NS ? "Time" : "Samples",
		amount_cell(report->unit, report->samples).text);
	if (report->unit == REPORT_NS)
		fprintf(page->out, ", from %" PRIu64 " samples and %" PRIu64 " waits",
			report->ticks, report->waits);
	fputc('\n', page->out);
}

static void put_overhead(struct page *page)
{
	struct buf text;

	if (!page->report->overhead.known)
		return;
	buf_init(&text, TEXT_MAX_BYTES);
	about_overhead(page->report, &text);
	fputs("Overhead  ", page->out);
	put_wrapped(page, buf_text(&text), 10);
	buf_done(&text);
}

static void put_functions(struct page *page)
{
	const struct report *report = page->report;
	const struct report_self *function;
	uint32_t i;

	fprintf(page->out, "\nFunctions, most %s of their own first", counted(page));
	if (report->function_cnt > ROWS_MAX)
		fprintf(page->out, " (%d of %" PRIu32 ")", ROWS_MAX, report->function_cnt);
	fprintf(page->out, "\n%9s %7s %7s  %s\n", "self", "self%", "total%", "function");
	for (i = 0; i < report->function_cnt && i < ROWS_MAX; i++) {
		function = &report->functions[i];
		put_cell(page, function->self);
		fprintf(page->out, " %6.2f%% %6.2f%%  ", percent(page, function->self),
			percent(page, function->total));
		put_frame(page, function->func, function->file, 0, 0);
		fputc('\n', page->out);
	}
}

/* The rest, up to all samples, is of no task: the event loops' own, other threads'. */
static void put_tasks(struct page *page)
{
	const struct report *report = page->report;
	const struct report_self *task;
	uint32_t i;

	if (!report->task_cnt)
		return;
	fprintf(page->out, "\nTasks of asyncio, busiest first");
	if (report->task_cnt > ROWS_MAX)
		fprintf(page->out, " (%d of %" PRIu32 ")", ROWS_MAX, report->task_cnt);
	fprintf(page->out, "\n%9s %7s  %s\n", counted(page), "of all", "name");
	for (i = 0; i < report->task_cnt && i < ROWS_MAX; i++) {
		task = &report->tasks[i];
		put_cell(page, task->total);
		fprintf(page->out, " %6.2f%%  %s\n", percent(page, task->total),
			shown(page, task->func));
	}
}

/* Where each thread's time went, all of it. */
static void put_times(struct page *page)
{
	const struct report *report = page->report;
	const struct report_thread *thread;
	uint32_t i;

	fprintf(page->out, "\nThreads, most CPU time first, with all of their time");
	if (report->thread_cnt > ROWS_MAX)
		fprintf(page->out, " (%d of %" PRIu32 ")", ROWS_MAX, report->thread_cnt);
	fprintf(page->out, "\n%9s %9s %9s %8s %8s  %s\n", "CPU", "waiting", "run queue", "pid",
		"tid", "name");
	for (i = 0; i < report->thread_cnt && i < ROWS_MAX; i++) {
		thread = &report->threads[i];
		put_cell(page, thread->cpu_ns);
		fputc(' ', page->out);
		put_cell(page, thread->wait_ns);
		fputc(' ', page->out);
		put_cell(page, thread->runq_ns);
		fprintf(page->out, " %8" PRId32 " %8" PRId32 "  %s\n", thread->pid, thread->tid,
			shown(page, thread->name));
	}
}

static void put_threads(struct page *page)
{
	const struct report *report = page->report;
	const struct report_thread *thread;
	uint32_t i;

	if (!report->thread_cnt)
		return;
	fprintf(page->out, "\nThreads, busiest first");
	if (report->thread_cnt > ROWS_MAX)
		fprintf(page->out, " (%d of %" PRIu32 ")", ROWS_MAX, report->thread_cnt);
	fprintf(page->out, "\n%9s %7s %8s %8s  %s\n", counted(page), "of all", "pid", "tid",
		"name");
	for (i = 0; i < report->thread_cnt && i < ROWS_MAX; i++) {
		thread = &report->threads[i];
		put_cell(page, thread->samples);
		fprintf(page->out, " %6.2f%% %8" PRId32 " %8" PRId32 "  %s\n",
			percent(page, thread->samples), thread->pid, thread->tid,
			shown(page, thread->name));
	}
}

static bool same_frame(const struct report_node *a, const struct report_node *b)
{
	return a->line == b->line && a->column == b->column && !strcmp(a->func, b->func) &&
	       !strcmp(a->path, b->path) && !strcmp(a->file, b->file);
}

static const struct report_node *hotter(const struct report_node *node)
{
	return node->child && node->child->total > node->self ? node->child : NULL;
}

static void put_hot_path(struct page *page)
{
	const struct report_node *node = hotter(page->report->root), *next;
	uint32_t times;

	if (!node)
		return;
	fprintf(page->out, "\nHot path, outermost first\n%9s %7s  %s\n", "total", "total%",
		"frame");
	for (; node; node = next) {
		put_cell(page, node->total);
		fprintf(page->out, " %6.2f%%  ", percent(page, node->total));
		put_frame(page, node->func, node->file, node->line, node->column);
		/* a recursion is one line, or it would be the whole summary */
		next = hotter(node);
		for (times = 1; next && same_frame(node, next); times++)
			next = hotter(next);
		if (times > 1)
			fprintf(page->out, "  [%" PRIu32 " times]", times);
		fputc('\n', page->out);
	}
}

/* Losses have a heading of their own: they are what a reader must not overlook. */
static void put_remarks(struct page *page, bool loss)
{
	const struct report_remark *remark;
	uint32_t i, cnt = 0;

	for (i = 0; i < page->report->remark_cnt; i++) {
		remark = &page->report->remarks[i];
		if (remark->is_loss != loss || !remark->count)
			continue;
		if (!cnt++)
			fprintf(page->out, "\n%s\n", loss ? "Lost" : "Remarks");
		fprintf(page->out, "%9" PRIu64 " ", remark->count);
		put_wrapped(page, remark->text, 10);
	}
	if (loss && !cnt)
		fprintf(page->out, "\nLost\n%9s nothing was lost\n", "");
}

static int summary_write(const struct report *report, FILE *out)
{
	struct page page = { .report = report, .out = out };

	buf_init(&page.text, TEXT_MAX_BYTES);
	fprintf(out, "uncoil: %s profile\n\n", shown(&page, report->mode));
	put_targets(&page);
	put_how(&page);
	put_overhead(&page);
	if (report->samples) {
		put_functions(&page);
		put_tasks(&page);
		if (report->unit == REPORT_NS)
			put_times(&page);
		else
			put_threads(&page);
		put_hot_path(&page);
	} else {
		fputs(report->unit == REPORT_NS
			      ? "\nNo time: no thread did what this mode records, or see the remarks.\n"
			      : "\nNo samples: either no thread used the CPU, or see the remarks.\n",
		      out);
	}
	put_remarks(&page, true);
	put_remarks(&page, false);
	if (!page.err && ferror(out))
		page.err = -EIO;
	buf_done(&page.text);
	return page.err;
}

const struct sink sink_summary = {
	.name = "summary",
	.suffixes = ".txt",
	.what = "text: top functions, threads, the hot path and remarks",
	.write = summary_write,
};
