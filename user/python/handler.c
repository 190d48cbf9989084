/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A handler is a piece of code without borders: it begins where the table says, and leaves through a jump
 * into the table, or into code that handlers share (errors, unwinding, a tail that compilers merged).
 *
 *	entry ──► … ──► X ──► … ──► jmp *table(…)      X sees each execution once,
 *	                 └────────► error (shared)      if every path passes it before it leaves,
 *	                                                if no path passes it twice,
 *	                                                and if nothing else leads to it
 *
 * So first what is not ours: all that other handlers reach. What the group's entries reach without that is
 * its own, but for instructions that something leads to which is neither: the target of a switch, another
 * function. To leave the group's own code is to leave for good: code from which a path led back would
 * have made its target foreign.
 *
 * In this graph (some dozens of instructions) each instruction is tried: which entries can reach it, and which
 * must pass it? Where these are the same, it is a candidate for just these entries. The cheapest candidates
 * that cover each entry once are the choice; exact cover of at most sixteen entries, by dynamic programming.
 */
#include "python/handler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FOREIGN_MAX 400000 /* instructions; the loops seen so far have 20,000 to 60,000 */
#define OWN_MAX     2048
#define PADDING_MAX 16
#define OPTIONS_MAX 256

/* What a hit costs, roughly, beside others; the place in the handler decides between equals. Behind a
 * call a frame may be gone, which is worth a little. Per entry, for each execution is one hit. */
#define COST_EMULATED (10 << 10)
#define COST_CALL     (14 << 10)
#define COST_BEHIND   (6 << 10)
#define COST_STEP     (200 << 10)
#define COST_SITE     (1 << 10) /* and once for being there at all */
#define COST_NONE     UINT32_MAX

enum { LEAVE = -1, NOWHERE = -2 };

struct own {
	const struct flow *flow;
	const struct group *group;
	struct addrs foreign, nodes;
	bool *dropped;
	int32_t (*next)[2]; /* numbers of nodes; LEAVE; NOWHERE */
	uint32_t *number;   /* instructions from the nearest entry, from 1 */
	bool *behind;       /* a call */
	bool *seen;         /* scratch */
	int32_t *queue;
};

/* --- what reaches what --- */

/* Adds all that is reached from what is in the set, but for what is in `but`. */
static void reach(const struct flow *flow, struct addrs *set, const struct addrs *but)
{
	struct insn insn;
	uint64_t addr;
	uint32_t i;

	for (i = 0; i < set->cnt && !set->err; i++) {
		addr = set->list[i];
		if (flow__insn(flow, addr, &insn, NULL))
			continue;
		if ((insn.flow == INSN_NEXT || insn.flow == INSN_BRANCH) &&
		    !(but && addrs_have(but, addr + insn.len)))
			addrs_add(set, addr + insn.len);
		if ((insn.flow == INSN_BRANCH || insn.flow == INSN_JUMP) &&
		    !(but && addrs_have(but, insn.target)))
			addrs_add(set, insn.target);
	}
}

struct padding {
	const struct flow *flow;
	int left;
};

/* Non-zero: something can lead here. Padding between blocks falls through, and nothing leads to it. */
static int leads(void *ctx, uint64_t from)
{
	struct padding *p = ctx;
	struct insn insn;

	if (!p->left-- || flow__insn(p->flow, from, &insn, NULL) || insn.kind != INSN_NOP)
		return 1;
	return flow__each_before(p->flow, from, leads, p);
}

static int is_outside(void *ctx, uint64_t from)
{
	struct own *own = ctx;
	struct padding padding = { own->flow, PADDING_MAX };
	int64_t i = addrs_index(&own->nodes, from);

	if (i >= 0 && !own->dropped[i])
		return 0;
	return leads(&padding, from);
}

static bool is_own(struct own *own, uint32_t i)
{
	if (!flow__in_step(own->flow, own->nodes.list[i]))
		return false;
	if (own->group->is_called && i < (uint32_t)own->group->cnt)
		return true;
	return !flow__each_before(own->flow, own->nodes.list[i], is_outside, own);
}

/* Drops what something leads to that is not the group's own, until nothing of that is left. */
static void prune(struct own *own)
{
	bool changed = true;
	uint32_t i;

	while (changed) {
		changed = false;
		for (i = 0; i < own->nodes.cnt; i++) {
			if (own->dropped[i] || is_own(own, i))
				continue;
			own->dropped[i] = true;
			changed = true;
		}
	}
}

