/* SPDX-License-Identifier: Apache-2.0 */
/* The flame graph: a recording's tree, on the page of page.c, and what the recording says of itself. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "sink/about.h"
#include "sink/amount.h"
#include "sink/page.h"
#include "sink/sink.h"

#define SHADES         6 /* .h0 to .h5 in flame.css */
#define TEXT_MAX_BYTES (1u << 20)

struct flame {
	struct page page;
	const struct report *report;
};

static const struct {
	char class;
	const char *legend;
} kinds[FRAME_KIND_MAX] = {
	[FRAME_ROOT] = { 'r', NULL },
	[FRAME_PROCESS] = { 'p', "process" },
	[FRAME_THREAD] = { 't', "thread" },
	[FRAME_TASK] = { 'k', "asyncio task" },
	[FRAME_APP] = { 'a', "application" },
	[FRAME_LIBRARY] = { 'l', "library" },
	[FRAME_STDLIB] = { 's', "standard library" },
	[FRAME_MARK] = { 'm', "not a Python frame" },
	[FRAME_GC] = { 'g', "garbage collection" },
	[FRAME_WAIT] = { 'w', "waiting" },
};
_Static_assert(FRAME_WAIT == FRAME_KIND_MAX - 1, "each kind has its class here and in flame.css");

/* Of the report's numbers, which may be samples or time. */
static void put_bare(struct flame *f, uint64_t n)
{
	fputs(amount_bare(f->report->unit, n).text, f->page.out);
}

static void put_amount(struct flame *f, uint64_t n)
{
	fputs(amount_of(f->report->unit, n).text, f->page.out);
}

/* --- frames */

static unsigned int shade(const char *func)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *func; func++)
		hash = (hash ^ (unsigned char)*func) * 16777619u;
	return (hash >> 16) % SHADES;
}

static void frame_class(void *ctx, const struct report_node *node, struct buf *out)
{
	buf_fmt(out, "%c h%u", kinds[node->kind].class, shade(node->func));
}

static void frame_details(void *ctx, const struct report_node *node)
{
	struct flame *f = ctx;
	FILE *out = f->page.out;

	put_amount(f, node->total);
	fprintf(out, " (%.2f %%), self ", node->total ? page_percent(&f->page, node->total) : 0.0);
	put_bare(f, node->self);
	if (node->self)
		fprintf(out, " (%.2f %%)", page_percent(&f->page, node->self));
}

static const struct page_look look = { frame_class, frame_details };

/* --- what the recording says about itself */

static void put_target(struct flame *f, const struct report_target *target)
{
	fprintf(f->page.out, "pid %" PRId32 " \xc2\xb7 ", target->pid);
	page_xml(&f->page, target->python);
	fputs(" \xc2\xb7 ", f->page.out);
	page_xml(&f->page, target->command);
}

/* The first target; all of them in the tooltip, which also shows what the window cuts off. */
static void put_targets(struct flame *f)
{
	const struct report *report = f->report;
	uint32_t i;

	if (!report->target_cnt)
		return;
	page_open(&f->page, "line");
	if (report->target_cnt > 1)
		fprintf(f->page.out, "%" PRIu32 " targets: ", report->target_cnt);
	put_target(f, &report->targets[0]);
	if (report->target_cnt > 1)
		fprintf(f->page.out, " and %" PRIu32 " more", report->target_cnt - 1);
	fputs("<title>", f->page.out);
	for (i = 0; i < report->target_cnt; i++) {
		fputs(i ? "\n" : "", f->page.out);
		put_target(f, &report->targets[i]);
	}
	fputs("</title>", f->page.out);
	page_close(&f->page);
}

static void put_how(struct flame *f)
{
	const struct report *report = f->report;
	time_t start = report->start_unix_ns / 1000000000;
	char when[64];
	struct tm tm;

	page_open(&f->page, "line");
	page_xml(&f->page, report->mode);
	if (report->rate_hz)
		fprintf(f->page.out, " \xc2\xb7 %" PRIu32 " Hz per thread", report->rate_hz);
	fprintf(f->page.out, " \xc2\xb7 %.1f s \xc2\xb7 ", (double)report->duration_ns / 1e9);
	put_amount(f, report->samples);
	if (start && gmtime_r(&start, &tm) && strftime(when, sizeof(when), "%F %T UTC", &tm))
		fprintf(f->page.out, " \xc2\xb7 %s", when);
	page_close(&f->page);
}

