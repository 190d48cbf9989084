/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/answer.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "cmd/answer_code.h"
#include "cmd/answer_impl.h"
#include "cmd/asleep.h"
#include "cmd/cmd.h"
#include "events.h"
#include "os/proc.h"
#include "probe/peers.h"
#include "probe/sampler.h"
#include "python/find.h"
#include "python/gil.h"
#include "python/mem.h"
#include "python/threads.h"

/* How long one call may take: live, what the ring brings must not wait for answers longer than the
 * ring is large; at the end nobody waits but the user. */
#define GIVE_NS     50000000ULL
#define GIVE_END_NS 1000000000ULL

/* A program that has run this long without an interpreter is hardly going to load one. */
#define RETRY_EAGER_NS 30000000000ULL

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

struct answers *answers__new(struct sampler *sampler, struct profile *profile, bool tasks,
			     bool need_gil, record_put_fn put, void *ctx)
{
	struct answers *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->peers = peers__new();
	if (!a->peers) {
		free(a);
		return NULL;
	}
	a->sampler = sampler;
	a->profile = profile;
	a->tasks = tasks;
	a->need_gil = need_gil;
	buf_init(&a->later, LATER_MAX * sizeof(struct later));
	a->put = put;
	a->ctx = ctx;
	return a;
}

void answers__free(struct answers *a)
{
	struct live *live, *next;

	if (!a)
		return;
	HASH_ITER (hh, a->lives, live, next) {
		HASH_DEL(a->lives, live);
		buf_done(&live->threads);
		free(live);
	}
	peers__free(a->peers);
	buf_done(&a->later);
	free(a);
}

void answers__profile(struct answers *a, struct profile *profile)
{
	struct live *live, *next;

	a->profile = profile;
	buf_clear(&a->later); /* it asks itself for what it lacks */
	HASH_ITER (hh, a->lives, live, next) {
		if (profile__image_alive(profile, live->image))
			continue;
		HASH_DEL(a->lives, live);
		buf_done(&live->threads);
		free(live);
	}
}

/* Clean text is up to three times as long as the bytes were: it is cut here, cleaned. */
void answer_string(struct buf *record, const struct buf *text)
{
	uint32_t len = text_cut(buf_text(text), text->len, RECORD_STRING_MAX);

	buf_add(record, &len, sizeof(len));
	buf_add(record, buf_text(text), len);
}

#define CLEAN_MAX (CMD_COMMAND_MAX + 3 * PATH_MAX) /* of any text here */

static int image_record(struct answers *a, const struct live *live)
{
	struct record_image r = { .image = live->image, .pid = live->pid, .flags = live->flags };
	struct buf record, text, cwd;
	struct proc_stat stat;
	char version[24];
	int err;

	buf_init(&record, 65536);
	buf_init(&text, CLEAN_MAX);
	buf_init(&cwd, PATH_MAX);
	if (live->found) {
		r.flags |= RECORD_IMAGE_PYTHON;
		r.hex = live->py.hex;
		r.lines = live->layout.abi.lines;
		r.str_kind_shift = live->layout.abi.str_kind_shift;
		r.off = live->layout.abi.off;
	}
	if (live->refused)
		r.flags |= RECORD_IMAGE_REFUSED;
	buf_add(&record, &r, sizeof(r));
	cmd_command(live->pid, &text);
	answer_string(&record, &text);
	buf_clear(&text);
	if (!proc_stat_read(live->pid, &stat))
		text_clean(&text, stat.comm, strlen(stat.comm));
	answer_string(&record, &text);
	buf_clear(&text);
	if (!proc_link(live->pid, "cwd", &cwd))
		text_clean(&text, buf_text(&cwd), cwd.len);
	answer_string(&record, &text);
	buf_clear(&text);
	if (live->found)
		buf_fmt(&text, "CPython %s", python_version(live->py.hex, version));
	else if (live->refused && live->py.hex)
		buf_fmt(&text, "CPython %s, not supported", python_version(live->py.hex, version));
	else if (live->refused)
		buf_str(&text, "a Python that is not supported");
	else
		buf_str(&text, "no Python found");
	answer_string(&record, &text);
	err = record.err ? record.err : text.err;
	if (!err)
		err = a->put(a->ctx, RECORD_IMAGE, record.data, record.len);
	buf_done(&record);
	buf_done(&text);
	buf_done(&cwd);
	return err;
}

