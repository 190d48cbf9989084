/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/about.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "model/report.h"
#include "sink/amount.h"

#define LINE_MAX_BYTES (1u << 20)
#define LEAST          0.0001
#define SHARE_CPU_MIN  250000000 /* ns: a share of less says nothing */

static uint64_t lost(const struct report *report)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < report->remark_cnt; i++)
		sum += report->remarks[i].is_loss ? report->remarks[i].count : 0;
	return sum;
}

static void add_clean(struct buf *line, const char *text)
{
	text_clean(line, text, strlen(text));
}

struct lines {
	struct buf buf;
	int (*fn)(void *ctx, const char *line);
	void *ctx;
	int stop;
};

static void line_end(struct lines *l)
{
	if (!l->stop)
		l->stop = l->buf.err ? -ENOMEM : l->fn(l->ctx, buf_text(&l->buf));
	buf_clear(&l->buf);
}

static void remark_lines(struct lines *l, const struct report *report, bool loss)
{
	const struct report_remark *remark;
	uint32_t i;

	for (i = 0; i < report->remark_cnt; i++) {
		remark = &report->remarks[i];
		if (remark->is_loss != loss || !remark->count)
			continue;
		buf_fmt(&l->buf, "%s: %" PRIu64 " ", loss ? "lost" : "remark", remark->count);
		add_clean(&l->buf, remark->text);
		line_end(l);
	}
}

/* Two digits that count, however small. */
static void add_percent(struct buf *out, double share)
{
	double percent = share * 100;

	if (share < LEAST)
		buf_str(out, "less than 0.01 %");
	else
		buf_fmt(out, percent < 9.95 ? "%.2g %%" : "%.0f %%", percent);
}

/* Two digits: an estimate has no more. */
static void add_time(struct buf *out, uint64_t ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = { { "s", 1e9 }, { "ms", 1e6 }, { "us", 1e3 } };
	double n;
	int i = 0;

	while (i < 2 && ns < units[i].ns)
		i++;
	n = ns / units[i].ns;
	buf_fmt(out, n < 99.5 ? "%.2g %s" : "%.0f %s", n, units[i].unit);
}

static void add_each(struct buf *out, uint64_t count, const char *one, const char *many,
		     uint64_t ns)
{
	if (!count)
		return;
	buf_fmt(out, "%s %s of ", amount_bare(REPORT_SAMPLES, count).text, count == 1 ? one : many);
	add_time(out, ns);
	buf_str(out, ", ");
}

bool about_has_share(const struct report *report)
{
	return report->overhead.known && report->overhead.cpu_ns >= SHARE_CPU_MIN;
}

int about_overhead(const struct report *report, struct buf *out)
{
	const struct report_overhead *o = &report->overhead;
	bool is_share = about_has_share(report);

	if (!o->known)
		return 0;
	if (is_share) {
		buf_str(out, o->share < LEAST ? "" : "about ");
		add_percent(out, o->share);
		buf_str(out, " of the processes' ");
	} else {
		buf_str(out, "not worth a share of the processes' ");
	}
	add_time(out, o->cpu_ns);
	buf_str(out, " of CPU time (estimated: ");
	add_each(out, o->ticks, "tick", "ticks", o->tick_ns);
	add_each(out, o->switches, "switch", "switches", o->switch_ns);
	add_time(out, o->own_ns);
	buf_str(out, " of uncoil's own");
	if (o->start_ns) {
		buf_str(out, "; ");
		add_time(out, o->start_ns);
		buf_str(out, " to start");
	}
	buf_str(out, ")");
	if (o->ticks && !o->bare_known)
		buf_str(out, "; without the timer's interrupt, which could not be measured");
	if (!is_share)
		return out->err;
	if (o->worst > 0) {
		buf_str(out, "; worst 5 s: ");
		add_percent(out, o->worst);
	}
	if (o->bound > 0 && o->share > o->bound)
		buf_fmt(out, "; more than --max-overhead %g", o->bound * 100);
	return out->err;
}

