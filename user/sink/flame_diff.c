/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The differential flame graph: the merged tree of two recordings, in the page of flame.c, with its
 * script (what that one needs of a page is said there).
 *
 * A frame is as wide as the mean of its two shares, so that what has gone is seen as well as what
 * is new. Its colour is what has become of its share: red is more, blue is less, the stronger the
 * larger the part of it that changed; grey is no more than chance would make it, among as many
 * frames as are drawn.
 */
#include "sink/flame_diff.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "flame_css.h"
#include "flame_js.h"
#include "model/compare.h"
#include "sink/amount.h"
#include "sink/walk.h"

/* As in flame.c, and MARGIN, LABEL_MIN and NARROW in flame.js. */
#define WIDTH          1200
#define MARGIN         10
#define ROW            18
#define ROW_FILL       17
#define CHAR_WIDTH     7.3
#define LINE           17
#define BAR            72
#define LABEL_MIN      3
#define NARROW         4
#define FINEST         10000
#define TEXT_MAX_BYTES (1u << 20)
#define HEADER_LINES   5 /* and those of put_remarks() */

static const char diff_css[] = ".d0 rect { fill: #dfdfdc; }\n"
			       ".d1 rect { fill: #fbd3ca; }\n"
			       ".d2 rect { fill: #f6a698; }\n"
			       ".d3 rect { fill: #f08070; }\n"
			       ".e1 rect { fill: #cfe0f7; }\n"
			       ".e2 rect { fill: #a3c5f0; }\n"
			       ".e3 rect { fill: #7dabe9; }\n"
			       "@media (prefers-color-scheme: dark) {\n"
			       "\t.d0 rect { fill: #43464c; }\n"
			       "\t.d1 rect { fill: #5f3a36; }\n"
			       "\t.d2 rect { fill: #7f3d36; }\n"
			       "\t.d3 rect { fill: #9c3f36; }\n"
			       "\t.e1 rect { fill: #33475f; }\n"
			       "\t.e2 rect { fill: #2f5178; }\n"
			       "\t.e3 rect { fill: #2a5c99; }\n"
			       "}\n";

struct page {
	struct compare compare; /* with the z of as many tests as frames are drawn */
	const char *const *names;
	FILE *out;
	struct buf raw, text;
	uint64_t *left;
	uint32_t levels, drawn;
	uint64_t undrawn; /* in frames too narrow to draw, as node.total has it */
	int y;
	int err;
};

static void put_xml(struct page *page, const char *text)
{
	buf_clear(&page->text);
	if (text_xml(&page->text, text))
		page->err = -ENOMEM;
	fwrite(buf_text(&page->text), 1, page->text.len, page->out);
}

static double percent(const struct page *page, uint64_t part)
{
	uint64_t all = page->compare.root->total;

	return all ? 100.0 * (double)part / (double)all : 100.0;
}

static bool is_drawn(const struct page *page, const struct report_node *node)
{
	return !node->parent || (node->total && node->total >= page->compare.root->total / FINEST);
}

static int measure(struct page *page)
{
	const struct report_node *node = page->compare.root;
	uint32_t depth = 0;
	bool drawn;

	for (; node; node = walk_next(node, drawn, &depth)) {
		drawn = is_drawn(page, node);
		page->drawn += drawn;
		page->undrawn += drawn ? 0 : node->total;
		if (drawn && depth >= page->levels)
			page->levels = depth + 1;
	}
	if (page->compare.is_tested)
		page->compare.z = change_z(COMPARE_LEVEL / page->drawn);
	page->left = calloc((size_t)page->levels + 1, sizeof(*page->left));
	return page->left ? 0 : -ENOMEM;
}

/* How much of the larger share has come or gone: a third of it, two thirds, more. Without a test
 * (measured times) every change is one. */
static const char *colour(const struct page *page, const struct change *c)
{
	static const char *const more[] = { "d1", "d2", "d3" }, *const less[] = { "e1", "e2",
										  "e3" };
	double most = c->a > c->b ? c->a : c->b, part;
	int step;

	if (!c->diff || (page->compare.is_tested && !c->is_real))
		return "d0";
	part = fabs(c->diff) / most;
	step = part < 1.0 / 3 ? 0 : part < 2.0 / 3 ? 1 : 2;
	return c->diff > 0 ? more[step] : less[step];
}

