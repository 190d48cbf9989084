/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding of str and bytes objects from raw bytes, and reading of dicts from memory. */
#ifndef UNCOIL_PYTHON_OBJECT_H
#define UNCOIL_PYTHON_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "python/code.h"

struct buf;
struct mem;

/* Appends a str object's text as clean UTF-8 (base/text.h). `raw` is the object from its start and
 * may be cut: then the part that is there is decoded and *ret_cut is true. -EINVAL if it is no
 * compact str or its header is cut. Lone surrogates become U+FFFD. PEP 393,
 * Include/cpython/unicodeobject.h. */
int object_str(const struct py_abi *abi, struct bytes raw, struct buf *out, bool *ret_cut);

/* Size in bytes of the whole str object, computed from its header; 0 if it is no compact str. */
size_t object_str_size(const struct py_abi *abi, struct bytes raw);

/* Calls fn for each entry of the dict at `dict` until it returns non-zero; returns that, 0 at the
 * end, or -errno. Reads at most `max` entries; a larger dict is -E2BIG. key and value are object
 * addresses. */
int object_dict_each(struct mem *mem, const struct py_abi *abi, uint64_t dict, uint32_t max,
		     int (*fn)(void *ctx, uint64_t key, uint64_t value), void *ctx);

/* Value of the instance attribute `name` kept in an ordinary __dict__ (inline values, managed
 * dict and tp_dictoffset alike); -ENOENT if there is none. */
int object_attr(struct mem *mem, const struct py_abi *abi, uint64_t object, const char *name,
		uint64_t *ret_value);

#endif
