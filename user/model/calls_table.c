/* SPDX-License-Identifier: Apache-2.0 */
#include "model/calls_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/index.h"

#define KEY_MAX (4u << 20)

struct filling {
	struct call_table *table;
	struct call_about *about;
	const struct call_table_options *options;
	struct index keys;  /* of rows, by what tells them apart */
	struct index pairs; /* of rows: struct pair */
	struct edge {
		struct pair {
			uint32_t callee, caller; /* rows; UINT32_MAX: none */
		} pair;
		struct trace_edge sum;
	} * edges; /* by number of the pair */
	uint32_t row_cap, edge_cap;
};

/* Makes room for entry `cnt`. */
static int room(void **list, uint32_t *cap, uint32_t cnt, size_t size)
{
	uint32_t more = *cap ? 2 * *cap : 64;
	void *grown;

	if (cnt < *cap)
		return 0;
	grown = realloc(*list, more * size);
	if (!grown)
		return -ENOMEM;
	*list = grown;
	*cap = more;
	return 0;
}

static int row_of(struct filling *f, const struct call_func *func, uint32_t *ret_row)
{
	struct call_table *t = f->table;
	struct call_row *row;
	void *list = t->rows;
	struct buf key;
	bool fresh;
	int err;

	buf_init(&key, KEY_MAX);
	buf_add(&key, func->name, strlen(func->name) + 1);
	buf_add(&key, func->path, strlen(func->path) + 1);
	buf_add(&key, &func->line, sizeof(func->line));
	if (f->options->modules)
		buf_str(&key, func->module);
	*ret_row = index_of(&f->keys, buf_text(&key), key.len, &fresh);
	err = key.err || f->keys.err ? -ENOMEM : 0;
	buf_done(&key);
	if (err || !fresh)
		return err;
	err = room(&list, &f->row_cap, t->row_cnt, sizeof(struct call_row *));
	t->rows = list;
	row = err ? NULL : calloc(1, sizeof(*row));
	if (!row)
		return -ENOMEM;
	row->name = func->name;
	row->module = func->module;
	row->file = func->file;
	row->path = func->path;
	row->line = func->line;
	row->kind = func->kind;
	t->rows[t->row_cnt++] = row;
	return 0;
}

static int sum_take(void *ctx, const struct call_func *func, const struct trace_func *sum)
{
	struct filling *f = ctx;
	struct call_row *row;
	uint32_t at;
	int err, i;

	err = row_of(f, func, &at);
	if (err)
		return err;
	row = f->table->rows[at];
	for (i = 0; i < EV_BEGAN_MAX; i++) {
		row->began[i] += sum->began[i];
		row->calls += sum->began[i];
	}
	for (i = 0; i < EV_ENDED_MAX; i++)
		row->ended[i] += sum->ended[i];
	for (i = 0; i < TRACE_HIST; i++)
		row->hist[i] += sum->hist[i];
	row->self_ns += sum->self_ns;
	row->total_ns += sum->total_ns;
	row->max_ns = sum->max_ns > row->max_ns ? sum->max_ns : row->max_ns;
	row->primitive += sum->primitive;
	row->kids += sum->kids;
	row->extra_self += sum->extra_self;
	row->extra_total += sum->extra_total;
	row->below += sum->below;
	return 0;
}

static uint64_t less(uint64_t ns, uint64_t off)
{
	return ns > off ? ns - off : 0;
}

static int edge_take(void *ctx, const struct call_func *caller, const struct call_func *callee,
		     const struct trace_edge *sum)
{
	struct filling *f = ctx;
	struct pair pair = { .caller = UINT32_MAX };
	void *list = f->edges;
	struct edge *edge;
	uint32_t number;
	bool fresh;
	int err;

	err = row_of(f, callee, &pair.callee);
	if (!err && caller)
		err = row_of(f, caller, &pair.caller);
	if (err)
		return err;
	number = index_of(&f->pairs, &pair, sizeof(pair), &fresh);
	err = f->pairs.err ? -ENOMEM : room(&list, &f->edge_cap, number, sizeof(*f->edges));
	f->edges = list;
	if (err)
		return err;
	edge = &f->edges[number];
	if (fresh)
		*edge = (struct edge){ .pair = pair };
	edge->sum.calls += sum->calls;
	edge->sum.primitive += sum->primitive;
	edge->sum.self_ns += sum->self_ns;
	edge->sum.total_ns += sum->total_ns;
	edge->sum.below += sum->below;
	return 0;
}

static int by_callee(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	if (x->pair.callee != y->pair.callee)
		return (x->pair.callee > y->pair.callee) - (x->pair.callee < y->pair.callee);
	if (x->sum.calls != y->sum.calls)
		return (x->sum.calls < y->sum.calls) - (x->sum.calls > y->sum.calls);
	return (x->pair.caller > y->pair.caller) - (x->pair.caller < y->pair.caller);
}

