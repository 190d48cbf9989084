/* SPDX-License-Identifier: Apache-2.0 */
/* USDT points: the notes that sys/sdt.h leaves in a file (.note.stapsdt). */
#ifndef UNCOIL_OS_STAP_H
#define UNCOIL_OS_STAP_H

#include <stdint.h>

struct elf;

struct stap_point {
	const char *provider, *name, *args; /* valid during the call only */
	uint64_t pc;                        /* as the file has it, */
	uint64_t semaphore;                 /* and the counter that switches it on; 0 = none */
};

/* Calls fn for each point until it returns non-zero; returns that, 0 at the end or if the file has none,
 * or -errno. */
int stap_each(struct elf *elf, int (*fn)(void *ctx, const struct stap_point *point), void *ctx);

#endif
