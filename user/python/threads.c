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

#include "base/buf.h"
#include "python/object.h"
#include "python/object_read.h"
#include "python/value.h"

#define ACTIVE_MAX     (THREADS_LIST_BYTES_MAX / sizeof(struct thread_object))
#define NAME_MAX_BYTES 256

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

	ret = value_long(l->mem, l->abi, key, &thread.thread_id);
	if (ret < 0)
		l->err = ret;
	return ret > 0 ? buf_add(l->out, &thread, sizeof(thread)) : 0;
}

int threads_list(struct mem *mem, const struct py_abi *abi, uint64_t interp, struct buf *out)
{
	struct list l = { mem, abi, out };
	uint64_t active;
	int err;

	err = value_in_module(mem, abi, interp, "threading", "_active", &active);
	if (!err)
		err = value_is(mem, abi, active, TYPE_DICT_SUBCLASS);
	if (!err)
		err = object_dict_each(mem, abi, active, ACTIVE_MAX, list_one, &l);
	return err ? err : l.err;
}

int threads_name_of(struct mem *mem, const struct py_abi *abi, uint64_t thread, struct buf *out)
{
	uint64_t name;
	int err;

	err = object_attr(mem, abi, thread, "_name", &name);
	return err ? err : value_text(mem, abi, name, NAME_MAX_BYTES, out);
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
