/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory layout of one interpreter: where each offset comes from, that all of them are sane,
 * and that they hold in the live process.
 *
 * The order of belief: 1. _Py_DebugOffsets, which CPython >= 3.13 publishes at the start of
 * _PyRuntime (cookie, version, then every member inside its struct); 2. the generated row for this
 * X.Y and kind of build (table.h), also for what the debug offsets lack; 3. nothing: an unknown
 * version is refused by name. Whatever the source, layout_verify() then follows the pointers in the live process.
 */
#ifndef UNCOIL_PYTHON_LAYOUT_H
#define UNCOIL_PYTHON_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "python/code.h"
#include "python/find.h"
#include "shared.h"

struct err;
struct mem;

enum py_source {
	PY_SOURCE_NONE, /* the version has no such member */
	PY_SOURCE_ROW,
	PY_SOURCE_DEBUG_OFFSETS,
};

struct py_layout {
	struct py_abi abi;
	const char *row_from; /* micro versions that the row was made from */
	struct {
#define X(field, group, what) enum py_source field;
		PY_OFFSETS(X)
		PY_LIVE(X)
#undef X
	} source;
};

/* -ENOTSUP with a sentence: version unknown, a pydebug or free-threaded build for which there is no
 * row, debug offsets that contradict themselves. */
int layout_fill(const struct py_found *found, struct mem *mem, struct py_layout *ret_layout,
		struct err *err);

/* What was found true in the live process. */
struct layout_proof {
	uint64_t interp;     /* PyInterpreterState of the main interpreter; 0 = none yet */
	uint32_t tstate_cnt; /* thread states that point back to it */
	uint32_t frame_cnt;  /* frames whose code object is one, with readable names */
	bool threads_known;  /* native ids of thread states are threads of the process (3.11+) */
};

/* 0 and the proof; -EAGAIN: the interpreter is not initialised yet, nothing could be proved;
 * -EINVAL with a sentence: the layout does not fit this process. */
int layout_verify(const struct py_found *found, const struct py_layout *layout, pid_t pid,
		  struct mem *mem, struct layout_proof *ret_proof, struct err *err);

/* What the kernel side needs of it (bpf/shared.h). -EINVAL if an offset is beyond what BPF reads. */
int layout_cfg(const struct py_found *found, const struct py_layout *layout,
	       struct py_cfg *ret_cfg);

const char *layout_source_text(enum py_source source);

#endif
