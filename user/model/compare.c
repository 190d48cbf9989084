/* SPDX-License-Identifier: Apache-2.0 */
#include "model/compare.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/buf.h"
#include "model/rank.h"

#define KEY_MAX (1u << 20)

struct merged {
	struct compare_node compare; /* first: a node is its merged one */
	UT_hash_handle hh;
	char key[]; /* parent, kind, line, func, NUL, file, NUL */
};

struct built {
	struct compare compare;
	struct rank *rank;
	struct merged *nodes;
	struct buf key;
};

struct key_head {
	const struct merged *parent;
	int32_t kind, line;
};

static struct merged *merged_of(struct built *b, struct merged *parent,
				const struct report_node *like)
{
	struct key_head head;
	struct merged *m;

	memset(&head, 0, sizeof(head)); /* padding is part of the key */
	head.parent = parent;
	head.kind = like->kind;
	head.line = like->line;
	buf_clear(&b->key);
	buf_add(&b->key, &head, sizeof(head));
	buf_add(&b->key, like->func, strlen(like->func) + 1);
	buf_add(&b->key, like->file, strlen(like->file) + 1);
	if (b->key.err)
		return NULL;
	HASH_FIND(hh, b->nodes, b->key.data, b->key.len, m);
	if (m)
		return m;
	m = calloc(1, sizeof(*m) + b->key.len);
	if (!m)
		return NULL;
	memcpy(m->key, b->key.data, b->key.len);
	m->compare.node = *like;
	m->compare.node.self = m->compare.node.total = 0;
	m->compare.node.child = m->compare.node.next = NULL;
	m->compare.node.parent = parent ? &parent->compare.node : NULL;
	HASH_ADD_KEYPTR(hh, b->nodes, m->key, b->key.len, m);
	if (!m->hh.tbl) {
		free(m);
		return NULL;
	}
	if (parent) {
		m->compare.node.next = parent->compare.node.child;
		parent->compare.node.child = &m->compare.node;
	}
	return m;
}

static int merge(struct built *b, int side, const struct report *report)
{
	const struct report_node *node = report->root;
	struct merged *at = NULL, *up = NULL;

	for (;;) {
		at = merged_of(b, up, node);
		if (!at)
			return -ENOMEM;
		at->compare.self[side] += node->self;
		at->compare.total[side] += node->total;
		if (!b->compare.root)
			b->compare.root = &at->compare.node;
		if (node->child) {
			up = at;
			node = node->child;
			continue;
		}
		while (!node->next) {
			node = node->parent;
			if (!node)
				return 0;
			up = (struct merged *)up->compare.node.parent;
		}
		node = node->next;
	}
}

/* x of n as a part of COMPARE_WHOLE, rounded down: the parts never make more than the whole. */
static uint64_t part(uint64_t x, uint64_t n)
{
	return n ? (uint64_t)((__uint128_t)x * COMPARE_WHOLE / n) : 0;
}

static int heaviest_first(const void *x, const void *y)
{
	const struct report_node *a = *(struct report_node *const *)x;
	const struct report_node *b = *(struct report_node *const *)y;
	int order = (a->total < b->total) - (a->total > b->total);

	if (!order)
		order = strcmp(a->func, b->func);
	if (!order)
		order = strcmp(a->file, b->file);
	if (!order)
		order = (int)a->kind - (int)b->kind;
	return order ? order : (a->line > b->line) - (a->line < b->line);
}

