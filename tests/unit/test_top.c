/* SPDX-License-Identifier: Apache-2.0 */
/* What top shows, without a terminal: ranks, keys, screens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "cmd/top_view.h"
#include "model/rank.h"
#include "unit/report_fixture.h"

/* main -> f -> f -> g, f -> [mark]; g under another file */
static struct fixture *sample(uint64_t times)
{
	struct fixture *f = fixture_new(16);
	struct report_node *main_, *one, *two;

	main_ = FRAME(f, f->report.root, FRAME_APP, "main", "app.py", 1, 1 * times);
	one = FRAME(f, main_, FRAME_APP, "f", "app.py", 5, 2 * times);
	two = FRAME(f, one, FRAME_APP, "f", "app.py", 6, 3 * times);
	FRAME(f, two, FRAME_LIBRARY, "g", "lib.py", 9, 4 * times);
	FRAME(f, main_, FRAME_MARK, "[name not read]", "", 0, 10 * times);
	return f;
}

static const struct rank_row *row_of(const struct rank *rank, const char *func, int32_t line)
{
	struct rank_row *const *rows;
	uint32_t cnt, i;

	rows = rank_rows(rank, &cnt);
	for (i = 0; i < cnt; i++)
		if (!strcmp(rows[i]->func, func) && rows[i]->line == line)
			return rows[i];
	fail_msg("there is no row %s:%d", func, line);
	return NULL;
}

static void test_rank(void **state)
{
	struct rank *functions = rank_new(RANK_FUNCTION), *lines = rank_new(RANK_LINE),
		    *files = rank_new(RANK_FILE);
	struct fixture *f = sample(1), *g = sample(10);
	const struct rank_row *row;
	uint32_t cnt;

	assert_int_equal(rank_put(functions, 0, &f->report), 0);
	assert_int_equal(rank_put(functions, 1, &g->report), 0);
	assert_int_equal(rank_sum(functions, 0), 20);
	assert_int_equal(rank_sum(functions, 1), 200);
	rank_rows(functions, &cnt);
	assert_int_equal(cnt, 4);
	/* a recursion counts once */
	row = row_of(functions, "f", 0);
	assert_int_equal(row->at[0].self, 5);
	assert_int_equal(row->at[0].total, 9);
	assert_int_equal(row->at[1].self, 50);
	assert_int_equal(row->at[1].total, 90);
	row = row_of(functions, "main", 0);
	assert_int_equal(row->at[0].total, 20);
	/* a column is replaced */
	assert_int_equal(rank_put(functions, 1, &f->report), 0);
	assert_int_equal(row->at[1].total, 20);

	assert_int_equal(rank_put(lines, 0, &f->report), 0);
	row = row_of(lines, "f", 5);
	assert_int_equal(row->at[0].self, 2);
	assert_int_equal(row->at[0].total, 9);
	row = row_of(lines, "f", 6);
	assert_int_equal(row->at[0].self, 3);
	assert_int_equal(row->at[0].total, 7);

	assert_int_equal(rank_put(files, 0, &f->report), 0);
	rank_rows(files, &cnt);
	assert_int_equal(cnt, 3);
	row = row_of(files, "[name not read]", 0);
	assert_int_equal(row->at[0].self, 10);
	rank_free(functions);
	rank_free(lines);
	rank_free(files);
	free(f);
	free(g);
}

static void test_rank_threads(void **state)
{
	struct rank *rank = rank_new(RANK_THREAD);
	struct fixture *f = sample(1);
	struct report_thread threads[] = { { 1, 1, "one", 7 }, { 1, 2, "python3", 3 } };
	struct rank_row *const *rows;
	uint32_t cnt;

	f->report.threads = threads;
	f->report.thread_cnt = 2;
	assert_int_equal(rank_put(rank, 0, &f->report), 0);
	/* a name that is learnt later makes no new row */
	threads[1].name = "two";
	threads[1].samples = 5;
	assert_int_equal(rank_put(rank, 1, &f->report), 0);
	rows = rank_rows(rank, &cnt);
	assert_int_equal(cnt, 2);
	assert_string_equal(rows[1]->func, "two");
	assert_int_equal(rows[1]->at[0].self, 3);
	assert_int_equal(rows[1]->at[1].self, 5);
	rank_free(rank);
	free(f);
}

/* Two threads that wait for one lock, in two functions; one is asleep too, and uses the CPU. */
static struct fixture *waiting(void)
{
	static const char *const names[] = { "thread 8 (one)", "thread 9 (two)" };
	struct fixture *f = fixture_new(32);
	struct report_node *process, *thread, *at;
	int i;

