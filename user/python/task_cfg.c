/* SPDX-License-Identifier: Apache-2.0 */
/*
 * _asyncio, the module in C, has the class and, before 3.14, the dict of current tasks
 * (Modules/_asynciomodule.c: current_tasks; 3.8 - 3.11 of the process, 3.12 and 3.13 of the module).
 * asyncio.tasks has both too, but under names that a program may have replaced.
 */
#include "python/task_cfg.h"

#include <errno.h>

#include "base/err.h"
#include "python/coro.h"
#include "python/layout.h"
#include "python/mem.h"
#include "python/object_read.h"
#include "python/tasks.h"
#include "python/value.h"

static uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* The address of _asyncio's class Task, and of its dict of current tasks, if it has one. -ENOENT: it is
 * not loaded, or not ready. */
static int module_look(const struct py_abi *abi, struct mem *mem, uint64_t interp, uint64_t *mark,
		       uint64_t *ret_type, uint64_t *ret_dict)
{
	uint64_t modules, now = 0, name;

	if (!mem_u64(mem, interp + abi->off.interp_modules, &modules) &&
	    !object_dict_mark(mem, abi, modules, &now) && now == *mark)
		return -ENOENT;
	if (value_in_module(mem, abi, interp, "_asyncio", "Task", ret_type)) {
		/* it may be there, and half-made: then the next look must be a whole one */
		if (value_in_module(mem, abi, interp, "_asyncio", "__name__", &name))
			*mark = now;
		return -ENOENT;
	}
	*ret_dict = 0;
	return abi->minor >= 14
		       ? 0
		       : value_in_module(mem, abi, interp, "_asyncio", "_current_tasks", ret_dict);
}

int task_cfg_fill(pid_t pid, const struct py_found *found, const struct py_abi *abi,
		  struct mem *mem, uint64_t interp, uint64_t *mark, struct task_cfg *ret_cfg,
		  struct err *err)
{
	struct dict_keys_where keys = object_dict_keys(abi);
	struct task_where where;
	struct task_cfg cfg = {};
	uint64_t size, type, dict;
	int code;

	code = module_look(abi, mem, interp, mark, &type, &dict);
	if (!code)
		code = tasks_where(pid, found, abi, &where, err);
	if (code)
		return code;
	if (coro_type_named(mem, abi, type, "_asyncio.Task") != type ||
	    mem_u64(mem, type + abi->off.type_basicsize, &size) || size != where.size ||
	    (!where.told && value_is(mem, abi, dict, TYPE_DICT_SUBCLASS)))
		return err_set(err, -ENOTSUP,
			       "asyncio in process %d does not have its tasks where CPython %d.%d "
			       "has them",
			       pid, abi->major, abi->minor);
	cfg.type = type;
	cfg.dict = dict;
	cfg.tstate_task = where.tstate_task;
	cfg.coro = where.coro;
	cfg.name = where.name;
	cfg.read = 8 + max_u32(max_u32(where.coro, where.name), abi->live.object_type);
	cfg.gen_frame = abi->live.gen_frame;
	cfg.gen_frame_ptr = abi->minor < 11;
	cfg.type_base = abi->live.type_base;
	cfg.type_flags = abi->off.type_flags;
	cfg.str_ascii = abi->off.str_ascii_size;
	cfg.dict_keys = abi->off.dict_keys;
	cfg.keys_size = keys.size;
	cfg.keys_index_log2 = keys.index_log2;
	cfg.keys_kind = keys.kind;
	cfg.keys_nentries = keys.nentries;
	cfg.keys_index = keys.index;
	if (cfg.read > PY_TASK_READ_MAX || cfg.keys_index > PY_KEYS_READ_MAX)
		return err_set(err, -ENOTSUP, "a task in process %d is larger than is read", pid);
	*ret_cfg = cfg;
	return 0;
}
