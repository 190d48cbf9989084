/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that the program gave its threads: sys.modules["threading"]._active[ident]._name, read
 * from outside. A program that never imported threading has none, and its kernel names stand.
 */
#ifndef UNCOIL_PYTHON_THREADS_H
#define UNCOIL_PYTHON_THREADS_H

#include <stdint.h>

#include "python/code.h"

struct mem;
struct buf;

/* One entry of threading._active */
struct thread_object {
	uint64_t thread_id; /* threading.get_ident() */
	uint64_t object;    /* address of the Thread */
};

#define THREADS_LIST_BYTES_MAX (4096 * sizeof(struct thread_object))

/* Appends a struct thread_object for each thread that the threading module knows. An error is told
 * after what could be read was appended. `interp` is the address of the PyInterpreterState. */
int threads_list(struct mem *mem, const struct py_abi *abi, uint64_t interp, struct buf *out);

/* The Thread with this ident in such a list; 0 = none. */
uint64_t threads_object(const struct buf *list, uint64_t thread_id);

/* Appends the name of a Thread as clean UTF-8, at most 256 bytes of it. Negative: could not be
 * read. */
int threads_name_of(struct mem *mem, const struct py_abi *abi, uint64_t thread, struct buf *out);

/* All of it for one thread: appends the name of the thread whose threading.get_ident() is thread_id, as clean UTF-8, at most
 * 256 bytes of it. -ENOENT: not known to the threading module. -EFAULT and others: could not be
 * read. `interp` is the address of the PyInterpreterState. */
int threads_name(struct mem *mem, const struct py_abi *abi, uint64_t interp, uint64_t thread_id,
		 struct buf *out);

#endif
