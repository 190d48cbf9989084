/* SPDX-License-Identifier: Apache-2.0 */
/* What answer.c and answer_name.c share, and nobody else sees. */
#ifndef UNCOIL_CMD_ANSWER_IMPL_H
#define UNCOIL_CMD_ANSWER_IMPL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/buf.h"
#include "base/err.h"
#include "cmd/answer.h"
#include "cmd/task_look.h"
#include "model/profile.h"
#include "python/find.h"
#include "python/layout.h"
#include "python/mem.h"

/* Names that were not there yet are asked for again: how many wait at most, and how often is looked. */
#define LATER_MAX 4096
#define LATER_MS  5

/* What is known of one live image. */
struct live {
	uint32_t image;
	pid_t pid;
	uint32_t flags; /* enum record_image_flag */
	bool found;     /* found, layout hold */
	bool proved;
	bool refused; /* a Python that uncoil does not know: not looked at again */
	struct py_found py;
	struct py_layout layout;
	struct layout_proof proof;
	struct mem_process mem;
	struct buf threads;    /* struct thread_object: what its threading module knows, */
	uint64_t threads_call; /* as of this call of answers__give() */
	uint32_t tries;
	uint64_t first_try_ns;
	uint64_t next_try_ns; /* CLOCK_MONOTONIC; 0 = not waiting */
	struct task_look tasks;
	UT_hash_handle hh;
};

/* A thread's name that was not there yet. */
struct later {
	struct want want;
	uint64_t due_ns; /* CLOCK_MONOTONIC */
	uint32_t tries;
};

struct answers {
	struct sampler *sampler;
	struct peers *peers;
	struct profile *profile;
	bool need_gil; /* only threads that hold it are sampled */
	record_put_fn put;
	void *ctx;
	struct live *lives;
	struct buf later; /* struct later [] */
	uint64_t call;    /* of answers__give() */
	bool any_python;
	bool tasks; /* are to be told */
	struct err why;
	struct py_files files;
};

/* The image's entry, made if there is none: a forked child begins with what is known of its parent. NULL:
 * out of memory. */
struct live *live_of(struct answers *a, uint32_t image, pid_t pid);

/* Appends a string as records have them. */
void answer_string(struct buf *record, const struct buf *text);

/* A thread's name. With `skip` there is no time to read it, and that is the answer. `tries`: how often it
 * was asked for before. 0, or a negative errno of a->put. */
int answer_name(struct answers *a, const struct want *want, uint32_t tries, bool skip);

/* Asks for the names whose time has come; the others go on waiting. */
int answer_names_again(struct answers *a);

#endif
