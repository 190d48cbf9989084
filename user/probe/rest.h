/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rest of a thread: what of its time the kernel side has not told yet, because it tells of a wait
 * at the thread's next switch, and of its times at its end. At the end of a recording, and between two
 * parts of one, user space says what the kernel side would say if the thread were switched now.
 */
#ifndef UNCOIL_PROBE_REST_H
#define UNCOIL_PROBE_REST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared.h"

/* Who takes it; each returns 0, or what ends it. */
struct rest_to {
	/* a wait, if its stack is known: wait_ns and runq_ns are set */
	int (*count)(void *ctx, const struct count_key *key, const struct count_val *val);
	/* the same wait as an EV_WAIT, behind its count, and those of unknown stack; NULL: not asked for */
	int (*event)(void *ctx, void *data, size_t len);
	int (*times)(void *ctx, const struct thread_seen *thread);
	void *ctx;
};

struct rest {
	uint64_t start_ns, end_ns;  /* of the recording, or now; CLOCK_MONOTONIC */
	bool is_end;                /* of the recording: what is given here is counted here */
	bool known;                 /* these are: */
	uint64_t exec_ns, delay_ns; /* the kernel's sums of its time on CPUs and in run queues */
};

/* Adds the rest to thread->times too. 0, or what a taker returned. */
int rest_give(const struct rest *r, pid_t tid, struct thread_seen *thread,
	      const struct rest_to *to);

#endif