static void make_label(struct page *page, const struct report_node *node)
{
	buf_clear(&page->raw);
	buf_str(&page->raw, node->func);
	if (node->file[0])
		buf_fmt(&page->raw, " (%s)", node->file);
	if (page->raw.err)
		page->err = -ENOMEM;
}

/* Cuts page->raw to `max` characters, the last of them an ellipsis. */
static void shorten(struct page *page, size_t max)
{
	struct buf *raw = &page->raw;
	size_t at, chars = 0, cut = 0;

	for (at = 0; at < raw->len; at++)
		if ((raw->data[at] & 0xc0) != 0x80 && chars++ == max - 1)
			cut = at;
	if (chars <= max)
		return;
	raw->len = cut;
	raw->data[cut] = '\0';
	buf_str(raw, "\xe2\x80\xa6");
}

static void put_title(struct page *page, const struct report_node *node, const struct change *c)
{
	FILE *out = page->out;

	fputs("<title>", out);
	put_xml(page, buf_text(&page->raw));
	fprintf(out, "\nA %.2f %%, B %.2f %%: %+.2f", 100 * c->a, 100 * c->b, 100 * c->diff);
	if (page->compare.is_tested)
		fprintf(out, " (%+.2f to %+.2f%s)", 100 * c->low, 100 * c->high,
			c->is_real ? "" : ": may be chance");
	if (node->path[0] && strcmp(node->path, node->file)) {
		fputc('\n', out);
		put_xml(page, node->path);
	}
	fputs("</title>", out);
}

