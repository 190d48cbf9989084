/* SPDX-License-Identifier: Apache-2.0 */
/* The walk from outside, over painted memories of each version, and over this very process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "image.h"
#include "os/syscall.h"
#include "python/layout.h"
#include "python/stack.h"
#include "python/table.h"

#define DEEP 20000

struct world {
	struct image im;
	struct py_layout layout;
	struct py_cfg cfg;
	struct stack_thread thread;
	uint64_t type;
	uint64_t frame_cell; /* where the address of the current frame stands */
	struct py_stack stack;
};

static void world_init_row(struct world *w, const struct py_row *row)
{
	struct py_found found = {};

	memset(w, 0, sizeof(*w));
	image_init(&w->im);
	w->layout.abi = (struct py_abi){ row->major,          row->minor, row->off,  row->lines,
					 row->str_kind_shift, row->live,  row->build };
	if (row->minor == 11 || row->minor == 12)
		w->layout.source.cframe_current_frame = PY_SOURCE_ROW;
	found.runtime = image_new(&w->im, 4096);
	w->type = found.code_type = image_new(&w->im, 16);
	assert_int_equal(layout_cfg(&found, &w->layout, &w->cfg), 0);
	w->thread.interp = image_new(&w->im, 16384);
	w->thread.tstate = image_new(&w->im, 1024);
	w->thread.thread_id = 0x7777000;
	image_u64(&w->im, found.runtime + w->cfg.runtime_interpreters_head, w->thread.interp);
	image_u64(&w->im, w->thread.interp + w->cfg.interp_threads_head, w->thread.tstate);
	image_u64(&w->im, w->thread.tstate + w->cfg.tstate_thread_id, w->thread.thread_id);
	w->frame_cell = w->thread.tstate + w->cfg.tstate_frame;
	if (w->cfg.flags & PY_CFG_CFRAME) {
		uint64_t cframe = image_new(&w->im, 64);

		image_u64(&w->im, w->frame_cell, cframe);
		w->frame_cell = cframe + w->cfg.cframe_current_frame;
	}
}

static void world_init(struct world *w, int minor)
{
	const struct py_row *row = py_rows;

	while (row->minor != minor || row->build != PY_BUILD_RELEASE)
		row++;
	world_init_row(w, row);
}

static void world_done(struct world *w)
{
	stack_done(&w->stack);
	image_done(&w->im);
}

static uint64_t code_new(struct world *w, const char *name, uint32_t line)
{
	const struct py_abi *abi = &w->layout.abi;
	uint64_t code = image_new(&w->im, abi->off.code_size);
	uint64_t text = image_ascii(&w->im, abi, name);

	image_u64(&w->im, code + w->cfg.object_type, w->type);
	image_put(&w->im, code + w->cfg.code_firstlineno, &line, sizeof(line));
	image_u64(&w->im, code + w->cfg.code_name, text);
	image_u64(&w->im, code + w->cfg.code_filename, text);
	if (w->cfg.code_qualname)
		image_u64(&w->im, code + w->cfg.code_qualname, text);
	return code;
}

static uint64_t frame_new(struct world *w, uint64_t previous, uint64_t code, uint32_t lasti)
{
	uint64_t frame = image_new(&w->im, w->cfg.frame_read);

	image_u64(&w->im, frame + w->cfg.frame_previous, previous);
	image_u64(&w->im, frame + w->cfg.frame_code, code);
	if (w->cfg.flags & PY_CFG_INSTR_IS_PTR)
		image_u64(&w->im, frame + w->cfg.frame_instr, code + w->cfg.code_start + lasti);
	else
		image_put(&w->im, frame + w->cfg.frame_instr, &lasti, sizeof(lasti));
	return frame;
}

static void walk(struct world *w, uint64_t leaf, uint32_t max)
{
	image_u64(&w->im, w->frame_cell, leaf);
	assert_int_equal(
		stack_walk(&w->im.mem, &w->layout.abi, &w->cfg, &w->thread, max, &w->stack), 0);
}

