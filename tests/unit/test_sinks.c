/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sink/amount.h"
#include "sink/sink.h"
#include "unit/report_fixture.h"

#define BAD "\xef\xbf\xbd" /* U+FFFD */

static char *written(const struct sink *sink, const struct fixture *f)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(sink->write(&f->report, out), 0);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(strlen(text), len); /* no NUL in any output */
	return text;
}

static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in:\n%s", part, text);
}

static void assert_lacks(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("\"%s\" in:\n%s", part, text);
}

static size_t occurrences(const char *text, const char *part)
{
	size_t cnt = 0;

	for (text = strstr(text, part); text; text = strstr(text + strlen(part), part))
		cnt++;
	return cnt;
}

static void table(void **state)
{
	assert_ptr_equal(sink_by_name("flame"), &sink_flame);
	assert_ptr_equal(sink_by_name("folded"), &sink_folded);
	assert_ptr_equal(sink_by_name("summary"), &sink_summary);
	assert_null(sink_by_name(""));
	assert_null(sink_by_name("flam"));
	assert_ptr_equal(sink_by_suffix("a/b.svg"), &sink_flame);
	assert_ptr_equal(sink_by_suffix("x.folded"), &sink_folded);
	assert_ptr_equal(sink_by_suffix("x.svg.collapsed"), &sink_folded);
	assert_ptr_equal(sink_by_suffix(".txt"), &sink_summary);
	assert_null(sink_by_suffix(""));
	assert_null(sink_by_suffix("svg"));
	assert_null(sink_by_suffix("x.sv"));
	assert_null(sink_by_suffix("x.folded .collapsed/y"));
	assert_null(sink_by_suffix("x.svg/"));
}

static struct fixture *small(void)
{
	struct fixture *f = fixture_new(20);
	struct report_node *n;

	n = FRAME(f, f->report.root, FRAME_APP, "<module>", "app.py", 3, 0);
	n = FRAME(f, n, FRAME_LIBRARY, "Server.run", "lib/server.py", 41, 2);
	FRAME(f, n, FRAME_STDLIB, "loads", "json.py", 0, 5);
	FRAME(f, n, FRAME_MARK, "[truncated]", "", 0, 1);
	FRAME(f, f->report.root, FRAME_APP, "tail", "app.py", 9, 2);
	return f;
}

static void folded_lines(void **state)
{
	struct fixture *f = small();
	char *text = written(&sink_folded, f);

	assert_string_equal(text,
			    "<module> (app.py:3);Server.run (lib/server.py:41) 2\n"
			    "<module> (app.py:3);Server.run (lib/server.py:41);loads (json.py) 5\n"
			    "<module> (app.py:3);Server.run (lib/server.py:41);[truncated] 1\n"
			    "tail (app.py:9) 2\n");
	free(text);
	free(f);
}

static void folded_hostile(void **state)
{
	struct fixture *f = fixture_new(20);
	struct report_node *n;
	char *text;

	n = FRAME(f, f->report.root, FRAME_APP, "a;b 1\nc", "x;y\x1b[0m.py", 1, 0);
	FRAME(f, n, FRAME_APP, "</script>&\xff", "\xe8\xa8\x88.py", 2, 3);
	FRAME(f, f->report.root, FRAME_APP, "\xf0\x9f\x90\x8d\xe2\x90\x80\xe2\x80\xae", "", 7, 1);
	text = written(&sink_folded, f);
	assert_string_equal(text, "a\\x3bb 1\\x0ac (x\\x3by\\x1b[0m.py:1);</script>&" BAD
				  " (\xe8\xa8\x88.py:2) 3\n"
				  "\xf0\x9f\x90\x8d\xe2\x90\x80\\u202e 1\n");
	free(text);
	free(f);
}

static void folded_root_and_empty(void **state)
{
	struct fixture *f = fixture_new(1);
	char *text = written(&sink_folded, f);

	assert_string_equal(text, "");
	free(text);
	f->nodes[0].self = f->nodes[0].total = 4;
	text = written(&sink_folded, f);
	assert_string_equal(text, "[no frame] 4\n");
	free(text);
	free(f);
}

