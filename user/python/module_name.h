/* SPDX-License-Identifier: Apache-2.0 */
/* Where a function is defined: the `__name__` in its globals, read from outside. */
#ifndef UNCOIL_PYTHON_MODULE_NAME_H
#define UNCOIL_PYTHON_MODULE_NAME_H

#include <stdint.h>

#include "python/code.h"

struct buf;
struct mem;

#define MODULE_NAME_MAX 512 /* bytes of a name; what is longer is cut */

/* What was learned of one process: the str "__name__" in it, and its hash, by which dicts are asked.
 * All 0 at first. It may be kept across an exec, after which it is found wrong and learned again. */
struct module_key {
	uint64_t addr; /* 0: not known yet */
	uint64_t hash; /* seeded by process: PYTHONHASHSEED */
};

/*
 * Appends __name__ of the globals dict at `globals` as clean UTF-8 without NUL, at most
 * MODULE_NAME_MAX bytes.
 *
 * -ENOENT: it has none, or what it has is no str, or `globals` is no dict. -EAGAIN: the dict grew at each
 * attempt to read it. -E2BIG: no name among its first 65,536 entries was seen before, and it has more
 * than these. -EFAULT, -ESRCH and others: could not be read.
 *
 * A dozen reads once the key is known, whatever the dict's size; before, one or two for each entry up to
 * the name.
 */
int module_name(struct mem *mem, const struct py_abi *abi, struct module_key *key, uint64_t globals,
		struct buf *out);

#endif