static uint32_t check_of(struct world *w, uint64_t code)
{
	struct code_raw raw;
	struct buf store;
	uint32_t check;

	buf_init(&store, 65536);
	assert_int_equal(code_read(&w->im.mem, &w->layout.abi, code, &store, &raw), 0);
	check = code_check(&w->layout.abi, raw.facts, raw.name);
	buf_done(&store);
	assert_int_not_equal(check, 0);
	return check;
}

#define ROWS (sizeof(py_rows) / sizeof(py_rows[0]))
#define EACH_ROW(w) \
	for (size_t r_ = 0; r_ < ROWS && (world_init_row(w, &py_rows[r_]), 1); world_done(w), r_++)

static void test_frames(void **state)
{
	struct world w;

	EACH_ROW(&w)
	{
		uint64_t outer = code_new(&w, "outer", 3), inner = code_new(&w, "inner", 7);
		uint64_t root = frame_new(&w, 0, outer, 10);
		uint64_t leaf = frame_new(&w, root, inner, EV_LASTI_NONE);

		walk(&w, leaf, 10);
		assert_int_equal(w.stack.flags, 0);
		assert_int_equal(w.stack.frame_cnt, 2);
		assert_int_equal(w.stack.frames[0].code, inner);
		assert_int_equal(w.stack.frames[0].lasti, EV_LASTI_NONE);
		assert_int_equal(w.stack.frames[0].check, check_of(&w, inner));
		assert_int_equal(w.stack.frames[1].code, outer);
		assert_int_equal(w.stack.frames[1].lasti, 10);
		assert_int_equal(w.stack.frames[1].check, check_of(&w, outer));
		walk(&w, leaf, 2); /* as many as fit are not cut */
		assert_int_equal(w.stack.flags, 0);
		walk(&w, leaf, 1);
		assert_int_equal(w.stack.flags, EV_STACK_TRUNCATED);
		assert_int_equal(w.stack.frame_cnt, 1);
		walk(&w, 0, 10);
		assert_int_equal(w.stack.flags, EV_STACK_NO_FRAME);
		assert_int_equal(w.stack.frame_cnt, 0);
	}
}

static void test_deep(void **state)
{
	uint32_t i;
	struct world w;
	uint64_t frame = 0, code;

	world_init(&w, 13);
	code = code_new(&w, "f", 1);
	for (i = 0; i < DEEP; i++)
		frame = frame_new(&w, frame, code, i);
	walk(&w, frame, STACK_FRAMES_MAX);
	assert_int_equal(w.stack.flags, 0);
	assert_int_equal(w.stack.frame_cnt, DEEP);
	for (i = 0; i < DEEP; i++)
		assert_int_equal(w.stack.frames[i].lasti, DEEP - 1 - i);
	world_done(&w);
}

/* What the interpreter says of its collector. */
static void collects(struct world *w, uint64_t frame, uint64_t gil_holder)
{
	const struct py_offsets *off = &w->layout.abi.off;
	uint64_t at = w->cfg.runtime_collecting ? w->cfg.runtime + w->cfg.runtime_collecting
						: w->thread.interp + w->cfg.interp_collecting;
	uint64_t gil = w->cfg.runtime + off->runtime_gil;
	uint32_t locked = 1;

	if (!off->runtime_gil) {
		gil = image_new(&w->im, off->gil_size);
		image_u64(&w->im, w->thread.interp + off->interp_gil, gil);
	}
	image_u64(&w->im, at, 1);
	if (w->cfg.collecting_frame)
		image_u64(&w->im, at + w->cfg.collecting_frame, frame);
	image_u64(&w->im, gil + off->gil_holder, gil_holder);
	image_put(&w->im, gil + off->gil_locked, &locked, sizeof(locked));
}

