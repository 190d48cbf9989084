/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened when: the profile's events with a time become the report's. A sample is a moment. A
 * wait is one event from when the thread left the CPU until it was woken, and one for its time in the
 * run queue behind that (the kernel tells how long that was, and it ends with the thread on the CPU).
 * What a journal says of one thread at one time twice, is said once.
 */
#ifndef UNCOIL_MODEL_TIMELINE_H
#define UNCOIL_MODEL_TIMELINE_H

#include <stdint.h>

#include "model/report.h"

struct profile;

struct timeline {
	const struct profile *profile;
	struct report_node *const
		*leaves;                /* by stack number: where it ends in the tree; NULL: it is
					    * not in the tree, and its events are left out */
	const char *const *names;       /* likewise: what is waited for; NULL: no wait */
	const struct report_node *root; /* the stack of waits whose own is not known */
	const struct report_thread *threads;
	uint32_t thread_cnt;
};

/* In order of time, then of threads; to be freed with free(). NULL: out of memory. */
struct report_event *timeline_new(const struct timeline *t, uint64_t *ret_cnt);

#endif