/* A stack of 20,000 frames must not end in recursion, or in quadratic time. */
static void deep(void **state)
{
	struct fixture *f = fixture_new(20000);
	struct report_node *n = f->report.root;
	char *text;
	int i;

	for (i = 0; i < 20000; i++) {
		n->child = &f->nodes[i + 1];
		*n->child = (struct report_node){ .kind = FRAME_APP,
						  .func = "f",
						  .file = "",
						  .path = "",
						  .parent = n,
						  .total = 9 };
		n = n->child;
	}
	n->self = f->nodes[0].total = f->report.samples = 9;
	text = written(&sink_folded, f);
	assert_int_equal(strlen(text), 20000 * 2 + 2);
	assert_string_equal(text + 39990, "f;f;f;f;f 9\n");
	free(text);
	text = written(&sink_summary, f);
	assert_contains(text, "        9 100.00%  f  [20000 times]\n");
	free(text);
	text = written(&sink_flame, f);
	assert_int_equal(occurrences(text, "<svg class=\"f "), 20001);
	free(text);
	free(f);
}

static const struct report_target targets[] = {
	{ 42, "python app.py --token=****", "CPython 3.11.2" },
	{ 43, "python \x1b[2J</text>&", "not identified" },
};
static const struct report_thread threads[] = {
	{ 42, 42, "MainThread", 8 },
	{ 42, 45, "\x1b]0;x\x07</b>", 2 },
};
static const struct report_self functions[] = {
	{ FRAME_STDLIB, "loads", "json.py", 5, 5 },
	{ FRAME_LIBRARY, "Server.run", "lib/server.py", 2, 8 },
	{ FRAME_APP, "tail\n", "app.py", 2, 2 },
};
static const struct report_remark remarks[] = {
	{ 3, "stacks were cut at 512 frames", false },
	{ 0, "never happened", true },
	{ 7,
	  "samples lost: the ring buffer was full, because this reader was kept from running "
	  "for too long; a higher -m helps",
	  true },
};

static void tell_all(struct fixture *f)
{
	f->report.targets = targets;
	f->report.target_cnt = 2;
	f->report.threads = threads;
	f->report.thread_cnt = 2;
	f->report.functions = functions;
	f->report.function_cnt = 3;
	f->report.remarks = remarks;
	f->report.remark_cnt = 3;
}

static void summary_page(void **state)
{
	struct fixture *f = small();
	char *text;

	tell_all(f);
	text = written(&sink_summary, f);
	assert_string_equal(
		text,
		"uncoil: on-CPU profile\n"
		"\n"
		"Target    pid 42, CPython 3.11.2\n"
		"          python app.py --token=****\n"
		"          pid 43, not identified\n"
		"          python \\x1b[2J</text>&\n"
		"Sampled   on-CPU, 99 Hz per thread, 30.0 s from 2023-11-14 22:13:20 UTC\n"
		"Samples   10\n"
		"\n"
		"Functions, most samples of their own first\n"
		"     self   self%  total%  function\n"
		"        5  50.00%  50.00%  loads (json.py)\n"
		"        2  20.00%  80.00%  Server.run (lib/server.py)\n"
		"        2  20.00%  20.00%  tail\\x0a (app.py)\n"
		"\n"
		"Threads, busiest first\n"
		"  samples  of all      pid      tid  name\n"
		"        8  80.00%       42       42  MainThread\n"
		"        2  20.00%       42       45  \\x1b]0;x\\x07</b>\n"
		"\n"
		"Hot path, outermost first\n"
		"    total  total%  frame\n"
		"        8  80.00%  <module> (app.py:3)\n"
		"        8  80.00%  Server.run (lib/server.py:41)\n"
		"        5  50.00%  loads (json.py)\n"
		"\n"
		"Lost\n"
		"        7 samples lost: the ring buffer was full, because this reader was kept\n"
		"          from running for too long; a higher -m helps\n"
		"\n"
		"Remarks\n"
		"        3 stacks were cut at 512 frames\n");
	free(text);
	free(f);
}

static void summary_of_nothing(void **state)
{
	struct fixture *f = fixture_new(1);
	char *text;

	f->report.start_unix_ns = 0;
	text = written(&sink_summary, f);
	assert_string_equal(text,
			    "uncoil: on-CPU profile\n\n"
			    "Sampled   on-CPU, 99 Hz per thread, 30.0 s\n"
			    "Samples   0\n\n"
			    "No samples: either no thread used the CPU, or see the remarks.\n\n"
			    "Lost\n          nothing was lost\n");
	free(text);
	free(f);
}

