/* SPDX-License-Identifier: Apache-2.0 */
/* Which instructions of a group of opcode handlers to put breakpoints on, so that each execution of the
 * group is seen exactly once. Why and how: sites.h, handler.c. */
#ifndef UNCOIL_PYTHON_HANDLER_H
#define UNCOIL_PYTHON_HANDLER_H

#include <stdbool.h>
#include <stdint.h>

#include "python/flow.h"

#define GROUP_MAX 16

struct group {
	uint64_t entry[GROUP_MAX]; /* of the handlers; no two alike */
	int cnt;
	const uint64_t *foreign; /* entries of all other handlers, and of the loop itself */
	int foreign_cnt;
	bool no_calls;  /* relative calls may not be chosen */
	bool is_called; /* an ordinary function: whoever goes to its entry calls it */
};

struct choice {
	uint64_t addr;
	uint32_t entries; /* bit n: this is where executions of group.entry[n] are seen */
	uint32_t number;  /* instructions from the nearest of the group's entries, from 1 */
	bool behind_call; /* a call may come before it: the frame may be gone by then */
};

/* Chooses up to group->cnt instructions; their count, or -ENOENT (nothing proved), -E2BIG (more code
 * than is looked at), -ENOMEM. */
int handler_choose(const struct flow *flow, const struct group *group,
		   struct choice ret_choices[static GROUP_MAX]);

/* The same for the ways out of the evaluation loop's function, of which `entries` are all handlers, `loop` is
 * its own entry, and loop_sz the size of its symbol. */
int handler_choose_exit(const struct flow *flow, const uint64_t *entries, int cnt, uint64_t loop,
			uint64_t loop_sz, bool no_calls,
			struct choice ret_choices[static GROUP_MAX]);

#endif
