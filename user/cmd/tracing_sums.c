/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tracing_sums.h"

#include <string.h>

#include "base/buf.h"
#include "cmd/tracing.h"
#include "cmd/tracing_threads.h"
#include "model/record.h"
#include "probe/tracer.h"

struct summing {
	struct buf record;
	record_put_fn put;
	void *ctx;
	enum record_type type;
};

/* One more into the record, which goes when it is full. */
static int add(struct summing *s, const void *data, size_t len)
{
	int code = 0;

	if (s->record.len + len > RECORD_LEN_MAX / 2) {
		code = s->put(s->ctx, s->type, s->record.data, s->record.len);
		buf_clear(&s->record);
	}
	return code ? code : buf_add(&s->record, data, len);
}

static int flush(struct summing *s)
{
	int code = s->record.err;

	if (!code && s->record.len)
		code = s->put(s->ctx, s->type, s->record.data, s->record.len);
	buf_clear(&s->record);
	return code;
}

static int on_sum(void *ctx, uint32_t func, const struct trace_func *sum)
{
	struct record_sum record = { .func = func, .sum = *sum };

	return add(ctx, &record, sizeof(record));
}

static int on_edge(void *ctx, const struct trace_edge_key *key, const struct trace_edge *sum)
{
	struct record_edge record = { .key = *key, .sum = *sum };

	return add(ctx, &record, sizeof(record));
}

/* What a hit cost: the breakpoint as it was calibrated, and the program as it was timed meanwhile. */
static void costs_fill(const struct tracing *t, struct record_trace_stats *r)
{
	uint64_t timed = r->stat[TRACE_STAT_TIMED], program_ns;

	if (!t->has_cost || !timed)
		return;
	program_ns = r->stat[TRACE_STAT_TIMED_NS] / timed;
	r->begin_ns = r->end_ns = t->cost.emulated_ns + program_ns;
	/* the way out of the one breakpoint and the way into the other */
	r->inside_ns = t->cost.emulated_ns;
}

static uint32_t millionths(double share)
{
	return share <= 0 ? 0 : share < 4000 ? share * 1e6 : 4000000000U;
}

static void string_add(struct buf *record, const char *text)
{
	uint32_t len = strlen(text);

	buf_add(record, &len, sizeof(len));
	buf_add(record, text, len);
}

/* How it went: what it cost, and what became of children. */
static int account_put(struct tracing *t, record_put_fn put, void *ctx)
{
	struct governor_account g = governor_account(&t->governor);
	struct record_trace_account account = {
		.bound = t->options.max_overhead,
		.slowdown = millionths(g.slowdown),
		.worst = millionths(g.worst),
		.windows = g.windows,
		.cost_ns = g.cost_ns,
		.late = t->kin.late,
		.gap_ns = t->kin.gap_ns,
		.gap_sum_ns = t->kin.gap_sum_ns,
		.missed = t->kin.missed,
		.unknown = t->kin.unknown,
		.refused = t->kin.refused,
		.full = t->kin.full,
		.threads_late = tracing_threads_late(t),
	};
	struct buf record;
	uint32_t i;
	int code;

	buf_init(&record, RECORD_LEN_MAX);
	buf_add(&record, &account, sizeof(account));
	string_add(&record, t->let_go ? governor_why(&t->governor) : "");
	for (i = 0; i < t->options.only_cnt; i++)
		if (!tracing_threads_fitted(t, i))
			string_add(&record, t->options.only[i]);
	code = record.err;
	if (!code)
		code = put(ctx, RECORD_TRACE_ACCOUNT, record.data, record.len);
	buf_done(&record);
	return code;
}

int tracing_sums(struct tracing *t, record_put_fn put, void *ctx)
{
	struct record_trace_stats stats = {
		.duration_ns = t->first_ns ? t->stop_ns - t->first_ns : 0,
		.traced_ns = t->traced_ns,
	};
	struct summing s = { .put = put, .ctx = ctx, .type = RECORD_SUMS };
	int code;

	buf_init(&s.record, RECORD_LEN_MAX);
	code = tracer__sums(t->tracer, on_sum, &s);
	if (!code)
		code = flush(&s);
	s.type = RECORD_EDGES;
	if (!code && t->options.edges)
		code = tracer__edges(t->tracer, on_edge, &s);
	if (!code)
		code = flush(&s);
	buf_done(&s.record);
	if (stats.traced_ns > stats.duration_ns)
		stats.duration_ns = stats.traced_ns;
	tracer__stats(t->tracer, stats.stat);
	costs_fill(t, &stats);
	if (!code)
		code = account_put(t, put, ctx);
	return code ? code : put(ctx, RECORD_TRACE_STATS, &stats, sizeof(stats));
}