static int32_t node(const struct own *own, uint64_t addr)
{
	int64_t i = addrs_index(&own->nodes, addr);

	return i >= 0 && !own->dropped[i] ? i : LEAVE;
}

static void edges(struct own *own)
{
	struct insn insn;
	uint32_t i;

	for (i = 0; i < own->nodes.cnt; i++) {
		own->next[i][0] = own->next[i][1] = NOWHERE;
		if (flow__insn(own->flow, own->nodes.list[i], &insn, NULL)) {
			own->next[i][0] = LEAVE;
			continue;
		}
		if (insn.flow == INSN_NEXT || insn.flow == INSN_BRANCH)
			own->next[i][0] = node(own, own->nodes.list[i] + insn.len);
		if (insn.flow == INSN_BRANCH || insn.flow == INSN_JUMP)
			own->next[i][1] = node(own, insn.target);
		if (insn.flow == INSN_RETURN || insn.flow == INSN_JUMP_UNKNOWN)
			own->next[i][0] = LEAVE;
	}
}

/* Walks from node `from` (its successors only, if `beyond`), not through `wall`. Marks what is seen; returns
 * whether the group can be left that way. */
static bool walk(struct own *own, int32_t from, int32_t wall, bool beyond)
{
	int32_t head = 0, tail = 0, at, to;
	bool left = false;
	int k;

	memset(own->seen, 0, own->nodes.cnt * sizeof(*own->seen));
	own->queue[tail++] = from;
	own->seen[from] = !beyond;
	while (head < tail) {
		at = own->queue[head++];
		if (at == wall && !(beyond && head == 1))
			continue;
		for (k = 0; k < 2; k++) {
			to = own->next[at][k];
			left |= to == LEAVE;
			if (to < 0 || own->seen[to])
				continue;
			own->seen[to] = true;
			if (to != from)
				own->queue[tail++] = to;
		}
	}
	return left;
}

/* --- candidates --- */

static uint32_t cost_of(const struct own *own, int32_t i)
{
	uint32_t more = own->number[i] < 1023 ? own->number[i] : 1023;
	struct insn insn;

	more += own->behind[i] ? COST_BEHIND : 0;
	if (flow__insn(own->flow, own->nodes.list[i], &insn, NULL) || insn.probe == INSN_REFUSED)
		return COST_NONE;
	if (insn.probe == INSN_STEPPED)
		return COST_STEP + more;
	if (insn.kind == INSN_CALL)
		return own->group->no_calls ? COST_NONE : COST_CALL + more;
	return COST_EMULATED + more;
}

/* Which entries' executions are seen at node i, each once? 0: none, or it cannot be said. */
static uint32_t covers(struct own *own, int32_t i)
{
	uint32_t can = 0, must = 0;
	int e;

	walk(own, i, NOWHERE, true);
	if (own->seen[i])
		return 0; /* on a loop */
	for (e = 0; e < own->group->cnt; e++) {
		if (!walk(own, e, i, false))
			must |= 1u << e;
		if (own->seen[i])
			can |= 1u << e;
	}
	/* an entry from which no path leaves, nor comes here, would be "must" too */
	return can == must ? can : 0;
}

static void number(struct own *own)
{
	int32_t head = 0, tail = 0, at, to;
	struct insn insn;
	uint32_t i;
	int k;

	memset(own->number, 0, own->nodes.cnt * sizeof(*own->number));
	for (k = 0; k < own->group->cnt; k++) {
		own->number[k] = 1;
		own->queue[tail++] = k;
	}
	while (head < tail) {
		at = own->queue[head++];
		for (k = 0; k < 2; k++) {
			to = own->next[at][k];
			if (to < 0 || own->number[to])
				continue;
			own->number[to] = own->number[at] + 1;
			own->queue[tail++] = to;
		}
	}
	for (i = 0; i < own->nodes.cnt; i++) {
		if (own->dropped[i] || flow__insn(own->flow, own->nodes.list[i], &insn, NULL) ||
		    insn.kind != INSN_CALL)
			continue;
		walk(own, i, NOWHERE, true);
		for (k = 0; k < (int)own->nodes.cnt; k++)
			own->behind[k] |= own->seen[k];
	}
}

/* The cheapest instruction that sees just these entries. */
struct option {
	uint32_t mask, cost;
	int32_t node;
};

