/* Made by scripts/gen-tasks >user/python/task_table.h; do not edit. */
/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets in TaskObj of Modules/_asynciomodule.c, before 3.14, which tells them itself. */
#ifndef UNCOIL_PYTHON_TASK_TABLE_H
#define UNCOIL_PYTHON_TASK_TABLE_H

#include <stdint.h>

struct task_row {
	uint16_t minor;
	uint16_t size; /* of TaskObj: its type's tp_basicsize */
	uint16_t callback0, callbacks, fut_waiter, coro, name, loop;
};

static const struct task_row task_rows[] = {
	{ .minor = 8, .size = 144, .callback0 = 24, .callbacks = 40, .fut_waiter = 104, .coro = 112, .name = 120, .loop = 16 },
	{ .minor = 9, .size = 184, .callback0 = 24, .callbacks = 40, .fut_waiter = 144, .coro = 152, .name = 160, .loop = 16 },
	{ .minor = 10, .size = 192, .callback0 = 24, .callbacks = 40, .fut_waiter = 152, .coro = 160, .name = 168, .loop = 16 },
	{ .minor = 11, .size = 176, .callback0 = 24, .callbacks = 40, .fut_waiter = 128, .coro = 136, .name = 144, .loop = 16 },
	{ .minor = 12, .size = 176, .callback0 = 24, .callbacks = 40, .fut_waiter = 128, .coro = 136, .name = 144, .loop = 16 },
	{ .minor = 13, .size = 144, .callback0 = 24, .callbacks = 40, .fut_waiter = 112, .coro = 120, .name = 128, .loop = 16 },
};

#endif
