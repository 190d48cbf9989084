/* SPDX-License-Identifier: Apache-2.0 */
/* The way from records to a report: decode, journal, profile, files. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "model/decode.h"
#include "model/files.h"
#include "model/journal.h"
#include "model/profile.h"
#include "model/report.h"
#include "unit/model_fixture.h"

static void decode_accepts_what_the_kernel_side_sends(void **state)
{
	struct ev_stack stack = stack_event(1, 2, 0, 3);
	struct ev_exit ended = { .hdr = { .kind = EV_EXIT, .size = sizeof(ended), .image = 1 } };
	struct ev_tick tick = { .hdr = { .kind = EV_TICK, .size = sizeof(tick), .image = 1 } };
	struct ev_wait wait = { .hdr = { .kind = EV_WAIT, .size = sizeof(wait), .image = 1 } };
	struct event ev;

	assert_int_equal(event_decode(&stack, stack.hdr.size, &ev), 0);
	assert_ptr_equal(ev.stack, &stack);
	assert_int_equal(event_decode(&ended, sizeof(ended), &ev), 0);
	assert_int_equal(event_decode(&tick, sizeof(tick), &ev), 0);
	assert_ptr_equal(ev.tick, &tick);
	assert_int_equal(event_decode(&wait, sizeof(wait), &ev), 0);
	assert_ptr_equal(ev.wait, &wait);
	wait.wait_ns = UINT64_MAX; /* its end would be before its beginning */
	assert_int_equal(event_decode(&wait, sizeof(wait), &ev), -EINVAL);
	wait.wait_ns = 0;
	wait.flags = EV_WAIT_ALL + 1;
	assert_int_equal(event_decode(&wait, sizeof(wait), &ev), -EINVAL);
	tick.hdr.size--;
	assert_int_equal(event_decode(&tick, sizeof(tick) - 1, &ev), -EINVAL);
}

static void decode_refuses_what_does_not_hold(void **state)
{
	struct ev_stack stack = stack_event(1, 2, 0, 3);
	uint32_t size = stack.hdr.size;
	struct event ev;

	assert_int_equal(event_decode(&stack, 4, &ev), -EINVAL); /* no header */
	assert_int_equal(event_decode(&stack, size - 1, &ev), -EINVAL);
	stack.frame_cnt = 4; /* says more than it holds */
	assert_int_equal(event_decode(&stack, size, &ev), -EINVAL);
	stack.frame_cnt = EV_ENTRIES_MAX + 1;
	stack.hdr.size = FRAMES_HEAD + (EV_ENTRIES_MAX + 1) * sizeof(struct py_frame);
	assert_int_equal(event_decode(&stack, stack.hdr.size, &ev), -EINVAL);
	stack = stack_event(1, 2, EV_STACK_ALL + 1, 0); /* a flag that is none */
	assert_int_equal(event_decode(&stack, stack.hdr.size, &ev), -EINVAL);
	stack = stack_event(1, 2, 0, 0);
	stack.hdr.kind = EV_MAX;
	assert_int_equal(event_decode(&stack, stack.hdr.size, &ev), -EINVAL);
	stack = stack_event(1, 2, 0, 0);
	stack.hdr.image = 0;
	assert_int_equal(event_decode(&stack, stack.hdr.size, &ev), -EINVAL);
}

static void decode_bounds_the_parts_of_a_code_object(void **state)
{
	struct ev_code *code = calloc(1, sizeof(*code));
	struct event ev;
	size_t head = offsetof(struct ev_code, data);

	code->hdr = (struct ev_hdr){ .kind = EV_CODE, .size = head + 30, .image = 1 };
	code->facts_len = 10;
	code->linetable_len = 20;
	assert_int_equal(event_decode(code, head + 30, &ev), 0);
	assert_int_equal(ev.raw.linetable.len, 20);
	assert_ptr_equal(ev.raw.linetable.data, code->data + 10);
	code->name_len = 1; /* one byte too many */
	assert_int_equal(event_decode(code, head + 30, &ev), -EINVAL);
	code->name_len = 0xffffffff; /* would wrap a 32-bit sum */
	assert_int_equal(event_decode(code, head + 30, &ev), -EINVAL);
	code->name_len = 0;
	code->facts_len = 9; /* a byte that belongs to no part */
	assert_int_equal(event_decode(code, head + 30, &ev), -EINVAL);
	free(code);
}

