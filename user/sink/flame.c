/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flame graph: one SVG file that needs nothing else, is complete as a picture, and becomes
 * interactive where its script may run.
 *
 * The root is at the top ("icicle"), as in py-spy: stacks of web frameworks are a hundred frames
 * deep, and with the root at the bottom the page would open on the tips of the rarest stacks.
 *
 * Each frame is a nested <svg> with x and width in percent. A nested <svg> clips what it holds, so
 * a label never leaves its frame whatever the font is; and as labels sit at a fixed distance from
 * its left edge, a zoom or a resized window is only a change of x and width. The file says 1200
 * pixels and has a viewBox for viewers that know no windows; the script takes both away.
 *
 * The script has no data of its own: it reads the frames' <title> (name, counts and path, one a
 * line; text_xml() leaves no newline in a name) and their exact place in samples, since percents
 * with four decimals would be too coarse to zoom into. Target text is only ever character data.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/text.h"
#include "flame_css.h"
#include "flame_js.h"
#include "sink/about.h"
#include "sink/amount.h"
#include "sink/sink.h"
#include "sink/walk.h"

/* Pixels; MARGIN, LABEL_MIN and NARROW are in flame.js too. */
#define WIDTH          1200
#define MARGIN         10
#define ROW            18  /* from one level to the next */
#define ROW_FILL       17  /* so much of it is drawn */
#define CHAR_WIDTH     7.3 /* of the 12 pixel monospace font, rounded up */
#define LINE           17  /* of the header */
#define BAR            72  /* left to the script's search box and details */
#define LABEL_MIN      3   /* fewer characters say nothing */
#define NARROW         4   /* pixels; below, a frame's edge would hide the frame */
#define SHADES         6   /* .h0 to .h5 in flame.css */
/* Frames below 1/FINEST of all samples (0.12 pixels) are not drawn, and it is said. */
#define FINEST         10000
#define TEXT_MAX_BYTES (1u << 20)

struct page {
	const struct report *report;
	FILE *out;
	struct buf raw, text; /* scratch: before and after escaping */
	uint64_t *left;       /* by depth: samples (or ns) to the left of the next frame there */
	uint32_t levels;
	uint64_t undrawn; /* samples (or ns) in frames too narrow to draw */
	bool seen[FRAME_KIND_MAX];
	int y; /* of the next header line */
	int err;
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

static void put_xml(struct page *page, const char *text)
{
	buf_clear(&page->text);
	if (text_xml(&page->text, text))
		page->err = -ENOMEM;
	fwrite(buf_text(&page->text), 1, page->text.len, page->out);
}

/* Of the report's numbers, which may be samples or time. */
static void put_bare(struct page *page, uint64_t n)
{
	fputs(amount_bare(page->report->unit, n).text, page->out);
}

static void put_amount(struct page *page, uint64_t n)
{
	fputs(amount_of(page->report->unit, n).text, page->out);
}

static double percent(const struct page *page, uint64_t samples)
{
	uint64_t all = page->report->root->total;

	return all ? 100.0 * (double)samples / (double)all : 100.0;
}

static bool is_drawn(const struct page *page, const struct report_node *node)
{
	uint64_t all = page->report->root->total;

	return !node->parent || (node->total && node->total >= (all + FINEST - 1) / FINEST);
}

static int measure(struct page *page)
{
	const struct report_node *node = page->report->root;
	uint32_t depth = 0;
	bool drawn;

	for (; node; node = walk_next(node, drawn, &depth)) {
		drawn = is_drawn(page, node);
		if (!drawn) {
			page->undrawn += node->total;
			continue;
		}
		page->seen[node->kind] = true;
		if (depth >= page->levels)
			page->levels = depth + 1;
	}
	page->left = calloc((size_t)page->levels + 1, sizeof(*page->left));
	return page->left ? 0 : -ENOMEM;
}

/* --- frames */

static unsigned int shade(const char *func)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *func; func++)
		hash = (hash ^ (unsigned char)*func) * 16777619u;
	return (hash >> 16) % SHADES;
}

