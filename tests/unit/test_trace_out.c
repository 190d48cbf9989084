/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outputs of a trace, from records to files. With --write FILE it writes the journal of the same
 * records: tests/golden/calls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "cmd/cmd.h"
#include "cmd/trace_out.h"
#include "model/calls_table.h"
#include "model/journal.h"
#include "unit/trace_fixture.h"

static const struct record_trace_stats costs = {
	.begin_ns = 1000,
	.end_ns = 500,
	.inside_ns = 600,
	.stat = { [TRACE_STAT_BEGINS] = 11, [TRACE_STAT_ENDS] = 11 }
};

static char folder[] = "/tmp/uncoil-trace-XXXXXX";

static char *path_of(const char *name)
{
	char *path;

	assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
	return path;
}

static int apply(void *ctx, enum record_type type, const void *data, size_t len)
{
	struct err err;
	int code = trace_out_apply(ctx, type, data, len, NULL, &err);

	if (code)
		print_error("record %d: %s\n", type, err.msg);
	return code;
}

static char *file_text(const char *path, size_t *ret_len)
{
	char *text = calloc(1, 1 << 20);
	FILE *in = fopen(path, "r");

	assert_non_null(in);
	assert_non_null(text);
	*ret_len = fread(text, 1, (1 << 20) - 1, in);
	fclose(in);
	return text;
}

/* The story's text in one format; to be freed. */
static char *story(const char *format, const struct trace_look *look,
		   struct record_trace_stats stats, int want_code)
{
	struct trace_ask ask = { .command = "test", .format = format, .quiet = true };
	struct output output = { .path = path_of(format) };
	struct trace_out *out;
	struct tape t = { apply, NULL };
	struct err err = {};
	int cnt = 1;
	size_t len;
	char *text;

	ask.look = *look;
	assert_int_equal(trace_out_choose(&output, &cnt, &ask), 0);
	out = trace_out_new(&output, 1, &ask, NULL, &err);
	if (!out)
		fail_msg("%s", err.msg);
	t.ctx = out;
	tape_story(&t);
	tape_story_end(&t, stats);
	assert_int_equal(access(output.path, F_OK), -1); /* not before it is whole */
	assert_int_equal(trace_out_finish(out, &err), 0);
	assert_int_equal(trace_out_tell(out), want_code);
	trace_out_free(out);
	text = file_text(output.path, &len);
	unlink(output.path);
	free((char *)output.path);
	return text;
}

static void has(const char *text, const char *want)
{
	if (!strstr(text, want))
		fail_msg("no '%s' in\n%s", want, text);
}

static void lines_are_objects(void **state)
{
	struct trace_look look = {};
	char *text = story("jsonl", &look, costs, EXIT_DONE);

	has(text, "{\"type\":\"trace\",\"version\":1,");
	has(text, "\"name\":\"Parser.parse\",\"module\":\"shop\",\"file\":\"/srv/shop/parse.py\","
		  "\"line\":20,\"kind\":\"function\",\"start_ns\":1000200000,"
		  "\"end_ns\":1000310000,\"self_ns\":110000,\"depth\":2,\"began\":\"call\","
		  "\"ended\":\"raise\",\"frame\":\"0xc0\",\"exception\":\"ValueError\","
		  "\"late\":true,\"caller\":\"handle\",\"caller_line\":12}\n");
	has(text, "{\"type\":\"catch\",\"pid\":42,\"tid\":42,\"thread\":\"MainThread\","
		  "\"name\":\"handle\"");
	has(text, "\"name\":\"\\u003c/script\\u003e\\u001b[31m\\\"\\\\\\u003clambda\\u003e\"");
	has(text, "\"active_ns\":440000,\"activations\":2,\"ended\":\"return\",\"frame\":\"0xe0\","
		  "\"task\":1,\"root\":true}\n");
	has(text, "\"ended\":\"suspended\"");
	has(text, "\n{\"type\":\"end\",");
	has(text,
	    ",\"lost\":{},\"remarks\":{\"calls that had begun before they were first seen\":2");
	free(text);
}

