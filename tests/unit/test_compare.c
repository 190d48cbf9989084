/* SPDX-License-Identifier: Apache-2.0 */
/* Two recordings side by side: shares, intervals, the merged tree, its picture. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/compare.h"
#include "sink/flame_diff.h"
#include "unit/report_fixture.h"

static void near(double got, double want)
{
	if (fabs(got - want) > 0.00006)
		fail_msg("%f, not %f", got, want);
}

static void test_z(void **state)
{
	near(change_z(0.05), 1.95996);
	near(change_z(0.01), 2.57583);
	near(change_z(0.05 / 1000), 4.05563);
}

/* Newcombe's own examples, table II, method 10 */
static void test_intervals(void **state)
{
	static const struct {
		uint64_t xb, nb, xa, na;
		double low, high;
	} examples[] = {
		{ 56, 70, 48, 80, 0.0524, 0.3339 }, { 9, 10, 3, 10, 0.1705, 0.8090 },
		{ 6, 7, 2, 7, 0.0582, 0.8062 },     { 5, 56, 0, 29, -0.0381, 0.1926 },
		{ 0, 10, 0, 20, -0.1611, 0.2775 },  { 0, 10, 0, 10, -0.2775, 0.2775 },
		{ 10, 10, 0, 20, 0.6791, 1.0000 },  { 10, 10, 0, 10, 0.6075, 1.0000 },
	};
	struct change c;
	size_t i;

	for (i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		c = change_of(examples[i].xa, examples[i].na, examples[i].xb, examples[i].nb,
			      change_z(0.05));
		near(c.low, examples[i].low);
		near(c.high, examples[i].high);
		assert_int_equal(c.is_real, c.low > 0);
		/* and the other way round */
		c = change_of(examples[i].xb, examples[i].nb, examples[i].xa, examples[i].na,
			      change_z(0.05));
		near(c.high, -examples[i].low);
	}
	c = change_of(0, 0, 5, 5, 2);
	assert_false(c.is_real);
}

static const struct compare_row *row_of(const struct compare *c, const char *func)
{
	uint32_t i;

	for (i = 0; i < c->row_cnt; i++)
		if (!strcmp(c->rows[i].func, func))
			return &c->rows[i];
	fail_msg("there is no %s", func);
	return NULL;
}

/* main -> hot, main -> rest; `extra` below main only if it is not 0 */
static struct fixture *recording(uint64_t hot, uint64_t rest, uint64_t extra)
{
	struct fixture *f = fixture_new(8);
	struct report_node *main_ = FRAME(f, f->report.root, FRAME_APP, "main", "app.py", 0, 0);

	FRAME(f, main_, FRAME_APP, "hot", "app.py", 0, hot);
	FRAME(f, main_, FRAME_LIBRARY, "rest", "lib.py", 0, rest);
	if (extra)
		FRAME(f, main_, FRAME_STDLIB, "new</title><script>", "x\x1b.py", 0, extra);
	return f;
}

static void test_rows(void **state)
{
	struct fixture *a = recording(500, 500, 0), *b = recording(2000, 7000, 1000);
	struct compare *c = compare_new(&a->report, &b->report);
	const struct compare_row *row;

	assert_non_null(c);
	assert_int_equal(c->row_cnt, 4);
	assert_string_equal(c->rows[0].func, "hot"); /* the largest change first */
	near(c->rows[0].self.a, 0.5);
	near(c->rows[0].self.b, 0.2);
	near(c->rows[0].self.diff, -0.3);
	assert_true(c->rows[0].self.is_real);
	row = row_of(c, "new</title><script>");
	near(row->self.diff, 0.1);
	assert_int_equal(row->self_count[0], 0);
	assert_int_equal(row->self_count[1], 1000);
	row = row_of(c, "main");
	near(row->total.diff, 0);
	assert_false(row->total.is_real);
	assert_int_equal(c->self_real, 3);
	compare_free(c);
	free(a);
	free(b);
}

static void test_tree(void **state)
{
	struct fixture *a = recording(1, 2, 0), *b = recording(5, 0, 2);
	struct compare *c = compare_new(&a->report, &b->report);
	const struct report_node *root = c->root, *node;
	uint64_t sum = 0;

	assert_int_equal(root->total, 2 * COMPARE_WHOLE);
	assert_string_equal(root->child->func, "main");
	assert_null(root->child->next);
	assert_string_equal(root->child->child->func, "hot"); /* 1/3 + 5/7 */
	for (node = root->child->child; node; node = node->next) {
		assert_true(!node->next || node->total >= node->next->total);
		assert_ptr_equal(node->parent, root->child);
		sum += node->total;
	}
	/* never more than the whole, and less by rounding only */
	assert_in_range(sum, 2 * COMPARE_WHOLE - 6, 2 * COMPARE_WHOLE);
	compare_free(c);
	free(a);
	free(b);
}