/* "func (file:line)" into page->raw. */
static void make_label(struct page *page, const struct report_node *node)
{
	struct buf *raw = &page->raw;

	buf_clear(raw);
	buf_str(raw, node->func);
	if (node->file[0]) {
		buf_fmt(raw, " (%s", node->file);
		if (node->line > 0)
			buf_fmt(raw, ":%" PRId32, node->line);
		if (node->column > 0)
			buf_fmt(raw, ":%" PRId32, node->column);
		buf_str(raw, ")");
	}
	if (raw->err)
		page->err = -ENOMEM;
}

/* Cuts page->raw to `max` characters, the last of them an ellipsis. */
static void shorten(struct page *page, size_t max)
{
	struct buf *raw = &page->raw;
	size_t at, chars = 0, cut = 0;

	for (at = 0; at < raw->len; at++) {
		if ((raw->data[at] & 0xc0) == 0x80)
			continue;
		if (chars++ == max - 1)
			cut = at;
	}
	if (chars <= max)
		return;
	raw->len = cut;
	raw->data[cut] = '\0';
	buf_str(raw, "\xe2\x80\xa6");
}

static void put_title(struct page *page, const struct report_node *node)
{
	FILE *out = page->out;

	fputs("<title>", out);
	put_xml(page, buf_text(&page->raw));
	fputc('\n', out);
	put_amount(page, node->total);
	fprintf(out, " (%.2f %%), self ", node->total ? percent(page, node->total) : 0.0);
	put_bare(page, node->self);
	if (node->self)
		fprintf(out, " (%.2f %%)", percent(page, node->self));
	if (node->path[0] && strcmp(node->path, node->file)) {
		fputc('\n', out);
		put_xml(page, node->path);
	}
	fputs("</title>", out);
}

static void put_frame(struct page *page, const struct report_node *node, uint32_t depth)
{
	double width = percent(page, node->total);
	double pixels = width / 100 * (WIDTH - 2 * MARGIN);
	uint64_t left = page->left[depth];
	FILE *out = page->out;
	size_t chars;

	fprintf(out, "<svg class=\"f %c h%u%s\" role=\"treeitem\" aria-level=\"%" PRIu32 "\"%s",
		kinds[node->kind].class, shade(node->func), pixels < NARROW ? " n" : "", depth + 1,
		depth ? "" : " tabindex=\"0\"");
	fprintf(out, " x=\"%.4f%%\" y=\"%" PRIu32 "\" width=\"%.4f%%\" height=\"%d\"",
		left ? percent(page, left) : 0.0, depth * ROW, width, ROW_FILL);
	fprintf(out, " data-x=\"%" PRIu64 "\" data-n=\"%" PRIu64 "\">", left, node->total);
	make_label(page, node);
	put_title(page, node);
	fputs("<rect width=\"100%\" height=\"100%\"/>", out);
	chars = pixels > 6 ? (size_t)((pixels - 6) / CHAR_WIDTH) : 0;
	if (chars >= LABEL_MIN) {
		shorten(page, chars);
		fputs("<text x=\"3\" y=\"12\">", out);
		put_xml(page, buf_text(&page->raw));
		fputs("</text>", out);
	}
	fputs("</svg>\n", out);
}

static void put_frames(struct page *page)
{
	const struct report_node *node = page->report->root;
	uint32_t depth = 0;
	bool drawn;

	fprintf(page->out, "<svg id=\"frames\" role=\"tree\" aria-label=\"Frames, callers above\"");
	if (page->report->unit == REPORT_NS)
		fputs(" data-unit=\"ns\"", page->out);
	fprintf(page->out, " x=\"%d\" y=\"%d\" width=\"%d\" height=\"%" PRIu64 "\">\n", MARGIN,
		page->y, WIDTH - 2 * MARGIN, (uint64_t)page->levels * ROW);
	for (; node; node = walk_next(node, drawn, &depth)) {
		drawn = is_drawn(page, node);
		if (!drawn)
			continue;
		put_frame(page, node, depth);
		page->left[depth + 1] = page->left[depth];
		page->left[depth] += node->total;
	}
	fputs("</svg>\n", page->out);
}

/* --- what the recording says about itself */