static void test_collector(void **state)
{
	static const int each[] = { 8, 9, 10, 11, 12, 13, 14, 15 };
	uint64_t code, root, middle, leaf;
	struct world w;
	size_t i;

	for (i = 0; i < 8; i++) {
		world_init(&w, each[i]);
		code = code_new(&w, "f", 1);
		root = frame_new(&w, 0, code, 0);
		middle = frame_new(&w, root, code, 0);
		leaf = frame_new(&w, middle, code, 0);
		collects(&w, middle, w.thread.tstate);
		walk(&w, leaf, 10);
		assert_int_equal(w.stack.flags, EV_STACK_GC);
		assert_int_equal(w.stack.frame_cnt, 4);
		assert_int_equal(w.stack.frames[each[i] == 15].code, 0);
		assert_int_equal(w.stack.frames[each[i] == 15].check,
				 each[i] == 15 ? EV_CHECK_GC : EV_CHECK_GC_DURING);
		walk(&w, leaf, 1);
		assert_true(w.stack.flags & EV_STACK_TRUNCATED);
		assert_int_equal(w.stack.frame_cnt, 1);
		walk(&w, 0, 10); /* at the interpreter's end no function runs */
		assert_int_equal(w.stack.flags,
				 EV_STACK_NO_FRAME | (each[i] == 15 ? 0 : EV_STACK_GC));
		/* another one has the GIL; another one's frame */
		collects(&w, 0x1234, each[i] == 15 ? w.thread.tstate : 0x1234);
		walk(&w, leaf, 10);
		assert_int_equal(w.stack.flags, 0);
		assert_int_equal(w.stack.frame_cnt, 3);
		world_done(&w);
	}
}

/* Frames of the C stack are none of Python's; there may be one between any two. */
static void test_shims(void **state)
{
	uint64_t code, shim, frame = 0;
	uint8_t owner;
	struct world w;
	int i;

	world_init(&w, 12);
	owner = w.cfg.frame_owner_skip;
	code = code_new(&w, "f", 1);
	for (i = 0; i < 8; i++) {
		frame = frame_new(&w, frame, code, i);
		shim = frame_new(&w, frame, 0x1234, 0);
		image_put(&w.im, shim + w.cfg.frame_owner, &owner, 1);
		frame = shim;
	}
	walk(&w, frame, 8);
	assert_int_equal(w.stack.flags, 0);
	assert_int_equal(w.stack.frame_cnt, 8);
	world_done(&w);
}

static void test_cycles(void **state)
{
	uint64_t code, frames[40];
	struct world w;
	int i, to;

	EACH_ROW(&w)
	{
		code = code_new(&w, "f", 1);
		for (i = 0; i < 40; i++)
			frames[i] = frame_new(&w, i ? frames[i - 1] : 0, code, i);
		for (to = 0; to < 40; to++) {
			image_u64(&w.im, frames[0] + w.cfg.frame_previous, frames[to]);
			walk(&w, frames[39], STACK_FRAMES_MAX);
			assert_int_equal(w.stack.flags, EV_STACK_UNREADABLE);
			assert_in_range(w.stack.frame_cnt, 0, 128);
		}
	}
}

static void test_garbage(void **state)
{
	uint64_t code, root, leaf, none;
	struct world w;

	EACH_ROW(&w)
	{
		code = code_new(&w, "f", 1);
		none = image_new(&w.im, 256); /* no code object: its type is not PyCode_Type */
		root = frame_new(&w, 0xdeadbeef, code, 4);
		walk(&w, root, 10);
		assert_int_equal(w.stack.flags, EV_STACK_UNREADABLE);
		assert_int_equal(w.stack.frame_cnt, 1);
		leaf = frame_new(&w, frame_new(&w, root, none, 4), code, 4);
		walk(&w, leaf, 10);
		assert_int_equal(w.stack.flags, EV_STACK_UNREADABLE);
		assert_int_equal(w.stack.frame_cnt, 1);
		walk(&w, UINT64_MAX - 3, 10);
		assert_int_equal(w.stack.flags, EV_STACK_UNREADABLE);
		assert_int_equal(w.stack.frame_cnt, 0);
		/* the state has become another thread's */
		image_u64(&w.im, w.thread.tstate + w.cfg.tstate_thread_id, 1);
		walk(&w, leaf, 10);
		assert_int_equal(w.stack.flags, EV_STACK_UNREADABLE);
		assert_int_equal(w.stack.frame_cnt, 0);
	}
}

