/* SPDX-License-Identifier: Apache-2.0 */
#include "model/lanes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLICES_MAX 65536 /* levels of one lane */
#define APART      64    /* so many are kept one by one, whatever their levels */

void lanes_done(struct lanes *l)
{
	uint32_t i;

	for (i = 0; i < l->cnt; i++)
		free(l->lanes[i].slices);
	free(l->lanes);
	*l = (struct lanes){};
}

/* How many of the lane's outermost slices the new one leaves outside, and from when on it is drawn;
 * false: it overlaps one. */
static bool lane_fits(const struct lane *lane, uint64_t start_ns, uint32_t *ret_left,
		      uint64_t *ret_draw_ns)
{
	uint64_t draw_ns = start_ns;
	uint32_t left = lane->cnt;

	while (left && lane->slices[left - 1].start_ns >= start_ns) {
		left--;
		if (lane->slices[left].draw_ns <= draw_ns && lane->slices[left].draw_ns)
			draw_ns = lane->slices[left].draw_ns - 1;
	}
	if (left && lane->slices[left - 1].end_ns > draw_ns)
		return false;
	*ret_draw_ns = draw_ns;
	*ret_left = left;
	return true;
}

static int lane_add(struct lane *lane, uint32_t left, struct lane_slice slice)
{
	struct lane_slice *grown;
	uint32_t cap;

	lane->cnt = left;
	if (left >= SLICES_MAX || (left >= APART && lane->slices[left - 1].level == slice.level)) {
		lane->slices[left - 1].end_ns = slice.end_ns;
		return 0;
	}
	if (lane->cnt == lane->cap) {
		cap = lane->cap ? 2 * lane->cap : 8;
		grown = realloc(lane->slices, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		lane->slices = grown;
		lane->cap = cap;
	}
	lane->slices[lane->cnt++] = slice;
	return 0;
}

int lanes_place(struct lanes *l, uint32_t first, uint64_t start_ns, uint64_t end_ns, uint32_t level,
		struct lane_place *ret_place)
{
	uint64_t draw_ns = start_ns;
	uint32_t i, left = 0;
	struct lane *grown;

	for (i = first; i < l->cnt; i++)
		if (lane_fits(&l->lanes[i], start_ns, &left, &draw_ns) || i == LANES_MAX - 1)
			break;
	if (i >= l->cnt) {
		grown = realloc(l->lanes, (i + 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		memset(grown + l->cnt, 0, (i + 1 - l->cnt) * sizeof(*grown));
		l->lanes = grown;
		l->cnt = i + 1;
		left = 0;
	}
	*ret_place = (struct lane_place){ i, !l->lanes[i].slices, draw_ns };
	return lane_add(&l->lanes[i], left,
			(struct lane_slice){ start_ns, draw_ns, end_ns, level });
}