static void open_line(struct page *page, const char *class)
{
	fprintf(page->out, "<text class=\"%s\" x=\"%d\" y=\"%d\">", class, MARGIN, page->y);
}

static void close_line(struct page *page)
{
	fputs("</text>\n", page->out);
	page->y += LINE;
}

static void put_target(struct page *page, const struct report_target *target)
{
	fprintf(page->out, "pid %" PRId32 " \xc2\xb7 ", target->pid);
	put_xml(page, target->python);
	fputs(" \xc2\xb7 ", page->out);
	put_xml(page, target->command);
}

/* The first target; all of them in the tooltip, which also shows what the window cuts off. */
static void put_targets(struct page *page)
{
	const struct report *report = page->report;
	uint32_t i;

	if (!report->target_cnt)
		return;
	open_line(page, "line");
	if (report->target_cnt > 1)
		fprintf(page->out, "%" PRIu32 " targets: ", report->target_cnt);
	put_target(page, &report->targets[0]);
	if (report->target_cnt > 1)
		fprintf(page->out, " and %" PRIu32 " more", report->target_cnt - 1);
	fputs("<title>", page->out);
	for (i = 0; i < report->target_cnt; i++) {
		fputs(i ? "\n" : "", page->out);
		put_target(page, &report->targets[i]);
	}
	fputs("</title>", page->out);
	close_line(page);
}

static void put_how(struct page *page)
{
	const struct report *report = page->report;
	time_t start = report->start_unix_ns / 1000000000;
	char when[64];
	struct tm tm;

	open_line(page, "line");
	put_xml(page, report->mode);
	if (report->rate_hz)
		fprintf(page->out, " \xc2\xb7 %" PRIu32 " Hz per thread", report->rate_hz);
	fprintf(page->out, " \xc2\xb7 %.1f s \xc2\xb7 ", (double)report->duration_ns / 1e9);
	put_amount(page, report->samples);
	if (start && gmtime_r(&start, &tm) && strftime(when, sizeof(when), "%F %T UTC", &tm))
		fprintf(page->out, " \xc2\xb7 %s", when);
	close_line(page);
}

static void put_overhead(struct page *page)
{
	struct buf text;

	if (!page->report->overhead.known)
		return;
	buf_init(&text, 4096);
	about_overhead(page->report, &text);
	open_line(page, "line");
	fputs("overhead ", page->out);
	put_xml(page, buf_text(&text));
	close_line(page);
	buf_done(&text);
}

static uint32_t put_remarks_of(struct page *page, bool loss)
{
	const struct report_remark *remark;
	uint32_t i, cnt = 0;

	for (i = 0; i < page->report->remark_cnt; i++) {
		remark = &page->report->remarks[i];
		if (remark->is_loss != loss || !remark->count)
			continue;
		open_line(page, loss ? "line loss" : "line");
		fputs(amount_bare(REPORT_SAMPLES, remark->count).text, page->out);
		fputc(' ', page->out);
		put_xml(page, remark->text);
		close_line(page);
		cnt++;
	}
	return cnt;
}

static void put_remarks(struct page *page)
{
	if (!put_remarks_of(page, true)) {
		open_line(page, "line");
		fputs("nothing lost", page->out);
		close_line(page);
	}
	put_remarks_of(page, false);
	if (!page->undrawn)
		return;
	open_line(page, "line");
	put_amount(page, page->undrawn);
	fprintf(page->out, " (%.2f %%) in frames narrower than %g %%: not drawn",
		percent(page, page->undrawn), 100.0 / FINEST);
	close_line(page);
}

/* Colours of the kinds of frames that occur, and of nothing else. */
static void put_legend(struct page *page)
{
	FILE *out = page->out;
	double x = MARGIN;
	int kind;

	fputs("<g id=\"legend\">", out);
	for (kind = 0; kind < FRAME_KIND_MAX; kind++) {
		if (!page->seen[kind] || !kinds[kind].legend)
			continue;
		fprintf(out, "<g class=\"%c h0\"><rect x=\"%.0f\" y=\"%d\" width=\"12\"",
			kinds[kind].class, x, page->y - 7);
		fprintf(out, " height=\"12\" rx=\"2\"/></g><text x=\"%.0f\" y=\"%d\">%s</text>",
			x + 17, page->y + 3, kinds[kind].legend);
		x += 35 + (double)strlen(kinds[kind].legend) * CHAR_WIDTH;
	}
	fputs("</g>\n", out);
	page->y += LINE;
}