	process = FRAME(f, f->report.root, FRAME_PROCESS, "process 7 (py)", "", 0, 0);
	process->id = 7;
	for (i = 0; i < 2; i++) {
		thread = FRAME(f, process, FRAME_THREAD, names[i], "", 0, 0);
		thread->id = 8 + i;
		thread->name = i ? "two" : "one";
		at = FRAME(f, thread, FRAME_APP, "main", "app.py", 1 + i, 0);
		FRAME(f, at, FRAME_WAIT, "[lock]", "", 0, 1000000);
		at = FRAME(f, at, FRAME_LIBRARY, "get", "queue.py", 20, i ? 500000 : 0);
		FRAME(f, at, FRAME_WAIT, "[lock]", "", 0, 3000000);
		if (i)
			FRAME(f, at, FRAME_WAIT, "[sleep]", "", 0, 1500000);
	}
	f->report.unit = REPORT_NS;
	return f;
}

static void test_rank_waits(void **state)
{
	struct rank *by[RANK_BY_MAX];
	struct rank_row *const *rows;
	const struct rank_row *row;
	struct fixture *f = waiting();
	uint32_t cnt;
	int i;

	for (i = 0; i < RANK_BY_MAX; i++) {
		by[i] = rank_new(i);
		rank_waits_apart(by[i]);
		assert_int_equal(rank_put(by[i], 0, &f->report), 0);
		assert_int_equal(rank_sum(by[i], 0), 10000000);
	}
	row = row_of(by[RANK_FUNCTION], "[lock] in get", 0);
	assert_string_equal(row->file, "queue.py");
	assert_int_equal(row->at[0].self, 6000000);
	assert_int_equal(row->at[0].total, 6000000);
	assert_int_equal(row_of(by[RANK_FUNCTION], "[lock] in main", 0)->at[0].self, 2000000);
	assert_int_equal(row_of(by[RANK_FUNCTION], "main", 0)->at[0].total, 10000000);
	assert_int_equal(row_of(by[RANK_FUNCTION], "main", 0)->at[0].self, 0);
	assert_int_equal(row_of(by[RANK_FUNCTION], "get", 0)->at[0].self, 500000);
	assert_int_equal(row_of(by[RANK_LINE], "[lock] in main", 2)->at[0].self, 1000000);
	rows = rank_rows(by[RANK_FILE], &cnt);
	assert_int_equal(cnt, 5);
	assert_int_equal(row_of(by[RANK_FILE], "[sleep]", 0)->at[0].self, 1500000);
	rows = rank_rows(by[RANK_THREAD], &cnt);
	assert_int_equal(cnt, 5);
	for (i = 0; i < (int)cnt && rows[i]->tid != 9; i++)
		;
	assert_string_equal(rows[i]->func, "two");
	assert_int_equal(rows[i]->at[0].total, 6000000);
	assert_int_equal(rows[i]->at[0].self, 500000); /* on the CPU */
	row = row_of(by[RANK_THREAD], "[sleep]", 0);
	assert_ptr_equal(row->thread, rows[i]);
	assert_int_equal(row->at[0].self, 1500000);
	for (i = 0; i < RANK_BY_MAX; i++)
		rank_free(by[i]);
	free(f);
}

static const struct top_head head = { .target = "pid 1 python3 \x1b[2J app.py",
				      .how = "on-CPU, 99 Hz",
				      .seconds = 12,
				      .samples = 20,
				      .waits = 30 };

/* The n-th line of a screen, without its closing; "" if there is none. Owned by the caller. */
static char *screen_line(struct top_view *v, int rows, int cols, int n)
{
	struct buf out;
	char *text, *end, *copy;
	int i;

	buf_init(&out, 1 << 20);
	assert_int_equal(top_view__draw(v, &head, rows, cols, &out), 0);
	text = out.data;
	for (i = 0; i < n && (text = strstr(text, "\r\n")); i++)
		text += 2;
	copy = strdup(text ? text : "");
	end = strstr(copy, "\x1b[K");
	if (end)
		*end = '\0';
	buf_done(&out);
	return copy;
}

static void assert_line(struct top_view *v, int n, const char *want)
{
	char *line = screen_line(v, 24, 80, n);

	assert_string_equal(line, want);
	free(line);
}

static void keys(struct top_view *v, const char *text)
{
	for (; *text; text++)
		assert_true(top_view__key(v, (unsigned char)*text));
}

static void view_start(struct top_view *v, uint64_t times)
{
	struct fixture *f = sample(times);

	assert_int_equal(top_view__init(v, RECORD_CPU), 0);
	assert_int_equal(top_view__refresh(v, &f->report, 1), 0);
	free(f);
}

