/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One look at one process: every thread, what it does, and its Python stack; for `dump`.
 *
 * The process runs on meanwhile. Each thread's stack says whether it is one moment's
 * (python/stack.h); threads are looked at one after the other, so two stacks need not be of the
 * same moment. All text is clean UTF-8 (base/text.h), and as hostile as the process made it.
 */
#ifndef UNCOIL_CMD_SNAPSHOT_H
#define UNCOIL_CMD_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "python/find.h"
#include "python/gil.h"
#include "python/layout.h"
#include "python/stack.h"
#include "python/tasks.h"

struct err;
struct peer;
struct peers;

enum thread_does {
	THREAD_ACTIVE,    /* runs, or ran while it was looked at */
	THREAD_IDLE,      /* asleep */
	THREAD_WAITS_GIL, /* asleep until it gets the GIL */
};

struct snapshot_thread {
	pid_t tid;
	uint64_t thread_id; /* threading.get_ident(); 0: not a Python thread */
	char *name;         /* threading's, or the kernel's */
	char state;         /* proc(5): 'R', 'S', 'D' … */
	enum thread_does does;
	bool has_gil; /* had it when the look began, and was not seen waiting for it since */
	struct py_stack stack;
	/* Where it sleeps; only of stacks that are exact */
	const char *syscall; /* NULL: not known, or in none */
	int fd;              /* that it waits for; -1: none, or several */
	char *target;        /* what that is: "socket:[1234]"; NULL: not known */
	struct peer *socket; /* who is at its other end; NULL: no socket, or not known */
	/* With tasks: */
	uint32_t task; /* the one that runs in it, which begins at stack.frames[stack.seek_at];
			* UINT32_MAX: none that is known */
	bool slept;    /* from before its tasks were read to after: they are of one moment */
};

/* A code object, under its address and check. */
struct snapshot_code;

struct snapshot {
	pid_t pid;
	char *command; /* masked */
	char *cwd;
	struct py_found py;
	struct py_layout layout;
	struct py_cfg cfg;
	pid_t gil_tid;  /* who had the GIL when the look began; 0: nobody, or a thread that ended */
	struct gil gil; /* addr 0: not known; one that an interpreter other than the main one has is
			 * not in it */
	struct snapshot_thread *threads;
	int thread_cnt;
	int gone_cnt; /* threads that ended while they were looked at */
	struct snapshot_code *codes;
	bool with_tasks; /* tasks were asked for */
	struct tasks tasks;
	char no_tasks[1024]; /* why there are none; "": see tasks */
};

struct snapshot_frame {
	const char *func; /* qualified name where there is one; "?" if it could not be read */
	const char *file; /* as shown */
	const char *path; /* in full */
	int32_t line;     /* 0: none */
	struct line_place place; /* 3.11+: the columns of it */
};

/* 0, or -errno with a sentence: no process, no Python, one that is not supported, no permission.
 * `with_tasks`: asyncio's too; that there is no asyncio in the process is no error.
 * snapshot_done() is due in any case. */
int snapshot_take(pid_t pid, bool with_tasks, struct peers *peers, struct snapshot *ret_snapshot,
		  struct err *err);
void snapshot_done(struct snapshot *s);

/* The thread whose loop the task belongs to; NULL: not known. */
const struct snapshot_thread *snapshot_task_thread(const struct snapshot *s, uint32_t task);

/* What a frame is called. False for one that the interpreter put there for itself. */
bool snapshot_frame(const struct snapshot *s, const struct py_frame *frame,
		    struct snapshot_frame *ret_frame);

#endif
