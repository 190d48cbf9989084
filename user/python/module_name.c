/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame has the dict of its function's globals, and a module's name is in there: globals["__name__"],
 * which is what makes a function's __module__ too (Objects/funcobject.c). It is the first entry of most
 * modules, but namespaces may be of any make: those of exec() have none, or as the last of ten
 * thousand. To look at all of them once for each function would be dear, so the dict is asked as the
 * interpreter asks it, by hash. str hashes are seeded anew in each process; but a str in a dict
 * has its hash in it, so the first "__name__" that is found the slow way tells it for all others.
 *
 * The key is nearly always the same object, an interned one; one that is not is told by its text.
 *
 * The target runs meanwhile. "There is none" is only believed if the dict is the same after the search
 * as before.
 */
#include "python/module_name.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "python/mem.h"
#include "python/object.h"
#include "python/object_read.h"
#include "python/value.h"

#define KEY         "__name__"
#define ENTRIES_MAX 65536 /* that are looked at without the hash */
#define TRIES       4

/* How far from its place an entry may be. A dict grows before more than two thirds of its slots are
 * used (USABLE_FRACTION, Objects/dictobject.c), so that ten are many. */
#define PROBES_MAX    1024
#define PERTURB_SHIFT 5

#define HASH_NONE UINT64_MAX /* not computed yet: PyASCIIObject.hash -1 */

/* --- by hash --- */

/* The number of the entry in a slot; negative: none (-1 empty, -2 deleted). */
static int slot_read(struct mem *mem, const struct dict_table *t, uint64_t slot, int64_t *ret_ix)
{
	int8_t i8;
	int16_t i16;
	int32_t i32;
	int err;

	if (t->index_size <= 0xff) {
		err = mem_read(mem, t->index + slot, &i8, sizeof(i8));
		*ret_ix = err ? -1 : i8;
	} else if (t->index_size <= 0xffff) {
		err = mem_read(mem, t->index + 2 * slot, &i16, sizeof(i16));
		*ret_ix = err ? -1 : i16;
	} else if (t->index_size <= 0xffffffff) {
		err = mem_read(mem, t->index + 4 * slot, &i32, sizeof(i32));
		*ret_ix = err ? -1 : i32;
	} else {
		err = mem_read(mem, t->index + 8 * slot, ret_ix, sizeof(*ret_ix));
	}
	return err;
}

/* 1 and the value if this entry is the wanted one, 0 if not, -errno. */
static int entry_is(struct mem *mem, const struct py_abi *abi, const struct dict_table *t,
		    uint64_t ix, const struct module_key *key, uint64_t *ret_value)
{
	uint64_t pair[2];
	int ret;

	/* torn; or a key that the class learned after this array of values was made */
	if (ix >= t->cnt)
		return 0;
	ret = mem_read(mem, t->entries + (ix + 1) * t->entry_size - sizeof(pair), pair,
		       sizeof(pair));
	if (!ret && t->values)
		ret = mem_u64(mem, t->values + 8 * ix, &pair[1]);
	if (ret)
		return ret;
	ret = pair[0] == key->addr ? 1 : pair[0] ? object_key_is(mem, abi, pair[0], KEY) : 0;
	if (ret <= 0)
		return ret;
	*ret_value = pair[1];
	return pair[1] != 0;
}

/* 1 and the value, 0: there is none, -errno. lookdict() and its kin, 3.8 - 3.15. */
static int find_by_hash(struct mem *mem, const struct py_abi *abi, const struct module_key *key,
			uint64_t dict, uint64_t *ret_value)
{
	uint64_t perturb = key->hash, slot;
	struct dict_table t;
	int ret, probes;
	int64_t ix;

	ret = object_dict_table(mem, abi, dict, UINT32_MAX, &t);
	if (ret)
		return ret;
	slot = key->hash & (t.index_size - 1);
	for (probes = 0; probes < PROBES_MAX; probes++) {
		ret = slot_read(mem, &t, slot, &ix);
		if (ret || ix == -1)
			return ret;
		ret = ix < 0 ? 0 : entry_is(mem, abi, &t, ix, key, ret_value);
		if (ret)
			return ret;
		perturb >>= PERTURB_SHIFT;
		slot = (slot * 5 + perturb + 1) & (t.index_size - 1);
	}
	return -ELOOP;
}

/* --- the slow way, which teaches the hash --- */

struct scan {
	struct mem *mem;
	const struct py_abi *abi;
	uint64_t key, value;
	int err; /* of a key that could not be read */
};

static int scan_one(void *ctx, uint64_t key, uint64_t value)
{
	struct scan *s = ctx;
	int ret;

	ret = object_key_is(s->mem, s->abi, key, KEY);
	if (ret < 0)
		s->err = ret;
	if (ret <= 0)
		return 0;
	s->key = key;
	s->value = value;
	return 1;
}

static int find_by_scan(struct mem *mem, const struct py_abi *abi, struct module_key *key,
			uint64_t dict, uint64_t *ret_value)
{
	struct scan s = { mem, abi };
	int ret;

	ret = object_dict_each(mem, abi, dict, ENTRIES_MAX, scan_one, &s);
	if (ret <= 0)
		return ret ? ret : s.err;
	*ret_value = s.value;
	/* what was read is good without it */
	if (!mem_u64(mem, s.key + abi->off.str_hash, &key->hash) && key->hash != HASH_NONE)
		key->addr = s.key;
	return 1;
}

/* Is it still what it was? Not after an exec, and not if it was no interned one. */
static bool key_holds(struct mem *mem, const struct py_abi *abi, const struct module_key *key)
{
	uint64_t hash;

	return key->addr && object_key_is(mem, abi, key->addr, KEY) == 1 &&
	       !mem_u64(mem, key->addr + abi->off.str_hash, &hash) && hash == key->hash;
}

int module_name(struct mem *mem, const struct py_abi *abi, struct module_key *key, uint64_t globals,
		struct buf *out)
{
	uint64_t value = 0, before, after;
	int ret, err, tries;

	ret = value_is(mem, abi, globals, TYPE_DICT_SUBCLASS);
	if (ret)
		return ret;
	if (!key_holds(mem, abi, key))
		*key = (struct module_key){ 0 };
	for (tries = 0; tries < TRIES; tries++) {
		err = object_dict_mark(mem, abi, globals, &before);
		if (err)
			return err;
		ret = key->addr ? find_by_hash(mem, abi, key, globals, &value)
				: find_by_scan(mem, abi, key, globals, &value);
		if (ret == 1)
			return value_text(mem, abi, value, MODULE_NAME_MAX, out);
		err = object_dict_mark(mem, abi, globals, &after);
		if (err)
			return err;
		if (before == after)
			return ret ? ret : -ENOENT;
	}
	return -EAGAIN;
}
