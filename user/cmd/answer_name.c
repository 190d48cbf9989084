/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads' names. Python's threading knows them, and learns of a thread once that runs: uncoil mostly
 * hears of it before. So a name that is not there is asked for again, later and later; and never of a
 * thread that has ended, whose memory, and with it the key to its name, may be another's by then.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/answer_impl.h"
#include "os/proc.h"
#include "os/task.h"
#include "python/stack.h"
#include "python/threads.h"

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Appends the thread's name; what the threading module knows is read once a call, not once a
 * thread. */
static int thread_name(struct answers *a, struct live *live, uint64_t thread_id, struct buf *name)
{
	uint64_t thread;

	if (live->threads_call != a->call) {
		buf_clear(&live->threads);
		threads_list(&live->mem.mem, &live->layout.abi, live->proof.interp, &live->threads);
		live->threads_call = a->call;
	}
	thread = threads_object(&live->threads, thread_id);
	return thread ? threads_name_of(&live->mem.mem, &live->layout.abi, thread, name) : -ENOENT;
}

/* threading learns of a thread once that runs, and uncoil mostly before: asks again, later and later. */
static void name_later(struct answers *a, const struct want *want, uint32_t tries)
{
	static const uint64_t steps_ms[] = { 5, 50, 250 };
	struct later later = { .want = *want, .tries = tries + 1 };

	if (tries == sizeof(steps_ms) / sizeof(steps_ms[0]) || profile__ending(a->profile))
		return;
	later.due_ns = now_ns() + steps_ms[tries] * 1000000;
	buf_add(&a->later, &later, sizeof(later)); /* full: asked again at the end */
	a->later.err = 0;
}

int answer_name(struct answers *a, const struct want *want, uint32_t tries, bool skip)
{
	struct record_thread r = { .thread = want->thread,
				   .flags = skip ? RECORD_THREAD_NOT_READ : 0 };
	struct buf record, name;
	struct live *live;
	int code, err = 0;

	if (!profile__image_alive(a->profile, want->image))
		return 0; /* its pid may be another's by now */
	live = live_of(a, want->image, want->pid);
	if (!live || !live->found || !live->proof.interp)
		return 0; /* the kernel's name stands; asked again at the end */
	buf_init(&record, 4096);
	buf_init(&name, 2048);
	code = skip ? 0 : thread_name(a, live, want->thread_id, &name);
	/* of one that has ended it may be that of the thread that has its memory now */
	if (!skip && !task_exists(want->pid, want->tid))
		code = -ESRCH;
	if (code == -ENOENT)
		name_later(a, want, tries);
	if (!code) {
		buf_add(&record, &r, sizeof(r));
		answer_string(&record, &name);
		err = record.err ? record.err
				 : a->put(a->ctx, RECORD_THREAD_NAME, record.data, record.len);
	}
	buf_done(&record);
	buf_done(&name);
	return err;
}

int answer_names_again(struct answers *a)
{
	struct buf old = a->later;
	size_t i, cnt = old.len / sizeof(struct later);
	uint64_t now = now_ns();
	struct later later;
	int err = 0;

	buf_init(&a->later, LATER_MAX * sizeof(later));
	for (i = 0; i < cnt && !err; i++) {
		memcpy(&later, old.data + i * sizeof(later), sizeof(later));
		if (later.due_ns > now)
			err = buf_add(&a->later, &later, sizeof(later));
		else
			err = answer_name(a, &later.want, later.tries, false);
	}
	buf_done(&old);
	return err;
}

int answers__names(struct answers *a, uint32_t image, pid_t pid,
		   int (*fn)(void *ctx, pid_t tid, const char *name), void *ctx)
{
	struct live *live = live_of(a, image, pid);
	const struct stack_thread *thread;
	struct buf threads, name;
	struct task_info info;
	pid_t *tids = NULL;
	struct py_cfg cfg;
	int i, cnt, err = 0;

	if (!live || !live->found || layout_cfg(&live->py, &live->layout, &cfg))
		return 0;
	a->call++; /* names are read anew */
	buf_init(&threads, STACK_THREADS_BYTES_MAX);
	buf_init(&name, 2048);
	stack_threads(&live->mem.mem, &live->layout.abi, &cfg, &threads); /* what can be read */
	stack_threads_settle(&threads, pid);
	cnt = proc_threads(pid, &tids);
	for (i = 0; i < cnt && !err; i++) {
		thread = task_info(pid, tids[i], &info) ? NULL
							: stack_thread_of(&threads, info.ns_tid);
		if (!thread)
			continue;
		buf_clear(&name);
		if (!live->proof.interp || thread_name(a, live, thread->thread_id, &name))
			err = fn(ctx, tids[i], NULL);
		else
			err = fn(ctx, tids[i], buf_text(&name));
	}
	free(tids);
	buf_done(&threads);
	buf_done(&name);
	return err;
}