static void profile_counts_stacks_by_thread(void **state)
{
	static const struct report_options plain, by_thread = { .threads = true };
	struct profile *p = profile__new();
	struct ev_stack a = stack_event(1, 100, EV_STACK_NO_FRAME, 0);
	struct ev_stack b = stack_event(2, 100, EV_STACK_NO_FRAME, 0);
	struct record_stats stats = { .stat[STAT_SAMPLES] = 12 };
	struct report *report;

	b.hdr.tid = 9;
	put_meta(p, RECORD_FORMAT, 0);
	put(p, RECORD_RING, &a, a.hdr.size, 0);
	put(p, RECORD_RING, &b, b.hdr.size, 0);
	put_count(p, 1, 100, 5);
	put_count(p, 2, 100, 3);
	put_count(p, 1, 100, 4); /* a second drain adds */
	put_end(p, &stats);
	assert_int_equal(profile__samples(p), 12);
	report = report_new(p, &plain);
	assert_int_equal(report->root->total, 12);
	assert_string_equal(report->root->child->func, "[no Python function running]");
	assert_null(report->root->child->next); /* threads fall together */
	assert_int_equal(report->thread_cnt, 2);
	assert_int_equal(report->threads[0].samples, 9);
	report_free(report);
	report = report_new(p, &by_thread);
	assert_int_equal(report->root->child->kind, FRAME_PROCESS);
	assert_int_equal(report->root->child->child->total, 9); /* heaviest first */
	assert_int_equal(report->root->child->child->next->total, 3);
	report_free(report);
	profile__free(p);
}

static void profile_says_what_it_misses(void **state)
{
	static const struct report_options plain;
	struct profile *p = profile__new();
	struct ev_stack cut = stack_event(1, 100, EV_STACK_TRUNCATED, 1);
	struct record_stats stats = { .ticks_expected = 100,
				      .ticks_slack = 10,
				      .stat[STAT_SAMPLES] = 60,
				      .stat[STAT_DROP_RING_FULL] = 3 };
	struct report *report;

	put_meta(p, RECORD_FORMAT, 0);
	put(p, RECORD_RING, &cut, cut.hdr.size, 0);
	cut.hdr.kind = 77;
	put(p, RECORD_RING, &cut, cut.hdr.size, 0); /* refused, and counted */
	put_count(p, 1, 100, 50);
	put_count(p, 1, 999, 7); /* its stack never came */
	put_end(p, &stats);
	report = report_new(p, &plain);
	assert_int_equal(remark_like(report, "ring buffer was full")->count, 3);
	assert_true(remark_like(report, "ring buffer was full")->is_loss);
	assert_int_equal(remark_like(report, "stack did not arrive")->count, 7);
	assert_int_equal(remark_like(report, "did not hold")->count, 1);
	assert_int_equal(remark_like(report, "deeper than 512")->count, 50);
	assert_int_equal(remark_like(report, "name could not be read")->count, 50);
	assert_int_equal(remark_like(report, "CPU time not sampled")->count, 40);
	assert_false(remark_like(report, "CPU time not sampled")->is_loss); /* 40 % */
	assert_null(remark_like(report, "between the kernel's table"));     /* 60 - 3 = 50 + 7 */
	assert_string_equal(report->root->child->func, "[deeper frames cut]");
	assert_string_equal(report->root->child->child->func, "[name not read]");
	report_free(report);
	profile__free(p);
}

/* Ticks that a filter took have come: the CPU time between them was seen. */
static void filtered_ticks_are_not_missing(void **state)
{
	static const struct report_options plain;
	struct profile *p = profile__new();
	struct record_stats stats = { .ticks_expected = 1000,
				      .stat[STAT_SAMPLES] = 10,
				      .stat[STAT_NOT_HOLDER] = 890,
				      .stat[STAT_DUPLICATE_TIMER] = 100 };
	struct report *report;

	put_meta(p, RECORD_FORMAT, 0);
	put_end(p, &stats);
	report = report_new(p, &plain);
	assert_null(remark_like(report, "CPU time not sampled"));
	assert_int_equal(remark_like(report, "second timer")->count, 100);
	assert_false(remark_like(report, "second timer")->is_loss);
	report_free(report);
	profile__free(p);
}

static void profile_asks_for_what_it_lacks(void **state)
{
	struct profile *p = profile__new();
	struct ev_stack ev = stack_event(1, 100, 0, 1);
	struct want want;

	ev.frames[0] = (struct py_frame){ .code = 0x1000, .check = 5 };
	put_meta(p, RECORD_FORMAT, 0);
	put(p, RECORD_RING, &ev, ev.hdr.size, 0);
	assert_true(profile__want(p, &want)); /* an image that nothing announced */
	assert_int_equal(want.type, WANT_IMAGE);
	assert_int_equal(want.pid, 7);
	assert_true(profile__want(p, &want));
	assert_int_equal(want.type, WANT_CODE);
	assert_int_equal(want.code, 0x1000);
	assert_false(profile__want(p, &want)); /* each once */
	profile__free(p);
}

