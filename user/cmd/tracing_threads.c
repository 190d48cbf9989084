/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tracing_threads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cmd/recording.h"
#include "cmd/tracing.h"
#include "model/choice.h"
#include "probe/tracer.h"

#define NAME_NS     500000000ULL /* by then its name was asked for often enough (cmd/answer_name.c) */
#define WAITING_MAX (16u << 20) /* bytes of calls of all threads that are not decided on */
#define ALIGN       8

enum thread_state {
	THREAD_NONE,
	THREAD_UNDECIDED,
	THREAD_CHOSEN,
	THREAD_LEFT,
};

/* By its slot in the kernel side's table. */
struct thread_choice {
	uint32_t serial;
	enum thread_state state;
	uint64_t since_ns;
	struct buf events;
};

struct tracing_threads {
	struct thread_choice slots[TRACE_THREADS_MAX];
	uint32_t undecided_cnt;
	size_t waiting; /* bytes */
	uint64_t late;
	bool fitted[REPORT_ONLY_MAX];
};

struct tracing_threads *tracing_threads_new(void)
{
	return calloc(1, sizeof(struct tracing_threads));
}

void tracing_threads_free(struct tracing_threads *all)
{
	uint32_t i;

	for (i = 0; all && i < TRACE_THREADS_MAX; i++)
		buf_done(&all->slots[i].events);
	free(all);
}

static int look_at(void *ctx, pid_t tid, const char *name)
{
	struct tracing *t = ctx;
	bool fits = false;
	uint32_t i;

	for (i = 0; i < t->options.only_cnt; i++)
		if (choice_fits(&t->options.only[i], 1, tid, name))
			fits = t->threads->fitted[i] = true;
	if (!fits && name)
		tracer__leave_tid(t->tracer, tid);
	return 0;
}

int tracing_threads_look(struct tracing *t, uint32_t image, pid_t pid)
{
	return t->options.only_cnt ? answers__names(t->answers, image, pid, look_at, t) : 0;
}

static void undecided(struct tracing_threads *all, struct thread_choice *thread, uint32_t serial)
{
	buf_done(&thread->events);
	*thread = (struct thread_choice){ .serial = serial,
					  .state = THREAD_UNDECIDED,
					  .since_ns = recording_clock_ns(CLOCK_MONOTONIC) };
	buf_init(&thread->events, WAITING_MAX);
	all->undecided_cnt++;
}

int tracing_threads_event(struct tracing *t, const struct ev_hdr *hdr, bool *ret_now)
{
	static const char zeros[ALIGN];
	struct tracing_threads *all = t->threads;
	struct thread_choice *thread;

	*ret_now = true;
	if (!t->options.only_cnt || !hdr->thread ||
	    (hdr->kind != EV_THREAD && hdr->kind != EV_CALL && hdr->kind != EV_RAISE))
		return 0;
	thread = &all->slots[(hdr->thread - 1) % TRACE_THREADS_MAX];
	if (thread->serial != hdr->thread) {
		if (thread->state == THREAD_UNDECIDED)
			all->undecided_cnt--; /* it has ended without a name */
		all->waiting -= thread->events.len;
		undecided(all, thread, hdr->thread);
	}
	if (hdr->kind == EV_THREAD)
		return 0;
	*ret_now = thread->state == THREAD_CHOSEN;
	if (thread->state != THREAD_UNDECIDED)
		return 0;
	if (all->waiting + hdr->size + ALIGN > WAITING_MAX) {
		thread->since_ns = 0; /* decided by what is known now */
		return 0;
	}
	all->waiting += hdr->size + -hdr->size % ALIGN;
	buf_add(&thread->events, hdr, hdr->size);
	return buf_add(&thread->events, zeros, -hdr->size % ALIGN);
}

static int chosen(struct tracing *t, struct thread_choice *thread)
{
	const struct ev_hdr *hdr;
	size_t at = 0;
	int code = 0;

	thread->state = THREAD_CHOSEN;
	while (at < thread->events.len && !code) {
		hdr = (const struct ev_hdr *)(thread->events.data + at);
		code = tracing_put(t, RECORD_RING, hdr, hdr->size);
		at += hdr->size + -hdr->size % ALIGN;
	}
	return code;
}

static int decide(struct tracing *t, struct thread_choice *thread, bool last)
{
	const struct profile *p = calls__profile(trace_out_calls(t->out));
	enum choice_state state = CHOICE_NOT;
	int code = 0;
	uint32_t i;

	for (i = 0; i < t->options.only_cnt; i++) {
		enum choice_state one = choice_of(p, &t->options.only[i], 1, thread->serial);

		if (one == CHOICE_FITS)
			t->threads->fitted[i] = true;
		if (one == CHOICE_FITS || (one == CHOICE_NOT_YET && state == CHOICE_NOT))
			state = one;
	}
	if (state == CHOICE_NOT_YET && !last)
		return 0;
	if (state == CHOICE_FITS) {
		code = chosen(t, thread);
	} else {
		thread->state = THREAD_LEFT;
		tracer__leave(t->tracer, thread->serial);
		t->threads->late++;
	}
	t->threads->undecided_cnt--;
	t->threads->waiting -= thread->events.len;
	buf_done(&thread->events);
	buf_init(&thread->events, WAITING_MAX);
	return code;
}

int tracing_threads_decide(struct tracing *t, bool last)
{
	struct tracing_threads *all = t->threads;
	uint64_t now = recording_clock_ns(CLOCK_MONOTONIC);
	uint32_t i;
	int code = 0;

	for (i = 0; all && all->undecided_cnt && i < TRACE_THREADS_MAX && !code; i++)
		if (all->slots[i].state == THREAD_UNDECIDED)
			code = decide(t, &all->slots[i],
				      last || now - all->slots[i].since_ns > NAME_NS);
	return code;
}

uint64_t tracing_threads_late(const struct tracing *t)
{
	return t->threads ? t->threads->late : 0;
}

bool tracing_threads_fitted(const struct tracing *t, uint32_t n)
{
	return t->threads && t->threads->fitted[n];
}
