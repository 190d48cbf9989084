/* SPDX-License-Identifier: Apache-2.0 */
/* Whose task a stack is: entries behind frames, names, and what is said of what is not known. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/decode.h"
#include "model/keep.h"
#include "unit/model_fixture.h"

#define NAME_HEAD offsetof(struct ev_task, name)

/* A task's name as 3.12 has its str: state is compact, ascii and a kind of 1, behind 2 bits. */
static struct ev_task task_event(uint64_t hash, const char *name)
{
	struct ev_task ev = { .hdr = { .kind = EV_TASK, .image = 1, .tgid = 7, .tid = 8 },
			      .hash = hash };
	uint64_t len = strlen(name);
	uint32_t state = (1 | 8 | 16) << 2;

	memcpy(ev.name + 16, &len, sizeof(len));
	memcpy(ev.name + 32, &state, sizeof(state));
	memcpy(ev.name + 40, name, len);
	ev.name_len = 40 + len;
	ev.hdr.size = NAME_HEAD + ev.name_len;
	return ev;
}

static void put_image(struct profile *p)
{
	struct {
		struct record_image image;
		uint32_t lens[4];
	} r = { .image = { .image = 1,
			   .pid = 7,
			   .flags = RECORD_IMAGE_PYTHON | RECORD_IMAGE_ROOT,
			   .hex = 0x030c0000,
			   .lines = PY_LINES_ENTRIES,
			   .str_kind_shift = 2,
			   .off = { .str_length = 16,
				    .str_hash = 24,
				    .str_state = 32,
				    .str_ascii_size = 40,
				    .str_compact_size = 56 } } };

	put(p, RECORD_IMAGE, &r, sizeof(r), 0);
}

/* One more sample of a stack that has nothing but an entry. */
static void put_entry(struct profile *p, uint64_t hash, uint32_t kind, uint64_t code,
		      uint32_t check)
{
	struct ev_stack ev = stack_event(1, hash, EV_STACK_NO_FRAME, 1);

	ev.frames[0] = (struct py_frame){ .code = code, .lasti = kind, .check = check };
	put(p, RECORD_RING, &ev, ev.hdr.size, 0);
	put_count(p, 1, hash, 1);
}

static void a_name_is_decoded_within_its_bounds(void **state)
{
	struct ev_task task = task_event(5, "fetch");
	struct event ev;

	assert_int_equal(event_decode(&task, task.hdr.size, &ev), 0);
	assert_ptr_equal(ev.task, &task);
	task.name_len++;
	assert_int_equal(event_decode(&task, task.hdr.size, &ev), -EINVAL);
	task.name_len = EV_TASK_NAME_MAX + 1;
	task.hdr.size = NAME_HEAD + task.name_len;
	assert_int_equal(event_decode(&task, task.hdr.size, &ev), -EINVAL);
	task.hdr.size = NAME_HEAD - 1;
	assert_int_equal(event_decode(&task, task.hdr.size, &ev), -EINVAL);
}

static void tasks_are_frames_at_the_root(void **state)
{
	static const struct report_options plain, by_thread = { .threads = true };
	struct ev_task fetch = task_event(5, "fetch"), again = task_event(5, "other");
	struct profile *p = profile__new();
	const struct report_node *node;
	struct record_stats stats = { 0 };
	struct report *report;
	struct want want;

	put_meta(p, RECORD_FORMAT, 0);
	put(p, RECORD_ASYNC, NULL, 0, 0);
	put_image(p);
	put(p, RECORD_RING, &fetch, fetch.hdr.size, 0);
	put(p, RECORD_RING, &again, again.hdr.size, 0); /* the first one stands */
	put_entry(p, 100, EV_TASK_NAMED, 5, 0);
	put_entry(p, 100, EV_TASK_NAMED, 5, 0);
	put_entry(p, 101, EV_TASK_OF, 0, 0);
	put_entry(p, 102, EV_TASK_OTHER, 0, 0);
	put_entry(p, 103, EV_TASK_LOST, 0, 0);
	put_entry(p, 104, EV_TASK_NAMED, 6, 0); /* whose name did not come */
	assert_false(profile__want(p, &want));  /* nobody could answer */
	profile__want_again(p);
	while (profile__want(p, &want))
		assert_int_not_equal(want.type, WANT_CODE);
	put_end(p, &stats);

	report = report_new(p, &plain);
	node = report->root->child;
	assert_int_equal(node->kind, FRAME_TASK);
	assert_string_equal(node->func, "task fetch");
	assert_int_equal(node->total, 2);
	assert_string_equal(node->child->func, "[no Python function running]");
	assert_int_equal(report->task_cnt, 5);
	assert_string_equal(report->tasks[0].func, "task fetch");
	assert_int_equal(report->tasks[0].total, 2);
	assert_int_equal(report->function_cnt, 1);
	assert_int_equal(remark_like(report, "another class")->count, 1);
	assert_int_equal(remark_like(report, "task is not known")->count, 1);
	assert_int_equal(remark_like(report, "name could not be read")->count, 1);
	report_free(report);
	report = report_new(p, &by_thread);
	node = report->root->child->child; /* process, thread */
	assert_int_equal(node->kind, FRAME_THREAD);
	assert_int_equal(node->child->kind, FRAME_TASK);
	report_free(report);
	profile__free(p);
}

