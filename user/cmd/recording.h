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
#include "cmd/credit.h"
#include "cmd/options.h"
#include "model/overhead.h"
#include "model/record.h"

struct recording {
	struct options options;
	struct sampler *sampler;
	struct profile *profile;
	struct answers *answers;
	struct child child;
	struct pollfd *pidfds; /* one a root; fd -1: it has ended, or /proc is asked instead.
				* And behind them the ring */
	bool *ended;           /* one a root */
	int live_cnt;
	uint32_t image_cnt; /* images that user space numbered: roots, and children there already */
	uint64_t alive_ns;  /* when /proc was last asked */
	uint64_t start_ns;
	struct credits credits; /* waits that were told of before they were over */
	struct rotate *rotate;  /* NULL: all is one part */
	uint64_t part_ns;       /* when this part began, */
	uint64_t cut_ns;        /* and ended; 0: it goes on. CLOCK_MONOTONIC */
	uint64_t part_stats[STAT_MAX], part_ticks; /* where the counters stood when it began */
	uint32_t part_cnt;                         /* parts that are written */
	bool failed;                               /* and what failed was told */
	bool lost;                                 /* something was, in one of them */
	struct overhead overhead;                  /* (cmd/budget.h) */
	uint32_t rate_wanted;                      /* the default one, where a lower one is taken */
	int look_ms, look_min_ms; /* between two looks into the ring, now and at least */
	uint64_t progress_ns;     /* when it was last printed */
	bool is_terminal;
	bool interrupted;
	bool more; /* the ring was not read to its end */
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

/* Waits for at most wait_ms, less if the kernel side wants to be read, a root ends or a signal comes, and
 * takes what has come. *ret_over: all processes have ended. */
int recording_step(struct recording *r, int wait_ms, bool *ret_over);

/* Takes what has been counted up to now. */
int recording_counts(struct recording *r);

/* That, and what there is so far of waits that go on, and each thread's times. */
int recording_look(struct recording *r);

/*
 * For record --rotate (cmd/rotate.h). One record into this part's profile and journals; a count; a
 * part's end, with the counters that cannot be less than what it says (floor); and its beginning,
 * in new files.
 */
int recording_put(void *recording, enum record_type type, const void *data, size_t len);
int recording_share(struct recording *r, const struct count_key *key, const struct count_val *val);
int recording_end(struct recording *r, const uint64_t floor[STAT_MAX]);
int recording_begin(struct recording *r);

/* Stops the timers and takes what is left. */
int recording_stop(struct recording *r);
void recording_free(struct recording *r);

uint64_t recording_clock_ns(clockid_t clock);

#endif