static void test_threads(void **state)
{
	const struct stack_thread *t;
	uint64_t second, other, third;
	struct buf list;
	uint32_t tid;
	struct world w;

	EACH_ROW(&w)
	{
		/* the first thread's pthread, as glibc has it */
		uint64_t pthread = image_new(&w.im, 1024);

		tid = 4711;
		image_u64(&w.im, pthread, pthread);
		image_put(&w.im, pthread + 720, &tid, sizeof(tid));
		image_u64(&w.im, w.thread.tstate + w.cfg.tstate_thread_id, pthread);
		/* a second one whose C library is another, and one of another interpreter */
		second = image_new(&w.im, 1024);
		image_u64(&w.im, second + w.cfg.tstate_thread_id, 0x55550000);
		if (w.layout.abi.off.tstate_native_thread_id)
			image_u64(&w.im, second + w.layout.abi.off.tstate_native_thread_id, 4712);
		image_u64(&w.im, w.thread.tstate + w.cfg.tstate_next, second);
		other = image_new(&w.im, 16384);
		third = image_new(&w.im, 1024);
		image_u64(&w.im, w.thread.interp + w.cfg.interp_next, other);
		image_u64(&w.im, other + w.cfg.interp_threads_head, third);
		buf_init(&list, STACK_THREADS_BYTES_MAX);
		assert_int_equal(stack_threads(&w.im.mem, &w.layout.abi, &w.cfg, &list), 0);
		assert_int_equal(list.len, 3 * sizeof(*t));
		t = stack_thread_of(&list, 4711);
		assert_non_null(t);
		assert_int_equal(t->tstate, w.thread.tstate);
		assert_int_equal(t->thread_id, pthread);
		assert_int_equal(t->interp, w.thread.interp);
		t = stack_thread_of(&list, 4712);
		assert_int_equal(t ? t->tstate : 0,
				 w.layout.abi.off.tstate_native_thread_id ? second : 0);
		assert_null(stack_thread_of(&list, 4713));
		/* a list that bites its tail ends */
		image_u64(&w.im, second + w.cfg.tstate_next, w.thread.tstate);
		buf_clear(&list);
		assert_int_equal(stack_threads(&w.im.mem, &w.layout.abi, &w.cfg, &list), -E2BIG);
		assert_int_equal(list.len, STACK_THREADS_BYTES_MAX);
		buf_done(&list);
	}
}

/* Another C library has something else where glibc has a thread's id; and CPython's own is still the
 * parent's in a forked child of 3.11. */
static void test_whose_word_it_is(void **state)
{
	struct stack_thread threads[] = {
		{ .tstate = 1, .interp = 9, .ns_tid = 0x7ffffffe, .native_tid = getpid() },
		{ .tstate = 2, .interp = 9, .ns_tid = getpid(), .native_tid = 0x7ffffffd },
		{ .tstate = 3, .interp = 8, .ns_tid = 0x7ffffffc },
	};
	struct buf list;

	buf_init(&list, sizeof(threads));
	assert_int_equal(buf_add(&list, threads, sizeof(threads)), 0);
	stack_threads_settle(&list, getpid());
	memcpy(threads, list.data, sizeof(threads));
	assert_int_equal(threads[0].ns_tid, getpid());
	assert_int_equal(threads[1].ns_tid, getpid());
	assert_int_equal(threads[2].ns_tid, 0x7ffffffc);
	buf_done(&list);
}

