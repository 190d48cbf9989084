/* SPDX-License-Identifier: Apache-2.0 */
/*
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
#include "sink/page.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "flame_css.h"
#include "flame_js.h"
#include "sink/amount.h"
#include "sink/walk.h"

/* Pixels; PAGE_MARGIN, LABEL_MIN and NARROW are in flame.js too. */
#define WIDTH          1200
#define ROW            18 /* from one level to the next */
#define ROW_FILL       17 /* so much of it is drawn */
#define BAR            72 /* left to the script's search box and details */
#define LABEL_MIN      3  /* fewer characters say nothing */
#define NARROW         4  /* pixels; below, a frame's edge would hide the frame */
/* Frames below 1/FINEST of all samples (0.12 pixels) are not drawn, and it is said. */
#define FINEST         10000
#define TEXT_MAX_BYTES (1u << 20)

void page_xml(struct page *page, const char *text)
{
	buf_clear(&page->text);
	if (text_xml(&page->text, text))
		page->err = -ENOMEM;
	fwrite(buf_text(&page->text), 1, page->text.len, page->out);
}

double page_percent(const struct page *page, uint64_t part)
{
	uint64_t all = page->root->total;

	return all ? 100.0 * (double)part / (double)all : 100.0;
}

double page_finest(void)
{
	return 100.0 / FINEST;
}

static bool is_drawn(const struct page *page, const struct report_node *node)
{
	uint64_t all = page->root->total;

	return !node->parent || (node->total && node->total >= (all + FINEST - 1) / FINEST);
}

static void measure(struct page *page)
{
	const struct report_node *node = page->root;
	uint32_t depth = 0;
	bool drawn;

	for (; node; node = walk_next(node, drawn, &depth)) {
		drawn = is_drawn(page, node);
		if (!drawn) {
			page->undrawn += node->total;
			continue;
		}
		page->drawn++;
		page->seen[node->kind] = true;
		if (depth >= page->levels)
			page->levels = depth + 1;
	}
	page->left = calloc((size_t)page->levels + 1, sizeof(*page->left));
	if (!page->left)
		page->err = -ENOMEM;
}

int page_init(struct page *page, const struct report_node *root, enum report_unit unit, FILE *out)
{
	*page = (struct page){ .root = root, .unit = unit, .out = out };
	buf_init(&page->raw, TEXT_MAX_BYTES);
	buf_init(&page->text, TEXT_MAX_BYTES);
	buf_init(&page->class, 64);
	measure(page);
	return page->err;
}

int page_done(struct page *page)
{
	if (!page->err && ferror(page->out))
		page->err = -EIO;
	free(page->left);
	buf_done(&page->raw);
	buf_done(&page->text);
	buf_done(&page->class);
	return page->err;
}

/* --- frames */

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

static void put_title(struct page *page, const struct report_node *node,
		      const struct page_look *look, void *ctx)
{
	FILE *out = page->out;

	fputs("<title>", out);
	page_xml(page, buf_text(&page->raw));
	fputc('\n', out);
	look->details(ctx, node);
	if (node->path[0] && strcmp(node->path, node->file)) {
		fputc('\n', out);
		page_xml(page, node->path);
	}
	fputs("</title>", out);
}

static void put_frame(struct page *page, const struct report_node *node, uint32_t depth,
		      const struct page_look *look, void *ctx)
{
	double width = page_percent(page, node->total);
	double pixels = width / 100 * (WIDTH - 2 * PAGE_MARGIN);
	uint64_t left = page->left[depth];
	FILE *out = page->out;
	size_t chars;

	buf_clear(&page->class);
	look->class(ctx, node, &page->class);
	fprintf(out, "<svg class=\"f %s%s\" role=\"treeitem\" aria-level=\"%" PRIu32 "\"%s",
		buf_text(&page->class), pixels < NARROW ? " n" : "", depth + 1,
		depth ? "" : " tabindex=\"0\"");
	fprintf(out, " x=\"%.4f%%\" y=\"%" PRIu32 "\" width=\"%.4f%%\" height=\"%d\"",
		left ? page_percent(page, left) : 0.0, depth * ROW, width, ROW_FILL);
	fprintf(out, " data-x=\"%" PRIu64 "\" data-n=\"%" PRIu64 "\">", left, node->total);
	make_label(page, node);
	put_title(page, node, look, ctx);
	fputs("<rect width=\"100%\" height=\"100%\"/>", out);
	chars = pixels > 6 ? (size_t)((pixels - 6) / PAGE_CHAR_WIDTH) : 0;
	if (chars >= LABEL_MIN) {
		shorten(page, chars);
		fputs("<text x=\"3\" y=\"12\">", out);
		page_xml(page, buf_text(&page->raw));
		fputs("</text>", out);
	}
	fputs("</svg>\n", out);
}

