/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that wait already when a recording begins. sched_switch tells nothing of them until they
 * run, which some never do; so their stacks are read once, from outside, with proof that they slept
 * meanwhile (python/stack.h), and told to profile and journal in the form that the kernel side
 * would have used. The kernel side is given the stack's hash: what the thread waits from the
 * recording's start is counted under it, if it has not run in between.
 */
#ifndef UNCOIL_CMD_ASLEEP_H
#define UNCOIL_CMD_ASLEEP_H

#include "cmd/answer.h"
#include "python/code.h"

struct mem;
struct peers;

struct asleep {
	struct sampler *sampler;
	struct peers *peers;
	record_put_fn put;
	void *ctx;
	struct mem *mem;
	const struct py_abi *abi;
	const struct py_cfg *cfg;
	uint32_t image;
	pid_t pid;
};

/* Before sampler__start(). Threads that run, or that are gone, are left to the kernel side. 0, or
 * what put() failed with, or -ENOMEM. */
int asleep_tell(const struct asleep *a);

#endif
