/* SPDX-License-Identifier: Apache-2.0 */
/*
 * speedscope's own format (file-format-schema.json of the npm package; repository
 * jlfwong/speedscope, src/lib/file-format-spec.ts): a table of frames, and profiles of stacks with
 * weights.
 *
 *	{"$schema":"…","name":"…","profiles":[{"type":"sampled","name":"on-CPU","unit":"none",
 *	 "startValue":0,"endValue":42,"samples":[[0,1],[0,1,2]],"weights":[40,2]}],
 *	 "shared":{"frames":[{"name":"f","file":"app.py","line":3},…]},"uncoil":{…}}
 *
 * JSON objects have no order, so the profiles come first and the frames when all are known. With -t
 * each thread is a profile of its own, which speedscope shows one at a time. A profile of counts
 * says nothing of time, and its x axis is samples ("none"); the order is the tree's.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/index.h"
#include "base/text.h"
#include "sink/about.h"
#include "sink/frames.h"
#include "sink/sink.h"
#include "sink/walk.h"

#define TEXT_MAX_BYTES (8u << 20)

struct page {
	const struct report *report;
	FILE *out;
	struct buf raw, text;
	struct frames frames;
	uint32_t *path; /* frame numbers by depth */
	const char *before;
	int err;
};

static void put_string(struct page *page, const char *text)
{
	buf_clear(&page->text);
	if (text_json(&page->text, text))
		page->err = -ENOMEM;
	fwrite(buf_text(&page->text), 1, page->text.len, page->out);
}

/* The next node of the tree under `top` after `node`; depth is counted from top, 0. */
static const struct report_node *next_under(const struct report_node *top,
					    const struct report_node *node, uint32_t *depth)
{
	node = walk_next(node, true, depth);
	return (int32_t)*depth > 0 ? node : NULL; /* beside top is 0, above it is negative */
}

static void put_samples(struct page *page, const struct report_node *top)
{
	const struct report_node *node = top;
	const char *before = "";
	uint32_t depth = 0, i;

	for (; node; node = next_under(top, node, &depth)) {
		if (depth)
			page->path[depth] = frames_number(&page->frames, node);
		if (!node->self)
			continue;
		fprintf(page->out, "%s[", before);
		for (i = 1; i <= depth; i++)
			fprintf(page->out, "%s%" PRIu32, i > 1 ? "," : "", page->path[i]);
		fputc(']', page->out);
		before = ",";
	}
}

static void put_weights(struct page *page, const struct report_node *top)
{
	const struct report_node *node = top;
	const char *before = "";
	uint32_t depth = 0;

	for (; node; node = next_under(top, node, &depth)) {
		if (!node->self)
			continue;
		fprintf(page->out, "%s%" PRIu64, before, node->self);
		before = ",";
	}
}

static void put_profile(struct page *page, const struct report_node *top, const char *name)
{
	fprintf(page->out, "%s{\"type\":\"sampled\",\"name\":", page->before);
	page->before = ",";
	put_string(page, name);
	fprintf(page->out,
		",\"unit\":\"%s\",\"startValue\":0,\"endValue\":%" PRIu64 ",\"samples\":[",
		page->report->unit == REPORT_NS ? "nanoseconds" : "none", top->total);
	put_samples(page, top);
	fputs("],\n\"weights\":[", page->out);
	put_weights(page, top);
	fputs("]}", page->out);
}

static void put_profiles(struct page *page)
{
	const struct report_node *process = page->report->root->child, *thread;

	if (!process || process->kind != FRAME_PROCESS) {
		put_profile(page, page->report->root, page->report->mode);
		return;
	}
	for (; process; process = process->next)
		for (thread = process->child; thread; thread = thread->next) {
			buf_clear(&page->raw);
			buf_fmt(&page->raw, "%s, %s", process->func, thread->func);
			if (page->raw.err)
				page->err = -ENOMEM;
			put_profile(page, thread, buf_text(&page->raw));
		}
}

static int put_frame(void *ctx, const struct frame *frame)
{
	struct page *page = ctx;

	fprintf(page->out, "%s\n{\"name\":", page->before);
	page->before = ",";
	put_string(page, frame->func);
	if (frame->file[0]) {
		fputs(",\"file\":", page->out);
		put_string(page, frame->file);
	}
	if (frame->line > 0)
		fprintf(page->out, ",\"line\":%" PRId32, frame->line);
	if (frame->column > 0)
		fprintf(page->out, ",\"col\":%" PRId32, frame->column);
	fputc('}', page->out);
	return page->err;
}

static void put_page(struct page *page)
{
	fputs("{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\"exporter\":"
	      "\"uncoil " UNCOIL_VERSION "\",\"name\":",
	      page->out);
	buf_clear(&page->raw);
	if (about_title(page->report, &page->raw))
		page->err = -ENOMEM;
	put_string(page, buf_text(&page->raw));
	fputs(",\"activeProfileIndex\":0,\"profiles\":[\n", page->out);
	page->before = "";
	put_profiles(page);
	fputs("],\n\"shared\":{\"frames\":[", page->out);
	page->before = "";
	frames_each(&page->frames, put_frame, page);
	fputs("]},\n\"uncoil\":", page->out);
	if (about_json(page->report, page->out))
		page->err = -ENOMEM;
	fputs("}\n", page->out);
}

static int speedscope_write(const struct report *report, FILE *out)
{
	struct page page = { .report = report, .out = out };

	buf_init(&page.raw, TEXT_MAX_BYTES);
	buf_init(&page.text, TEXT_MAX_BYTES);
	frames_init(&page.frames);
	page.path = calloc((size_t)walk_levels(report->root) + 1, sizeof(*page.path));
	if (page.path)
		put_page(&page);
	else
		page.err = -ENOMEM;
	if (frames_err(&page.frames))
		page.err = -ENOMEM;
	if (!page.err && ferror(out))
		page.err = -EIO;
	free(page.path);
	frames_done(&page.frames);
	buf_done(&page.raw);
	buf_done(&page.text);
	return page.err;
}

const struct sink sink_speedscope = {
	.name = "speedscope",
	.suffixes = ".speedscope.json",
	.what = "for speedscope.app: one profile, or one a thread with -t",
	.write = speedscope_write,
};
