/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of `uncoil dump` share: threads (dump.c) and asyncio's tasks (dump_tasks.c). */
#ifndef UNCOIL_CMD_DUMP_H
#define UNCOIL_CMD_DUMP_H

#include <stdbool.h>
#include <sys/types.h>

#include "cmd/snapshot.h"

struct buf;

#define DUMP_PIDS_MAX 1023

struct dump {
	pid_t pids[DUMP_PIDS_MAX];
	int pid_cnt;
	bool json, children, functions, columns, tasks;
	int shown;   /* processes so far */
	bool failed; /* one of them, and it was told */
	struct peers *peers;
};

/* One line, indented by so many spaces; nothing for a frame that is the interpreter's own. */
void dump_frame_text(const struct dump *d, const struct snapshot *s, const struct py_frame *frame,
		     int indent, struct buf *out);

/* Appends an object of the array that `*comma` is the state of: "" before the first. */
void dump_frame_json(const struct dump *d, const struct snapshot *s, const struct py_frame *frame,
		     const char **comma, struct buf *out);
void dump_marks_json(uint32_t flags, struct buf *out);
void dump_key_json(struct buf *out, const char *key, const char *text);

/* All tasks of one process. */
void dump_tasks_text(const struct dump *d, const struct snapshot *s, struct buf *out);
void dump_tasks_json(const struct dump *d, const struct snapshot *s, struct buf *out);

/* "Task-1", in quotes and escaped for a terminal. */
void dump_task_name(const struct snapshot *s, uint32_t task, struct buf *out);

#endif