static void losses_are_told(void **state)
{
	struct record_trace_stats lossy = costs;
	struct trace_look look = {};
	char *text;

	lossy.stat[TRACE_STAT_DROP_CALLS] = 3;
	lossy.traced_ns = 5000000;
	text = story("jsonl", &look, lossy, EXIT_LOST);
	has(text, "\"lost\":{\"calls lost: the ring buffer was full\":3}");
	has(text, "\"share\":0.5,");
	free(text);
	text = story("stats", &look, lossy, EXIT_LOST);
	has(text, "lost: 3 calls lost: the ring buffer was full\n");
	has(text, "traced: 50.0 % of the time (0.0 s)\n");
	free(text);
}

static void tables_take_the_cost_off(void **state)
{
	struct trace_look look = { .compensate = true, .callers = true };
	char *text = story("stats", &look, costs, EXIT_DONE);

	/* handle: 290 us less its one kid's 0.9 us and its own 0.6 us; parse: 110 less 0.6 */
	has(text, "         1          288.5 us  397.9 us");
	has(text, "         1       1  109.4 us  109.4 us");
	has(text, "  Parser.parse (shop/parse.py:20)\n         1          109.4 us  109.4 us");
	has(text, "    < handle (shop/views.py:10)\n");
	has(text, "without what the probes cost: 1000 ns at a begin, 500 ns at an end, 600 ns");
	free(text);
	look.compensate = false;
	text = story("stats", &look, costs, EXIT_DONE);
	has(text, "         1          290.0 us  400.0 us");
	has(text, "1500 ns a call, is in the times (--no-compensate)");
	free(text);
	text = story("json", &look, costs, EXIT_DONE);
	has(text, "\"calls\":1,\"resumes\":0,\"throws\":0,\"before\":0,\"returns\":0,\"yields\":0,"
		  "\"raises\":1,\"open\":0,\"unseen\":0,\"self_ns\":110000,\"total_ns\":110000,");
	has(text, "\"compensated\":false");
	free(text);
}

static void percentiles_come_from_buckets(void **state)
{
	struct call_row row = { .max_ns = 1000000 };

	assert_int_equal(call_row_percentile(&row, 0.5), 0);
	row.hist[trace_bucket(1000)] = 98;
	row.hist[trace_bucket(900000)] = 2;
	assert_in_range(call_row_percentile(&row, 0.5), 896, 1024);
	assert_in_range(call_row_percentile(&row, 0.99), 786432, 917504);
	assert_in_range(call_row_percentile(&row, 1), 786432, 1000000);
	row.max_ns = 800000;
	assert_int_equal(call_row_percentile(&row, 1), 800000);
}

/* The first failure, where the rest is as if it had not come. */
struct failing {
	struct trace_out *out;
	int code;
	bool is_output;
	struct err err;
};

static int apply_until(void *ctx, enum record_type type, const void *data, size_t len)
{
	struct failing *f = ctx;

	if (!f->code)
		f->code = trace_out_apply(f->out, type, data, len, &f->is_output, &f->err);
	return 0;
}

/* What cannot be written is told of as soon as it is known, and no output gets its name. */
static void no_output_is_half(void **state)
{
	struct trace_ask ask = { .command = "test", .quiet = true };
	struct output outputs[2] = { { .path = path_of("x.jsonl") }, { .path = "/dev/full" } };
	const struct trace_sink *last[] = { &trace_jsonl, &trace_stats };
	struct tape t = { apply_until };
	int i;

	for (i = 0; i < 2; i++) {
		struct failing f = {};

		outputs[0].trace = &trace_jsonl;
		outputs[1].trace = last[i];
		f.out = trace_out_new(outputs, 2, &ask, NULL, &f.err);
		assert_non_null(f.out);
		t.ctx = &f;
		tape_story(&t);
		tape_story_end(&t, costs);
		/* lines fill a buffer long before the end, a table's first byte is its last */
		assert_int_equal(f.code, i ? 0 : -ENOSPC);
		assert_int_equal(f.is_output, !i);
		if (i)
			assert_int_equal(trace_out_finish(f.out, &f.err), -ENOSPC);
		assert_string_equal(f.err.msg, "cannot write /dev/full: No space left on device");
		trace_out_free(f.out);
		assert_int_equal(access(outputs[0].path, F_OK), -1);
	}
	free((char *)outputs[0].path);
}

