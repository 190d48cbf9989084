/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "sink/amount.h"
#include "sink/json.h"
#include "sink/sink.h"

#define LINE_MAX_BYTES (1u << 20)

const struct trace_sink *const trace_sinks[] = {
	&trace_perfetto, &trace_chrome, &trace_jsonl, &trace_pstats, &trace_stats, &trace_json, NULL
};

const char *trace_sink_names(void)
{
	static char names[128];
	size_t i, len = 0;

	for (i = 0; trace_sinks[i]; i++)
		len += snprintf(names + len, sizeof(names) - len, "%s%s", i ? ", " : "",
				trace_sinks[i]->name);
	return names;
}

const struct trace_sink *trace_sink_by_name(const char *name)
{
	size_t i;

	for (i = 0; trace_sinks[i]; i++)
		if (!strcmp(trace_sinks[i]->name, name))
			return trace_sinks[i];
	return NULL;
}

const struct trace_sink *trace_sink_by_suffix(const char *path)
{
	const struct trace_sink *found = NULL;
	size_t i, len, longest = 0;

	for (i = 0; trace_sinks[i]; i++) {
		len = sink_suffix_of(path, trace_sinks[i]->suffixes);
		if (len > longest) {
			longest = len;
			found = trace_sinks[i];
		}
	}
	return found;
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

static void add_clean(struct buf *line, const char *text)
{
	text_clean(line, text, strlen(text));
}

static void filter_line(struct lines *l, const struct call_about *a)
{
	if (!a->min_ns && !a->depth)
		return;
	buf_str(&l->buf, "filtered: calls");
	if (a->min_ns)
		buf_fmt(&l->buf, " of %s and more", amount_bare(REPORT_NS, a->min_ns).text);
	if (a->depth)
		buf_fmt(&l->buf, "%s up to depth %" PRIu32, a->min_ns ? "," : "", a->depth);
	line_end(l);
}

int trace_overhead(const struct call_about *a, struct buf *out)
{
	buf_fmt(out, "slowed down by about %.3g %% (estimated)", a->slowdown * 100);
	if (!a->bound)
		return buf_str(out, "; no bound was set");
	if (a->worst > 0)
		buf_fmt(out, ", in the worst 5 s by %.3g %%", a->worst * 100);
	if (a->windows != 1)
		buf_fmt(out, "; %" PRIu64 " windows, to stay below --max-overhead %g", a->windows,
			a->bound * 100);
	if (a->slowdown > a->bound)
		buf_fmt(out, "; more than --max-overhead %g", a->bound * 100);
	return out->err;
}

static void account_lines(struct lines *l, const struct call_about *a)
{
	uint32_t i;

	if (a->has_account) {
		buf_str(&l->buf, "overhead: ");
		trace_overhead(a, &l->buf);
		line_end(l);
	}
	if (a->let_go) {
		buf_str(&l->buf, "let go: ");
		add_clean(&l->buf, a->let_go);
		line_end(l);
	}
	for (i = 0; i < a->unfitted_cnt; i++) {
		buf_str(&l->buf, "no thread matches '");
		add_clean(&l->buf, a->unfitted[i]);
		buf_str(&l->buf, "'");
		line_end(l);
	}
}

static void remark_lines(struct lines *l, const struct call_about *a, bool loss)
{
	uint32_t i;

	for (i = 0; i < a->remark_cnt; i++) {
		if (a->remarks[i].is_loss != loss)
			continue;
		buf_fmt(&l->buf, "%s: %" PRIu64 " %s", loss ? "lost" : "remark",
			a->remarks[i].count, a->remarks[i].text);
		line_end(l);
	}
}

int trace_about_lines(const struct call_about *a, int (*fn)(void *ctx, const char *line), void *ctx)
{
	struct lines l = { .fn = fn, .ctx = ctx };
	uint32_t i;

	buf_init(&l.buf, LINE_MAX_BYTES);
	buf_str(&l.buf, "uncoil: ");
	add_clean(&l.buf, a->method);
	buf_fmt(&l.buf, ", %.1f s", a->duration_ns / 1e9);
	line_end(&l);
	if (a->traced_ns < a->duration_ns) {
		buf_fmt(&l.buf, "traced: %.1f %% of the time (%.1f s)",
			100.0 * a->traced_ns / a->duration_ns, a->traced_ns / 1e9);
		line_end(&l);
	}
	account_lines(&l, a);
	filter_line(&l, a);
	for (i = 0; i < a->target_cnt; i++) {
		buf_fmt(&l.buf, "pid %" PRId32 ", ", a->targets[i].pid);
		add_clean(&l.buf, a->targets[i].python);
		buf_str(&l.buf, ": ");
		add_clean(&l.buf, a->targets[i].command);
		line_end(&l);
	}
	buf_fmt(&l.buf, "%s calls of %s functions", amount_bare(REPORT_SAMPLES, a->calls).text,
		amount_bare(REPORT_SAMPLES, a->funcs).text);
	line_end(&l);
	remark_lines(&l, a, true);
	if (!a->lost) {
		buf_str(&l.buf, "nothing was lost");
		line_end(&l);
	}
	remark_lines(&l, a, false);
	buf_done(&l.buf);
	return l.stop;
}

static void put_remarks(struct json *j, const char *name, const struct call_about *a, bool loss)
{
	const char *before = "{";
	uint32_t i;

	fprintf(j->out, ",\"%s\":", name);
	for (i = 0; i < a->remark_cnt; i++) {
		if (a->remarks[i].is_loss != loss)
			continue;
		json_field_uint(j, before, a->remarks[i].text, a->remarks[i].count);
		before = ",";
	}
	fputs(*before == '{' ? "{}" : "}", j->out);
}

static void put_account(struct json *j, const struct call_about *a)
{
	uint32_t i;

	if (!a->has_account)
		return;
	fprintf(j->out,
		",\"overhead\":{\"slowdown\":%.6g,\"worst\":%.6g,\"bound\":%.6g,"
		"\"windows\":%" PRIu64,
		a->slowdown, a->worst, a->bound, a->windows);
	if (a->let_go)
		json_field_str(j, ",", "let_go", a->let_go);
	fputs("},\"threads_unmatched\":[", j->out);
	for (i = 0; i < a->unfitted_cnt; i++) {
		fputs(i ? "," : "", j->out);
		json_str(j, a->unfitted[i]);
	}
	fputc(']', j->out);
}

void trace_about_json(struct json *j, const char *before, const struct call_about *a)
{
	uint32_t i;

	json_field_str(j, before, "method", a->method);
	fprintf(j->out,
		",\"start_ns\":%" PRIu64 ",\"start_unix_ns\":%" PRId64 ",\"duration_ns\":%" PRIu64
		",\"traced_ns\":%" PRIu64 ",\"share\":%.6g",
		a->start_ns, a->start_unix_ns, a->duration_ns, a->traced_ns,
		a->duration_ns ? (double)a->traced_ns / a->duration_ns : 1.0);
	json_field_uint(j, ",", "min_duration_ns", a->min_ns);
	json_field_uint(j, ",", "depth", a->depth);
	json_field_uint(j, ",", "calls", a->calls);
	json_field_uint(j, ",", "functions", a->funcs);
	json_field_uint(j, ",", "begin_cost_ns", a->begin_ns);
	json_field_uint(j, ",", "end_cost_ns", a->end_ns);
	json_field_uint(j, ",", "inside_cost_ns", a->inside_ns);
	put_account(j, a);
	fputs(",\"targets\":[", j->out);
	for (i = 0; i < a->target_cnt; i++) {
		fprintf(j->out, "%s{\"pid\":%" PRId32, i ? "," : "", a->targets[i].pid);
		json_field_str(j, ",", "python", a->targets[i].python);
		json_field_str(j, ",", "command", a->targets[i].command);
		fputc('}', j->out);
	}
	fputc(']', j->out);
	put_remarks(j, "lost", a, true);
	put_remarks(j, "remarks", a, false);
	fputs(",\"stats\":{", j->out);
	for (i = 0; i < a->stat_cnt; i++)
		json_field_uint(j, i ? "," : "", a->stats[i].text, a->stats[i].count);
	fputc('}', j->out);
}

int trace_compensation(const struct call_about *a, bool compensated, struct buf *out)
{
	if (!a->begin_ns && !a->end_ns)
		return buf_str(out, "what the probes cost is in the times: it was not measured");
	if (!compensated)
		return buf_fmt(out,
			       "what the probes cost, %" PRIu64
			       " ns a call, is in the times (--no-compensate)",
			       a->begin_ns + a->end_ns);
	return buf_fmt(out,
		       "self and total are without what the probes cost: %" PRIu64
		       " ns at a begin, %" PRIu64 " ns at an end, %" PRIu64
		       " ns of it within the call; p50, p99 and max are as measured",
		       a->begin_ns, a->end_ns, a->inside_ns);
}