static int options(struct own *own, struct option options[static OPTIONS_MAX])
{
	uint32_t mask, cost, i;
	int k, cnt = 0;

	for (i = 0; i < own->nodes.cnt; i++) {
		if (own->dropped[i] || !own->number[i])
			continue;
		cost = cost_of(own, i);
		mask = cost == COST_NONE ? 0 : covers(own, i);
		if (!mask)
			continue;
		cost = cost * __builtin_popcount(mask) + COST_SITE;
		for (k = 0; k < cnt && options[k].mask != mask; k++)
			;
		if (k == OPTIONS_MAX || (k < cnt && options[k].cost <= cost))
			continue; /* one set of entries too many is one choice less, no wrong one */
		options[k] = (struct option){ mask, cost, i };
		cnt += k == cnt;
	}
	return cnt;
}

struct best {
	uint64_t cost;
	int32_t option; /* taken for the lowest entry; the rest is best for itself */
};

static int cover(struct own *own, struct choice *ret_choices)
{
	struct option opts[OPTIONS_MAX], *o;
	uint32_t all = (1u << own->group->cnt) - 1, m;
	struct best *best;
	int k, opt_cnt, cnt = 0;

	best = calloc((size_t)all + 1, sizeof(*best));
	if (!best)
		return -ENOMEM;
	opt_cnt = options(own, opts);
	for (m = 1; m <= all; m++) {
		best[m] = (struct best){ .cost = UINT64_MAX, .option = -1 };
		for (k = 0; k < opt_cnt; k++) {
			o = &opts[k];
			if (o->mask & ~m || !(o->mask & m & -m) ||
			    best[m & ~o->mask].cost == UINT64_MAX ||
			    o->cost + best[m & ~o->mask].cost >= best[m].cost)
				continue;
			best[m] = (struct best){ o->cost + best[m & ~o->mask].cost, k };
		}
	}
	for (m = all; m && best[m].option >= 0; m &= ~o->mask) {
		o = &opts[best[m].option];
		ret_choices[cnt++] = (struct choice){ own->nodes.list[o->node], o->mask,
						      own->number[o->node], own->behind[o->node] };
	}
	free(best);
	return m ? -ENOENT : cnt;
}

static int own_init(struct own *own)
{
	int i;

	addrs_init(&own->foreign, FOREIGN_MAX);
	addrs_init(&own->nodes, OWN_MAX);
	for (i = 0; i < own->group->foreign_cnt; i++)
		addrs_add(&own->foreign, own->group->foreign[i]);
	reach(own->flow, &own->foreign, NULL);
	if (own->foreign.err)
		return own->foreign.err;
	for (i = 0; i < own->group->cnt; i++) {
		if (addrs_have(&own->foreign, own->group->entry[i]))
			return -ENOENT; /* others lead into this handler */
		addrs_add(&own->nodes, own->group->entry[i]);
	}
	reach(own->flow, &own->nodes, &own->foreign);
	if (own->nodes.err)
		return own->nodes.err;
	own->dropped = calloc(own->nodes.cnt, sizeof(*own->dropped));
	own->seen = calloc(own->nodes.cnt, sizeof(*own->seen));
	own->next = calloc(own->nodes.cnt, sizeof(*own->next));
	own->number = calloc(own->nodes.cnt, sizeof(*own->number));
	own->behind = calloc(own->nodes.cnt, sizeof(*own->behind));
	own->queue = calloc(own->nodes.cnt + 1, sizeof(*own->queue));
	return own->dropped && own->seen && own->next && own->number && own->behind && own->queue
		       ? 0
		       : -ENOMEM;
}

static void own_done(struct own *own)
{
	addrs_done(&own->foreign);
	addrs_done(&own->nodes);
	free(own->dropped);
	free(own->seen);
	free(own->next);
	free(own->number);
	free(own->behind);
	free(own->queue);
}

int handler_choose(const struct flow *flow, const struct group *group,
		   struct choice ret_choices[static GROUP_MAX])
{
	struct own own = { .flow = flow, .group = group };
	int i, err;

	err = own_init(&own);
	if (err)
		goto out;
	prune(&own);
	for (i = 0; i < group->cnt && !err; i++)
		if (own.dropped[i])
			err = -ENOENT;
	if (err)
		goto out;
	edges(&own);
	number(&own);
	err = cover(&own, ret_choices);
out:
	own_done(&own);
	return err;
}
