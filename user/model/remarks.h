/* SPDX-License-Identifier: Apache-2.0 */
/* What was lost, cut or not known: the remarks of a report, for report.c; and the marks of stacks. */
#ifndef UNCOIL_MODEL_REMARKS_H
#define UNCOIL_MODEL_REMARKS_H

#include <stdbool.h>
#include <stdint.h>

#include "events.h"
#include "model/report.h"

struct choice;
struct profile;
struct stack;
struct report_options;

/* The same of samples, and of waits: one is no part of the other. */
struct remark_text {
	const char *samples, *waits;
};

struct flag_text {
	enum ev_stack_flag flag;
	const char *mark; /* the frame that stands for what is missing */
	struct remark_text remark;
	bool is_loss;
};

/* The frame that stands for the garbage collector. */
const char *gc_mark(enum ev_check check);

#define FLAG_TEXT_CNT 7
extern const struct flag_text flag_texts[FLAG_TEXT_CNT];

#define TASK_OTHER_TEXT "[task of another class]"

/* Does a task run in it that is written in Python? (Lib/asyncio/tasks.py: its __step calls the
 * coroutine; asyncio's own tasks, in C, have no such frame.) */
bool stack_steps(const struct stack *stack);

/* Is it in the report's tree? Waits for work may be left out. */
bool stack_is_shown(const struct stack *stack, const struct report_options *options);

/* All remarks of the profile, with their text in one piece of memory to be freed. What is said of
 * stacks and threads is said of the chosen ones; losses are the recording's. NULL: out of memory. */
struct report_remark *remarks_new(const struct profile *p, const struct report_options *options,
				  const struct choice *choice, uint32_t *ret_cnt);

#endif
