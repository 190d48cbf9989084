/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of the profile: samples and waits of each stack, and each thread's times. */
#include "model/profile_impl.h"

static uint64_t less(uint64_t sum, uint64_t before)
{
	return sum > before ? sum - before : 0;
}

int profile_times(struct profile *p, uint32_t serial, const struct thread_times *times)
{
	struct thread *thread;

	HASH_FIND(hh, p->threads, &serial, sizeof(serial), thread);
	if (!thread)
		return 0; /* the profile was full when it came */
	thread->times = (struct thread_times){ less(times->cpu_ns, thread->before.cpu_ns),
					       less(times->wait_ns, thread->before.wait_ns),
					       less(times->runq_ns, thread->before.runq_ns) };
	thread->has_times = true;
	return 0;
}

int profile_counts(struct profile *p, const struct record_count *counts, size_t cnt)
{
	struct thread *thread;
	struct stack *stack;
	struct stack_id id;
	size_t i;

	for (i = 0; i < cnt; i++) {
		id = (struct stack_id){ counts[i].key.hash, counts[i].key.thread,
					counts[i].key.image };
		HASH_FIND(hh, p->stacks, &id, sizeof(id), stack);
		if (!stack && counts[i].wait_ns + counts[i].runq_ns) {
			p->waits_orphan += counts[i].count;
			continue;
		}
		if (!stack) {
			/* once it is full, one cannot be told from the other */
			if (p->full)
				p->samples_full += counts[i].count;
			else
				p->samples_orphan += counts[i].count;
			continue;
		}
		stack->count += counts[i].count;
		stack->wait_ns += counts[i].wait_ns;
		stack->runq_ns += counts[i].runq_ns;
		HASH_FIND(hh, p->threads, &id.thread, sizeof(id.thread), thread);
		if (stack->flags & EV_STACK_WAIT) {
			p->waits += counts[i].count;
			if (thread)
				thread->waits_ns += counts[i].wait_ns + counts[i].runq_ns;
			continue;
		}
		p->samples += counts[i].count;
		if (thread)
			thread->samples += counts[i].count;
	}
	return 0;
}

int profile_times_list(struct profile *p, const struct record_times *times, size_t cnt)
{
	size_t i;

	for (i = 0; i < cnt; i++)
		profile_times(p, times[i].thread, &times[i].times);
	return 0;
}

int profile_times_before(struct profile *p, const struct record_times *times, size_t cnt)
{
	struct thread *thread;
	size_t i;

	for (i = 0; i < cnt; i++) {
		HASH_FIND(hh, p->threads, &times[i].thread, sizeof(times[i].thread), thread);
		if (thread)
			thread->before = times[i].times;
	}
	return 0;
}
