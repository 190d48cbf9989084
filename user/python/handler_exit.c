/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before 3.11 each Python function is one run of the evaluation loop's C function, and all ways out of it
 * (return, yield, exception) join before it returns. The instruction wanted lies behind that point: if it
 * were not there, no return instruction could be reached from any opcode's handler.
 */
#include <errno.h>

#include "python/handler.h"

#define CODE_MAX  400000 /* instructions */
#define TAIL_MAX  4096
#define TRIES_MAX 64

struct ends {
	const struct flow *flow;
	struct addrs from_entries,
		all;         /* reached from handlers; and from the loop's own entry too */
	struct addrs behind; /* from which a return is reached without `wall` */
	const uint64_t *entries;
	int cnt;
	uint64_t loop, loop_sz, wall;
};

static void reach_on(const struct flow *flow, struct addrs *set, uint32_t i)
{
	struct insn insn;

	for (; i < set->cnt && !set->err; i++) {
		if (flow__insn(flow, set->list[i], &insn, NULL))
			continue;
		if (insn.flow == INSN_NEXT || insn.flow == INSN_BRANCH)
			addrs_add(set, set->list[i] + insn.len);
		if (insn.flow == INSN_BRANCH || insn.flow == INSN_JUMP)
			addrs_add(set, insn.target);
	}
}

/* Non-zero: from the handlers, or from code that nobody knows, a return can be reached without the wall. */
static int on_before(void *ctx, uint64_t from)
{
	struct ends *ends = ctx;
	int i;

	if (from == ends->wall)
		return 0;
	if (!addrs_have(&ends->all, from))
		return from - ends->loop < ends->loop_sz;
	if (!addrs_have(&ends->from_entries, from))
		return 0; /* what refuses to run a frame at all: it was not begun either */
	for (i = 0; i < ends->cnt; i++)
		if (ends->entries[i] == from)
			return 1;
	addrs_add(&ends->behind, from);
	return ends->behind.err;
}

static bool is_end(struct ends *ends, uint64_t wall)
{
	struct insn insn;
	struct addrs tail;
	bool good;
	uint32_t i;

	/* beyond it, only returns: no way back into the loop, nor twice here */
	addrs_init(&tail, TAIL_MAX);
	if (!flow__insn(ends->flow, wall, &insn, NULL)) {
		if (insn.flow != INSN_JUMP)
			addrs_add(&tail, wall + insn.len);
		if (insn.flow == INSN_BRANCH || insn.flow == INSN_JUMP)
			addrs_add(&tail, insn.target);
	}
	reach_on(ends->flow, &tail, 0);
	good = tail.cnt && !tail.err && !addrs_have(&tail, wall);
	for (i = 0; good && i < tail.cnt; i++)
		good = !flow__insn(ends->flow, tail.list[i], &insn, NULL) &&
		       insn.flow != INSN_JUMP_UNKNOWN;
	for (i = 0; good && i < (uint32_t)ends->cnt; i++)
		good = !addrs_have(&tail, ends->entries[i]);
	addrs_done(&tail);
	if (!good)
		return false;

	ends->wall = wall;
	addrs_done(&ends->behind);
	addrs_init(&ends->behind, CODE_MAX);
	for (i = 0; i < ends->from_entries.cnt; i++)
		if (!flow__insn(ends->flow, ends->from_entries.list[i], &insn, NULL) &&
		    insn.flow == INSN_RETURN)
			addrs_add(&ends->behind, ends->from_entries.list[i]);
	for (i = 0; good && i < ends->behind.cnt; i++)
		good = !flow__each_before(ends->flow, ends->behind.list[i], on_before, ends);
	return good && ends->behind.cnt && !ends->behind.err;
}

static int cost_of(const struct insn *insn, bool no_calls)
{
	if (insn->probe != INSN_EMULATED)
		return 0;
	if (insn->kind == INSN_CALL)
		return no_calls ? 0 : 2;
	return 1;
}

int handler_choose_exit(const struct flow *flow, const uint64_t *entries, int cnt, uint64_t loop,
			uint64_t loop_sz, uint64_t from, bool no_calls, struct choice *ret_choice)
{
	struct ends ends = { flow, .entries = entries, .cnt = cnt, .loop = loop,
			     .loop_sz = loop_sz };
	int i, tries = 0, cost, best = 0, found = -ENOENT;
	struct addrs way;
	struct insn insn;
	uint32_t k;

	addrs_init(&ends.from_entries, CODE_MAX);
	addrs_init(&ends.all, CODE_MAX);
	addrs_init(&ends.behind, CODE_MAX);
	addrs_init(&way, TAIL_MAX);
	addrs_add(&ends.all, loop);
	for (i = 0; i < cnt; i++) {
		addrs_add(&ends.from_entries, entries[i]);
		addrs_add(&ends.all, entries[i]);
	}
	reach_on(flow, &ends.from_entries, 0);
	reach_on(flow, &ends.all, 0);
	addrs_add(&way, from);
	reach_on(flow, &way, 0);
	if (ends.from_entries.err || ends.all.err) {
		found = ends.from_entries.err ? ends.from_entries.err : ends.all.err;
		goto out;
	}
	for (k = 0; k < way.cnt && tries < TRIES_MAX; k++) {
		if (way.list[k] - loop >= loop_sz || !flow__in_step(flow, way.list[k]) ||
		    flow__insn(flow, way.list[k], &insn, NULL))
			continue;
		cost = cost_of(&insn, no_calls);
		if (!cost || (best && cost >= best))
			continue;
		tries++;
		if (!is_end(&ends, way.list[k]))
			continue;
		best = cost;
		*ret_choice = (struct choice){ way.list[k], 0, 0 };
		found = 1;
	}
out:
	addrs_done(&ends.from_entries);
	addrs_done(&ends.all);
	addrs_done(&ends.behind);
	addrs_done(&way);
	return found;
}