static int callers_fill(struct filling *f)
{
	const struct call_about *a = f->about;
	uint64_t hits = a->begin_ns + a->end_ns;
	struct call_table *t = f->table;
	uint32_t i, cnt = f->pairs.cnt;
	struct call_caller *caller;
	const struct edge *edge;
	struct call_row *row;

	t->callers = calloc(cnt + 1, sizeof(*t->callers));
	if (!t->callers)
		return -ENOMEM;
	if (cnt)
		qsort(f->edges, cnt, sizeof(*f->edges), by_callee);
	for (i = 0; i < cnt; i++) {
		edge = &f->edges[i];
		row = t->rows[edge->pair.callee];
		caller = &t->callers[t->caller_cnt++];
		if (!row->caller_cnt++)
			row->callers = caller;
		*caller = (struct call_caller){
			.row = edge->pair.caller == UINT32_MAX ? NULL : t->rows[edge->pair.caller],
			.calls = edge->sum.calls,
			.primitive = edge->sum.primitive,
			.self_ns = edge->sum.self_ns,
			.total_ns = edge->sum.total_ns,
		};
		if (!t->compensated)
			continue;
		caller->total_ns =
			less(caller->total_ns,
			     edge->sum.below * hits + edge->sum.primitive * a->inside_ns);
	}
	return 0;
}

static void compensate(struct filling *f)
{
	const struct call_about *a = f->about;
	uint64_t hits = a->begin_ns + a->end_ns, self;
	uint32_t i, k;

	for (i = 0; i < f->table->row_cnt; i++) {
		struct call_row *row = f->table->rows[i];

		self = less(row->self_ns, row->kids * less(hits, a->inside_ns) +
						  row->calls * a->inside_ns + row->extra_self);
		for (k = 0; k < row->caller_cnt; k++)
			row->callers[k].self_ns *= row->self_ns ? (double)self / row->self_ns : 0;
		row->self_ns = self;
		row->total_ns =
			less(row->total_ns,
			     row->below * hits + row->primitive * a->inside_ns + row->extra_total);
		/* what is taken off is a mean: never more of the whole than of its part */
		if (row->total_ns < row->self_ns)
			row->total_ns = row->self_ns;
	}
}

static int by_self(const void *a, const void *b)
{
	const struct call_row *x = *(const struct call_row *const *)a;
	const struct call_row *y = *(const struct call_row *const *)b;
	int order;

	if (x->self_ns != y->self_ns)
		return (x->self_ns < y->self_ns) - (x->self_ns > y->self_ns);
	if (x->calls != y->calls)
		return (x->calls < y->calls) - (x->calls > y->calls);
	order = strcmp(x->path, y->path);
	if (!order)
		order = strcmp(x->name, y->name);
	return order ? order : (x->line > y->line) - (x->line < y->line);
}

struct call_table *call_table_new(struct calls *c, const struct call_table_options *options)
{
	struct filling f = { .options = options };
	int err;

	f.table = calloc(1, sizeof(*f.table));
	f.about = calls__about(c);
	index_init(&f.keys);
	index_init(&f.pairs);
	err = f.table && f.about ? calls__sums_each(c, sum_take, &f) : -ENOMEM;
	if (!err)
		err = calls__edges_each(c, edge_take, &f);
	if (!err) {
		f.table->compensated =
			options->compensate && (f.about->begin_ns || f.about->end_ns);
		err = callers_fill(&f);
	}
	if (!err && f.table->compensated)
		compensate(&f);
	if (!err && f.table->row_cnt)
		qsort(f.table->rows, f.table->row_cnt, sizeof(struct call_row *), by_self);
	index_done(&f.keys);
	index_done(&f.pairs);
	free(f.edges);
	call_about_free(f.about);
	if (!err)
		return f.table;
	call_table_free(f.table);
	return NULL;
}

void call_table_free(struct call_table *t)
{
	uint32_t i;

	if (!t)
		return;
	for (i = 0; i < t->row_cnt; i++)
		free(t->rows[i]);
	free(t->rows);
	free(t->callers);
	free(t);
}

uint64_t call_row_percentile(const struct call_row *row, double share)
{
	uint64_t cnt = 0, seen = 0, from, to;
	double rank, ns;
	int i;

	for (i = 0; i < TRACE_HIST; i++)
		cnt += row->hist[i];
	if (!cnt)
		return 0;
	rank = share * cnt;
	for (i = 0; i < TRACE_HIST - 1 && seen + row->hist[i] < rank; i++)
		seen += row->hist[i];
	from = trace_bucket_from(i);
	to = trace_bucket_from(i + 1);
	ns = from + (to - from) * (row->hist[i] ? (rank - seen) / row->hist[i] : 1);
	return row->max_ns && ns > row->max_ns ? row->max_ns : ns;
}