static void profile_refuses_records_that_do_not_hold(void **state)
{
	static const struct report_options plain;
	struct profile *p = profile__new();
	struct record_stats stats = {};
	struct report *report;
	struct record_image image = { .image = 1, .off.code_name = 1u << 30 };
	char bytes[sizeof(image) + 16] = { 0 };

	put(p, RECORD_END, NULL, 0, -EINVAL); /* META comes first */
	put_meta(p, RECORD_FORMAT + 1, -EINVAL);
	put_meta(p, RECORD_FORMAT, 0);
	put_meta(p, RECORD_FORMAT, -EINVAL);
	put(p, RECORD_COUNTS, bytes, sizeof(struct record_count) - 1, -EINVAL);
	memcpy(bytes, &image, sizeof(image));
	/* an answer that does not hold is counted: it must not end a recording, or its replay */
	put(p, RECORD_IMAGE, bytes, sizeof(bytes), 0); /* an offset of 1 GiB */
	assert_false(profile__image_alive(p, 1));
	image.off.code_name = 8;
	memcpy(bytes, &image, sizeof(image));
	put(p, RECORD_IMAGE, bytes, sizeof(bytes), 0);
	assert_true(profile__image_alive(p, 1));
	put(p, RECORD_IMAGE, bytes, sizeof(bytes) - 1, 0); /* a string cut short */
	put(p, RECORD_END, NULL, 0, -EINVAL);              /* STATS come before */
	put_end(p, &stats);
	report = report_new(p, &plain);
	assert_int_equal(remark_like(report, "read from a process")->count, 2);
	report_free(report);
	profile__free(p);
}

static void collector_stands_among_the_frames(void **state)
{
	static const struct report_options plain;
	struct profile *p = profile__new();
	struct record_stats stats = { .stat[STAT_SAMPLES] = 5 };
	struct ev_stack sure = stack_event(1, 1, EV_STACK_GC, 3),
			during = stack_event(1, 2, EV_STACK_GC, 2);
	const struct report_node *node;
	struct report *report;
	struct want want;

	put_meta(p, RECORD_FORMAT, 0);
	sure.frames[1] = (struct py_frame){ .check = EV_CHECK_GC };
	during.frames[0] = (struct py_frame){ .check = EV_CHECK_GC_DURING };
	put(p, RECORD_RING, &sure, sure.hdr.size, 0);
	put(p, RECORD_RING, &during, during.hdr.size, 0);
	put_count(p, 1, 1, 3);
	put_count(p, 1, 2, 2);
	while (profile__want(p, &want))
		assert_int_not_equal(want.type == WANT_CODE && !want.code, 1); /* no code object */
	/* what is neither is refused */
	during.frames[0].check = EV_CHECK_GC_DURING + 1;
	put(p, RECORD_RING, &during, during.hdr.size, 0);
	during.frames[0].check = EV_CHECK_GC;
	during.flags = 0;
	put(p, RECORD_RING, &during, during.hdr.size, 0);
	put_end(p, &stats);
	report = report_new(p, &plain);
	node = report->root->child;
	assert_string_equal(node->func, "[name not read]");
	assert_int_equal(node->total, 5);
	node = node->child;
	assert_string_equal(node->func, "[garbage collection]");
	assert_int_equal(node->kind, FRAME_GC);
	assert_int_equal(node->total, 3);
	assert_int_equal(node->self, 0);
	assert_string_equal(node->child->func, "[name not read]");
	assert_string_equal(node->next->func, "[during garbage collection]");
	assert_int_equal(node->next->self, 2);
	assert_int_equal(remark_like(report, "kernel side that did not hold")->count, 2);
	report_free(report);
	profile__free(p);
}

static void profile_is_bounded(void **state)
{
	static const struct report_options plain;
	struct profile *p = profile__new();
	struct record_stats stats = { .stat[STAT_SAMPLES] = 3000 };
	struct ev_stack ev = stack_event(1, 0, 0, 5);
	uint32_t i, kept;
	struct report *report;

	profile__limit(p, 100000);
	put_meta(p, RECORD_FORMAT, 0);
	for (i = 0; i < 1000; i++) {
		ev.hash = i + 1;
		ev.frames[0].lasti = i; /* another leaf each time */
		put(p, RECORD_RING, &ev, ev.hdr.size, 0);
		put_count(p, 1, i + 1, 2);
	}
	kept = profile__stacks(p);
	assert_in_range(kept, 50, 900);
	put_count(p, 1, 1, 1000); /* what is known still counts */
	put_end(p, &stats);
	assert_int_equal(profile__samples(p), 2 * kept + 1000);
	report = report_new(p, &plain);
	assert_int_equal(remark_like(report, "profile is full")->count, 2 * (1000 - kept));
	assert_true(remark_like(report, "profile is full")->is_loss);
	assert_null(remark_like(report, "between the kernel's table"));
	report_free(report);
	profile__free(p);
}

