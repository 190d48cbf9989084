/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What threading.Thread(name=...) was given never reaches the kernel before 3.14; the way to it is
 * the one a Python program takes:
 *
 *   interpreter -> sys.modules -> "threading" -> _active: { ident: Thread } -> Thread._name
 *
 * Every object on the way may be of another type than the standard library makes it - a program may
 * replace any of them - so each is asked for its type's flags before it is believed.
 */
#include "python/threads.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "python/mem.h"
#include "python/object.h"
#include "python/object_read.h"

#define MODULES_MAX    65536 /* entries of sys.modules, of threading's namespace */
#define ACTIVE_MAX     (THREADS_LIST_BYTES_MAX / sizeof(struct thread_object))
#define NAME_MAX_BYTES 256

/* The longest raw str whose text may be wanted: four bytes a character, and the header. */
#define NAME_RAW_MAX (NAME_MAX_BYTES * 4 + 256)

/* PyLongObject (LP64): digits of 30 bits, least significant first.
 * 3.8 - 3.11 Include/cpython/longintrepr.h: ob_size is their count, negative for a negative number;
 * 3.12+: lv_tag is count << 3 | sign (0 positive, 1 zero, 2 negative), 3.14+ with bit 2 for what
 * lives for ever (Include/internal/pycore_long.h). */
#define LONG_DIGIT_BITS 30
#define LONG_DIGITS_MAX 3 /* that 64 bits need */

/* 1 and the value if the object at addr is a positive int of 64 bits, 0 if not, -errno */
static int long_value(struct mem *mem, const struct py_abi *abi, uint64_t addr, uint64_t *ret_value)
{
	uint32_t digits[LONG_DIGITS_MAX];
	uint64_t flags, tag, cnt, value = 0;
	int err;

	err = object_type_flags(mem, abi, addr, &flags);
	if (err)
		return err;
	if (!(flags & TYPE_LONG_SUBCLASS))
		return 0;
	err = mem_u64(mem, addr + abi->live.long_tag, &tag);
	if (err)
		return err;
	cnt = tag;
	if (abi->major > 3 || abi->minor >= 12) {
		if (tag & 3)
			return 0; /* zero or negative; no thread's ident */
		cnt = tag >> 3;
	}
	/* a negative count of 3.8 - 3.11 is a large one here */
	if (cnt < 1 || cnt > LONG_DIGITS_MAX)
		return 0;
	err = mem_read(mem, addr + abi->live.long_digits, digits, cnt * sizeof(digits[0]));
	if (err)
		return err;
	while (cnt--) {
		if (digits[cnt] >> LONG_DIGIT_BITS || value >> (64 - LONG_DIGIT_BITS))
			return 0;
		value = value << LONG_DIGIT_BITS | digits[cnt];
	}
	*ret_value = value;
	return 1;
}

struct list {
	struct mem *mem;
	const struct py_abi *abi;
	struct buf *out;
	int err; /* of a key that could not be read */
};

static int list_one(void *ctx, uint64_t key, uint64_t value)
{
	struct list *l = ctx;
	struct thread_object thread = { .object = value };
	int ret;

	ret = long_value(l->mem, l->abi, key, &thread.thread_id);
	if (ret < 0)
		l->err = ret;
	return ret > 0 ? buf_add(l->out, &thread, sizeof(thread)) : 0;
}

/* -ENOENT if the object's type lacks the flag: it is not what the standard library has there. */
static int must_be(struct mem *mem, const struct py_abi *abi, uint64_t object, uint64_t type_flag)
{
	uint64_t flags;
	int err;

	err = object_type_flags(mem, abi, object, &flags);
	if (err)
		return err;
	return flags & type_flag ? 0 : -ENOENT;
}

/* The object must be a dict: dict[name]. */
static int dict_get(struct mem *mem, const struct py_abi *abi, uint64_t dict, const char *name,
		    uint64_t *ret_value)
{
	int err;

	if (!dict)
		return -ENOENT;
	err = must_be(mem, abi, dict, TYPE_DICT_SUBCLASS);
	return err ? err : object_dict_get(mem, abi, dict, MODULES_MAX, name, ret_value);
}

int threads_list(struct mem *mem, const struct py_abi *abi, uint64_t interp, struct buf *out)
{
	struct list l = { mem, abi, out };
	uint64_t modules, module, dict, active;
	int err;

	err = mem_u64(mem, interp + abi->off.interp_modules, &modules);
	if (!err)
		err = dict_get(mem, abi, modules, "threading", &module);
	if (!err)
		err = mem_u64(mem, module + abi->off.module_dict, &dict);
	if (!err)
		err = dict_get(mem, abi, dict, "_active", &active);
	if (!err)
		err = must_be(mem, abi, active, TYPE_DICT_SUBCLASS);
	if (!err)
		err = object_dict_each(mem, abi, active, ACTIVE_MAX, list_one, &l);
	return err ? err : l.err;
}

int threads_name_of(struct mem *mem, const struct py_abi *abi, uint64_t thread, struct buf *out)
{
	struct buf raw, text;
	uint64_t name;
	bool cut;
	int err;

	buf_init(&raw, NAME_RAW_MAX);
	/* decoded, it is at most three times as long */
	buf_init(&text, 3 * NAME_RAW_MAX);
	err = object_attr(mem, abi, thread, "_name", &name);
	if (!err)
		err = must_be(mem, abi, name, TYPE_STR_SUBCLASS);
	if (!err)
		err = object_read_str(mem, abi, name, NAME_RAW_MAX, &raw);
	if (!err)
		err = object_str(abi, (struct bytes){ (const uint8_t *)raw.data, raw.len }, &text,
				 &cut);
	if (!err)
		err = buf_add(out, text.data, text_cut(text.data, text.len, NAME_MAX_BYTES));
	buf_done(&text);
	buf_done(&raw);
	return err;
}

uint64_t threads_object(const struct buf *list, uint64_t thread_id)
{
	const struct thread_object *thread = (const struct thread_object *)list->data;
	size_t cnt = list->len / sizeof(*thread), i;

	for (i = 0; i < cnt; i++)
		if (thread[i].thread_id == thread_id)
			return thread[i].object;
	return 0;
}

int threads_name(struct mem *mem, const struct py_abi *abi, uint64_t interp, uint64_t thread_id,
		 struct buf *out)
{
	struct buf list;
	uint64_t thread;
	int err;

	buf_init(&list, THREADS_LIST_BYTES_MAX);
	err = threads_list(mem, abi, interp, &list);
	thread = threads_object(&list, thread_id);
	if (thread)
		err = threads_name_of(mem, abi, thread, out);
	else if (!err)
		err = -ENOENT;
	buf_done(&list);
	return err;
}
