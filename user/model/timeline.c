/* SPDX-License-Identifier: Apache-2.0 */
#include "model/timeline.h"

#include <stdlib.h>

#include "model/profile_impl.h"
#include "model/wait.h"

struct place {
	uint32_t serial; /* of a thread */
	uint32_t index;  /* in report.threads */
};

struct made {
	const struct timeline *t;
	struct place *places;
	struct report_event *events;
	uint64_t cnt;
};

static int place_order(const void *pa, const void *pb)
{
	const struct place *a = pa, *b = pb;

	return (a->serial > b->serial) - (a->serial < b->serial);
}

static int event_order(const void *pa, const void *pb)
{
	const struct report_event *a = pa, *b = pb;

	if (a->ts_ns != b->ts_ns)
		return a->ts_ns > b->ts_ns ? 1 : -1;
	if (a->thread != b->thread)
		return a->thread > b->thread ? 1 : -1;
	return (int)a->kind - (int)b->kind;
}

static int wait_order(const void *pa, const void *pb)
{
	const struct wait_time *a = *(const struct wait_time *const *)pa;
	const struct wait_time *b = *(const struct wait_time *const *)pb;

	if (a->thread != b->thread)
		return a->thread > b->thread ? 1 : -1;
	if (a->start_ns != b->start_ns)
		return a->start_ns > b->start_ns ? 1 : -1;
	return (a > b) - (a < b); /* as they came */
}

static const struct place *place_of(const struct made *m, uint32_t serial)
{
	struct place key = { .serial = serial };

	return bsearch(&key, m->places, m->t->thread_cnt, sizeof(key), place_order);
}

static void samples_add(struct made *m)
{
	const struct profile *p = m->t->profile;
	uint64_t start = p->meta.start_ns;
	const struct place *found;
	const struct tick *tick;

	for (tick = p->ticks; tick && tick < p->ticks + p->tick_cnt; tick++) {
		found = place_of(m, tick->stack->id.thread);
		if (!m->t->leaves[tick->stack->number] || !found)
			continue;
		m->events[m->cnt++] = (struct report_event){
			.kind = REPORT_EVENT_SAMPLE,
			.thread = found->index,
			/* a journal may say anything; no sink has times before the start */
			.ts_ns = tick->ts_ns > start ? tick->ts_ns : start,
			.leaf = m->t->leaves[tick->stack->number],
		};
	}
}

/* The part of a wait from *from on; *from moves to its end. */
static void wait_add(struct made *m, const struct wait_time *wait, uint32_t thread,
		     const char *name, uint64_t until, uint64_t *from)
{
	if (until <= *from)
		return;
	m->events[m->cnt++] = (struct report_event){
		.kind = REPORT_EVENT_WAIT,
		.thread = thread,
		.ts_ns = *from,
		.duration_ns = until - *from,
		.leaf = wait->stack ? m->t->leaves[wait->stack->number] : m->t->root,
		.name = name,
		.open = wait->flags & EV_WAIT_OPEN,
	};
	*from = until;
}

/* One thread's are one behind the other in `sorted`. */
static void waits_add(struct made *m, const struct wait_time **sorted)
{
	const struct profile *p = m->t->profile;
	const struct wait_time *wait;
	const struct place *found = NULL;
	uint64_t from = 0, woken, end;
	uint32_t i;

	for (i = 0; i < p->wait_time_cnt; i++) {
		wait = sorted[i];
		if (!i || sorted[i - 1]->thread != wait->thread) {
			found = place_of(m, wait->thread);
			from = p->meta.start_ns; /* what was before belongs to an earlier part */
		}
		if (!found || (wait->stack && !m->t->leaves[wait->stack->number]))
			continue;
		if (wait->start_ns > from)
			from = wait->start_ns;
		woken = wait->start_ns + wait->wait_ns;
		end = woken + wait->runq_ns;
		if (!wait->stack) { /* all of it under one name, as the tree has it */
			wait_add(m, wait, found->index, WAIT_UNKNOWN_TEXT, end, &from);
			continue;
		}
		/* one that could have run on waited for nothing but a CPU */
		if (wait->stack->wait.state)
			wait_add(m, wait, found->index, m->t->names[wait->stack->number], woken,
				 &from);
		wait_add(m, wait, found->index, WAIT_RUNQ_TEXT, end, &from);
	}
}

static int waits_sort(struct made *m)
{
	const struct profile *p = m->t->profile;
	const struct wait_time **sorted = calloc(p->wait_time_cnt + 1ULL, sizeof(*sorted));
	uint32_t i;

	if (!sorted)
		return -1;
	for (i = 0; i < p->wait_time_cnt; i++)
		sorted[i] = &p->wait_times[i];
	qsort(sorted, p->wait_time_cnt, sizeof(*sorted), wait_order);
	waits_add(m, sorted);
	free(sorted);
	return 0;
}

struct report_event *timeline_new(const struct timeline *t, uint64_t *ret_cnt)
{
	const struct profile *p = t->profile;
	struct made m = { .t = t };
	uint32_t i;
	int err = -1;

	m.events = calloc(p->tick_cnt + 2ULL * p->wait_time_cnt + 1, sizeof(*m.events));
	m.places = calloc(t->thread_cnt + 1ULL, sizeof(*m.places));
	if (m.events && m.places) {
		for (i = 0; i < t->thread_cnt; i++)
			m.places[i] = (struct place){ t->threads[i].serial, i };
		qsort(m.places, t->thread_cnt, sizeof(*m.places), place_order);
		samples_add(&m);
		err = waits_sort(&m);
	}
	free(m.places);
	if (err) {
		free(m.events);
		return NULL;
	}
	/* the ring has them nearly in order: two CPUs may write in another than they read the clock */
	qsort(m.events, m.cnt, sizeof(*m.events), event_order);
	*ret_cnt = m.cnt;
	return m.events;
}