/* The root <svg> comes first and says how high all will be, so lines are counted, not drawn. */
static int header_lines(const struct page *page)
{
	const struct report *report = page->report;
	int lines = 3; /* how; losses, at least that there are none; legend */
	bool lossless = true;
	uint32_t i;

	for (i = 0; i < report->remark_cnt; i++) {
		lines += report->remarks[i].count != 0;
		if (report->remarks[i].count && report->remarks[i].is_loss)
			lossless = false;
	}
	lines += report->overhead.known;
	lines += (report->target_cnt != 0) + (page->undrawn != 0);
	return lossless ? lines : lines - 1;
}

static void put_begin(struct page *page)
{
	const struct report *report = page->report;
	uint64_t height = 42 + (uint64_t)header_lines(page) * LINE + BAR;
	FILE *out = page->out;

	height += (uint64_t)page->levels * ROW + MARGIN + (report->root->total ? 0 : 2 * LINE);
	fprintf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
	fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" id=\"uncoil\" width=\"%d\"", WIDTH);
	fprintf(out, " height=\"%" PRIu64 "\" viewBox=\"0 0 %d %" PRIu64 "\">\n", height, WIDTH,
		height);
	fputs("<title>uncoil: ", out);
	put_xml(page, report->mode);
	fputs(" flame graph", out);
	if (report->target_cnt) {
		fprintf(out, " of pid %" PRId32 " ", report->targets[0].pid);
		put_xml(page, report->targets[0].command);
	}
	fprintf(out, "</title>\n<style><![CDATA[\n%s]]></style>\n", flame_css);
	fputs("<rect id=\"paper\" width=\"100%\" height=\"100%\"/>\n", out);
	page->y = 26;
	fprintf(out, "<text class=\"head\" x=\"%d\" y=\"%d\">uncoil: ", MARGIN, page->y);
	put_xml(page, report->mode);
	fputs(" flame graph</text>\n", out);
	page->y += 20;
}

static void put_page(struct page *page)
{
	put_begin(page);
	put_targets(page);
	put_how(page);
	put_overhead(page);
	put_remarks(page);
	put_legend(page);
	fprintf(page->out, "<g id=\"bar\" data-y=\"%d\" data-height=\"%d\">", page->y - 6, BAR - 4);
	fprintf(page->out, "<text class=\"line\" x=\"%d\" y=\"%d\">", MARGIN, page->y + 20);
	fputs("Open this file in a web browser to zoom, to search and to see details.", page->out);
	fputs("</text></g>\n", page->out);
	page->y += BAR - 4;
	put_frames(page);
	if (!page->report->root->total) {
		page->y += (int)page->levels * ROW + LINE;
		open_line(page, "line");
		fputs(page->report->unit == REPORT_NS
			      ? "No time: no thread did what this mode records, or see above."
			      : "No samples: either no thread used the CPU, or see above.",
		      page->out);
		close_line(page);
	}
	fprintf(page->out, "<script><![CDATA[\n%s]]></script>\n</svg>\n", flame_js);
}

static int flame_write(const struct report *report, FILE *out)
{
	struct page page = { .report = report, .out = out };

	buf_init(&page.raw, TEXT_MAX_BYTES);
	buf_init(&page.text, TEXT_MAX_BYTES);
	page.err = measure(&page);
	if (page.err)
		goto out;
	put_page(&page);
	if (!page.err && ferror(out))
		page.err = -EIO;
out:
	free(page.left);
	buf_done(&page.raw);
	buf_done(&page.text);
	return page.err;
}

const struct sink sink_flame = {
	.name = "flame",
	.suffixes = ".svg",
	.what = "interactive flame graph, one SVG file for any web browser",
	.write = flame_write,
};