static void put_image(struct profile *p, uint32_t id, uint32_t flags, const char *python)
{
	struct {
		struct record_image image;
		uint32_t empty[3], len;
		char python[64];
	} r = { .image = { .image = id, .pid = 7, .flags = flags }, .len = strlen(python) };

	memcpy(r.python, python, r.len);
	put(p, RECORD_IMAGE, &r, offsetof(typeof(r), python) + r.len, 0);
}

static void profile_shows_a_root_once(void **state)
{
	static const struct report_options plain;
	struct ev_exec ev = { .hdr = { .kind = EV_EXEC, .size = sizeof(ev), .tgid = 7 } };
	struct record_stats stats = {};
	struct profile *p = profile__new();
	struct report *report;
	uint32_t i;

	put_meta(p, RECORD_FORMAT, 0);
	put_image(p, 1, RECORD_IMAGE_ROOT, "none yet");
	for (i = 2; i < 5; i++) { /* the last one is gone before it can be asked */
		ev.hdr.image = i;
		ev.old_image = i - 1;
		put(p, RECORD_RING, &ev, sizeof(ev), 0);
		if (i < 4)
			put_image(p, i, RECORD_IMAGE_ROOT, i == 3 ? "CPython 3.12.1" : "none");
	}
	put_end(p, &stats);
	report = report_new(p, &plain);
	assert_int_equal(report->target_cnt, 1);
	assert_string_equal(report->targets[0].python, "CPython 3.12.1");
	report_free(report);
	profile__free(p);
}

static void profile_asks_for_children_of_the_unknown(void **state)
{
	struct ev_fork ev = { .hdr = { .kind = EV_FORK, .size = sizeof(ev), .image = 2, .tgid = 8 },
			      .parent_image = 1,
			      .parent_tgid = 7 };
	struct ev_stack lost = stack_event(1, 100, EV_STACK_NO_IMAGE, 0);
	struct profile *p = profile__new();
	struct want want;

	put_meta(p, RECORD_FORMAT, 0);
	put_image(p, 1, RECORD_IMAGE_ROOT, "none yet");
	put(p, RECORD_RING, &ev, sizeof(ev), 0);
	assert_true(profile__want(p, &want));
	assert_int_equal(want.type, WANT_IMAGE);
	assert_int_equal(want.image, 2);
	assert_int_equal(want.pid, 8);
	put_image(p, 1, RECORD_IMAGE_ROOT | RECORD_IMAGE_PYTHON, "CPython 3.12.1");
	ev.hdr.image = 3;
	put(p, RECORD_RING, &ev, sizeof(ev), 0); /* inherits */
	assert_false(profile__want(p, &want));
	lost.hdr.image = 3; /* but the kernel side did not */
	put(p, RECORD_RING, &lost, lost.hdr.size, 0);
	assert_true(profile__want(p, &want));
	assert_int_equal(want.image, 3);
	assert_false(profile__want(p, &want));
	profile__free(p);
}

static void profile_names_what_it_refused(void **state)
{
	static const struct report_options plain;
	struct ev_stack ev = stack_event(1, 100, EV_STACK_NO_IMAGE, 0);
	struct record_stats stats = { .stat[STAT_SAMPLES] = 9 };
	struct profile *p = profile__new();
	struct report *report;

	put_meta(p, RECORD_FORMAT, 0);
	put_image(p, 1, RECORD_IMAGE_REFUSED, "CPython 3.7.16, not supported");
	put(p, RECORD_RING, &ev, ev.hdr.size, 0);
	put_count(p, 1, 100, 9);
	put_end(p, &stats);
	report = report_new(p, &plain);
	assert_int_equal(remark_like(report, "process 7: CPython 3.7.16, not supp")->count, 9);
	assert_false(remark_like(report, "process 7")->is_loss);
	report_free(report);
	profile__free(p);
}

static bool is_even(void *ctx, int32_t pid)
{
	return pid % 2 == 0;
}