#define MARK_ROW "           50.0%  50.0% |     50.0%  50.0%       10  [name not read]"
#define F_ROW    "           25.0%  45.0% |     25.0%  45.0%        5  f (app.py)"
#define G_ROW    "           20.0%  20.0% |     20.0%  20.0%        4  g (lib.py)"
#define MAIN_ROW "            5.0% 100.0% |      5.0% 100.0%        1  main (app.py)"

static void test_screen(void **state)
{
	struct top_view v;

	view_start(&v, 1);
	assert_line(&v, 0, "\x1b[1muncoil top  pid 1 python3 \\x1b[2J app.py\x1b[m");
	assert_line(&v, 1, "on-CPU, 99 Hz  12 s  20 samples, 0 lost  by function, sorted by self");
	assert_line(&v, 4, MARK_ROW);
	assert_line(&v, 5, F_ROW);
	assert_line(&v, 6, G_ROW);
	assert_line(&v, 7, MAIN_ROW);
	assert_line(&v, 8, "");
	keys(&v, "t");
	assert_line(&v, 4, MAIN_ROW);
	keys(&v, "r");
	assert_line(&v, 4, G_ROW);
	keys(&v, "n");
	assert_line(&v, 4, MARK_ROW);
	assert_line(&v, 5, F_ROW);
	keys(&v, "2");
	assert_line(&v, 5, "           10.0%  45.0% |     10.0%  45.0%        2  f (app.py:5)");
	keys(&v, "4s");
	assert_line(&v, 4, MARK_ROW);
	assert_line(&v, 5, "           30.0% 100.0% |     30.0% 100.0%        6  app.py");
	keys(&v, "\t\t\t3");
	assert_line(&v, 4, "no samples yet: no thread has used the CPU");
	top_view__done(&v);
}

static void test_screen_of_waits(void **state)
{
	struct fixture *f = waiting();
	struct top_view v;

	assert_int_equal(top_view__init(&v, RECORD_OFFCPU), 0);
	assert_line(&v, 4,
		    "no waits yet: no thread has waited, unless for work to come (-i shows that)");
	assert_int_equal(top_view__refresh(&v, &f->report, 1), 0);
	assert_line(&v, 1, "on-CPU, 99 Hz  12 s  30 waits, 0 lost  by function, sorted by self");
	assert_line(
		&v, 4,
		"           60.0%  60.0% |     60.0%  60.0%  6.000 ms  [lock] in get (queue.py)");
	assert_line(
		&v, 5,
		"           20.0%  20.0% |     20.0%  20.0%  2.000 ms  [lock] in main (app.py)");
	keys(&v, "2t");
	assert_line(&v, 4,
		    "            5.0%  80.0% |      5.0%  80.0%  500.0 us  get (queue.py:20)");
	keys(&v, "3s/two\r");
	assert_line(
		&v, 4,
		"           40.0%  40.0% |     40.0%  40.0%  4.000 ms  [lock] in two (thread 9 o\xe2\x80\xa6");
	assert_true(top_view__key(&v, KEY_ESCAPE));
	keys(&v, "?");
	assert_line(
		&v, 13,
		"\"[lock] in f\": what f waits for, itself; self: for how long. total: that f was \xe2\x80\xa6");
	top_view__done(&v);
	free(f);
}

static void test_recent(void **state)
{
	struct fixture *f = sample(1);
	struct report_node *more;
	struct top_view v;
	int i;

	view_start(&v, 1);
	/* then nothing but g, 20 of it */
	more = f->report.root->child->child->child->child;
	assert_string_equal(more->func, "g");
	more->self += 20;
	for (; more; more = more->parent)
		more->total += 20;
	for (i = 0; i < 5; i++)
		assert_int_equal(top_view__refresh(&v, &f->report, 2 + i), 0);
	assert_line(&v, 4, "          100.0% 100.0% |     60.0%  60.0%       24  g (lib.py)");
	assert_line(&v, 5, "            0.0% 100.0% |     12.5%  72.5%        5  f (app.py)");
	/* and then nothing at all */
	for (i = 0; i < 20; i++)
		assert_int_equal(top_view__refresh(&v, &f->report, 7 + i), 0);
	assert_line(&v, 4, "            0.0%   0.0% |     60.0%  60.0%       24  g (lib.py)");
	keys(&v, "S");
	assert_line(&v, 5, "            0.0%   0.0% |     25.0%  25.0%       10  [name not read]");
	top_view__done(&v);
	free(f);
}