static void an_entry_elsewhere_is_no_task(void **state)
{
	static const struct report_options plain;
	struct profile *p = profile__new();
	struct ev_stack ev = stack_event(1, 100, 0, 2);
	struct record_stats stats = { 0 };
	struct report *report;

	put_meta(p, RECORD_FORMAT, 0);
	put_image(p);
	ev.frames[0] = (struct py_frame){ .code = 5, .lasti = EV_TASK_NAMED }; /* not outermost */
	ev.frames[1] = (struct py_frame){ .code = 9, .lasti = 2, .check = 3 };
	put(p, RECORD_RING, &ev, ev.hdr.size, 0);
	put_count(p, 1, 100, 1);
	put_end(p, &stats);
	report = report_new(p, &plain);
	assert_string_equal(report->root->child->func, "[name not read]");
	assert_int_equal(report->root->child->kind, FRAME_MARK);
	assert_int_equal(report->root->child->child->kind, FRAME_MARK);
	assert_int_equal(report->task_cnt, 0);
	report_free(report);
	profile__free(p);
}

static void time_before_the_tasks_is_said(void **state)
{
	static const struct report_options plain;
	struct record_tasks told = { .image = 1, .told_ns = 7000000 };
	struct ev_thread thread = { .hdr = { .kind = EV_THREAD,
					     .size = sizeof(thread),
					     .image = 1,
					     .tgid = 7,
					     .tid = 8,
					     .thread = 1,
					     .ts_ns = 2000000 } };
	struct record_stats stats = { 0 };
	struct report *report;
	int late;

	for (late = 0; late < 2; late++) {
		struct profile *p = profile__new();

		put_meta(p, RECORD_FORMAT, 0);
		put(p, RECORD_ASYNC, NULL, 0, 0);
		put_image(p);
		if (late)
			put(p, RECORD_RING, &thread, sizeof(thread), 0);
		put(p, RECORD_TASKS, &told, sizeof(told), 0);
		put(p, RECORD_TASKS, &told, sizeof(told) - 1, -EINVAL);
		put_end(p, &stats);
		report = report_new(p, &plain);
		if (late)
			assert_int_equal(remark_like(report, "before asyncio")->count, 5);
		else
			assert_null(remark_like(report, "before asyncio"));
		report_free(report);
		profile__free(p);
	}
}

static int count_put(void *cnt, enum record_type type, const void *data, size_t len)
{
	const struct ev_hdr *hdr = data;

	(void)len;
	*(int *)cnt += type == RECORD_RING && hdr->kind == EV_TASK;
	return 0;
}

/* --rotate: the kernel side sends a name once. */
static void a_name_is_kept_for_the_next_part(void **state)
{
	struct ev_task fetch = task_event(5, "fetch");
	struct ev_stack ev = stack_event(1, 100, 0, 1);
	struct keep *k = keep__new();
	int cnt = 0;

	ev.frames[0] = (struct py_frame){ .code = 5, .lasti = EV_TASK_NAMED };
	assert_int_equal(keep__see(k, RECORD_RING, &fetch, fetch.hdr.size), 0);
	assert_int_equal(keep__codes(k, RECORD_RING, &ev, ev.hdr.size, count_put, &cnt), 0);
	assert_int_equal(cnt, 0); /* this part has it */
	keep__begin(k);
	keep__drop(k, NULL, NULL);
	assert_int_equal(keep__codes(k, RECORD_RING, &ev, ev.hdr.size, count_put, &cnt), 0);
	assert_int_equal(keep__codes(k, RECORD_RING, &ev, ev.hdr.size, count_put, &cnt), 0);
	assert_int_equal(cnt, 1);
	keep__free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_decoded_within_its_bounds),
		cmocka_unit_test(tasks_are_frames_at_the_root),
		cmocka_unit_test(an_entry_elsewhere_is_no_task),
		cmocka_unit_test(time_before_the_tasks_is_said),
		cmocka_unit_test(a_name_is_kept_for_the_next_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
