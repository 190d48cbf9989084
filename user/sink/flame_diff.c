/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The differential flame graph: the merged tree of two recordings, on the page of page.c.
 *
 * A frame is as wide as the mean of its two shares, so that what has gone is seen as well as what
 * is new. Its colour is what has become of its share: red is more, blue is less, the stronger the
 * larger the part of it that changed; grey is no more than chance would make it, among as many
 * frames as are drawn.
 */
#include "sink/flame_diff.h"

#include <math.h>

#include "base/buf.h"
#include "model/compare.h"
#include "sink/amount.h"
#include "sink/page.h"

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

struct diff {
	struct page page;
	struct compare compare; /* with the z of as many tests as frames are drawn */
	const char *const *names;
	struct change change; /* of the frame that is being drawn */
};

/* How much of the larger share has come or gone: a third of it, two thirds, more. Without a test
 * (measured times) every change is one. */
static const char *colour(const struct diff *d, const struct change *c)
{
	static const char *const more[] = { "d1", "d2", "d3" }, *const less[] = { "e1", "e2",
										  "e3" };
	double most = c->a > c->b ? c->a : c->b, part;
	int step;

	if (!c->diff || (d->compare.is_tested && !c->is_real))
		return "d0";
	part = fabs(c->diff) / most;
	step = part < 1.0 / 3 ? 0 : part < 2.0 / 3 ? 1 : 2;
	return c->diff > 0 ? more[step] : less[step];
}

static void frame_class(void *ctx, const struct report_node *node, struct buf *out)
{
	struct diff *d = ctx;

	d->change = compare_node_change(&d->compare, (const struct compare_node *)node);
	buf_str(out, colour(d, &d->change));
}

static void frame_details(void *ctx, const struct report_node *node)
{
	struct diff *d = ctx;
	const struct change *c = &d->change;

	fprintf(d->page.out, "A %.2f %%, B %.2f %%: %+.2f", 100 * c->a, 100 * c->b, 100 * c->diff);
	if (d->compare.is_tested)
		fprintf(d->page.out, " (%+.2f to %+.2f%s)", 100 * c->low, 100 * c->high,
			c->is_real ? "" : ": may be chance");
}

static const struct page_look look = { frame_class, frame_details };

/* What the recordings leave out, losses first, and what this picture does. */
static void put_remarks(struct diff *d)
{
	static const char *const prefixes[] = { "A: ", "B: " };
	struct page *page = &d->page;
	int turn;

	for (turn = 0; turn < 4; turn++)
		page_remarks(page, d->compare.report[turn & 1], turn < 2, prefixes[turn & 1]);
	if (!page->undrawn)
		return;
	page_open(page, "line");
	fprintf(page->out, "%.2f %% in frames narrower than %g %%: not drawn",
		page_percent(page, page->undrawn), page_finest());
	page_close(page);
}

/* The root <svg> comes first and says how high all will be. */
static int header_lines(const struct diff *d)
{
	int lines = HEADER_LINES + (d->page.undrawn != 0), side;
	const struct report *report;
	uint32_t i;

	for (side = 0; side < 2; side++) {
		report = d->compare.report[side];
		for (i = 0; i < report->remark_cnt; i++)
			lines += report->remarks[i].count != 0;
	}
	return lines;
}

static void put_side(struct diff *d, int side)
{
	const struct report *report = d->compare.report[side];
	struct buf text;

	buf_init(&text, TEXT_MAX_BYTES);
	buf_fmt(&text, "%c: %s \xc2\xb7 %s \xc2\xb7 %.1f s \xc2\xb7 %s", 'A' + side, d->names[side],
		report->mode, (double)report->duration_ns / 1e9,
		amount_of(report->unit, report->samples).text);
	if (report->target_cnt)
		buf_fmt(&text, " \xc2\xb7 %s \xc2\xb7 %s", report->targets[0].python,
			report->targets[0].command);
	page_line(&d->page, buf_text(&text));
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

	page_legend_open(page);
	for (i = 0; i < sizeof(legend) / sizeof(legend[0]); i++)
		page_legend(page, legend[i].class, PAGE_MARGIN + legend[i].x, legend[i].text);
	page_legend_close(page);
}

static void put_page(struct diff *d)
{
	static const char name[] = "uncoil: differential flame graph";
	struct page *page = &d->page;

	page_begin(page, header_lines(d), 0, name, name, diff_css);
	put_side(d, 0);
	put_side(d, 1);
	page_line(page, "A frame is as wide as the mean of its shares in A and in B.");
	page_line(page, d->compare.is_tested
				? "Intervals in a frame's details hold with 95 % for all frames "
				  "together, for independent samples."
				: "Measured times: no test says which changes are chance.");
	put_remarks(d);
	put_legend(page);
	page_frames(page, &look, d);
	page_end(page);
}

int flame_diff_write(const struct compare *compare, const char *const names[2], FILE *out)
{
	struct diff d = { .compare = *compare, .names = names };

	/* its numbers are parts of the whole, whatever was recorded */
	if (!page_init(&d.page, compare->root, REPORT_SAMPLES, out)) {
		if (compare->is_tested)
			d.compare.z = change_z(COMPARE_LEVEL / d.page.drawn);
		put_page(&d);
	}
	return page_done(&d.page);
}
