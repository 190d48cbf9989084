/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recording while it goes on: what record and top share. One path for everything that comes in:
 * each record is given to the journals among the outputs, if there are any, and to the profile.
 * What is shown or written is made from the profile alone.
 *
 *	recording_start -> recording_step ... -> recording_stop -> recording_free
 */
#ifndef UNCOIL_CMD_RECORDING_H
#define UNCOIL_CMD_RECORDING_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "cmd/answer.h"
#include "cmd/child.h"
#include "cmd/options.h"

struct recording {
	struct options options;
	struct sampler *sampler;
	struct profile *profile;
	struct answers *answers;
	struct child child;
	struct pollfd *pidfds; /* one a root; fd -1: it has ended, or /proc is asked instead */
	bool *ended;           /* one a root */
	int live_cnt;
	uint64_t alive_ns; /* when /proc was last asked */
	uint64_t start_ns;
	uint64_t progress_ns; /* when it was last printed */
	bool is_terminal;
	bool interrupted;
	struct buf counts;
	struct err err;
};

/* The first SIGINT, SIGTERM or SIGHUP is remembered, and ends the recording cleanly; a second one
 * ends uncoil. */
void recording_signals(void);
int recording_signal(void); /* 0: none yet */

/* Opens all that can fail before anything is attached, then attaches, then starts. 0, or -errno
 * with a sentence in r->err; recording_free() is due in any case. */
int recording_start(struct recording *r);

/* Waits for at most wait_ms and takes what has come. *ret_over: all processes have ended. */
int recording_step(struct recording *r, int wait_ms, bool *ret_over);

/* Takes what has been counted up to now. */
int recording_counts(struct recording *r);

/* Stops the timers and takes what is left. */
int recording_stop(struct recording *r);
void recording_free(struct recording *r);

uint64_t recording_clock_ns(clockid_t clock);

#endif
