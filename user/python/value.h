/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of a Python program read from outside: what is in a module, text, numbers. Every object on
 * the way may be of another type than the standard library makes it - a program may replace any of
 * them - so each is asked for its type's flags before it is believed.
 */
#ifndef UNCOIL_PYTHON_VALUE_H
#define UNCOIL_PYTHON_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "python/code.h"

struct buf;
struct mem;

/* 0 if the object's type has the flag (python/object_read.h), -ENOENT if not: it is not what the
 * standard library has there. */
int value_is(struct mem *mem, const struct py_abi *abi, uint64_t object, uint64_t type_flag);

/* sys.modules[module].name of the interpreter at `interp`; -ENOENT if there is none. */
int value_in_module(struct mem *mem, const struct py_abi *abi, uint64_t interp, const char *module,
		    const char *name, uint64_t *ret_value);

/* Appends the text of a str as clean UTF-8, at most `max` bytes of it. -ENOENT: it is no str. */
int value_text(struct mem *mem, const struct py_abi *abi, uint64_t object, size_t max,
	       struct buf *out);

/* 1 and the value if the object at addr is a positive int of 64 bits, 0 if not, -errno */
int value_long(struct mem *mem, const struct py_abi *abi, uint64_t addr, uint64_t *ret_value);

#endif