/* Quickly at first - an interpreter starts in milliseconds - then ever more slowly. */
static void retry_later(struct live *live)
{
	uint64_t step_ms = live->tries < 100 ? 1 : live->tries < 200 ? 10 : 250, now = now_ns();

	if (!live->tries++)
		live->first_try_ns = now;
	if (now - live->first_try_ns > RETRY_EAGER_NS)
		step_ms = 5000;
	live->next_try_ns = now + step_ms * 1000000;
}

/* Tells the kernel side where the image's interpreter is. */
static int live_follow(struct answers *a, struct live *live, bool replace, struct err *err)
{
	struct py_cfg cfg;
	int code;

	code = layout_cfg(&live->py, &live->layout, &cfg);
	if (code)
		return err_set(err, code, "the layout of the Python in process %d is too large",
			       live->pid);
	cfg.task = live->tasks.cfg;
	code = a->sampler ? sampler__follow(a->sampler, live->pid, live->image, &cfg, replace) : 0;
	if (code)
		return err_set(err, code, "process %d is no longer what it was", live->pid);
	return 0;
}

/* -ENOTSUP if the interpreter has no GIL whose holder could be sampled; -EAGAIN if that is not known yet. */
static int gil_require(struct live *live, struct err *err)
{
	const struct py_abi *abi = &live->layout.abi;
	char version[24];
	struct gil gil;

	if (abi->build != PY_BUILD_FREE_THREADED)
		return 0; /* there is one, always */
	if (!live->proof.interp ||
	    !gil_read(&live->mem.mem, abi, live->py.runtime, live->proof.interp, &gil))
		return -EAGAIN;
	if (!gil.off)
		return 0;
	return err_set(err, -ENOTSUP,
		       "process %d runs CPython %s without a GIL (free-threaded): --mode gil has "
		       "nothing to show of it; use cpu or wall",
		       live->pid, python_version(live->py.hex, version));
}

/* Looks for an interpreter in the image's process and, if there is one, tells the kernel side. */
static int live_look(struct answers *a, struct live *live, bool replace, struct err *err)
{
	int code;

	code = python_find_again(live->pid, &a->files, &live->py, err);
	if (code)
		return code;
	mem_process_init(&live->mem, live->pid);
	code = layout_fill(&live->py, &live->mem.mem, &live->layout, err);
	if (!code)
		code = layout_verify(&live->py, &live->layout, live->pid, &live->mem.mem,
				     &live->proof, err);
	/* not initialised yet: every thread state and code object is checked as it is met */
	if (code && code != -EAGAIN)
		return code;
	live->proved = !code;
	code = a->need_gil ? gil_require(live, err) : 0;
	if (!code)
		code = live_follow(a, live, replace, err);
	if (code)
		return code;
	live->found = true;
	a->any_python = true;
	return 0;
}

static struct live *live_new(struct answers *a, uint32_t image, pid_t pid, uint32_t flags)
{
	struct live *live = calloc(1, sizeof(*live));

	if (!live)
		return NULL;
	live->image = image;
	live->pid = pid;
	live->flags = flags;
	live->tasks.next_ns = a->tasks ? now_ns() : 0;
	buf_init(&live->threads, THREADS_LIST_BYTES_MAX);
	HASH_ADD(hh, a->lives, image, sizeof(live->image), live);
	if (!live->hh.tbl) {
		free(live);
		return NULL;
	}
	return live;
}

