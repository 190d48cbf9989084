/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The GIL, read from outside: who had it at that moment, and where its futexes lie, by which a
 * thread that waits for it is known. v3.8 to v3.14 Include/internal/pycore_gil.h.
 */
#ifndef UNCOIL_PYTHON_GIL_H
#define UNCOIL_PYTHON_GIL_H

#include <stdbool.h>
#include <stdint.h>

struct mem;
struct py_abi;

struct gil {
	uint64_t addr; /* of struct _gil_runtime_state; 0: not known */
	uint32_t size;
	bool locked;
	bool off;        /* a free-threaded build that runs without it, but for imports */
	uint64_t holder; /* thread state that has it, or had it last */
};

/* The GIL of an interpreter: before 3.12 there is one for all of them. False: not known, or what is
 * there is none. */
bool gil_read(struct mem *mem, const struct py_abi *abi, uint64_t runtime, uint64_t interp,
	      struct gil *ret_gil);

/* Does a futex at this address belong to it? */
bool gil_has_futex(const struct gil *gil, uint64_t futex);

#endif
