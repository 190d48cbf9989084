/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel side of `trace` needs to know of one process's Python. */
#ifndef UNCOIL_PYTHON_TRACE_LAYOUT_H
#define UNCOIL_PYTHON_TRACE_LAYOUT_H

#include <stdbool.h>

#include "python/sites.h"
#include "trace.h"

struct py_found;
struct py_layout;

/* Fills in bpf/trace.h's struct trace_cfg. -EINVAL: an offset is beyond what BPF reads. */
int trace_layout(const struct py_found *found, const struct py_layout *layout,
		 const struct sites *sites, struct trace_cfg *ret_cfg);

/* Which of the sites are probed: fewer than there are, since some tell what others tell too. */
bool trace_wants(const struct sites *sites, enum site_kind kind);

#endif
