/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio's tasks and the stacks of coroutines, over a memory of any bytes. */
#include "base/buf.h"
#include "base/err.h"
#include "fuzz_mem.h"
#include "python/layout.h"
#include "python/tasks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEPTH_MAX 200
#define READS_MAX 20000

/* 3.14 and later tell their offsets themselves: these are as good as any. */
static const struct task_where told = {
	.told = true,
	.size = 160,
	.coro = 112,
	.name = 120,
	.awaited_by = 80,
	.is_task = 88,
	.awaited_by_is_set = 89,
	.node = 136,
	.interp_head = 64,
	.tstate_head = 512,
	.tstate_task = 528,
};

static const struct task_where by_row = {
	.size = 176,
	.coro = 136,
	.name = 144,
	.fut_waiter = 128,
	.callback0 = 24,
	.callbacks = 40,
	.loop = 16,
};

static void check(const struct tasks *t)
{
	uint32_t i;

	if (t->cnt > TASKS_MAX || t->edge_cnt > TASK_EDGES_MAX)
		abort();
	for (i = 0; i < t->cnt; i++) {
		if ((uint64_t)t->list[i].frame_start + t->list[i].frame_cnt > t->stack.frame_cnt)
			abort();
		if (t->list[i].name)
			fuzz_check_text(t->list[i].name, strlen(t->list[i].name));
	}
	for (i = 0; i < t->edge_cnt; i++)
		if (t->edges[i].task >= t->cnt || t->edges[i].awaiter >= t->cnt)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_mem m = { { fuzz_read } };
	struct py_found found = { .runtime = FUZZ_BASE };
	struct py_layout layout = {};
	struct py_stack stack = {};
	struct mem_limited limited;
	enum coro_state state;
	struct tasks tasks;
	struct py_cfg cfg;
	uint64_t frame;
	struct buf list;

	if (size < 48)
		return 0;
	layout.abi = fuzz_abi(data[0]);
	memcpy(&found.code_type, data + 1, 8);
	memcpy(&found.coro_type, data + 9, 8);
	memcpy(&found.gen_type, data + 17, 8);
	found.async_gen_type = found.gen_type;
	m.data = data + 25;
	m.size = size - 25;
	if (layout_cfg(&found, &layout, &cfg))
		abort();
	mem_limited_init(&limited, &m.mem, READS_MAX);
	if (coro_chain(&limited.mem, &layout.abi, &cfg, &found, FUZZ_BASE, DEPTH_MAX, &stack,
		       &frame, &state) ||
	    stack.frame_cnt > DEPTH_MAX || stack.flags & ~EV_STACK_ALL)
		abort();
	stack_done(&stack);
	buf_init(&list, STACK_THREADS_BYTES_MAX);
	stack_threads(&limited.mem, &layout.abi, &cfg, &list);
	if (tasks_read(&m.mem, &layout.abi, &cfg, &found, layout.abi.minor >= 14 ? &told : &by_row,
		       &list, READS_MAX, &tasks))
		abort();
	check(&tasks);
	tasks_done(&tasks);
	buf_done(&list);
	return 0;
}
