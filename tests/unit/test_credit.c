/* SPDX-License-Identifier: Apache-2.0 */
/* Waits that are told of before they are over: whatever the order, the sum is the wait's. And what
 * user space says of a thread at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cmd/credit.h"

static const struct count_key here = { .thread = 1, .image = 1, .hash = 100 };
static const struct count_key there = { .thread = 1, .image = 1, .hash = 200 };

/* A look at a wait that has lasted `ns`: what it adds. */
static uint64_t look(struct credits *c, const struct count_key *key, uint64_t ns)
{
	struct count_val val = { .count = 1, .wait_ns = ns };

	assert_int_equal(credits_give(c, key, &val), 0);
	assert_int_equal(val.count, 0);
	val.wait_ns += val.runq_ns;
	assert_int_equal(credits_give(c, key, &val), 1); /* it came twice */
	credits_turn(c);
	return val.wait_ns;
}

static uint64_t counted(struct credits *c, const struct count_key *key, uint64_t wait_ns,
			uint64_t runq_ns)
{
	struct count_val val = { .count = 1, .wait_ns = wait_ns, .runq_ns = runq_ns };

	credits_use(c, key, &val);
	return val.wait_ns + val.runq_ns;
}

static void shares_add_up(void **state)
{
	struct credits c = {};

	assert_int_equal(look(&c, &here, 100), 100);
	assert_int_equal(look(&c, &here, 250), 150);
	assert_int_equal(counted(&c, &here, 290, 10), 50);
	assert_int_equal(counted(&c, &here, 40, 0), 40); /* the next one */
	/* one that is known only now to have been the run queue */
	assert_int_equal(look(&c, &here, 100), 100);
	assert_int_equal(counted(&c, &here, 20, 90), 10);
	/* the count of an earlier wait comes behind the look at this one */
	assert_int_equal(look(&c, &here, 100), 100);
	assert_int_equal(counted(&c, &here, 30, 0), 0);
	assert_int_equal(look(&c, &here, 150), 80);
	assert_int_equal(counted(&c, &here, 150, 0), 0);
	/* another stack */
	assert_int_equal(look(&c, &here, 100), 100);
	assert_int_equal(counted(&c, &there, 70, 0), 70);
	assert_int_equal(counted(&c, &here, 100, 0), 0);
	credits_free(&c);
}

struct taken {
	struct count_key key;
	struct count_val val;
	struct ev_wait ev;
	struct thread_times times;
	int counts, events;
};

static int take_count(void *ctx, const struct count_key *key, const struct count_val *val)
{
	struct taken *t = ctx;

	t->key = *key;
	t->val = *val;
	t->counts++;
	return 0;
}

static int take_event(void *ctx, void *data, size_t len)
{
	struct taken *t = ctx;

	assert_int_equal(len, sizeof(t->ev));
	memcpy(&t->ev, data, len);
	t->events++;
	return 0;
}

static int take_times(void *ctx, const struct thread_seen *thread)
{
	((struct taken *)ctx)->times = thread->times;
	return 0;
}

static struct taken rest_of(struct thread_seen thread, bool is_end)
{
	struct rest r = { .start_ns = 1000,
			  .end_ns = 5000,
			  .is_end = is_end,
			  .known = true,
			  .exec_ns = 70,
			  .delay_ns = 40 };
	struct taken t = {};
	struct rest_to to = { take_count, take_event, take_times, &t };

	thread.serial = 3;
	thread.image = 2;
	assert_int_equal(rest_give(&r, 9, &thread, &to), 0);
	return t;
}

static void rest_is_what_a_switch_would_tell(void **state)
{
	struct taken t;

	/* it waits, and did when it began */
	t = rest_of((struct thread_seen){ .is_off = 1, .hash = 100, .exec_ns = 70 }, true);
	assert_int_equal(t.counts, 1);
	assert_int_equal(t.val.wait_ns, 4000);
	assert_int_equal(t.ev.hdr.kind, EV_WAIT);
	assert_int_equal(t.ev.hdr.thread, 3);
	assert_int_equal(t.ev.start_ns, 1000);
	assert_int_equal(t.ev.wait_ns, 4000);
	assert_int_equal(t.ev.flags, EV_WAIT_OPEN);
	assert_int_equal(t.times.wait_ns, 4000);
	/* it ran since it was read: nobody knows where it waits */
	t = rest_of((struct thread_seen){ .is_off = 1, .hash = 100, .exec_ns = 60 }, true);
	assert_int_equal(t.counts, 0);
	assert_int_equal(t.events, 1);
	assert_int_equal(t.ev.hash, 0);
	/* between two parts */
	t = rest_of((struct thread_seen){ .is_off = 1, .hash = 100, .since_ns = 4200 }, false);
	assert_int_equal(t.ev.flags, EV_WAIT_OPEN | EV_WAIT_SHARE);
	assert_int_equal(t.ev.start_ns, 4200);
	/* it runs, and its last wait is not counted yet */
	t = rest_of((struct thread_seen){ .since_ns = 4000,
					  .over_ns = 500,
					  .over_hash = 100,
					  .over_start_ns = 3500,
					  .run_delay = 10 },
		    true);
	assert_int_equal(t.counts, 1);
	assert_int_equal(t.val.wait_ns, 470);
	assert_int_equal(t.val.runq_ns, 30);
	assert_int_equal(t.ev.start_ns, 3500);
	assert_int_equal(t.ev.flags, 0);
	assert_int_equal(t.times.cpu_ns, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_add_up),
		cmocka_unit_test(rest_is_what_a_switch_would_tell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