/* A generator of its own, so that the draws are the same everywhere (Marsaglia's xorshift64). */
static uint64_t draw(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

#define FUNCTIONS 40
#define PAIRS     200

static struct fixture *drawn(uint64_t *seed, uint32_t samples, uint32_t more_of_first)
{
	static char names[FUNCTIONS][8];
	struct fixture *f = fixture_new(FUNCTIONS);
	uint64_t counts[FUNCTIONS] = {};
	uint32_t i, at;

	for (i = 0; i < samples; i++) {
		at = draw(seed) % (FUNCTIONS + more_of_first);
		counts[at < FUNCTIONS ? at : 0]++;
	}
	for (i = 0; i < FUNCTIONS; i++) {
		snprintf(names[i], sizeof(names[i]), "f%u", i);
		FRAME(f, f->report.root, FRAME_APP, names[i], "a.py", 0, counts[i]);
	}
	return f;
}

/* Equal programs: among 40 functions one or more are called changed in 5 % of the comparisons at
 * the most. A program in which one function has grown: found nearly always, and hardly ever
 * another. */
static void test_chance(void **state)
{
	uint64_t seed = 88172645463325252ULL;
	int pair, wrong = 0, found = 0, others = 0;
	struct fixture *a, *b;
	struct compare *c;
	bool is_first;
	uint32_t i;

	for (pair = 0; pair < PAIRS; pair++) {
		a = drawn(&seed, 2000, 0);
		b = drawn(&seed, 1000, 0);
		c = compare_new(&a->report, &b->report);
		wrong += c->self_real > 0;
		compare_free(c);
		free(b);
		b = drawn(&seed, 1000, 4);
		c = compare_new(&a->report, &b->report);
		for (i = 0; i < c->row_cnt; i++) {
			is_first = !strcmp(c->rows[i].func, "f0");
			found += is_first && c->rows[i].self.is_real;
			others += !is_first && c->rows[i].self.is_real;
		}
		compare_free(c);
		free(a);
		free(b);
	}
	assert_in_range(wrong, 0, PAIRS / 10);
	assert_in_range(found, PAIRS * 9 / 10, PAIRS);
	assert_in_range(others, 0, PAIRS / 10);
}

static void test_picture(void **state)
{
	static const char *const names[2] = { "a</title>", "b\x1b" };
	static const struct report_remark of_a[] = { { 12, "samples <of> a", false } },
					  of_b[] = { { 34, "samples of b", false },
						     { 56, "samples lost", true } };
	struct fixture *a = recording(50000, 50000, 0), *b = recording(2000, 7000, 1000);
	struct compare *c;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	FRAME(a, a->report.root, FRAME_APP, "splinter", "a.py", 0, 12);
	a->report.remarks = of_a;
	a->report.remark_cnt = 1;
	b->report.remarks = of_b;
	b->report.remark_cnt = 2;
	c = compare_new(&a->report, &b->report);

	assert_int_equal(flame_diff_write(c, names, out), 0);
	fclose(out);
	assert_non_null(strstr(text, "hot (app.py)\nA 49.99 %, B 20.00 %: -29.99 ("));
	assert_non_null(strstr(text, "class=\"f e2\"")); /* hot: 3/5 of it have gone */
	assert_non_null(strstr(text, "class=\"f d3\"")); /* what is new */
	assert_non_null(strstr(text, "class=\"f d0\"")); /* main */
	assert_non_null(strstr(text, "new&lt;/title&gt;&lt;script&gt; (x\\x1b.py)"));
	assert_non_null(strstr(text, "A: a&lt;/title&gt;"));
	assert_non_null(strstr(text, "\"line loss\" x=\"10\" y=\"114\">B: 56 samples lost<"));
	assert_non_null(strstr(text, "\"line\" x=\"10\" y=\"131\">A: 12 samples &lt;of&gt; a<"));
	assert_non_null(strstr(text, "y=\"148\">B: 34 samples of b<"));
	assert_non_null(
		strstr(text, "y=\"165\">0.01 % in frames narrower than 0.01 %: not drawn<"));
	assert_non_null(strstr(text, "<svg id=\"frames\" role=\"tree\" aria-label=\"Frames, "
				     "callers above\" x=\"10\" y=\"267\""));
	assert_non_null(strstr(text, "height=\"331\"")); /* 267, three levels, a margin */
	assert_null(strstr(text, "splinter"));
	assert_null(strstr(text, "\x1b"));
	assert_null(strstr(text, "title><script>"));
	free(text);
	/* a disk that is full */
	out = fopen("/dev/full", "w");
	setvbuf(out, NULL, _IONBF, 0);
	assert_int_equal(flame_diff_write(c, names, out), -EIO);
	fclose(out);
	compare_free(c);
	free(a);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_z),      cmocka_unit_test(test_intervals),
		cmocka_unit_test(test_rows),   cmocka_unit_test(test_tree),
		cmocka_unit_test(test_chance), cmocka_unit_test(test_picture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