int answers__root(struct answers *a, uint32_t image, pid_t pid, bool must, struct err *err)
{
	struct live *live = live_new(a, image, pid, RECORD_IMAGE_ROOT);
	int code;

	if (!live)
		return err_set(err, -ENOMEM, "out of memory");
	code = must         ? live_look(a, live, false, err)
	       : a->sampler ? sampler__follow(a->sampler, pid, image, NULL, false)
			    : 0;
	if (code)
		return code;
	if (live->found && !live->proved)
		retry_later(live);
	return image_record(a, live);
}

int answers__child(struct answers *a, uint32_t image, pid_t pid)
{
	struct live *live = live_new(a, image, pid, 0);
	int code;

	if (!live)
		return -ENOMEM;
	/* first of all: what it forks from here on is followed by the kernel side */
	code = a->sampler ? sampler__follow(a->sampler, pid, image, NULL, false) : 0;
	if (code)
		return code;
	code = live_look(a, live, true, &a->why);
	live->refused = code == -ENOTSUP;
	if (!live->proved && code != -ESRCH && code != -ESTALE && !live->refused)
		retry_later(live);
	return image_record(a, live);
}

int answers__asleep(struct answers *a, uint32_t image)
{
	struct live *live;
	struct py_cfg cfg;

	HASH_FIND(hh, a->lives, &image, sizeof(image), live);
	if (!live || !live->found || layout_cfg(&live->py, &live->layout, &cfg))
		return 0;
	cfg.task = live->tasks.cfg;
	return asleep_tell(&(struct asleep){ .sampler = a->sampler,
					     .peers = a->peers,
					     .put = a->put,
					     .ctx = a->ctx,
					     .mem = &live->mem.mem,
					     .abi = &live->layout.abi,
					     .cfg = &cfg,
					     .image = image,
					     .pid = live->pid });
}

/* What is known of an image: its own, or for a forked child its parent's, whose memory it has. */
struct live *live_of(struct answers *a, uint32_t image, pid_t pid)
{
	uint32_t parent = profile__image_parent(a->profile, image);
	struct live *live, *from = NULL;

	HASH_FIND(hh, a->lives, &image, sizeof(image), live);
	if (live)
		return live;
	if (parent)
		HASH_FIND(hh, a->lives, &parent, sizeof(parent), from);
	live = live_new(a, image, pid, 0);
	if (live && from && (from->found || from->refused)) {
		live->found = from->found;
		live->refused = from->refused;
		live->proved = from->proved;
		live->py = from->py;
		live->layout = from->layout;
		live->proof = from->proof;
		live->tasks.cfg = from->tasks.cfg;
		mem_process_init(&live->mem, pid);
		if (live->found && !live->proved)
			retry_later(live);
	}
	return live;
}

int answers__forked(struct answers *a, uint32_t image, pid_t pid)
{
	return live_of(a, image, pid) ? 0 : -ENOMEM;
}

static int image_answer(struct answers *a, const struct want *want)
{
	struct live *live = live_of(a, want->image, want->pid);
	int code;

	if (!live)
		return -ENOMEM;
	live->flags = profile__image_is_root(a->profile, want->image) ? RECORD_IMAGE_ROOT : 0;
	if (live->found) {
		/* its parent's, and asked for because the kernel side does not know it */
		live_follow(a, live, true, &a->why);
	} else if (!live->refused) {
		code = live_look(a, live, true, &a->why);
		live->refused = code == -ENOTSUP;
		if (code != -ESRCH && code != -ESTALE && !live->refused &&
		    (!live->found || !live->proved))
			retry_later(live);
	}
	return image_record(a, live);
}

static int code_answer(struct answers *a, const struct want *want)
{
	struct buf record;
	struct live *live;
	int err = 0;

	if (!profile__image_alive(a->profile, want->image))
		return 0;
	live = live_of(a, want->image, want->pid);
	if (!live || !live->found)
		return 0;
	buf_init(&record, RECORD_LEN_MAX);
	if (!code_record(&live->mem.mem, &live->layout.abi, want, &record))
		err = a->put(a->ctx, RECORD_CODE, record.data, record.len);
	else
		err = record.err;
	buf_done(&record);
	return err;
}

