/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before 3.11 each Python function is one run of the evaluation loop's C function. Its way out (after return,
 * yield or exception) is the code from which there is no way back: nothing in it leads to a jump through the
 * table. Whoever gets into that code leaves the loop, once; so the places where it is entered are to it what
 * entries are to a handler, and the same choice is made among its instructions.
 *
 *	RETURN_VALUE:  ──►┐
 *	YIELD_VALUE:   ──►├──► X ──► … ──► ret        one place, if compilers left the ways joined
 *	error, no handler ►┘
 */
#include <errno.h>
#include <stdlib.h>

#include "python/handler.h"

#define CODE_MAX 400000 /* instructions */

struct ends {
	const struct flow *flow;
	struct addrs all;  /* reached from handlers and from the loop's own entry */
	struct addrs back; /* of these, from which a jump through the table is reached */
	uint64_t loop, loop_sz;
};

static int on_before_back(void *ctx, uint64_t from)
{
	struct ends *ends = ctx;

	if (addrs_have(&ends->all, from))
		addrs_add(&ends->back, from);
	return ends->back.err;
}

/* Non-zero: the way out is entered from here, by code of the loop. */
static int on_before_out(void *ctx, uint64_t from)
{
	struct ends *ends = ctx;

	if (!addrs_have(&ends->all, from))
		return from - ends->loop < ends->loop_sz; /* a switch's case, perhaps */
	return addrs_have(&ends->back, from);
}

static int ends_find(struct ends *ends, const uint64_t *entries, int cnt)
{
	struct insn insn;
	uint32_t i;
	int k;

	addrs_add(&ends->all, ends->loop);
	for (k = 0; k < cnt; k++)
		addrs_add(&ends->all, entries[k]);
	for (i = 0; i < ends->all.cnt && !ends->all.err; i++) {
		if (flow__insn(ends->flow, ends->all.list[i], &insn, NULL) ||
		    insn.flow == INSN_JUMP_UNKNOWN) {
			addrs_add(&ends->back, ends->all.list[i]);
			continue;
		}
		if (insn.flow == INSN_NEXT || insn.flow == INSN_BRANCH)
			addrs_add(&ends->all, ends->all.list[i] + insn.len);
		if (insn.flow == INSN_BRANCH || insn.flow == INSN_JUMP)
			addrs_add(&ends->all, insn.target);
	}
	for (i = 0; i < ends->back.cnt && !ends->back.err; i++)
		flow__each_before(ends->flow, ends->back.list[i], on_before_back, ends);
	return ends->all.err ? ends->all.err : ends->back.err;
}

int handler_choose_exit(const struct flow *flow, const uint64_t *entries, int cnt, uint64_t loop,
			uint64_t loop_sz, bool no_calls,
			struct choice ret_choices[static GROUP_MAX])
{
	struct ends ends = { flow, .loop = loop, .loop_sz = loop_sz };
	struct group group = { .no_calls = no_calls, .is_called = true };
	int k, found;
	bool entered;
	uint32_t i;

	addrs_init(&ends.all, CODE_MAX);
	addrs_init(&ends.back, CODE_MAX);
	found = ends_find(&ends, entries, cnt);
	for (i = 0; !found && i < ends.all.cnt; i++) {
		if (addrs_have(&ends.back, ends.all.list[i]))
			continue;
		entered = flow__each_before(flow, ends.all.list[i], on_before_out, &ends);
		for (k = 0; k < cnt && !entered; k++)
			entered = entries[k] == ends.all.list[i];
		if (entered && group.cnt == GROUP_MAX)
			found = -ENOENT;
		else if (entered)
			group.entry[group.cnt++] = ends.all.list[i];
	}
	if (!found)
		found = group.cnt ? handler_choose(flow, &group, ret_choices) : -ENOENT;
	addrs_done(&ends.all);
	addrs_done(&ends.back);
	return found;
}