/* Of one thread's states in several interpreters the one that it uses; within one, the newest. */
static void test_which_interpreter(void **state)
{
	struct stack_thread threads[] = {
		{ .tstate = 1, .interp = 9, .ns_tid = 5, .rank = STACK_RANK_IDLE },
		{ .tstate = 2, .interp = 9, .ns_tid = 5, .rank = STACK_RANK_CURRENT },
		{ .tstate = 3, .interp = 8, .ns_tid = 5, .rank = STACK_RANK_FRAMES },
		{ .tstate = 4, .interp = 7, .ns_tid = 5, .rank = STACK_RANK_FRAMES },
		{ .tstate = 5, .interp = 9, .ns_tid = 6, .rank = STACK_RANK_FRAMES },
		{ .tstate = 6, .interp = 7, .ns_tid = 6, .rank = STACK_RANK_CURRENT },
	};
	struct buf list;

	buf_init(&list, sizeof(threads));
	assert_int_equal(buf_add(&list, threads, sizeof(threads)), 0);
	assert_int_equal(stack_thread_of(&list, 5)->tstate, 3);
	assert_int_equal(stack_thread_of(&list, 6)->tstate, 6);
	buf_done(&list);
}

/* --- the proof, on threads of this process: the picture stands for their memory --- */

struct fellow {
	pthread_t thread;
	pid_t tid;
	int pipe[2];
	bool busy, stop;
};

static void *fellow_run(void *arg)
{
	struct fellow *f = arg;
	char c;

	__atomic_store_n(&f->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	if (f->busy)
		while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED))
			;
	else if (read(f->pipe[0], &c, 1) < 0)
		abort();
	return NULL;
}

static void fellow_start(struct fellow *f, bool busy)
{
	*f = (struct fellow){ .busy = busy };
	assert_int_equal(pipe(f->pipe), 0);
	assert_int_equal(pthread_create(&f->thread, NULL, fellow_run, f), 0);
	while (!__atomic_load_n(&f->tid, __ATOMIC_SEQ_CST))
		usleep(1000);
}

static void fellow_end(struct fellow *f)
{
	__atomic_store_n(&f->stop, true, __ATOMIC_RELAXED);
	close(f->pipe[1]);
	pthread_join(f->thread, NULL);
	close(f->pipe[0]);
}

static int read_of(struct world *w, const struct fellow *f, uint64_t patience_ns)
{
	return stack_read(&w->im.mem, &w->layout.abi, &w->cfg, getpid(), f->tid, &w->thread, 100,
			  patience_ns, &w->stack);
}

static void test_asleep_is_exact(void **state)
{
	struct fellow f;
	struct world w;

	world_init(&w, 11);
	image_u64(&w.im, w.frame_cell, frame_new(&w, 0, code_new(&w, "f", 1), 2));
	fellow_start(&f, false);
	/* it may be on its way to sleep yet: ten seconds are more than any machine needs */
	assert_int_equal(read_of(&w, &f, 10000000000ULL), 0);
	assert_int_equal(w.stack.truth, STACK_EXACT);
	assert_int_equal(w.stack.frame_cnt, 1);
	assert_int_equal(w.stack.asleep.nr, SYS_read);
	assert_int_equal(w.stack.asleep.args[0], f.pipe[0]);
	assert_string_equal(syscall_name(w.stack.asleep.nr), "read");
	fellow_end(&f);
	assert_int_equal(read_of(&w, &f, 1000000), -ESRCH);
	world_done(&w);
}

static void test_busy_is_not(void **state)
{
	struct fellow f;
	struct world w;

	world_init(&w, 11);
	image_u64(&w.im, w.frame_cell, frame_new(&w, 0, code_new(&w, "f", 1), 2));
	fellow_start(&f, true);
	assert_int_equal(read_of(&w, &f, 5000000), 0);
	assert_int_equal(w.stack.truth, STACK_RUNNING);
	assert_true(w.stack.alike);
	assert_int_equal(w.stack.frame_cnt, 1);
	fellow_end(&f);
	world_done(&w);
}

