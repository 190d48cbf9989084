/* SPDX-License-Identifier: Apache-2.0 */
/* Formats for other programs: their bytes. What those programs make of them: tests/formats. */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/index.h"
#include "base/pb.h"
#include "sink/sink.h"
#include "unit/report_fixture.h"

#define BAD "\xef\xbf\xbd" /* U+FFFD */

static char *written(const struct sink *sink, const struct report *report, size_t *ret_len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_len);

	assert_non_null(out);
	assert_int_equal(sink->write(report, out), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in:\n%s", part, text);
}

/* The examples of protobuf.dev's "Encoding", and the ends of the range. */
static void protobuf_bytes(void **state)
{
	struct buf b, inner;

	buf_init(&b, 1000);
	buf_init(&inner, 1000);
	pb_uint(&b, 1, 150);
	assert_int_equal(b.len, 3);
	assert_memory_equal(b.data, "\x08\x96\x01", 3);
	buf_clear(&b);
	pb_str(&b, 2, "testing");
	assert_memory_equal(b.data, "\x12\x07testing", 9);
	buf_clear(&b);
	pb_uint(&inner, 1, 150);
	pb_msg(&b, 3, &inner);
	assert_memory_equal(b.data, "\x1a\x03\x08\x96\x01", 5);
	buf_clear(&b);
	pb_varint(&b, UINT64_MAX);
	assert_int_equal(b.len, 10);
	assert_memory_equal(b.data, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
	buf_clear(&b);
	pb_varint(&b, 0);
	assert_memory_equal(b.data, "\0", 1);
	buf_clear(&b);
	pb_uint(&b, 58, 3); /* a tag of two bytes */
	assert_memory_equal(b.data, "\xd0\x03\x03", 3);
	buf_done(&b);
	buf_init(&b, 4); /* too small: says so */
	pb_str(&b, 1, "testing");
	assert_int_not_equal(b.err, 0);
	buf_done(&b);
	buf_done(&inner);
}

static int add_key(void *ctx, const void *key, size_t len)
{
	return buf_add(ctx, key, len);
}

static void index_numbers(void **state)
{
	struct index x;
	struct buf b;
	bool fresh;

	index_init(&x);
	buf_init(&b, 100);
	assert_int_equal(index_of_str(&x, "b", &fresh), 0);
	assert_true(fresh);
	assert_int_equal(index_of_str(&x, "a", &fresh), 1);
	assert_int_equal(index_of_str(&x, "b", &fresh), 0);
	assert_false(fresh);
	assert_int_equal(index_of(&x, "a\0", 2, &fresh), 2);
	assert_int_equal(index_of_str(&x, "", &fresh), 3);
	assert_int_equal(index_each(&x, add_key, &b), 0);
	assert_int_equal(b.len, 4);
	assert_memory_equal(b.data, "baa\0", 4);
	index_done(&x);
	buf_done(&b);
}

static const struct report_target targets[] = { { 42, "python app.py", "CPython 3.11.2" } };
static const struct report_remark remarks[] = {
	{ 3, "stacks \"cut\"", false },
	{ 0, "never happened", true },
	{ 7, "samples lost: the ring buffer was full", true },
};

static struct fixture *small(void)
{
	struct fixture *f = fixture_new(20);
	struct report_node *n;

	f->report.targets = targets;
	f->report.target_cnt = 1;
	f->report.remarks = remarks;
	f->report.remark_cnt = 3;
	n = FRAME(f, f->report.root, FRAME_APP, "<module>", "app.py", 3, 0);
	n = FRAME(f, n, FRAME_LIBRARY, "Server.run", "lib/server.py", 41, 2);
	FRAME(f, n, FRAME_STDLIB, "loads", "json.py", 0, 5);
	FRAME(f, n, FRAME_APP, "<module>", "app.py", 3, 1);
	FRAME(f, f->report.root, FRAME_MARK, "[unknown]", "", 0, 2);
	return f;
}

static void speedscope_file(void **state)
{
	struct fixture *f = small();
	size_t len;
	char *text = written(&sink_speedscope, &f->report, &len);

	assert_int_equal(strlen(text), len);
	assert_contains(
		text,
		"\"name\":\"on-CPU, pid 42 python app.py, 10 samples, 7 lost\",\"activeProfileIndex\":0,"
		"\"profiles\":[\n{\"type\":\"sampled\",\"name\":\"on-CPU\",\"unit\":\"none\","
		"\"startValue\":0,\"endValue\":10,\"samples\":[[0,1],[0,1,2],[0,1,0],[3]],\n"
		"\"weights\":[2,5,1,2]}],\n\"shared\":{\"frames\":[\n"
		"{\"name\":\"\\u003cmodule\\u003e\",\"file\":\"app.py\",\"line\":3},\n"
		"{\"name\":\"Server.run\",\"file\":\"lib/server.py\",\"line\":41},\n"
		"{\"name\":\"loads\",\"file\":\"json.py\"},\n{\"name\":\"[unknown]\"}]},\n"
		"\"uncoil\":{");
	assert_contains(text, "\"unit\":\"samples\",\"samples\":10,\"rateHz\":99,"
			      "\"durationNs\":30000000000,\"lost\":7,\"remarks\":["
			      "{\"count\":3,\"text\":\"stacks \\\"cut\\\"\",\"loss\":false},"
			      "{\"count\":7,\"text\":\"samples lost: the ring buffer was full\","
			      "\"loss\":true}],\"about\":["
			      "\"uncoil: on-CPU, 99 Hz per thread, 30.0 s\","
			      "\"pid 42, CPython 3.11.2: python app.py\",\"10 samples\","
			      "\"lost: 7 samples lost: the ring buffer was full\","
			      "\"remark: 3 stacks \\\"cut\\\"\"]}}\n");
	free(text);
	f->report.unit = REPORT_NS;
	text = written(&sink_speedscope, &f->report, &len);
	assert_contains(text, "\"unit\":\"nanoseconds\",\"startValue\":0,\"endValue\":10,");
	free(text);
	free(f);
}

static void speedscope_by_thread(void **state)
{
	struct fixture *f = fixture_new(20);
	struct report_node *process, *thread;
	size_t len;
	char *text;

	process = FRAME(f, f->report.root, FRAME_PROCESS, "process 7 (py)", "", 0, 0);
	thread = FRAME(f, process, FRAME_THREAD, "thread 7 (MainThread)", "", 0, 0);
	FRAME(f, thread, FRAME_APP, "a", "", 0, 5);
	thread = FRAME(f, process, FRAME_THREAD, "thread 8 (x)", "", 0, 1);
	FRAME(f, thread, FRAME_APP, "b", "", 0, 2);
	process = FRAME(f, f->report.root, FRAME_PROCESS, "process 9 (py)", "", 0, 0);
	thread = FRAME(f, process, FRAME_THREAD, "thread 9 (\"<)", "", 0, 0);
	FRAME(f, thread, FRAME_APP, "a", "", 0, 1);
	text = written(&sink_speedscope, &f->report, &len);
	assert_contains(text,
			"\"name\":\"process 7 (py), thread 7 (MainThread)\",\"unit\":\"none\","
			"\"startValue\":0,\"endValue\":5,\"samples\":[[0]],\n\"weights\":[5]},"
			"{\"type\":\"sampled\",\"name\":\"process 7 (py), thread 8 (x)\","
			"\"unit\":\"none\",\"startValue\":0,\"endValue\":3,"
			"\"samples\":[[],[1]],\n\"weights\":[1,2]},"
			"{\"type\":\"sampled\",\"name\":\"process 9 (py), thread 9 (\\\"\\u003c)\","
			"\"unit\":\"none\",\"startValue\":0,\"endValue\":1,"
			"\"samples\":[[0]],\n\"weights\":[1]}],\n");
	free(text);
	free(f);
}

static char *inflated(const char *data, size_t len, size_t *ret_len)
{
	char *text = malloc(1 << 20);
	z_stream z = { .next_in = (unsigned char *)data, .avail_in = len };

	z.next_out = (unsigned char *)text;
	z.avail_out = 1 << 20;
	assert_int_equal(inflateInit2(&z, 31), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.avail_in, 0);
	*ret_len = z.total_out;
	inflateEnd(&z);
	return text;
}

static bool has_bytes(const char *data, size_t len, const char *part, size_t part_len)
{
	return memmem(data, len, part, part_len) != NULL;
}

static void pprof_file(void **state)
{
	struct fixture *f = small();
	size_t len, raw_len, again_len;
	char *text, *raw, *again;

	f->nodes[1].first_line = 1;
	text = written(&sink_pprof, &f->report, &len);
	again = written(&sink_pprof, &f->report, &again_len);
	assert_int_equal(len, again_len);
	assert_memory_equal(text, again, len);
	raw = inflated(text, len, &raw_len);
	/* sample types: strings 1 to 4 */
	assert_memory_equal(raw, "\x0a\x04\x08\x01\x10\x02\x0a\x04\x08\x03\x10\x04", 12);
	assert_true(has_bytes(raw, raw_len,
			      "\x32\0\x32\x07samples\x32\x05"
			      "count",
			      18));
	/* the leaf first; 5 samples, 50505050 ns */
	assert_true(
		has_bytes(raw, raw_len, "\x0a\x03\x03\x02\x01\x12\x05\x05\xda\xca\x8a\x18", 12));
	assert_true(has_bytes(raw, raw_len, "lost: 7 samples lost: the ring buffer was full", 46));
	free(text);
	free(raw);
	f->report.unit = REPORT_NS;
	text = written(&sink_pprof, &f->report, &len);
	raw = inflated(text, len, &raw_len);
	assert_memory_equal(raw, "\x0a\x04\x08\x01\x10\x02\x48", 7);
	assert_true(has_bytes(raw, raw_len, "\x32\0\x32\x04wall\x32\x0bnanoseconds", 21));
	free(text);
	free(raw);
	free(again);
	free(f);
}

/* Two places of one line are two frames, and two locations of one function. */
static void columns(void **state)
{
	struct fixture *f = fixture_new(20);
	size_t len, raw_len;
	char *text, *raw;

	FRAME(f, f->report.root, FRAME_APP, "f", "app.py", 9, 1)->column = 5;
	FRAME(f, f->report.root, FRAME_APP, "f", "app.py", 9, 2)->column = 300;
	text = written(&sink_speedscope, &f->report, &len);
	assert_contains(text, "{\"name\":\"f\",\"file\":\"app.py\",\"line\":9,\"col\":5},\n"
			      "{\"name\":\"f\",\"file\":\"app.py\",\"line\":9,\"col\":300}");
	free(text);
	text = written(&sink_pprof, &f->report, &len);
	raw = inflated(text, len, &raw_len);
	/* ids and mapping; function 1, line 9, and the columns */
	assert_true(has_bytes(raw, raw_len, "\x08\1\x10\1\x22\6\x08\1\x10\x09\x18\5", 12));
	assert_true(has_bytes(raw, raw_len, "\x08\2\x10\1\x22\7\x08\1\x10\x09\x18\xac\2", 13));
	free(text);
	free(raw);
	free(f);
}

static void hostile(void **state)
{
	struct fixture *f = fixture_new(20);
	size_t len, raw_len;
	char *text, *raw;

	FRAME(f, f->report.root, FRAME_APP, "</script>\"\\\n\x1b\xff", "\xe2\x80\xa8&.py", 1, 3);
	f->report.mode = "\"\xff";
	text = written(&sink_speedscope, &f->report, &len);
	assert_contains(text, "{\"name\":\"\\u003c/script\\u003e\\\"\\\\\\u000a\\u001b" BAD
			      "\",\"file\":\"\\u2028\\u0026.py\",\"line\":1}");
	assert_contains(text, "\"mode\":\"\\\"" BAD "\"");
	free(text);
	text = written(&sink_pprof, &f->report, &len);
	raw = inflated(text, len, &raw_len);
	assert_true(has_bytes(raw, raw_len, "</script>\"\\\n\x1b" BAD, 16));
	assert_false(has_bytes(raw, raw_len, "\x1b\xff", 2));
	free(text);
	free(raw);
	free(f);
}

/* A profile of nothing is one still, and samples without any frame are not left out. */
static void nothing(void **state)
{
	struct fixture *f = fixture_new(1);
	size_t len, raw_len;
	char *text, *raw;

	text = written(&sink_speedscope, &f->report, &len);
	assert_contains(text, "\"endValue\":0,\"samples\":[],\n\"weights\":[]}]");
	free(text);
	f->nodes[0].self = f->nodes[0].total = f->report.samples = 4;
	text = written(&sink_speedscope, &f->report, &len);
	assert_contains(text, "\"endValue\":4,\"samples\":[[]],\n\"weights\":[4]}]");
	free(text);
	text = written(&sink_pprof, &f->report, &len);
	raw = inflated(text, len, &raw_len);
	assert_true(has_bytes(raw, raw_len, "[no frame]", 10));
	free(text);
	free(raw);
	free(f);
}

/* Two threads, three samples; one stack of each thread is the same. */
static struct fixture *timed(struct report_event events[3])
{
	static const struct report_thread threads[] = {
		{ .pid = 7,
		  .tid = 7,
		  .name = "Main\"<",
		  .samples = 2,
		  .process = "py",
		  .serial = 1 },
		{ .pid = 7, .tid = 8, .name = "w", .samples = 1, .process = "py", .serial = 2 },
	};
	struct fixture *f = fixture_new(20);
	struct report_node *n;

	n = FRAME(f, f->report.root, FRAME_APP, "<module>", "app.py", 3, 2);
	events[0] = (struct report_event){ .thread = 0, .ts_ns = 5001999, .leaf = n };
	events[1] = (struct report_event){ .thread = 1, .ts_ns = 6000000, .leaf = n };
	n = FRAME(f, n, FRAME_APP, "f", "app.py", 9, 1);
	events[2] = (struct report_event){ .thread = 0, .ts_ns = 7000000, .leaf = n };
	f->report.threads = threads;
	f->report.thread_cnt = 2;
	f->report.start_ns = 5000000;
	f->report.events = events;
	f->report.event_cnt = 3;
	return f;
}

static void chrome_file(void **state)
{
	struct report_event events[3];
	struct fixture *f = timed(events);
	size_t len;
	char *text = written(&sink_chrome, &f->report, &len);

	assert_contains(text, "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":7,\"tid\":7,\"ts\":0,"
			      "\"cat\":\"__metadata\",\"args\":{\"name\":\"Main\\\"\\u003c\"}},\n");
	/* the leaf's parent first; lines from 0; deltas of whole microseconds from the start */
	assert_contains(
		text,
		",\n{\"id\":2,\"parent\":1,\"callFrame\":{\"functionName\":"
		"\"\\u003cmodule\\u003e\",\"url\":\"app.py\",\"scriptId\":0,\"lineNumber\":2,"
		"\"columnNumber\":-1}},\n{\"id\":3,\"parent\":2,\"callFrame\":{\"functionName\":"
		"\"f\",\"url\":\"app.py\",\"scriptId\":0,\"lineNumber\":8,\"columnNumber\":-1}}],\n"
		"\"samples\":[2,3]},\n\"timeDeltas\":[1,1999],\"endTime\":30005000}}},\n");
	assert_contains(
		text,
		"\"samples\":[5]},\n\"timeDeltas\":[1000],\"endTime\":30005000}}}],\n\"otherData\":{");
	assert_contains(text, "\"start_us\":5000,\"start_unix_us\":1700000000000000,");
	assert_contains(text, "\"about\":[\"uncoil: on-CPU");
	free(text);
	free(f);
}

/* Waits beside samples: slices, the profile as it was. */
static void waits_in_timelines(void **state)
{
	struct report_event events[5];
	struct fixture *f = timed(events);
	size_t len;
	char *text;

	events[3] = (struct report_event){ .kind = REPORT_EVENT_WAIT,
					   .thread = 1,
					   .ts_ns = 7000001,
					   .duration_ns = 1999,
					   .leaf = events[2].leaf,
					   .name = "[unix \"socket\"]" };
	events[4] = (struct report_event){ .kind = REPORT_EVENT_WAIT,
					   .thread = 0,
					   .ts_ns = 8000000,
					   .duration_ns = 40,
					   .leaf = f->report.root,
					   .name = "[waiting, stack not known]",
					   .open = true };
	f->report.event_cnt = 5;
	text = written(&sink_chrome, &f->report, &len);
	assert_contains(text,
			"\"samples\":[2,3]},\n\"timeDeltas\":[1,1999],\"endTime\":30005000}}},\n");
	assert_contains(text,
			",\n{\"ph\":\"X\",\"cat\":\"wait\",\"name\":\"[unix \\\"socket\\\"]\","
			"\"pid\":7,\"tid\":8,\"ts\":7000.001,\"dur\":1.999,\"args\":{\"stack\":"
			"[\"\\u003cmodule\\u003e (app.py:3)\",\"f (app.py:9)\"]}},\n");
	assert_contains(text,
			"\"ts\":8000.000,\"dur\":0.040,\"args\":{\"stack\":[],\"open\":true}}],\n");
	free(text);
	text = written(&sink_perfetto, &f->report, &len);
	/* a track for each thread, the stack as text, its name once; what ends has a time of its own */
	assert_true(has_bytes(text, len, "\x08\x02\x22\x0c\x08\x07\x10\x07\x2a\x06Main\"", 15));
	assert_true(has_bytes(text, len, "<module> (app.py:3);f (app.py:9)", 32));
	assert_true(has_bytes(text, len, "[unix \"socket\"]", 15));
	free(text);
	free(f);
}

static void perfetto_file(void **state)
{
	struct report_event events[3];
	struct fixture *f = timed(events);
	size_t len;
	char *text = written(&sink_perfetto, &f->report, &len);

	/* the clock; then, sent once each, a string, a frame and a callstack of two frames */
	assert_memory_equal(text, "\x0a\x1d\x32\x19\x0a\x07\x08\x03\x10\xc0\x96\xb1\x02", 13);
	assert_true(has_bytes(text, len, "\x2a\x0c\x08\x01\x12\x08<module>", 14));
	assert_true(has_bytes(text, len, "\x3a\x06\x08\x02\x10\x01\x10\x02", 8));
	assert_true(has_bytes(text, len, "nothing was lost", 16));
	free(text);
	f->report.event_cnt = 0;
	text = written(&sink_perfetto, &f->report, &len);
	free(text);
	text = written(&sink_chrome, &f->report, &len);
	assert_contains(text, "\"args\":{\"name\":\"w\"}}],\n\"otherData\"");
	free(text);
	f->report.thread_cnt = 0;
	text = written(&sink_chrome, &f->report, &len);
	assert_contains(text, "\"traceEvents\":[],\n");
	free(text);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(protobuf_bytes),  cmocka_unit_test(index_numbers),
		cmocka_unit_test(speedscope_file), cmocka_unit_test(speedscope_by_thread),
		cmocka_unit_test(pprof_file),      cmocka_unit_test(hostile),
		cmocka_unit_test(nothing),         cmocka_unit_test(chrome_file),
		cmocka_unit_test(perfetto_file),   cmocka_unit_test(waits_in_timelines),
		cmocka_unit_test(columns),
	};

	return cmocka_run_group_tests_name("formats", tests, NULL, NULL);
}