static void put_frame(struct page *page, const struct report_node *node, uint32_t depth)
{
	struct change c = compare_node_change(&page->compare, (const struct compare_node *)node);
	double width = percent(page, node->total);
	double pixels = width / 100 * (WIDTH - 2 * MARGIN);
	uint64_t left = page->left[depth];
	FILE *out = page->out;
	size_t chars;

	fprintf(out, "<svg class=\"f %s%s\" role=\"treeitem\" aria-level=\"%" PRIu32 "\"%s",
		colour(page, &c), pixels < NARROW ? " n" : "", depth + 1,
		depth ? "" : " tabindex=\"0\"");
	fprintf(out, " x=\"%.4f%%\" y=\"%" PRIu32 "\" width=\"%.4f%%\" height=\"%d\"",
		left ? percent(page, left) : 0.0, depth * ROW, width, ROW_FILL);
	fprintf(out, " data-x=\"%" PRIu64 "\" data-n=\"%" PRIu64 "\">", left, node->total);
	make_label(page, node);
	put_title(page, node, &c);
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
	const struct report_node *node = page->compare.root;
	uint32_t depth = 0;
	bool drawn;

	fprintf(page->out, "<svg id=\"frames\" role=\"tree\" aria-label=\"Frames, callers above\"");
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

static void put_line_as(struct page *page, const char *class, const char *text)
{
	fprintf(page->out, "<text class=\"%s\" x=\"%d\" y=\"%d\">", class, MARGIN, page->y);
	put_xml(page, text);
	fputs("</text>\n", page->out);
	page->y += LINE;
}

static void put_line(struct page *page, const char *text)
{
	put_line_as(page, "line", text);
}

/* What the recordings leave out, losses first, and what this picture does. */
static void put_remarks(struct page *page)
{
	const struct report_remark *remark;
	const struct report *report;
	struct buf text;
	int turn, side;
	uint32_t i;

	buf_init(&text, TEXT_MAX_BYTES);
	for (turn = 0; turn < 4; turn++) {
		side = turn & 1;
		report = page->compare.report[side];
		for (i = 0; i < report->remark_cnt; i++) {
			remark = &report->remarks[i];
			if (!remark->count || remark->is_loss != (turn < 2))
				continue;
			buf_clear(&text);
			buf_fmt(&text, "%c: %s %s", 'A' + side,
				amount_bare(REPORT_SAMPLES, remark->count).text, remark->text);
			put_line_as(page, remark->is_loss ? "line loss" : "line", buf_text(&text));
		}
	}
	if (page->undrawn) {
		buf_clear(&text);
		buf_fmt(&text, "%.2f %% in frames narrower than %g %%: not drawn",
			percent(page, page->undrawn), 100.0 / FINEST);
		put_line(page, buf_text(&text));
	}
	buf_done(&text);
}

/* The root <svg> comes first and says how high all will be. */
static int header_lines(const struct page *page)
{
	int lines = HEADER_LINES + (page->undrawn != 0), side;
	const struct report *report;
	uint32_t i;

	for (side = 0; side < 2; side++) {
		report = page->compare.report[side];
		for (i = 0; i < report->remark_cnt; i++)
			lines += report->remarks[i].count != 0;
	}
	return lines;
}

static void put_side(struct page *page, int side)
{
	const struct report *report = page->compare.report[side];
	struct buf text;

	buf_init(&text, TEXT_MAX_BYTES);
	buf_fmt(&text, "%c: %s \xc2\xb7 %s \xc2\xb7 %.1f s \xc2\xb7 %s", 'A' + side,
		page->names[side], report->mode, (double)report->duration_ns / 1e9,
		amount_of(report->unit, report->samples).text);
	if (report->target_cnt)
		buf_fmt(&text, " \xc2\xb7 %s \xc2\xb7 %s", report->targets[0].python,
			report->targets[0].command);
	put_line(page, buf_text(&text));
	buf_done(&text);
}

static void put_legend(struct page *page)
{
	static const struct {
		const char *class, *text;
		int x;
	} legend[] = { { "d3", "larger share in B", 0 },
		       { "e3", "smaller share in B", 200 },
		       { "d0", "no change, or no more than chance", 410 } };
	size_t i;

	fputs("<g id=\"legend\">", page->out);
	for (i = 0; i < sizeof(legend) / sizeof(legend[0]); i++) {
		fprintf(page->out, "<g class=\"%s\"><rect x=\"%d\" y=\"%d\" width=\"12\"",
			legend[i].class, MARGIN + legend[i].x, page->y - 7);
		fprintf(page->out, " height=\"12\" rx=\"2\"/></g><text x=\"%d\" y=\"%d\">%s</text>",
			MARGIN + legend[i].x + 17, page->y + 3, legend[i].text);
	}
	fputs("</g>\n", page->out);
	page->y += LINE;
}

static void put_page(struct page *page)
{
	uint64_t height = 42 + (uint64_t)header_lines(page) * LINE + BAR +
			  (uint64_t)page->levels * ROW + MARGIN;
	FILE *out = page->out;

	fprintf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
	fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" id=\"uncoil\" width=\"%d\"", WIDTH);
	fprintf(out, " height=\"%" PRIu64 "\" viewBox=\"0 0 %d %" PRIu64 "\">\n", height, WIDTH,
		height);
	fprintf(out,
		"<title>uncoil: differential flame graph</title>\n<style><![CDATA[\n%s%s]]>"
		"</style>\n",
		flame_css, diff_css);
	fputs("<rect id=\"paper\" width=\"100%\" height=\"100%\"/>\n", out);
	page->y = 26;
	fprintf(out, "<text class=\"head\" x=\"%d\" y=\"%d\">", MARGIN, page->y);
	fputs("uncoil: differential flame graph</text>\n", out);
	page->y += 20;
	put_side(page, 0);
	put_side(page, 1);
	put_line(page, "A frame is as wide as the mean of its shares in A and in B.");
	put_line(page, page->compare.is_tested
			       ? "Intervals in a frame's details hold with 95 % for all frames "
				 "together, for independent samples."
			       : "Measured times: no test says which changes are chance.");
	put_remarks(page);
	put_legend(page);
	fprintf(out, "<g id=\"bar\" data-y=\"%d\" data-height=\"%d\">", page->y - 6, BAR - 4);
	fprintf(out, "<text class=\"line\" x=\"%d\" y=\"%d\">", MARGIN, page->y + 20);
	fputs("Open this file in a web browser to zoom, to search and to see details.", out);
	fputs("</text></g>\n", out);
	page->y += BAR - 4;
	put_frames(page);
	fprintf(out, "<script><![CDATA[\n%s]]></script>\n</svg>\n", flame_js);
}

int flame_diff_write(const struct compare *compare, const char *const names[2], FILE *out)
{
	struct page page = { .compare = *compare, .names = names, .out = out };

	buf_init(&page.raw, TEXT_MAX_BYTES);
	buf_init(&page.text, TEXT_MAX_BYTES);
	page.err = measure(&page);
	if (!page.err)
		put_page(&page);
	if (!page.err && ferror(out))
		page.err = -EIO;
	free(page.left);
	buf_done(&page.raw);
	buf_done(&page.text);
	return page.err;
}
