/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which instructions of a file lead to which.
 *
 * Forward it is easy: decode, and go on to the next and to the target. Backward needs all branches of all
 * code, for any of them may lead here; so all of it is decoded once, from one end to the other, and the
 * branches are sorted by where they go. Where that sweep is out of step with an instruction that is said
 * to be one (data amid code, or a table that is none), nothing is claimed about it. Jumps through registers and memory
 * are not followed: the opcode table's are known to the caller, those of switches are nobody's, and what
 * they lead to has, as far as can be seen, no predecessor.
 */
#ifndef UNCOIL_PYTHON_FLOW_H
#define UNCOIL_PYTHON_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "python/insn.h"

struct elf_image;
struct flow;

/* Sweeps all code of the image, which must outlive the flow. NULL with errno: ENOMEM, or E2BIG (64 MiB of
 * code, or 16 million branches). */
struct flow *flow__new(const struct elf_image *image);
void flow__free(struct flow *flow);

/* The instruction at an address and its bytes; -EINVAL if there is none. */
int flow__insn(const struct flow *flow, uint64_t addr, struct insn *ret_insn,
	       const uint8_t **ret_bytes);

/* Is this an instruction of the sweep, so that all that is known to lead to it can be told? */
bool flow__in_step(const struct flow *flow, uint64_t addr);

/* Calls fn for each instruction that falls through or branches to this one (calls do not count), until it
 * returns non-zero, which is returned. */
int flow__each_before(const struct flow *flow, uint64_t addr, int (*fn)(void *ctx, uint64_t from),
		      void *ctx);

/* A set of addresses that grows up to a maximum, in the order in which they were added. */
struct addrs {
	uint64_t *list;
	uint32_t cnt, max;
	uint32_t *slots; /* a hash of numbers in the list, + 1 */
	uint32_t slot_cnt;
	int err; /* -ENOMEM, or -E2BIG beyond the maximum; sticky */
};

void addrs_init(struct addrs *set, uint32_t max);
void addrs_done(struct addrs *set);
bool addrs_add(struct addrs *set, uint64_t addr); /* true: it is new */
bool addrs_have(const struct addrs *set, uint64_t addr);
int64_t addrs_index(const struct addrs *set, uint64_t addr); /* -1: it is not in it */

#endif