static void summary_says_what_it_leaves_out(void **state)
{
	static struct report_self many[30];
	static struct report_thread crowd[30];
	struct fixture *f = small();
	char *text;
	int i;

	for (i = 0; i < 30; i++) {
		many[i] = (struct report_self){ FRAME_APP, "f", "", 1, 1 };
		crowd[i] = (struct report_thread){ 1, i, "t", 1 };
	}
	f->report.functions = many;
	f->report.threads = crowd;
	f->report.function_cnt = f->report.thread_cnt = 30;
	text = written(&sink_summary, f);
	assert_contains(text, "of their own first (25 of 30)\n");
	assert_contains(text, "busiest first (25 of 30)\n");
	free(text);
	free(f);
}

static void amounts(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} times[] = {
		{ 0, "0" },
		{ 999, "999 ns" },
		{ 1000, "1.000 us" },
		{ 999949, "999.9 us" },
		{ 999950, "1.000 ms" },
		{ 12345678, "12.35 ms" },
		{ 999999999, "1.000 s" },
		{ 99999999999, "100.0 s" },
		{ 3600000000000, "3600.0 s" },
		{ UINT64_MAX, "18446744074 s" },
	};
	size_t i;

	for (i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		assert_string_equal(amount_bare(REPORT_NS, times[i].ns).text, times[i].text);
	assert_string_equal(amount_of(REPORT_NS, 0).text, "0 s");
	assert_string_equal(amount_of(REPORT_SAMPLES, 1).text, "1 sample");
	assert_string_equal(amount_of(REPORT_SAMPLES, 0).text, "0 samples");
	assert_string_equal(amount_of(REPORT_SAMPLES, UINT64_MAX).text,
			    "18,446,744,073,709,551,615 samples");
	assert_string_equal(amount_cell(REPORT_SAMPLES, 1234567).text, "1234567");
}

/* A report of nanoseconds: 1.6 us, 2 s, 0.3 us, 0.3 us, and 12.5 ms. */
static struct fixture *timed(void)
{
	struct fixture *f = fixture_new(20);
	struct report_node *n;

	f->report.unit = REPORT_NS;
	f->report.mode = "off-CPU";
	f->report.rate_hz = 0;
	n = FRAME(f, f->report.root, FRAME_APP, "main", "app.py", 3, 1600);
	FRAME(f, n, FRAME_STDLIB, "sleep", "time.py", 6, 2000000000);
	FRAME(f, n, FRAME_APP, "a", "app.py", 4, 300);
	FRAME(f, n, FRAME_APP, "b", "app.py", 5, 300);
	FRAME(f, f->report.root, FRAME_APP, "tail", "app.py", 9, 12500000);
	return f;
}

/* 1.6 is 2 with the half that rounds; what is over goes on; "a" and "b" are 0 and have no line. */
static void folded_time(void **state)
{
	struct fixture *f = timed();
	char *text = written(&sink_folded, f);

	assert_string_equal(text, "main (app.py:3) 2\n"
				  "main (app.py:3);sleep (time.py:6) 2000000\n"
				  "tail (app.py:9) 12500\n");
	free(text);
	free(f);
}

/* However short each is, the lines add up to the total. */
static void folded_time_adds_up(void **state)
{
	struct fixture *f = fixture_new(1001);
	uint64_t sum = 0;
	char *text, *at;
	int i;

	f->report.unit = REPORT_NS;
	for (i = 0; i < 1000; i++)
		FRAME(f, f->report.root, FRAME_APP, "f", "app.py", i + 1, 333);
	text = written(&sink_folded, f);
	for (at = strstr(text, ") "); at; at = strstr(at + 1, ") "))
		sum += strtoull(at + 2, NULL, 10);
	assert_int_equal(sum, 333);
	free(text);
	free(f);
}

