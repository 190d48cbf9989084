/* SPDX-License-Identifier: Apache-2.0 */
/* Chains of coroutines in painted memories of each version: whole ones, and those that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "image.h"
#include "python/coro.h"
#include "python/layout.h"

#define YIELD_FROM 72 /* 3.8 - 3.10 */

struct world {
	struct image im;
	struct py_layout layout;
	struct py_cfg cfg;
	struct py_found found;
	struct py_stack stack;
	uint64_t frame;
	enum coro_state state;
};

struct coro {
	uint64_t object, frame, top; /* top: the cell at the top of its value stack */
};

static uint64_t type_new(struct world *w, const char *name)
{
	uint64_t type = image_new(&w->im, 1024), text = image_new(&w->im, 128);

	image_put(&w->im, text, name, strlen(name));
	image_u64(&w->im, type + w->layout.abi.live.type_name, text);
	return type;
}

static void world_init(struct world *w, int minor)
{
	struct err err = {};

	memset(w, 0, sizeof(*w));
	image_init(&w->im);
	w->found.hex = 0x03000000 | minor << 16;
	w->found.runtime = image_new(&w->im, 4096);
	assert_int_equal(layout_fill(&w->found, &w->im.mem, &w->layout, &err), 0);
	w->found.code_type = type_new(w, "code");
	w->found.coro_type = type_new(w, "coroutine");
	w->found.gen_type = type_new(w, "generator");
	w->found.async_gen_type = type_new(w, "async_generator");
	assert_int_equal(layout_cfg(&w->found, &w->layout, &w->cfg), 0);
}

static void world_done(struct world *w)
{
	stack_done(&w->stack);
	image_done(&w->im);
}

static uint64_t code_new(struct world *w, uint32_t line)
{
	const struct py_live *live = &w->layout.abi.live;
	uint64_t code = image_new(&w->im, w->layout.abi.off.code_size + 64);
	uint64_t text = image_ascii(&w->im, &w->layout.abi, "name"), bytes;
	uint8_t next[2] = { w->layout.abi.minor < 11 ? YIELD_FROM : 0, 3 };

	image_u64(&w->im, code + live->object_type, w->found.code_type);
	image_put(&w->im, code + w->cfg.code_firstlineno, &line, sizeof(line));
	image_u64(&w->im, code + w->cfg.code_name, text);
	image_u64(&w->im, code + w->cfg.code_filename, text);
	if (w->layout.abi.minor >= 11) {
		image_u64(&w->im, code + w->cfg.code_qualname, text);
		image_put(&w->im, code + w->cfg.code_start + 4, next, 2);
	} else {
		bytes = image_new(&w->im, 64);
		image_u64(&w->im, code + live->code_code, bytes);
		image_put(&w->im, bytes + w->layout.abi.off.bytes_data + 4, next, 2);
	}
	return code;
}

/* A coroutine that waits: the instruction at byte 2 was its last, one that awaits is at byte 4. */
static struct coro coro_new(struct world *w, uint64_t type, uint32_t line, bool awaits)
{
	const struct py_live *live = &w->layout.abi.live;
	int minor = w->layout.abi.minor;
	uint64_t code = code_new(w, line), stack;
	uint32_t lasti = minor == 10 ? 1 : 2, depth = 1;
	uint8_t state = minor >= 13 && awaits ? live->gen_awaits : live->gen_suspended,
		plain[2] = {};
	struct coro c = { .object = image_new(&w->im, 1024) };

	image_u64(&w->im, c.object + live->object_type, type);
	if (minor >= 11) {
		c.frame = c.object + live->gen_frame;
		image_u64(&w->im, c.frame + w->cfg.frame_instr, code + w->cfg.code_start + lasti);
		image_put(&w->im, c.object + live->gen_state, &state, 1);
		if (!awaits)
			image_put(&w->im, code + w->cfg.code_start + 4, plain, 2);
	} else {
		c.frame = image_new(&w->im, 1024);
		image_u64(&w->im, c.object + live->gen_frame, c.frame);
		image_put(&w->im, c.frame + w->cfg.frame_instr, &lasti, sizeof(lasti));
		if (minor == 10)
			image_put(&w->im, c.frame + live->gen_state, &state, 1);
		if (!awaits)
			image_u64(&w->im, code + live->code_code, image_new(&w->im, 64));
	}
	image_u64(&w->im, c.frame + w->cfg.frame_code, code);
	stack = image_new(&w->im, 64);
	if (minor >= 14 || minor < 10) {
		image_u64(&w->im, c.frame + live->frame_stacktop, stack + 32);
		c.top = stack + 32 - (minor >= 15 ? 16 : 8);
	} else {
		image_put(&w->im, c.frame + live->frame_stacktop, &depth, sizeof(depth));
		c.top = c.frame + live->frame_stack;
		if (minor == 10) {
			image_u64(&w->im, c.top, stack);
			c.top = stack;
		}
	}
	return c;
}

static void chain(struct world *w, uint64_t object, uint32_t max)
{
	w->stack.frame_cnt = w->stack.flags = 0;
	assert_int_equal(coro_chain(&w->im.mem, &w->layout.abi, &w->cfg, &w->found, object, max,
				    &w->stack, &w->frame, &w->state),
			 0);
}

#define EACH_MINOR(w) for (int m_ = 8; m_ < 16 && (world_init(w, m_), 1); world_done(w), m_++)

