/* SPDX-License-Identifier: Apache-2.0 */
/* What the profile knows of when: the times of samples and of waits, as they came. */
#include <errno.h>
#include <stdlib.h>

#include "model/profile_impl.h"

#define LIST_FIRST 1024

/* Makes room for one more; 0, -ENOMEM, or -ENOSPC: there are `max`. */
static int list_room(void **list, uint32_t cnt, uint32_t *cap, uint32_t max, size_t size)
{
	uint64_t want = *cap ? *cap * 2ULL : LIST_FIRST;
	void *grown;

	if (cnt >= max)
		return -ENOSPC;
	if (cnt < *cap)
		return 0;
	if (want > max)
		want = max;
	grown = realloc(*list, want * size);
	if (!grown)
		return -ENOMEM;
	*list = grown;
	*cap = want;
	return 0;
}

static struct stack *stack_find(const struct profile *p, const struct ev_hdr *hdr, uint64_t hash)
{
	struct stack_id id = { .hash = hash, .thread = hdr->thread, .image = hdr->image };
	struct stack *stack;

	HASH_FIND(hh, p->stacks, &id, sizeof(id), stack);
	return stack;
}

int profile_tick(struct profile *p, const struct ev_tick *ev)
{
	struct stack *stack = stack_find(p, &ev->hdr, ev->hash);
	void *list = p->ticks;
	int err;

	if (!stack) {
		p->ticks_orphan++;
		return 0;
	}
	err = list_room(&list, p->tick_cnt, &p->tick_cap, p->tick_max, sizeof(*p->ticks));
	p->ticks = list;
	if (err == -ENOSPC)
		p->ticks_full++;
	else if (!err)
		p->ticks[p->tick_cnt++] = (struct tick){ ev->hdr.ts_ns, stack };
	return err == -ENOMEM ? err : 0;
}

int profile_wait_time(struct profile *p, const struct ev_wait *ev)
{
	struct stack *stack = ev->hash ? stack_find(p, &ev->hdr, ev->hash) : NULL;
	void *list = p->wait_times;
	struct thread *thread;
	int err;

	HASH_FIND(hh, p->threads, &ev->hdr.thread, sizeof(ev->hdr.thread), thread);
	if (!thread || (ev->hash && (!stack || !(stack->flags & EV_STACK_WAIT))))
		return 0; /* lost with its stack, and told as such */
	if (stack)
		p->wait_times_came += !(ev->flags & EV_WAIT_SHARE);
	else
		thread->hidden_ns += ev->wait_ns + ev->runq_ns;
	err = list_room(&list, p->wait_time_cnt, &p->wait_time_cap, p->tick_max / 2,
			sizeof(*p->wait_times));
	p->wait_times = list;
	if (err == -ENOSPC)
		p->wait_times_full++;
	else if (!err)
		p->wait_times[p->wait_time_cnt++] =
			(struct wait_time){ ev->start_ns, ev->wait_ns,    ev->runq_ns,
					    stack,        ev->hdr.thread, ev->flags };
	return err == -ENOMEM ? err : 0;
}
