/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stack of a coroutine that is not running. It is on no thread's stack: each coroutine keeps its
 * own frame, and on top of that frame's value stack lies what it awaits:
 *
 *   coroutine main -> frame -> coroutine fetch -> frame -> FutureIter -> future
 *
 * Read from outside, in a memory that changes meanwhile and may hold anything: chains are bounded
 * and cut where they come back to themselves.
 */
#ifndef UNCOIL_PYTHON_CORO_H
#define UNCOIL_PYTHON_CORO_H

#include <stdint.h>

#include "python/code.h"
#include "python/stack.h"

struct mem;
struct py_found;

#define CORO_DEPTH_MAX 10000

enum coro_state {
	CORO_UNKNOWN,   /* no coroutine, or not to be read */
	CORO_CREATED,   /* has not begun */
	CORO_SUSPENDED, /* waits */
	CORO_RUNNING,   /* is on a thread's stack */
	CORO_DONE,
};

/* Appends the frames of a coroutine and of what it awaits, outermost first, at most `frames_max`.
 * `found` tells the types; *ret_frame is the address of the outermost frame, 0: none. A chain that
 * comes back to itself ends there, and sets EV_STACK_UNREADABLE in stack->flags; one that is too
 * long EV_STACK_TRUNCATED. 0, or -ENOMEM. */
int coro_chain(struct mem *mem, const struct py_abi *abi, const struct py_cfg *cfg,
	       const struct py_found *found, uint64_t coro, uint32_t frames_max,
	       struct py_stack *stack, uint64_t *ret_frame, enum coro_state *ret_state);

/* The type itself, or the first of those that it derives from, that is called `name`
 * ("_asyncio.Task"); 0: none. */
uint64_t coro_type_named(struct mem *mem, const struct py_abi *abi, uint64_t type,
			 const char *name);

#endif
