/* SPDX-License-Identifier: Apache-2.0 */
#include "python/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/elf.h"

#define CODE_MAX   (64u << 20)
#define BRANCH_MAX (16u << 20)

struct branch {
	uint64_t to, from;
};

struct flow {
	const struct elf_image *image;
	uint8_t *starts[ELF_SEGMENTS_MAX]; /* a bit per byte of an executable segment */
	struct branch *branches;           /* sorted by `to` */
	size_t branch_cnt, branch_cap;
};

/* --- sets of addresses --- */

static uint32_t slot_of(const struct addrs *set, uint64_t addr)
{
	uint32_t at = (addr * 0x9e3779b97f4a7c15ULL) >> 32;

	for (;; at++) {
		at &= set->slot_cnt - 1;
		if (!set->slots[at] || set->list[set->slots[at] - 1] == addr)
			return at;
	}
}

void addrs_init(struct addrs *set, uint32_t max)
{
	*set = (struct addrs){ .max = max };
}

void addrs_done(struct addrs *set)
{
	free(set->list);
	free(set->slots);
	*set = (struct addrs){ .max = set->max };
}

int64_t addrs_index(const struct addrs *set, uint64_t addr)
{
	if (!set->slot_cnt)
		return -1;
	return (int64_t)set->slots[slot_of(set, addr)] - 1;
}

bool addrs_have(const struct addrs *set, uint64_t addr)
{
	return addrs_index(set, addr) >= 0;
}

static int addrs_grow(struct addrs *set)
{
	uint32_t i, slot_cnt = set->slot_cnt ? 2 * set->slot_cnt : 64;
	uint64_t *list = realloc(set->list, slot_cnt / 2 * sizeof(*list));
	uint32_t *slots;

	if (!list)
		return -ENOMEM;
	set->list = list;
	slots = calloc(slot_cnt, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(set->slots);
	set->slots = slots;
	set->slot_cnt = slot_cnt;
	for (i = 0; i < set->cnt; i++)
		set->slots[slot_of(set, set->list[i])] = i + 1;
	return 0;
}

bool addrs_add(struct addrs *set, uint64_t addr)
{
	uint32_t slot;

	if (set->err || addrs_have(set, addr))
		return false;
	if (set->cnt == set->max) {
		set->err = -E2BIG;
		return false;
	}
	if (set->cnt * 2 >= set->slot_cnt) {
		set->err = addrs_grow(set);
		if (set->err)
			return false;
	}
	slot = slot_of(set, addr);
	set->list[set->cnt++] = addr;
	set->slots[slot] = set->cnt;
	return true;
}

/* --- the sweep --- */

static int branch_add(struct flow *flow, uint64_t from, uint64_t to)
{
	struct branch *grown;
	size_t cap;

	if (flow->branch_cnt == BRANCH_MAX)
		return -E2BIG;
	if (flow->branch_cnt == flow->branch_cap) {
		cap = flow->branch_cap ? 2 * flow->branch_cap : 65536;
		grown = realloc(flow->branches, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		flow->branches = grown;
		flow->branch_cap = cap;
	}
	flow->branches[flow->branch_cnt++] = (struct branch){ to, from };
	return 0;
}

static int by_target(const void *a, const void *b)
{
	const struct branch *x = a, *y = b;

	if (x->to != y->to)
		return x->to > y->to ? 1 : -1;
	return (x->from > y->from) - (x->from < y->from);
}

static int sweep(struct flow *flow, int index)
{
	const struct elf_segment *segment = &flow->image->list[index];
	uint8_t *starts;
	uint64_t pos = 0, addr;
	struct insn insn;
	int err;

	starts = calloc(segment->size / 8 + 1, 1);
	if (!starts)
		return -ENOMEM;
	flow->starts[index] = starts;
	while (pos < segment->size) {
		addr = segment->vaddr + pos;
		if (insn_decode(segment->data + pos, segment->size - pos, addr, &insn)) {
			pos++;
			continue;
		}
		starts[pos / 8] |= 1u << (pos % 8);
		if (insn.flow == INSN_BRANCH || insn.flow == INSN_JUMP) {
			err = branch_add(flow, addr, insn.target);
			if (err)
				return err;
		}
		pos += insn.len;
	}
	return 0;
}

struct flow *flow__new(const struct elf_image *image)
{
	struct flow *flow = calloc(1, sizeof(*flow));
	uint64_t size = 0;
	int i, err = 0;

	if (!flow)
		return NULL;
	flow->image = image;
	for (i = 0; i < image->cnt && !err; i++) {
		if (!image->list[i].is_exec)
			continue;
		size += image->list[i].size;
		err = size > CODE_MAX ? -E2BIG : sweep(flow, i);
	}
	if (err) {
		flow__free(flow);
		errno = -err;
		return NULL;
	}
	if (flow->branch_cnt)
		qsort(flow->branches, flow->branch_cnt, sizeof(*flow->branches), by_target);
	return flow;
}

void flow__free(struct flow *flow)
{
	int i;

	if (!flow)
		return;
	for (i = 0; i < ELF_SEGMENTS_MAX; i++)
		free(flow->starts[i]);
	free(flow->branches);
	free(flow);
}

int flow__insn(const struct flow *flow, uint64_t addr, struct insn *ret_insn,
	       const uint8_t **ret_bytes)
{
	const struct elf_segment *segment = elf_image_find(flow->image, addr);
	uint64_t pos;

	if (!segment || !segment->is_exec)
		return -EINVAL;
	pos = addr - segment->vaddr;
	if (ret_bytes)
		*ret_bytes = segment->data + pos;
	return insn_decode(segment->data + pos, segment->size - pos, addr, ret_insn);
}

bool flow__in_step(const struct flow *flow, uint64_t addr)
{
	const struct elf_segment *segment = elf_image_find(flow->image, addr);
	uint64_t pos;

	if (!segment || !segment->is_exec)
		return false;
	pos = addr - segment->vaddr;
	return flow->starts[segment - flow->image->list][pos / 8] >> (pos % 8) & 1;
}

int flow__each_before(const struct flow *flow, uint64_t addr, int (*fn)(void *ctx, uint64_t from),
		      void *ctx)
{
	size_t low = 0, high = flow->branch_cnt, mid;
	struct insn insn;
	int back, err = 0;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (flow->branches[mid].to < addr)
			low = mid + 1;
		else
			high = mid;
	}
	for (; !err && low < flow->branch_cnt && flow->branches[low].to == addr; low++)
		err = fn(ctx, flow->branches[low].from);
	for (back = 1; !err && back <= INSN_LEN_MAX && (uint64_t)back <= addr; back++) {
		if (!flow__in_step(flow, addr - back))
			continue;
		/* the sweep's instructions do not overlap: this one ends here or not */
		if (!flow__insn(flow, addr - back, &insn, NULL) && insn.len == back &&
		    (insn.flow == INSN_NEXT || insn.flow == INSN_BRANCH))
			err = fn(ctx, addr - back);
		break;
	}
	return err;
}