static void summary_time(void **state)
{
	static const struct report_thread thread[] = { { .pid = 42,
							 .tid = 43,
							 .name = "MainThread",
							 .cpu_ns = 12500000,
							 .wait_ns = 2000000000,
							 .runq_ns = 2200 } };
	static const struct report_self self[] = { { FRAME_STDLIB, "sleep", "time.py", 2000000000,
						     2000000000 } };
	struct fixture *f = timed();
	char *text;

	f->report.threads = thread;
	f->report.functions = self;
	f->report.ticks = 2;
	f->report.waits = 7;
	f->report.thread_cnt = f->report.function_cnt = 1;
	text = written(&sink_summary, f);
	assert_string_equal(text, "uncoil: off-CPU profile\n"
				  "\n"
				  "Recorded  off-CPU, 30.0 s from 2023-11-14 22:13:20 UTC\n"
				  "Time      2.013 s, from 2 samples and 7 waits\n"
				  "\n"
				  "Functions, most time of their own first\n"
				  "     self   self%  total%  function\n"
				  "  2.000 s  99.38%  99.38%  sleep (time.py)\n"
				  "\n"
				  "Threads, most CPU time first, with all of their time\n"
				  "      CPU   waiting run queue      pid      tid  name\n"
				  " 12.50 ms   2.000 s  2.200 us       42       43  MainThread\n"
				  "\n"
				  "Hot path, outermost first\n"
				  "    total  total%  frame\n"
				  "  2.000 s  99.38%  main (app.py:3)\n"
				  "  2.000 s  99.38%  sleep (time.py:6)\n"
				  "\n"
				  "Lost\n          nothing was lost\n");
	free(text);
	free(f);
}

static void flame_time(void **state)
{
	struct fixture *f = timed();
	char *text = written(&sink_flame, f);

	assert_contains(text, ">off-CPU \xc2\xb7 30.0 s \xc2\xb7 2.013 s \xc2\xb7 2023-11-14");
	assert_contains(text, "<title>tail (app.py:9)\n12.50 ms (0.62 %), self 12.50 ms (0.62 %)<");
	assert_contains(text, "600 ns (0.00 %) in frames narrower than 0.01 %: not drawn");
	assert_contains(text,
			"<svg id=\"frames\" role=\"tree\" aria-label=\"Frames, callers above\" "
			"data-unit=\"ns\"");
	assert_lacks(text, " samples (");
	free(text);
	free(f);
	f = fixture_new(1);
	f->report.unit = REPORT_NS;
	text = written(&sink_flame, f);
	assert_contains(text, "No time: ");
	free(text);
	free(f);
}

static void flame_frames(void **state)
{
	struct fixture *f = small();
	char *text, *again;

	tell_all(f);
	text = written(&sink_flame, f);
	again = written(&sink_flame, f);
	assert_string_equal(text, again);
	assert_contains(text, "<title>uncoil: on-CPU flame graph of pid 42 python app.py");
	assert_contains(text, ">2 targets: pid 42 \xc2\xb7 CPython 3.11.2 \xc2\xb7 "
			      "python app.py --token=**** and 1 more<title>");
	assert_contains(text, "python \\x1b[2J&lt;/text&gt;&amp;</title></text>");
	assert_contains(text, "<text class=\"line loss\" x=\"10\" y=\"80\">7 samples lost: ");
	assert_lacks(text, "nothing lost");
	assert_lacks(text, "never happened");
	assert_lacks(text, "not drawn");
	assert_contains(text, "on-CPU \xc2\xb7 99 Hz per thread \xc2\xb7 30.0 s \xc2\xb7 "
			      "10 samples \xc2\xb7 2023-11-14 22:13:20 UTC</text>");
	assert_contains(text, " role=\"treeitem\" aria-level=\"4\" x=\"50.0000%\" y=\"54\" "
			      "width=\"10.0000%\" height=\"17\" data-x=\"5\" data-n=\"1\">"
			      "<title>[truncated]\n1 sample (10.00 %), self 1 (10.00 %)</title>"
			      "<rect width=\"100%\" height=\"100%\"/>"
			      "<text x=\"3\" y=\"12\">[truncated]</text></svg>\n");
	assert_contains(text, "<title>Server.run (lib/server.py:41)\n"
			      "8 samples (80.00 %), self 2 (20.00 %)</title>");
	free(text);
	free(again);
	free(f);
}

static void flame_hostile(void **state)
{
	struct fixture *f = fixture_new(20);
	struct report_node *n;
	char *text;

	n = FRAME(f, f->report.root, FRAME_APP, "</script>]]><script>\"'&", "a\nb<i>.py", 1, 1);
	n->path = "/x/\x1b[2J<u>/" BAD "\xff";
	FRAME(f, n, FRAME_APP, "\xe8\xa8\x88;\xf0\x9f\x90\x8d\xe2\x80\xae\xef\xbf\xbe", "", 0, 1);
	text = written(&sink_flame, f);
	assert_contains(text, "<title>&lt;/script&gt;]]&gt;&lt;script&gt;&quot;&#39;&amp; "
			      "(a\\x0ab&lt;i&gt;.py:1)\n2 samples (100.00 %), self 1 (50.00 %)\n"
			      "/x/\\x1b[2J&lt;u&gt;/" BAD BAD "</title>");
	assert_contains(text, "<title>\xe8\xa8\x88;\xf0\x9f\x90\x8d\\u202e\\ufffe\n1 sample");
	/* the only ends of CDATA are those of style and script; there is one script */
	assert_int_equal(occurrences(text, "]]>"), 2);
	assert_int_equal(occurrences(text, "<script"), 1);
	assert_int_equal(occurrences(text, "</script"), 1);
	assert_lacks(text, "<i>");
	assert_lacks(text, "\x1b");
	free(text);
	free(f);
}

