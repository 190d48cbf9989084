/* SPDX-License-Identifier: Apache-2.0 */
#include "python/task_now.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "events.h"
#include "python/layout.h"
#include "python/mem.h"
#include "python/object.h"
#include "python/object_read.h"
#include "python/value.h"

#define BASES_MAX    8 /* as in bpf/task.bpf.h */
#define DEFAULT_MAX  25
#define DEFAULT_TEXT "Task-"

struct look {
	struct mem *mem;
	const struct py_abi *abi;
	const struct py_cfg *cfg;
	const struct stack_thread *thread;
	uint32_t live; /* tasks of the dict that were looked at */
	bool cut;      /* the stack is longer than what is read of it */
	uint64_t task, frame;
};

static bool is_task(const struct look *l, uint64_t object)
{
	uint64_t type;
	int i;

	if (mem_u64(l->mem, object + l->cfg->object_type, &type))
		return false;
	for (i = 0; i < BASES_MAX && type && type != l->cfg->task.type; i++)
		if (mem_u64(l->mem, type + l->cfg->task.type_base, &type))
			return false;
	return type && type == l->cfg->task.type;
}

/* The frame of the task's coroutine; 0: none. */
static uint64_t frame_of(const struct look *l, uint64_t task)
{
	const struct task_cfg *cfg = &l->cfg->task;
	uint64_t coro, frame;

	if (mem_u64(l->mem, task + cfg->coro, &coro) || !coro)
		return 0;
	frame = coro + cfg->gen_frame;
	return cfg->gen_frame_ptr && mem_u64(l->mem, frame, &frame) ? 0 : frame;
}

/* One loop's current task: 1 if its coroutine is on the thread's stack. */
static int loop_see(void *ctx, uint64_t key, uint64_t task)
{
	struct look *l = ctx;
	struct py_stack stack = {};
	int err = 0;

	(void)key;
	if (!task || !is_task(l, task))
		return 0;
	if (l->live++ == PY_LOOPS_LIVE)
		return -E2BIG;
	stack.seek = frame_of(l, task);
	if (stack.seek)
		err = stack_walk(l->mem, l->abi, l->cfg, l->thread, EV_FRAMES_MAX, &stack);
	l->cut |= stack.flags & EV_STACK_TRUNCATED;
	if (!err && stack.seek && stack.seek_at != UINT32_MAX) {
		l->task = task;
		err = 1;
	}
	stack_done(&stack);
	return err;
}

static bool is_default(const char *name)
{
	const size_t len = strlen(name), start = strlen(DEFAULT_TEXT);

	return len > start && len <= DEFAULT_MAX && !strncmp(name, DEFAULT_TEXT, start) &&
	       strspn(name + start, "0123456789") == len - start;
}

/* Has the task a name that the program gave it? */
static int named(const struct look *l, struct buf *raw, bool *ret_named)
{
	uint64_t object;
	struct buf text;
	int err = -EFAULT;

	*ret_named = false;
	if (mem_u64(l->mem, l->task + l->cfg->task.name, &object) ||
	    !value_is(l->mem, l->abi, object, TYPE_LONG_SUBCLASS))
		return 0;
	buf_init(&text, 4096);
	if (!value_is(l->mem, l->abi, object, TYPE_STR_SUBCLASS))
		err = value_text(l->mem, l->abi, object, DEFAULT_MAX + 1, &text);
	*ret_named = err || !is_default(buf_text(&text));
	if (*ret_named && !err)
		err = object_read_str(l->mem, l->abi, object, EV_TASK_NAME_MAX, raw);
	buf_done(&text);
	return err == -ENOMEM ? err : 0;
}

int task_now(struct mem *mem, const struct py_abi *abi, const struct py_cfg *cfg,
	     const struct stack_thread *thread, struct task_now *ret_task, struct buf *name)
{
	struct look l = { .mem = mem, .abi = abi, .cfg = cfg, .thread = thread };
	struct py_stack one = {};
	uint64_t task;
	bool has_name;
	int err;

	*ret_task = (struct task_now){};
	if (!cfg->task.type)
		return 0;
	if (cfg->task.dict) {
		err = object_dict_each(mem, abi, cfg->task.dict, PY_LOOPS_MAX, loop_see, &l);
		if (err == -ENOMEM)
			return err;
		ret_task->kind = err == -E2BIG || l.cut ? EV_TASK_LOST : 0;
	} else if (!mem_u64(mem, thread->tstate + cfg->task.tstate_task, &task) && task) {
		l.task = is_task(&l, task) ? task : 0;
		ret_task->kind = l.task ? 0 : EV_TASK_OTHER;
	}
	if (!l.task)
		return 0;
	err = named(&l, name, &has_name);
	if (err)
		return err;
	ret_task->kind = has_name ? EV_TASK_NAMED : EV_TASK_OF;
	l.frame = has_name ? 0 : frame_of(&l, l.task);
	if (l.frame) {
		err = stack_frame(mem, abi, cfg, l.frame, &one);
		if (!err && one.frame_cnt) {
			ret_task->code = one.frames[0].code;
			ret_task->check = one.frames[0].check;
		}
		stack_done(&one);
	}
	return err == -ENOMEM ? err : 0;
}
