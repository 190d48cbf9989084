/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes: where slices are drawn so that on one lane two of them nest or are apart, never overlap. Viewers
 * make nonsense of slices that do, and whoever adds up their times too.
 *
 * Slices come in the order of their ends, so all that matters of a lane is its outermost slices so far:
 * a new one takes in those that begin after it, and must begin after the end of the one before them.
 *
 *	  |-c-|   |-d--|  ^ b is new: d goes into it; c ends before b begins: it fits
 *	        |---b---|
 *
 * Where there are many, siblings (same level) become one, since a slice that begins between two of them
 * cannot end after the second: that keeps little more than an entry a level.
 */
#ifndef UNCOIL_MODEL_LANES_H
#define UNCOIL_MODEL_LANES_H

#include <stdbool.h>
#include <stdint.h>

struct lane_slice {
	uint64_t start_ns; /* as it was given, */
	uint64_t draw_ns;  /* and as it is drawn */
	uint64_t end_ns;
	uint32_t level;
};

struct lane {
	struct lane_slice *slices;
	uint32_t cnt, cap;
};

struct lanes {
	struct lane *lanes;
	uint32_t cnt;
};

#define LANES_MAX 65536 /* of one thread, or task; the last takes in what fits nowhere */

void lanes_done(struct lanes *l);

struct lane_place {
	uint32_t lane;
	bool fresh;       /* nothing was on it before */
	uint64_t draw_ns; /* start_ns, or a little before, so that it is drawn from before the first
			   * of those that it takes in */
};

/* Places a slice on the first lane, from `first` on, that has room. 0, or -ENOMEM. */
int lanes_place(struct lanes *l, uint32_t first, uint64_t start_ns, uint64_t end_ns, uint32_t level,
		struct lane_place *ret_place);

#endif