int about_lines(const struct report *report, int (*fn)(void *ctx, const char *line), void *ctx)
{
	struct lines l = { .fn = fn, .ctx = ctx };
	const struct report_target *target;
	uint32_t i;

	buf_init(&l.buf, LINE_MAX_BYTES);
	buf_str(&l.buf, "uncoil: ");
	add_clean(&l.buf, report->mode);
	if (report->rate_hz)
		buf_fmt(&l.buf, ", %" PRIu32 " Hz per thread", report->rate_hz);
	buf_fmt(&l.buf, ", %.1f s", (double)report->duration_ns / 1e9);
	line_end(&l);
	for (i = 0; i < report->target_cnt; i++) {
		target = &report->targets[i];
		buf_fmt(&l.buf, "pid %" PRId32 ", ", target->pid);
		add_clean(&l.buf, target->python);
		buf_str(&l.buf, ": ");
		add_clean(&l.buf, target->command);
		line_end(&l);
	}
	buf_str(&l.buf, amount_of(report->unit, report->samples).text);
	line_end(&l);
	if (report->overhead.known) {
		buf_str(&l.buf, "overhead: ");
		about_overhead(report, &l.buf);
		line_end(&l);
	}
	remark_lines(&l, report, true);
	if (!lost(report)) {
		buf_str(&l.buf, "nothing was lost");
		line_end(&l);
	}
	remark_lines(&l, report, false);
	buf_done(&l.buf);
	return l.stop;
}

int about_title(const struct report *report, struct buf *out)
{
	add_clean(out, report->mode);
	if (report->target_cnt) {
		buf_fmt(out, ", pid %" PRId32 " ", report->targets[0].pid);
		add_clean(out, report->targets[0].command);
	}
	if (report->target_cnt > 1)
		buf_fmt(out, " and %" PRIu32 " more", report->target_cnt - 1);
	buf_fmt(out, ", %s", amount_of(report->unit, report->samples).text);
	if (lost(report))
		buf_fmt(out, ", %" PRIu64 " lost", lost(report));
	return out->err;
}

struct json {
	FILE *out;
	struct buf text;
	const char *before; /* the next element */
};

static void put_string(struct json *json, const char *text)
{
	buf_clear(&json->text);
	text_json(&json->text, text);
	fputs(buf_text(&json->text), json->out);
}

static int put_line(void *ctx, const char *line)
{
	struct json *json = ctx;

	fputs(json->before, json->out);
	json->before = ",";
	put_string(json, line);
	return json->text.err;
}

int about_json(const struct report *report, FILE *out)
{
	struct json json = { .out = out, .before = "" };
	const struct report_remark *remark;
	const char *before = "";
	uint32_t i;
	int err;

	buf_init(&json.text, 8 * LINE_MAX_BYTES);
	fputs("{\"version\":\"" UNCOIL_VERSION "\",\"mode\":", out);
	put_string(&json, report->mode);
	fprintf(out,
		",\"unit\":\"%s\",\"samples\":%" PRIu64 ",\"rateHz\":%" PRIu32
		",\"durationNs\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"remarks\":[",
		report->unit == REPORT_NS ? "nanoseconds" : "samples", report->samples,
		report->rate_hz, report->duration_ns, lost(report));
	for (i = 0; i < report->remark_cnt; i++) {
		remark = &report->remarks[i];
		if (!remark->count)
			continue;
		fprintf(out, "%s{\"count\":%" PRIu64 ",\"text\":", before, remark->count);
		put_string(&json, remark->text);
		fprintf(out, ",\"loss\":%s}", remark->is_loss ? "true" : "false");
		before = ",";
	}
	fputs("],\"about\":[", out);
	err = about_lines(report, put_line, &json);
	fputs("]}", out);
	if (!err)
		err = json.text.err;
	buf_done(&json.text);
	return err ? -ENOMEM : 0;
}