static void put_overhead(struct flame *f)
{
	struct buf text;

	if (!f->report->overhead.known)
		return;
	buf_init(&text, 4096);
	about_overhead(f->report, &text);
	page_open(&f->page, "line");
	fputs("overhead ", f->page.out);
	page_xml(&f->page, buf_text(&text));
	page_close(&f->page);
	buf_done(&text);
}

static void put_remarks(struct flame *f)
{
	struct page *page = &f->page;

	if (!page_remarks(page, f->report, true, ""))
		page_line(page, "nothing lost");
	page_remarks(page, f->report, false, "");
	if (!page->undrawn)
		return;
	page_open(page, "line");
	put_amount(f, page->undrawn);
	fprintf(page->out, " (%.2f %%) in frames narrower than %g %%: not drawn",
		page_percent(page, page->undrawn), page_finest());
	page_close(page);
}

/* Colours of the kinds of frames that occur, and of nothing else. */
static void put_legend(struct flame *f)
{
	double x = PAGE_MARGIN;
	char class[8];
	int kind;

	page_legend_open(&f->page);
	for (kind = 0; kind < FRAME_KIND_MAX; kind++) {
		if (!f->page.seen[kind] || !kinds[kind].legend)
			continue;
		snprintf(class, sizeof(class), "%c h0", kinds[kind].class);
		page_legend(&f->page, class, x, kinds[kind].legend);
		x += 35 + (double)strlen(kinds[kind].legend) * PAGE_CHAR_WIDTH;
	}
	page_legend_close(&f->page);
}

/* The root <svg> comes first and says how high all will be, so lines are counted, not drawn. */
static int header_lines(const struct flame *f)
{
	const struct report *report = f->report;
	int lines = 3; /* how; losses, at least that there are none; legend */
	bool lossless = true;
	uint32_t i;

	for (i = 0; i < report->remark_cnt; i++) {
		lines += report->remarks[i].count != 0;
		if (report->remarks[i].count && report->remarks[i].is_loss)
			lossless = false;
	}
	lines += report->overhead.known;
	lines += (report->target_cnt != 0) + (f->page.undrawn != 0);
	return lossless ? lines : lines - 1;
}

static void put_begin(struct flame *f)
{
	const struct report *report = f->report;
	struct buf title, head;

	buf_init(&title, TEXT_MAX_BYTES);
	buf_init(&head, TEXT_MAX_BYTES);
	buf_fmt(&head, "uncoil: %s flame graph", report->mode);
	buf_str(&title, buf_text(&head));
	if (report->target_cnt)
		buf_fmt(&title, " of pid %" PRId32 " %s", report->targets[0].pid,
			report->targets[0].command);
	page_begin(&f->page, header_lines(f), report->root->total ? 0 : 2 * PAGE_LINE,
		   buf_text(&title), buf_text(&head), "");
	if (title.err || head.err)
		f->page.err = -ENOMEM;
	buf_done(&title);
	buf_done(&head);
}

static void put_page(struct flame *f)
{
	put_begin(f);
	put_targets(f);
	put_how(f);
	put_overhead(f);
	put_remarks(f);
	put_legend(f);
	page_frames(&f->page, &look, f);
	if (!f->report->root->total) {
		f->page.y += PAGE_LINE;
		page_line(&f->page,
			  f->report->unit == REPORT_NS
				  ? "No time: no thread did what this mode records, or see above."
				  : "No samples: either no thread used the CPU, or see above.");
	}
	page_end(&f->page);
}

static int flame_write(const struct report *report, FILE *out)
{
	struct flame f = { .report = report };

	if (!page_init(&f.page, report->root, report->unit, out))
		put_page(&f);
	return page_done(&f.page);
}

const struct sink sink_flame = {
	.name = "flame",
	.suffixes = ".svg",
	.what = "interactive flame graph, one SVG file for any web browser",
	.write = flame_write,
};