static void test_filter(void **state)
{
	struct top_view v;

	view_start(&v, 1);
	keys(&v, "/APP");
	assert_line(&v, 4, F_ROW);
	assert_line(&v, 5, MAIN_ROW);
	assert_line(&v, 6, "");
	keys(&v, "q\x7f\r"); /* a letter like any, and taken back */
	assert_false(v.quit);
	assert_line(&v, 4, F_ROW);
	keys(&v, "/nothing");
	assert_line(&v, 4, "nothing has such a name");
	assert_true(top_view__key(&v, KEY_ESCAPE)); /* as it was before */
	assert_line(&v, 4, F_ROW);
	assert_true(top_view__key(&v, KEY_ESCAPE)); /* none at all */
	assert_line(&v, 4, MARK_ROW);
	keys(&v, "/\xc3\xa9\xc3\xa9\x7f"); /* a whole character goes */
	assert_string_equal(v.filter, "\xc3\xa9");
	keys(&v, "\x15\r");
	assert_string_equal(v.filter, "");
	keys(&v, "/");
	for (int i = 0; i < 500; i++)
		keys(&v, "x");
	assert_int_equal(strlen(v.filter), TOP_FILTER_MAX);
	keys(&v, "\r");
	assert_false(top_view__key(&v, 'z'));
	assert_false(top_view__key(&v, 0));
	assert_false(top_view__key(&v, 0xff));
	keys(&v, "?");
	assert_line(&v, 4, "1 2 3 4    by function, line, thread, file; Tab: the next of them");
	keys(&v, "z "); /* the first only closes the help */
	assert_true(v.paused);
	keys(&v, "q");
	assert_true(v.quit);
	top_view__done(&v);
}

static void test_scroll(void **state)
{
	struct top_view v;
	char *line;

	view_start(&v, 1);
	line = screen_line(&v, 7, 80, 4); /* two rows of four */
	assert_string_equal(line, MARK_ROW);
	free(line);
	top_view__key(&v, KEY_DOWN);
	line = screen_line(&v, 7, 80, 4);
	assert_string_equal(line, F_ROW);
	free(line);
	keys(&v, "jjjjj");
	line = screen_line(&v, 7, 80, 5);
	assert_string_equal(line, MAIN_ROW);
	free(line);
	/* a larger window shows what was above */
	assert_line(&v, 4, MARK_ROW);
	free(screen_line(&v, 7, 80, 4));
	top_view__key(&v, KEY_END);
	assert_int_equal(v.first, 2);
	top_view__key(&v, KEY_HOME);
	top_view__key(&v, KEY_PAGE_DOWN);
	assert_int_equal(v.first, 2);
	top_view__key(&v, KEY_PAGE_UP);
	top_view__key(&v, KEY_UP);
	assert_int_equal(v.first, 0);
	top_view__done(&v);
}

/* No line is wider than the screen, and there are never more than it has, however small it is. */
static void test_sizes(void **state)
{
	struct top_view v;
	int rows, cols, lines;
	struct buf out;
	char *at;

	view_start(&v, 1000000);
	for (rows = 1; rows < 12; rows++)
		for (cols = 1; cols < 100; cols += 7) {
			buf_init(&out, 1 << 20);
			v.help = cols & 1;
			assert_int_equal(top_view__draw(&v, &head, rows, cols, &out), 0);
			lines = 1;
			for (at = out.data; (at = strstr(at, "\r\n")); at += 2)
				lines++;
			assert_in_range(lines, 1, rows);
			buf_done(&out);
		}
	top_view__done(&v);
}

static void fit(const char *text, size_t cols, const char *want, size_t want_cols)
{
	struct buf out;

	buf_init(&out, 1024);
	assert_int_equal(text_fit(&out, text, cols), want_cols);
	assert_string_equal(buf_text(&out), want);
	buf_done(&out);
}

static void test_fit(void **state)
{
	fit("abc", 3, "abc", 3);
	fit("abcd", 3, "ab\xe2\x80\xa6", 3);
	fit("abcd", 1, "\xe2\x80\xa6", 1);
	fit("abcd", 0, "", 0);
	fit("", 5, "", 0);
	fit("a\x1b[2J", 80, "a\\x1b[2J", 8);
	/* wide, combining, broken */
	fit("\xe6\xbc\xa2\xe5\xad\x97", 4, "\xe6\xbc\xa2\xe5\xad\x97", 4);
	fit("\xe6\xbc\xa2\xe5\xad\x97", 3, "\xe6\xbc\xa2\xe2\x80\xa6", 3);
	fit("e\xcc\x81x", 2, "e\xcc\x81x", 2);
	fit("a\xff", 2, "a\xef\xbf\xbd", 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rank),
		cmocka_unit_test(test_rank_threads),
		cmocka_unit_test(test_screen),
		cmocka_unit_test(test_rank_waits),
		cmocka_unit_test(test_screen_of_waits),
		cmocka_unit_test(test_recent),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_scroll),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