static void flame_shortens_by_characters(void **state)
{
	struct fixture *f = fixture_new(20);
	char *text;

	/* 100 pixels: 12 characters, the last an ellipsis */
	FRAME(f, f->report.root, FRAME_APP, "x", "", 0, 1080);
	FRAME(f, f->report.root, FRAME_APP,
	      "\xe8\xa8\x88<\xe8\xa8\x88<\xe8\xa8\x88<\xe8\xa8\x88<"
	      "\xe8\xa8\x88<\xe8\xa8\x88<\xe8\xa8\x88<",
	      "", 0, 100);
	text = written(&sink_flame, f);
	assert_contains(text, ">\xe8\xa8\x88&lt;\xe8\xa8\x88&lt;\xe8\xa8\x88&lt;\xe8\xa8\x88&lt;"
			      "\xe8\xa8\x88&lt;\xe8\xa8\x88\xe2\x80\xa6</text>");
	free(text);
	free(f);
}

static void flame_says_what_it_does_not_draw(void **state)
{
	struct fixture *f = fixture_new(20);
	struct report_node *n;
	char *text;

	FRAME(f, f->report.root, FRAME_APP, "busy", "", 0, 1999600);
	n = FRAME(f, f->report.root, FRAME_APP, "enough", "", 0, 200);
	n = FRAME(f, f->report.root, FRAME_APP, "rare", "", 0, 100);
	FRAME(f, n, FRAME_STDLIB, "rarer", "", 0, 99);
	FRAME(f, f->report.root, FRAME_APP, "one", "", 0, 1);
	text = written(&sink_flame, f);
	assert_contains(text, ">200 samples (0.01 %) in frames narrower than 0.01 %: not drawn<");
	assert_contains(text, "<title>enough\n");
	assert_lacks(text, "rare");
	assert_lacks(text, "standard library</text>");
	assert_contains(text, ">nothing lost<");
	assert_contains(text, "2,000,000 samples");
	free(text);
	free(f);
}

static void flame_of_nothing(void **state)
{
	struct fixture *f = fixture_new(1);
	char *text = written(&sink_flame, f);

	assert_contains(text, "No samples: ");
	assert_contains(text, "<title>all\n0 samples (0.00 %), self 0</title>");
	assert_contains(text, " x=\"0.0000%\" y=\"0\" width=\"100.0000%\"");
	assert_lacks(text, "nan");
	free(text);
	free(f);
}

static void a_full_disk_is_an_error(void **state)
{
	struct fixture *f = small();
	FILE *out;
	size_t i;

	for (i = 0; sinks[i]; i++) {
		out = fopen("/dev/full", "w");
		assert_non_null(out);
		setvbuf(out, NULL, _IONBF, 0);
		assert_int_equal(sinks[i]->write(&f->report, out), -EIO);
		fclose(out);
	}
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(folded_lines),
		cmocka_unit_test(folded_hostile),
		cmocka_unit_test(folded_root_and_empty),
		cmocka_unit_test(deep),
		cmocka_unit_test(summary_page),
		cmocka_unit_test(summary_of_nothing),
		cmocka_unit_test(summary_says_what_it_leaves_out),
		cmocka_unit_test(amounts),
		cmocka_unit_test(folded_time),
		cmocka_unit_test(folded_time_adds_up),
		cmocka_unit_test(summary_time),
		cmocka_unit_test(flame_time),
		cmocka_unit_test(flame_frames),
		cmocka_unit_test(flame_hostile),
		cmocka_unit_test(flame_shortens_by_characters),
		cmocka_unit_test(flame_says_what_it_does_not_draw),
		cmocka_unit_test(flame_of_nothing),
		cmocka_unit_test(a_full_disk_is_an_error),
	};

	return cmocka_run_group_tests_name("sinks", tests, NULL, NULL);
}
