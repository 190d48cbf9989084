/* SPDX-License-Identifier: Apache-2.0 */
#include "model/timeline.h"

#include <stdlib.h>

#include "model/profile_impl.h"

struct place {
	uint32_t serial; /* of a thread */
	uint32_t index;  /* in report.threads */
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
	return (a->thread > b->thread) - (a->thread < b->thread);
}

struct report_event *timeline_new(const struct profile *p, struct report_node *const *leaves,
				  const struct report_thread *threads, uint32_t thread_cnt,
				  uint64_t *ret_cnt)
{
	struct report_event *events = calloc(p->tick_cnt + 1ULL, sizeof(*events));
	struct place *places = calloc(thread_cnt + 1ULL, sizeof(*places)), *found, key;
	uint64_t cnt = 0, start = p->meta.start_ns;
	const struct tick *tick;
	uint32_t i;

	if (!events || !places) {
		free(events);
		free(places);
		return NULL;
	}
	for (i = 0; i < thread_cnt; i++)
		places[i] = (struct place){ threads[i].serial, i };
	qsort(places, thread_cnt, sizeof(*places), place_order);
	for (tick = p->ticks; tick && tick < p->ticks + p->tick_cnt; tick++) {
		key.serial = tick->stack->id.thread;
		found = bsearch(&key, places, thread_cnt, sizeof(key), place_order);
		if (!leaves[tick->stack->number] || !found)
			continue;
		events[cnt++] = (struct report_event){
			.kind = REPORT_EVENT_SAMPLE,
			.thread = found->index,
			/* a journal may say anything; no sink has times before the start */
			.ts_ns = tick->ts_ns > start ? tick->ts_ns : start,
			.leaf = leaves[tick->stack->number],
		};
	}
	/* the ring has them nearly in order: two CPUs may write in another than they read the clock */
	qsort(events, cnt, sizeof(*events), event_order);
	free(places);
	*ret_cnt = cnt;
	return events;
}
