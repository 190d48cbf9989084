/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two recordings side by side: one tree and one list of functions, with the counts of both.
 * Whatever lengths they had, shares are compared: each count is of its own recording's sum.
 */
#ifndef UNCOIL_MODEL_COMPARE_H
#define UNCOIL_MODEL_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/change.h"
#include "model/report.h"

#define COMPARE_LEVEL 0.05 /* that any of all functions is called changed by chance alone */
#define COMPARE_WHOLE 1000000000ULL

/* In the merged tree. node.self and .total are parts of 2 * COMPARE_WHOLE: the sum of both
 * recordings' shares, so that what only one of them has is seen as well. */
struct compare_node {
	struct report_node node;
	uint64_t self[2], total[2]; /* A's and B's counts */
};

struct compare_row {
	enum frame_kind kind;
	const char *func, *file;
	uint64_t self_count[2], total_count[2];
	struct change self, total;
};

struct compare {
	const struct report *report[2]; /* A, B: the caller's, and must stay */
	struct report_node *root;       /* of struct compare_node */
	struct compare_row *rows;       /* by the change of self, the largest first */
	uint32_t row_cnt;
	uint32_t self_real, total_real; /* how many changed by more than chance */
	double z;                       /* of the intervals: COMPARE_LEVEL for all rows together */
	bool is_tested; /* false: not samples but measured times: z = 0, no interval */
};

/* NULL: out of memory. Both reports must have the same mode and unit. */
struct compare *compare_new(const struct report *a, const struct report *b);
void compare_free(struct compare *c);

/* How the share of stacks through this node has changed. */
struct change compare_node_change(const struct compare *c, const struct compare_node *node);

#endif