static void test_chain(void **state)
{
	struct coro a, b, c, future;
	uint64_t wrapper, between;
	struct world w;

	EACH_MINOR(&w)
	{
		a = coro_new(&w, w.found.coro_type, 1, true);
		b = coro_new(&w, w.found.async_gen_type, 2, true);
		c = coro_new(&w, w.found.gen_type, 3, true);
		between = type_new(&w, "async_generator_asend");
		wrapper = image_new(&w.im, 64);
		image_u64(&w.im, wrapper + w.layout.abi.live.object_type, between);
		image_u64(&w.im, wrapper + w.layout.abi.live.object_type + 8, b.object);
		future.object = image_new(&w.im, 64);
		image_u64(&w.im, future.object + w.layout.abi.live.object_type,
			  type_new(&w, "_asyncio.FutureIter"));
		image_u64(&w.im, a.top, wrapper);
		image_u64(&w.im, b.top, c.object);
		image_u64(&w.im, c.top, future.object);
		chain(&w, a.object, 10);
		assert_int_equal(w.stack.frame_cnt, 3);
		assert_int_equal(w.stack.flags, 0);
		assert_int_equal(w.state, CORO_SUSPENDED);
		assert_true(w.frame == a.frame);
		chain(&w, a.object, 2);
		assert_int_equal(w.stack.frame_cnt, 2);
		assert_int_equal(w.stack.flags, EV_STACK_TRUNCATED);
	}
}

/* A plain `yield` leaves on the stack what it likes: that is not awaited. */
static void test_yield(void **state)
{
	struct coro a, b;
	struct world w;

	EACH_MINOR(&w)
	{
		a = coro_new(&w, w.found.coro_type, 1, false);
		b = coro_new(&w, w.found.coro_type, 2, true);
		image_u64(&w.im, a.top, b.object);
		chain(&w, a.object, 10);
		assert_int_equal(w.stack.frame_cnt, 1);
		assert_int_equal(w.stack.flags, 0);
		assert_int_equal(w.state, CORO_SUSPENDED);
	}
}

static void test_cycles(void **state)
{
	struct coro list[6];
	uint64_t wrapper;
	struct world w;
	int i;

	EACH_MINOR(&w)
	{
		for (i = 0; i < 6; i++)
			list[i] = coro_new(&w, w.found.coro_type, i + 1, true);
		for (i = 0; i < 6; i++)
			image_u64(&w.im, list[i].top, list[i < 5 ? i + 1 : 2].object);
		chain(&w, list[0].object, 10000);
		assert_int_equal(w.stack.flags, EV_STACK_UNREADABLE);
		assert_true(w.stack.frame_cnt <= 6);
		/* one that awaits itself, and a wrapper of itself */
		image_u64(&w.im, list[0].top, list[0].object);
		chain(&w, list[0].object, 10000);
		assert_int_equal(w.stack.flags, EV_STACK_UNREADABLE);
		wrapper = image_new(&w.im, 64);
		image_u64(&w.im, wrapper + w.layout.abi.live.object_type,
			  type_new(&w, "coroutine_wrapper"));
		image_u64(&w.im, wrapper + w.layout.abi.live.object_type + 8, wrapper);
		chain(&w, wrapper, 10000);
		assert_int_equal(w.stack.frame_cnt, 0);
		assert_int_equal(w.state, CORO_UNKNOWN);
	}
}

static void test_states(void **state)
{
	const struct py_live *live;
	struct coro a;
	struct world w;
	uint64_t where;
	uint8_t byte;

	EACH_MINOR(&w)
	{
		live = &w.layout.abi.live;
		a = coro_new(&w, w.found.coro_type, 1, true);
		where = (m_ == 10 ? a.frame : a.object) + live->gen_state;
		byte = m_ < 10 ? 1 : live->gen_executing;
		image_put(&w.im, where, &byte, 1);
		chain(&w, a.object, 10);
		assert_int_equal(w.state, CORO_RUNNING);
		assert_int_equal(w.stack.frame_cnt, 1);
		assert_true(w.frame == a.frame);
		byte = 100;
		image_put(&w.im, where, &byte, 1);
		if (m_ < 10)
			image_u64(&w.im, a.object + live->gen_frame, 0);
		chain(&w, a.object, 10);
		assert_int_equal(w.state, CORO_DONE);
		assert_int_equal(w.stack.frame_cnt, 0);
		/* nothing there at all */
		chain(&w, 0x1234, 10);
		assert_int_equal(w.state, CORO_UNKNOWN);
	}
}

static void test_type_names(void **state)
{
	uint64_t base, type;
	struct world w;

	EACH_MINOR(&w)
	{
		base = type_new(&w, "_asyncio.Task");
		type = type_new(&w, "mine.Task");
		image_u64(&w.im, type + w.layout.abi.live.type_base, base);
		assert_true(coro_type_named(&w.im.mem, &w.layout.abi, type, "_asyncio.Task") ==
			    base);
		assert_true(coro_type_named(&w.im.mem, &w.layout.abi, base, "mine.Task") == 0);
		/* its own base, for ever */
		image_u64(&w.im, base + w.layout.abi.live.type_base, base);
		assert_true(coro_type_named(&w.im.mem, &w.layout.abi, type, "list") == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain),      cmocka_unit_test(test_yield),
		cmocka_unit_test(test_cycles),     cmocka_unit_test(test_states),
		cmocka_unit_test(test_type_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