/* A thread that wakes up and sleeps again while it is read: memory that does it for the reader. */
struct nudge {
	struct mem mem;
	struct world *w;
	struct fellow *f;
	uint64_t runs;
	int left; /* so many times */
};

static int nudge_read(struct mem *mem, uint64_t addr, void *ret_data, size_t len)
{
	struct nudge *n = (struct nudge *)mem;
	struct task_syscall at;
	uint64_t runs;

	if (n->left > 0 && addr == n->w->thread.tstate + n->w->cfg.tstate_thread_id) {
		n->left--;
		assert_int_equal(task_runs(getpid(), n->f->tid, &n->runs), 0);
		assert_int_equal(write(n->f->pipe[1], "x", 1), 1);
		do {
			usleep(100);
			assert_int_equal(task_runs(getpid(), n->f->tid, &runs), 0);
		} while (runs == n->runs || task_blocked(getpid(), n->f->tid, &at) != 1);
	}
	return image_read(&n->w->im.mem, addr, ret_data, len);
}

static void *sleeper_run(void *arg)
{
	struct fellow *f = arg;
	char c;

	__atomic_store_n(&f->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	while (read(f->pipe[0], &c, 1) == 1)
		;
	return NULL;
}

static void test_woken_is_read_again(void **state)
{
	struct nudge n = { .mem.read = nudge_read };
	struct fellow f = {};
	struct task_syscall at;
	struct world w;

	world_init(&w, 11);
	image_u64(&w.im, w.frame_cell, frame_new(&w, 0, code_new(&w, "f", 1), 2));
	assert_int_equal(pipe(f.pipe), 0);
	assert_int_equal(pthread_create(&f.thread, NULL, sleeper_run, &f), 0);
	while (!__atomic_load_n(&f.tid, __ATOMIC_SEQ_CST) ||
	       task_blocked(getpid(), f.tid, &at) != 1)
		usleep(1000);
	n.w = &w;
	n.f = &f;
	n.left = 3;
	assert_int_equal(stack_read(&n.mem, &w.layout.abi, &w.cfg, getpid(), f.tid, &w.thread, 100,
				    60000000000ULL, &w.stack),
			 0);
	/* three readings failed although it was asleep before and after each */
	assert_int_equal(n.left, 0);
	assert_int_equal(w.stack.truth, STACK_EXACT);
	/* and if it is so every time, nobody says that it is exact */
	n.left = 1000;
	assert_int_equal(stack_read(&n.mem, &w.layout.abi, &w.cfg, getpid(), f.tid, &w.thread, 100,
				    1, &w.stack),
			 0);
	assert_int_equal(w.stack.truth, STACK_RUNNING);
	close(f.pipe[1]);
	pthread_join(f.thread, NULL);
	close(f.pipe[0]);
	world_done(&w);
}

static void test_task_info(void **state)
{
	struct task_info info;

	assert_int_equal(task_info(getpid(), getpid(), &info), 0);
	assert_int_equal(info.state, 'R');
	assert_int_equal(info.ns_tid, getpid());
	assert_string_equal(info.comm, "test_stack");
	assert_int_equal(task_info(getpid(), 0x7ffffffe, &info), -ESRCH);
	assert_null(syscall_name(-1));
	assert_null(syscall_name(1 << 20));
	assert_string_equal(syscall_name(SYS_epoll_wait), "epoll_wait");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_collector),
		cmocka_unit_test(test_shims),
		cmocka_unit_test(test_cycles),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_whose_word_it_is),
		cmocka_unit_test(test_which_interpreter),
		cmocka_unit_test(test_asleep_is_exact),
		cmocka_unit_test(test_busy_is_not),
		cmocka_unit_test(test_woken_is_read_again),
		cmocka_unit_test(test_task_info),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
