/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second door: bounded reads of a target's memory. Whatever comes through is hostile - sizes,
 * lengths, pointers, cycles - and every reader above bounds what it believes.
 */
#ifndef UNCOIL_PYTHON_MEM_H
#define UNCOIL_PYTHON_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mem {
	/* Reads exactly len bytes at addr; 0, or -EFAULT (unmapped), -ESRCH (process gone),
	 * -EPERM. Tests put a picture of memory behind it. */
	int (*read)(struct mem *mem, uint64_t addr, void *ret_data, size_t len);
};

struct mem_process {
	struct mem mem;
	pid_t pid;
};

/* A live process, read by process_vm_readv(2): the target is neither stopped nor written to. */
void mem_process_init(struct mem_process *m, pid_t pid);

/* Another memory through which only so many reads go; then each is -EFAULT, and ran_out is set. For
 * readers that follow what a hostile target leads them to. */
struct mem_limited {
	struct mem mem;
	struct mem *of;
	uint64_t left;
	bool ran_out;
};

void mem_limited_init(struct mem_limited *m, struct mem *of, uint64_t reads_max);

int mem_read(struct mem *mem, uint64_t addr, void *ret_data, size_t len);
int mem_u64(struct mem *mem, uint64_t addr, uint64_t *ret_value);
int mem_u32(struct mem *mem, uint64_t addr, uint32_t *ret_value);

#endif