static int sort_children(struct report_node *node)
{
	struct report_node **list, *child;
	size_t cnt = 0, i;

	for (child = node->child; child; child = child->next)
		cnt++;
	if (cnt < 2)
		return 0;
	list = calloc(cnt, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (child = node->child, i = 0; child; child = child->next)
		list[i++] = child;
	qsort(list, cnt, sizeof(*list), heaviest_first);
	node->child = list[0];
	for (i = 0; i < cnt; i++)
		list[i]->next = i + 1 < cnt ? list[i + 1] : NULL;
	free(list);
	return 0;
}

static int weigh(struct built *b)
{
	uint64_t all[2] = { b->compare.report[0]->root->total, b->compare.report[1]->root->total };
	struct compare_node *c;
	struct merged *m;
	int err = 0;

	for (m = b->nodes; m; m = m->hh.next) {
		c = &m->compare;
		c->node.self = part(c->self[0], all[0]) + part(c->self[1], all[1]);
		c->node.total = part(c->total[0], all[0]) + part(c->total[1], all[1]);
	}
	for (m = b->nodes; m && !err; m = m->hh.next)
		err = sort_children(&m->compare.node);
	return err;
}

static struct change change(const struct compare *c, uint64_t a, uint64_t b)
{
	return change_of(a, c->report[0]->root->total, b, c->report[1]->root->total, c->z);
}

struct change compare_node_change(const struct compare *c, const struct compare_node *node)
{
	return change(c, node->total[0], node->total[1]);
}

static int largest_first(const void *x, const void *y)
{
	const struct compare_row *a = x, *b = y;
	double left = fabs(a->self.diff), right = fabs(b->self.diff);
	int order = (left < right) - (left > right);

	if (!order) {
		left = fabs(a->total.diff);
		right = fabs(b->total.diff);
		order = (left < right) - (left > right);
	}
	if (!order)
		order = strcmp(a->func, b->func);
	return order ? order : strcmp(a->file, b->file);
}

static int rows_make(struct built *b)
{
	struct compare *c = &b->compare;
	struct rank_row *const *rows;
	uint32_t cnt, i;
	int err;

	err = rank_put(b->rank, 0, c->report[0]);
	if (!err)
		err = rank_put(b->rank, 1, c->report[1]);
	if (err)
		return err;
	rows = rank_rows(b->rank, &cnt);
	c->rows = calloc(cnt ? cnt : 1, sizeof(*c->rows));
	if (!c->rows)
		return -ENOMEM;
	c->row_cnt = cnt;
	/* Bonferroni's: looked at so many times, each must be so much less likely by chance */
	if (c->is_tested)
		c->z = change_z(COMPARE_LEVEL / (cnt ? cnt : 1));
	for (i = 0; i < cnt; i++) {
		c->rows[i] = (struct compare_row){
			.kind = rows[i]->kind,
			.func = rows[i]->func,
			.file = rows[i]->file,
			.self_count = { rows[i]->at[0].self, rows[i]->at[1].self },
			.total_count = { rows[i]->at[0].total, rows[i]->at[1].total },
			.self = change(c, rows[i]->at[0].self, rows[i]->at[1].self),
			.total = change(c, rows[i]->at[0].total, rows[i]->at[1].total),
		};
		c->self_real += c->rows[i].self.is_real;
		c->total_real += c->rows[i].total.is_real;
	}
	qsort(c->rows, cnt, sizeof(*c->rows), largest_first);
	return 0;
}

struct compare *compare_new(const struct report *a, const struct report *b)
{
	struct built *built = calloc(1, sizeof(*built));

	if (!built)
		return NULL;
	buf_init(&built->key, KEY_MAX);
	built->compare.report[0] = a;
	built->compare.report[1] = b;
	built->compare.is_tested = a->unit == REPORT_SAMPLES;
	built->rank = rank_new(RANK_FUNCTION);
	if (!built->rank || merge(built, 0, a) || merge(built, 1, b) || weigh(built) ||
	    rows_make(built)) {
		compare_free(&built->compare);
		return NULL;
	}
	return &built->compare;
}

void compare_free(struct compare *c)
{
	struct built *built = (struct built *)c;
	struct merged *m, *next;

	if (!built)
		return;
	HASH_ITER (hh, built->nodes, m, next) {
		HASH_DEL(built->nodes, m);
		free(m);
	}
	buf_done(&built->key);
	rank_free(built->rank);
	free(c->rows);
	free(built);
}