static int begin(const char *format, uint32_t flags, bool callers, struct err *err)
{
	struct trace_ask ask = { .command = "test", .format = format, .quiet = true };
	struct output output = { .path = path_of("y"), .trace = trace_sink_by_name(format) };
	struct record_trace trace = { .flags = flags };
	struct trace_out *out;
	struct tape t = { apply, NULL };
	bool is_output = false;
	int code;

	ask.look.callers = callers;
	out = trace_out_new(&output, 1, &ask, NULL, err);
	assert_non_null(out);
	t.ctx = out;
	tape_meta(&t, RECORD_CALLS);
	tape_put(&t, RECORD_TRACE, &trace, sizeof(trace));
	code = trace_out_apply(out, RECORD_SUMS, NULL, 0, &is_output, err);
	assert_int_equal(is_output, code != 0);
	trace_out_free(out);
	free((char *)output.path);
	return code;
}

static void a_trace_of_sums_has_no_timeline(void **state)
{
	struct err err;

	assert_int_equal(begin("perfetto", 0, false, &err), -EINVAL);
	has(err.msg, "sums alone");
	assert_int_equal(begin("stats", 0, true, &err), -EINVAL);
	has(err.msg, "no callers");
	assert_int_equal(begin("stats", 0, false, &err), 0);
	assert_int_equal(begin("perfetto", RECORD_TRACE_EVENTS, false, &err), 0);
}

static const struct trace_sink *chosen(const char *path, const char *format, bool stats, int want)
{
	struct trace_ask ask = { .command = "test", .format = format, .stats = stats };
	struct output output = { .path = path };
	int cnt = path ? 1 : 0;

	assert_int_equal(trace_out_choose(&output, &cnt, &ask), want);
	assert_int_equal(cnt, 1);
	if (!path && stats)
		assert_string_equal(output.path, "-");
	return output.trace;
}

static void names_choose_formats(void **state)
{
	assert_ptr_equal(chosen("a.pftrace", NULL, false, 0), &trace_perfetto);
	assert_ptr_equal(chosen("a.json", NULL, false, 0), &trace_chrome);
	assert_ptr_equal(chosen("a.trace.json", NULL, false, 0), &trace_chrome);
	assert_ptr_equal(chosen("a.json", NULL, true, 0), &trace_json);
	assert_ptr_equal(chosen("a.jsonl", NULL, false, 0), &trace_jsonl);
	assert_ptr_equal(chosen("a.prof", NULL, false, 0), &trace_pstats);
	assert_ptr_equal(chosen("a.txt", NULL, false, 0), &trace_stats);
	assert_ptr_equal(chosen("a.what", NULL, true, 0), &trace_stats);
	assert_ptr_equal(chosen("a.what", "jsonl", false, 0), &trace_jsonl);
	assert_ptr_equal(chosen(NULL, NULL, false, 0), &trace_perfetto);
	assert_ptr_equal(chosen(NULL, NULL, true, 0), &trace_stats);
	chosen("a.what", NULL, false, EXIT_USAGE);
	chosen("a.svg", "flame", false, EXIT_USAGE);
	chosen("a.pftrace", NULL, true, EXIT_USAGE);
	chosen("a.uncoil", NULL, false, EXIT_USAGE); /* a journal, where there is one already */
}

static int folder_make(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state)
{
	return rmdir(folder);
}

static int journal_put(void *ctx, enum record_type type, const void *data, size_t len)
{
	return journal_write(ctx, type, data, len);
}

static int write_journal(const char *path)
{
	FILE *out = fopen(path, "w");
	struct tape t = { journal_put, out };

	if (!out || journal_begin(out))
		return 1;
	tape_story(&t);
	tape_story_end(&t, costs);
	return fclose(out) ? 1 : 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_objects),
		cmocka_unit_test(losses_are_told),
		cmocka_unit_test(tables_take_the_cost_off),
		cmocka_unit_test(percentiles_come_from_buckets),
		cmocka_unit_test(no_output_is_half),
		cmocka_unit_test(a_trace_of_sums_has_no_timeline),
		cmocka_unit_test(names_choose_formats),
	};

	if (argc == 3 && !strcmp(argv[1], "--write"))
		return write_journal(argv[2]);
	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
