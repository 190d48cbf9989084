/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking a report's tree, parents before children. Stacks can be as deep as the target's
 * recursion, so no sink recurses: it asks for the next node and keeps what it must remember of the
 * path in an array by depth.
 */
#ifndef UNCOIL_SINK_WALK_H
#define UNCOIL_SINK_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/report.h"

/* The node after `node`, NULL after the last; with `into` false its children are passed over.
 * *depth is node's depth and becomes the next one's (0 is the root's). */
static inline const struct report_node *walk_next(const struct report_node *node, bool into,
						  uint32_t *depth)
{
	if (into && node->child) {
		++*depth;
		return node->child;
	}
	while (node && !node->next) {
		node = node->parent;
		--*depth;
	}
	return node ? node->next : NULL;
}

/* How many levels there are, the root's included. */
static inline uint32_t walk_levels(const struct report_node *root)
{
	const struct report_node *node = root;
	uint32_t depth = 0, levels = 0;

	for (; node; node = walk_next(node, true, &depth))
		levels = depth + 1 > levels ? depth + 1 : levels;
	return levels;
}

#endif