static void profile_marks_the_dead(void **state)
{
	struct ev_fork ev = { .hdr = { .kind = EV_FORK, .size = sizeof(ev) } };
	struct profile *p = profile__new();
	int i;

	put_meta(p, RECORD_FORMAT, 0);
	for (i = 1; i <= 5; i++) {
		ev.hdr.image = ev.hdr.tgid = i;
		put(p, RECORD_RING, &ev, sizeof(ev), 0);
	}
	assert_int_equal(profile__alive_each(p, is_even, NULL), 2);
	assert_false(profile__image_alive(p, 3));
	assert_true(profile__image_alive(p, 4));
	profile__free(p);
}

static int count_records(void *ctx, enum record_type type, const void *data, size_t len)
{
	(*(int *)ctx)++;
	return 0;
}

/* Writes three records, damages the file, reads it back. */
static int journal_trip(size_t keep, size_t flip, struct err *err)
{
	char *text = NULL;
	size_t len = 0;
	FILE *file = open_memstream(&text, &len);
	int seen = 0, code;

	assert_int_equal(journal_begin(file), 0);
	assert_int_equal(journal_write(file, RECORD_META, "12345678", 8), 0);
	assert_int_equal(journal_write(file, RECORD_RING, "abc", 3), 0);
	assert_int_equal(journal_write(file, RECORD_END, NULL, 0), 0);
	fclose(file);
	if (flip < len)
		text[flip] ^= 0x20;
	if (keep > len)
		keep = len;
	file = fmemopen(text, keep ? keep : 1, "r");
	if (!keep)
		fgetc(file);
	err->msg[0] = '\0';
	code = journal_read(file, count_records, &seen, err);
	fclose(file);
	free(text);
	return code ? code : seen;
}

static void journal_is_whole_or_refused(void **state)
{
	size_t all = 8 + 3 * 12 + 8 + 3, i;
	struct err err;

	assert_int_equal(journal_trip(all, SIZE_MAX, &err), 3);
	for (i = 0; i < all; i++) {
		assert_int_equal(journal_trip(i, SIZE_MAX, &err), -EINVAL);
		assert_true(err.msg[0]);
	}
	for (i = 0; i < all; i++)
		assert_int_equal(journal_trip(all, i, &err), -EINVAL);
}

static void files_are_told_apart(void **state)
{
	static const struct {
		const char *path, *cwd, *shown;
		enum frame_kind kind;
	} cases[] = {
		{ "/usr/lib/python3.11/json/decoder.py", "/", "json/decoder.py", FRAME_STDLIB },
		{ "/usr/lib/python3/dist-packages/flask/app.py", "/", "flask/app.py",
		  FRAME_LIBRARY },
		{ "/v/lib/python3.9/site-packages/a/b.py", "/v", "a/b.py", FRAME_LIBRARY },
		{ "/root/.pyenv/versions/3.8.18/lib/python3.8/abc.py", NULL, "abc.py",
		  FRAME_STDLIB },
		{ "<frozen importlib._bootstrap>", "/", "<frozen importlib._bootstrap>",
		  FRAME_STDLIB },
		{ "<string>", "/", "<string>", FRAME_APP },
		{ "/srv/shop/views.py", "/srv/shop", "views.py", FRAME_APP },
		{ "/srv/shopping/views.py", "/srv/shop", "/srv/shopping/views.py", FRAME_APP },
		{ "/srv/shop/views.py", "/", "/srv/shop/views.py", FRAME_APP },
		{ "/home/python/app.py", "", "/home/python/app.py", FRAME_APP },
		{ "/python3/app.py", NULL, "/python3/app.py", FRAME_APP },
		{ "", NULL, "", FRAME_APP },
	};
	enum frame_kind kind;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_string_equal(file_shown(cases[i].path, cases[i].cwd, &kind), cases[i].shown);
		assert_int_equal(kind, cases[i].kind);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decode_accepts_what_the_kernel_side_sends),
		cmocka_unit_test(decode_refuses_what_does_not_hold),
		cmocka_unit_test(decode_bounds_the_parts_of_a_code_object),
		cmocka_unit_test(profile_counts_stacks_by_thread),
		cmocka_unit_test(profile_says_what_it_misses),
		cmocka_unit_test(filtered_ticks_are_not_missing),
		cmocka_unit_test(profile_asks_for_what_it_lacks),
		cmocka_unit_test(profile_refuses_records_that_do_not_hold),
		cmocka_unit_test(collector_stands_among_the_frames),
		cmocka_unit_test(profile_is_bounded),
		cmocka_unit_test(profile_shows_a_root_once),
		cmocka_unit_test(profile_asks_for_children_of_the_unknown),
		cmocka_unit_test(profile_names_what_it_refused),
		cmocka_unit_test(profile_marks_the_dead),
		cmocka_unit_test(journal_is_whole_or_refused),
		cmocka_unit_test(files_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