int answers__give(struct answers *a)
{
	bool ending = profile__ending(a->profile), late = false;
	uint64_t end = now_ns() + (ending ? GIVE_END_NS : GIVE_NS);
	struct want want;
	int err = 0;

	a->call++;
	if (!ending)
		err = answer_names_again(a);
	while (!err && (!late || ending) && profile__want(a->profile, &want)) {
		switch (want.type) {
		case WANT_IMAGE:
			if (!late)
				err = image_answer(a, &want);
			break;
		case WANT_THREAD_NAME:
			err = answer_name(a, &want, 0, late);
			break;
		case WANT_CODE:
			if (!late)
				err = code_answer(a, &want);
			break;
		}
		late = now_ns() > end;
	}
	return err;
}

/* Looks for the image's asyncio, and tells the kernel side and the profile of it. */
static int tasks_look(struct answers *a, struct live *live)
{
	struct record_tasks record = { .image = live->image, .told_ns = now_ns() };
	int code;

	code = task_look(&live->tasks, record.told_ns, live->pid, &live->py, &live->layout,
			 &live->mem.mem, live->proof.interp, &a->why);
	if (code == -ENOENT)
		return 0;
	if (code)
		record.flags = RECORD_TASKS_REFUSED;
	else if (live_follow(a, live, true, &a->why))
		return 0; /* it is no longer what it was */
	return a->put(a->ctx, RECORD_TASKS, &record, sizeof(record));
}

int answers__tasks(struct answers *a)
{
	uint64_t now = now_ns();
	struct live *live, *next;
	int err = 0;

	HASH_ITER (hh, a->lives, live, next) {
		if (err || !live->found || !live->tasks.next_ns || live->tasks.next_ns > now)
			continue;
		if (profile__image_alive(a->profile, live->image))
			err = tasks_look(a, live);
		else
			live->tasks.next_ns = 0;
	}
	return err;
}

int answers__retry(struct answers *a)
{
	uint64_t now = now_ns();
	struct live *live, *next;
	bool was_found;
	int code, err = 0;

	HASH_ITER (hh, a->lives, live, next) {
		if (!live->next_try_ns || live->next_try_ns > now)
			continue;
		live->next_try_ns = 0;
		if (!profile__image_alive(a->profile, live->image) && live->tries > 1)
			continue; /* it has exec'ed or ended */
		was_found = live->found;
		code = live_look(a, live, true, &a->why);
		live->refused = code == -ENOTSUP;
		if (!live->proved && code != -ESRCH && code != -ESTALE && !live->refused)
			retry_later(live);
		if (live->found != was_found || live->refused)
			err = image_record(a, live);
		if (err)
			return err;
	}
	return 0;
}

int answers__wait_ms(const struct answers *a, int max_ms)
{
	uint64_t now = now_ns(), wait, due;
	const struct live *live;

	if (a->later.len && max_ms > LATER_MS)
		max_ms = LATER_MS;
	for (live = a->lives; live; live = live->hh.next) {
		due = live->next_try_ns;
		if (live->found && live->tasks.next_ns && (!due || live->tasks.next_ns < due))
			due = live->tasks.next_ns;
		if (!due)
			continue;
		wait = due > now ? (due - now) / 1000000 + 1 : 0;
		if (wait < (uint64_t)max_ms)
			max_ms = wait;
	}
	return max_ms;
}

bool answers__python(struct answers *a, uint32_t image, const struct py_found **ret_found,
		     const struct py_layout **ret_layout)
{
	struct live *live;

	HASH_FIND(hh, a->lives, &image, sizeof(image), live);
	if (!live || !live->found)
		return false;
	*ret_found = &live->py;
	*ret_layout = &live->layout;
	return true;
}

bool answers__any_python(const struct answers *a, struct err *ret_why)
{
	if (!a->any_python)
		*ret_why = a->why;
	return a->any_python;
}