static void put_frames(struct page *page, const struct page_look *look, void *ctx)
{
	const struct report_node *node = page->root;
	uint32_t depth = 0;
	bool drawn;

	fprintf(page->out, "<svg id=\"frames\" role=\"tree\" aria-label=\"Frames, callers above\"");
	if (page->unit == REPORT_NS)
		fputs(" data-unit=\"ns\"", page->out);
	fprintf(page->out, " x=\"%d\" y=\"%d\" width=\"%d\" height=\"%" PRIu64 "\">\n", PAGE_MARGIN,
		page->y, WIDTH - 2 * PAGE_MARGIN, (uint64_t)page->levels * ROW);
	for (; node; node = walk_next(node, drawn, &depth)) {
		drawn = is_drawn(page, node);
		if (!drawn)
			continue;
		put_frame(page, node, depth, look, ctx);
		page->left[depth + 1] = page->left[depth];
		page->left[depth] += node->total;
	}
	fputs("</svg>\n", page->out);
}

void page_frames(struct page *page, const struct page_look *look, void *ctx)
{
	fprintf(page->out, "<g id=\"bar\" data-y=\"%d\" data-height=\"%d\">", page->y - 6, BAR - 4);
	fprintf(page->out, "<text class=\"line\" x=\"%d\" y=\"%d\">", PAGE_MARGIN, page->y + 20);
	fputs("Open this file in a web browser to zoom, to search and to see details.", page->out);
	fputs("</text></g>\n", page->out);
	page->y += BAR - 4;
	put_frames(page, look, ctx);
	page->y += (int)page->levels * ROW;
}

/* --- above them */

void page_open(struct page *page, const char *class)
{
	fprintf(page->out, "<text class=\"%s\" x=\"%d\" y=\"%d\">", class, PAGE_MARGIN, page->y);
}

void page_close(struct page *page)
{
	fputs("</text>\n", page->out);
	page->y += PAGE_LINE;
}

void page_line(struct page *page, const char *text)
{
	page_open(page, "line");
	page_xml(page, text);
	page_close(page);
}

uint32_t page_remarks(struct page *page, const struct report *report, bool loss, const char *prefix)
{
	const struct report_remark *remark;
	uint32_t i, cnt = 0;

	for (i = 0; i < report->remark_cnt; i++) {
		remark = &report->remarks[i];
		if (remark->is_loss != loss || !remark->count)
			continue;
		page_open(page, loss ? "line loss" : "line");
		fprintf(page->out, "%s%s ", prefix,
			amount_bare(REPORT_SAMPLES, remark->count).text);
		page_xml(page, remark->text);
		page_close(page);
		cnt++;
	}
	return cnt;
}

void page_legend_open(struct page *page)
{
	fputs("<g id=\"legend\">", page->out);
}

void page_legend(struct page *page, const char *class, double x, const char *text)
{
	fprintf(page->out, "<g class=\"%s\"><rect x=\"%.0f\" y=\"%d\" width=\"12\"", class, x,
		page->y - 7);
	fprintf(page->out, " height=\"12\" rx=\"2\"/></g><text x=\"%.0f\" y=\"%d\">%s</text>",
		x + 17, page->y + 3, text);
}

void page_legend_close(struct page *page)
{
	fputs("</g>\n", page->out);
	page->y += PAGE_LINE;
}

void page_begin(struct page *page, int lines, int below, const char *title, const char *head,
		const char *css)
{
	uint64_t height = 42 + (uint64_t)lines * PAGE_LINE + BAR + (uint64_t)page->levels * ROW +
			  PAGE_MARGIN + below;
	FILE *out = page->out;

	fprintf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
	fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" id=\"uncoil\" width=\"%d\"", WIDTH);
	fprintf(out, " height=\"%" PRIu64 "\" viewBox=\"0 0 %d %" PRIu64 "\">\n", height, WIDTH,
		height);
	fputs("<title>", out);
	page_xml(page, title);
	fprintf(out, "</title>\n<style><![CDATA[\n%s%s]]></style>\n", flame_css, css);
	fputs("<rect id=\"paper\" width=\"100%\" height=\"100%\"/>\n", out);
	page->y = 26;
	page_open(page, "head");
	page_xml(page, head);
	fputs("</text>\n", out);
	page->y += 20;
}

void page_end(struct page *page)
{
	fprintf(page->out, "<script><![CDATA[\n%s]]></script>\n</svg>\n", flame_js);
}
