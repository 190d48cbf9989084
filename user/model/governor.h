/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --max-overhead for a trace: when it is on, and when it pauses, so that the target is not slowed down by
 * more than that over any 30 s.
 *
 *	slowdown = cost / useful,  cost = hits * (what a hit costs) + what the programs took
 *	                           useful = the target's CPU time - cost
 *
 * No clock, no I/O: times and sums come from outside, and it says what is to be done. uncoil's own CPU time is no part
 * of it: the target does not pay for that, and it is held back by looking less often (model/overhead.h).
 */
#ifndef UNCOIL_MODEL_GOVERNOR_H
#define UNCOIL_MODEL_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#define GOVERNOR_BOUND_DEFAULT 250000 /* 25 %, in millionths */

/* Since any moment before the start; what has ended should stay in them. */
struct governor_sums {
	uint64_t
		hits; /* of all breakpoints. What is not counted while they are put in or taken out, is estimated */
	uint64_t program_ns; /* what the programs took in all of them */
	uint64_t cpu_ns;     /* the target's CPU time, with all that */
};

enum governor_order {
	GOVERNOR_KEEP,   /* as it is */
	GOVERNOR_ATTACH, /* and then say governor_attached() */
	GOVERNOR_DETACH, /* and then say governor_detached() */
	GOVERNOR_LET_GO, /* never again: governor_why(). It is detached already, or was never attached */
};

struct governor_point {
	uint64_t now_ns;
	double cost_ns, useful_ns; /* since the start */
};

/* One every 250 ms at most, of a little more than 30 s; when attaching takes seconds, of more. */
#define GOVERNOR_POINTS 128

struct governor {
	/* settings */
	uint32_t bound;     /* millionths; 0 = none: always on */
	uint32_t hit_ns;    /* of one hit, without the program: calibrated. May change meanwhile */
	uint64_t attach_ns; /* what it took the last time; before the first: expected */
	uint64_t detach_ns;

	/* what there was */
	uint64_t start_ns, now_ns; /* CLOCK_MONOTONIC */
	struct governor_sums last;
	double cost_ns, useful_ns;
	struct governor_point points[GOVERNOR_POINTS];
	uint32_t point_cnt; /* ever */
	uint64_t traced_ns;
	uint64_t windows;
	double worst; /* slowdown in 5 s */

	/* what it goes by */
	bool is_on, is_gone;
	double credit_ns;            /* what may be spent; below 0: must be made up for */
	double credit_most_ns;       /* that it may grow to in this window */
	double dear;                 /* cost per useful ns while it is on; below 0: not known */
	double rate;                 /* while it is on: cost per ns of time, of late */
	uint64_t since_ns;           /* that this window or pause has gone on */
	struct governor_point since; /* the sums then */
	uint64_t transit_hits;       /* counted while attaching */
	uint64_t cramped_ns;         /* since when no window would fit; 0 = one would */
	uint64_t next_ns;
	char why[256];
};

/* attach_ns, detach_ns: expected, as calibrated, for all breakpoints together. */
void governor_init(struct governor *g, uint32_t bound, uint32_t hit_ns, uint64_t attach_ns,
		   uint64_t detach_ns);

/* What is to be done now. To be called at governor_next_ns() at the latest; earlier does no harm. The first call is the start. */
enum governor_order governor_step(struct governor *g, uint64_t now_ns,
				  const struct governor_sums *sums);
uint64_t governor_next_ns(const struct governor *g);

/* It is done, and took so long. */
void governor_attached(struct governor *g, uint64_t now_ns, uint64_t attach_ns,
		       const struct governor_sums *sums);
void governor_detached(struct governor *g, uint64_t now_ns, uint64_t detach_ns,
		       const struct governor_sums *sums);

/* Of LET_GO: a sentence; "" if it was not given. */
const char *governor_why(const struct governor *g);

/* What came of it, until now. */
struct governor_account {
	uint64_t duration_ns, traced_ns;
	uint64_t windows; /* that were begun */
	uint64_t cost_ns;
	double slowdown, worst; /* of all, and in the worst 5 s (none shorter); 0.01 is 1 % */
	bool let_go;
};
struct governor_account governor_account(const struct governor *g);

#endif
