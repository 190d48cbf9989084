/* SPDX-License-Identifier: Apache-2.0 */
/* What the next part of a recording is told of, and what is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "events.h"
#include "model/keep.h"
#include "model/report.h"

#define TOLD_MAX 64

static struct told {
	uint16_t kinds[TOLD_MAX];
	uint64_t ids[TOLD_MAX]; /* thread, hash or code */
	int cnt, forgotten;
} told;

static int on_put(void *ctx, enum record_type type, const void *data, size_t len)
{
	const struct ev_hdr *hdr = data;

	(void)ctx;
	assert_true(told.cnt < TOLD_MAX);
	told.kinds[told.cnt] = type == RECORD_RING ? hdr->kind : 100 + type;
	told.ids[told.cnt] = hdr->thread;
	if (type == RECORD_RING && hdr->kind == EV_STACK)
		told.ids[told.cnt] = ((const struct ev_stack *)data)->hash;
	if (type == RECORD_CODE || (type == RECORD_RING && hdr->kind == EV_CODE))
		told.ids[told.cnt] = ((const struct ev_code *)data)->code;
	told.cnt++;
	return 0;
}

static void on_forget(void *ctx, const struct code_key *key)
{
	(void)ctx;
	(void)key;
	told.forgotten++;
}

static void see_thread(struct keep *k, uint32_t serial)
{
	struct ev_thread ev = {
		.hdr = { .kind = EV_THREAD, .size = sizeof(ev), .image = 1, .thread = serial }
	};

	assert_int_equal(keep__see(k, RECORD_RING, &ev, sizeof(ev)), 0);
}

static void see_code(struct keep *k, enum record_type type, uint64_t code)
{
	const size_t head = offsetof(struct ev_code, data);
	struct ev_code *ev = calloc(1, sizeof(*ev));

	ev->hdr = (struct ev_hdr){ .kind = EV_CODE, .size = head, .image = 1 };
	ev->code = code;
	assert_int_equal(keep__see(k, type, ev, head), 0);
	free(ev);
}

/* A stack of one frame; what it needs comes through on_put(). */
static void see_stack(struct keep *k, uint32_t thread, uint64_t hash, uint64_t code)
{
	struct ev_stack ev = {
		.hdr = { .kind = EV_STACK, .image = 1, .thread = thread },
		.hash = hash,
		.frame_cnt = 1,
		.frames[0].code = code,
	};

	ev.hdr.size = offsetof(struct ev_stack, frames) + sizeof(struct py_frame);
	assert_int_equal(keep__see(k, RECORD_RING, &ev, ev.hdr.size), 0);
	assert_int_equal(keep__codes(k, RECORD_RING, &ev, ev.hdr.size, on_put, NULL), 0);
}

static bool was_told(uint16_t kind, uint64_t id)
{
	int i;

	for (i = 0; i < told.cnt; i++)
		if (told.kinds[i] == kind && told.ids[i] == id)
			return true;
	return false;
}

static void cut(struct keep *k)
{
	memset(&told, 0, sizeof(told));
	keep__drop(k, on_forget, NULL);
	assert_int_equal(keep__tell(k, on_put, NULL), 0);
}

static void a_part_is_told_what_is_in_use(void **state)
{
	struct keep *k = keep__new();
	struct {
		struct record_thread head;
		uint32_t len;
	} name = { .head = { .thread = 1 } };

	(void)state;
	see_thread(k, 1);
	see_thread(k, 2);
	see_thread(k, 3);
	assert_int_equal(keep__see(k, RECORD_THREAD_NAME, &name, sizeof(name)), 0);
	see_code(k, RECORD_RING, 0xc1);
	see_code(k, RECORD_CODE, 0xc1);
	see_code(k, RECORD_RING, 0xc2);
	see_stack(k, 1, 11, 0xc1);
	see_stack(k, 2, 22, 0xc2);
	keep__begin(k);
	keep__lives(k, 1);
	keep__holds(k, 1, 1, 11);
	see_stack(k, 3, 33, 0xc2); /* came while the cut was made */
	cut(k);
	assert_true(was_told(EV_THREAD, 1) && was_told(100 + RECORD_THREAD_NAME, 0));
	assert_false(was_told(EV_THREAD, 2)); /* neither lives nor has a stack that is held */
	assert_true(was_told(EV_THREAD, 3));
	assert_true(was_told(EV_STACK, 11) && was_told(EV_STACK, 33) && !was_told(EV_STACK, 22));
	assert_true(was_told(EV_CODE, 0xc1) && was_told(100 + RECORD_CODE, 0xc1));
	assert_true(was_told(EV_CODE, 0xc2));
	assert_int_equal(told.forgotten, 0);
	keep__free(k);
}

static void codes_come_with_the_first_stack_or_go(void **state)
{
	struct keep *k = keep__new();

	(void)state;
	see_thread(k, 1);
	see_code(k, RECORD_RING, 0xc1);
	see_code(k, RECORD_RING, 0xc2);
	see_stack(k, 1, 11, 0xc1);
	keep__begin(k);
	cut(k);
	assert_int_equal(told.cnt, 0);
	see_stack(k, 1, 12, 0xc1);
	see_stack(k, 1, 13, 0xc1); /* once is enough */
	assert_int_equal(told.cnt, 1);
	assert_true(was_told(EV_CODE, 0xc1));
	keep__begin(k);
	cut(k); /* 0xc2 was not needed for a whole part */
	assert_int_equal(told.forgotten, 1);
	see_stack(k, 1, 14, 0xc2);
	assert_int_equal(told.cnt, 0);
	keep__free(k);
}

static void times_are_less_those_before(void **state)
{
	static const struct report_options options = { .idle = true };
	struct {
		struct record_meta meta;
		uint32_t len;
	} meta = { .meta = { .format = RECORD_FORMAT, .rate_hz = 99, .mode = RECORD_WALL } };
	struct record_times before = { .thread = 1, .image = 1, .times = { 100, 2000, 30 } };
	struct record_times all = { .thread = 1, .image = 1, .times = { 150, 2600, 20 } };
	struct ev_thread ev = {
		.hdr = { .kind = EV_THREAD, .size = sizeof(ev), .image = 1, .thread = 1 }
	};
	struct record_stats stats = {};
	struct profile *p = profile__new();
	struct report *report;

	(void)state;
	assert_int_equal(profile__apply(p, RECORD_META, &meta,
					offsetof(typeof(meta), len) + sizeof(meta.len), NULL),
			 0);
	assert_int_equal(profile__apply(p, RECORD_RING, &ev, sizeof(ev), NULL), 0);
	assert_int_equal(profile__apply(p, RECORD_TIMES_BEFORE, &before, sizeof(before), NULL), 0);
	assert_int_equal(profile__apply(p, RECORD_TIMES_BEFORE, &before, 5, NULL), -22);
	assert_int_equal(profile__apply(p, RECORD_TIMES, &all, sizeof(all), NULL), 0);
	assert_int_equal(profile__apply(p, RECORD_STATS, &stats, sizeof(stats), NULL), 0);
	report = report_new(p, &options);
	assert_int_equal(report->threads[0].cpu_ns, 50);
	assert_int_equal(report->threads[0].wait_ns, 600);
	assert_int_equal(report->threads[0].runq_ns, 0); /* less than before: never below 0 */
	report_free(report);
	profile__free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_part_is_told_what_is_in_use),
		cmocka_unit_test(codes_come_with_the_first_stack_or_go),
		cmocka_unit_test(times_are_less_those_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
