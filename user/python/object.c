/* SPDX-License-Identifier: Apache-2.0 */
/*
 * str and dict as they lie in memory.
 *
 * A str says in two bits and three (PyASCIIObject.state: compact, ascii, kind) whether its text
 * follows its header, how long the header is, and how wide a character (PEP 393,
 * Include/cpython/unicodeobject.h, the same from 3.8 to 3.15). Strings that are not compact - str
 * subclasses, and what legacy C API made before 3.12 - keep their text elsewhere; neither occurs
 * as the name of code, and they are refused.
 *
 * A dict is a table of entries, in the order of insertion, behind a hash index that is stepped over
 * here: nothing is hashed, every entry is looked at. Since 3.3 (PEP 412) instances of one class may
 * share the keys; each then has only an array of values. Where an object keeps its dict, or those
 * values without a dict, has been rearranged in each of 3.11, 3.12 and 3.13 (and not since, up to
 * 3.15): see object_attr().
 *
 * All of it is read while the target runs and may be torn: every number is bounded before it is
 * used, and a torn dict yields an error or a wrong name once, never more.
 */
#include "python/object.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "python/mem.h"
#include "python/object_read.h"

#define READ_CHUNK 4096

/* An instance with more attributes than this is no object that uncoil has a question about. */
#define ATTRS_MAX 65536

/* --- str --- */

struct str_shape {
	size_t header;     /* bytes before the text */
	size_t char_size;  /* 1, 2 or 4 */
	uint64_t char_cnt; /* so that header + char_cnt * char_size is no more than SIZE_MAX */
	bool ascii;
};

static bool load(struct bytes raw, uint32_t off, void *ret_value, size_t size)
{
	if (raw.len < size || off > raw.len - size)
		return false;
	memcpy(ret_value, raw.data + off, size);
	return true;
}

static int str_shape(const struct py_abi *abi, struct bytes raw, struct str_shape *ret)
{
	uint32_t state, kind;
	int64_t length;

	/* five bits of `state` are wanted */
	if (abi->str_kind_shift > 27)
		return -EINVAL;
	if (!load(raw, abi->off.str_length, &length, sizeof(length)) ||
	    !load(raw, abi->off.str_state, &state, sizeof(state)))
		return -EINVAL;
	/* kind:3, compact:1, ascii:1 (3.8 - 3.15; scripts/gen-offsets checks their order) */
	state >>= abi->str_kind_shift;
	kind = state & 7;
	if ((kind != 1 && kind != 2 && kind != 4) || !(state & 8))
		return -EINVAL;
	ret->ascii = state & 16;
	if (ret->ascii && kind != 1)
		return -EINVAL;
	ret->header = ret->ascii ? abi->off.str_ascii_size : abi->off.str_compact_size;
	ret->char_size = kind;
	/* PY_SSIZE_T_MAX bounds the size in bytes: CPython could not hold it either */
	if (length < 0 || (uint64_t)length > (SIZE_MAX / 2 - ret->header) / kind)
		return -EINVAL;
	ret->char_cnt = length;
	return 0;
}

size_t object_str_size(const struct py_abi *abi, struct bytes raw)
{
	struct str_shape s;

	/* the terminator after the text is not counted: nobody needs to read it */
	return str_shape(abi, raw, &s) ? 0 : s.header + s.char_cnt * s.char_size;
}

/* UTF-8 of one character; surrogates cannot be part of a pair in a str, so each is a lone one. */
static size_t put_utf8(char *to, uint32_t c)
{
	if ((c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
		c = 0xfffd;
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

static uint32_t get_char(const uint8_t *text, size_t i, size_t char_size)
{
	uint16_t c2;
	uint32_t c4;

	switch (char_size) {
	case 1:
		return text[i];
	case 2:
		memcpy(&c2, text + 2 * i, sizeof(c2));
		return c2;
	default:
		memcpy(&c4, text + 4 * i, sizeof(c4));
		return c4;
	}
}

int object_str(const struct py_abi *abi, struct bytes raw, struct buf *out, bool *ret_cut)
{
	const uint8_t *text;
	struct str_shape s;
	char utf8[256];
	size_t i, cnt, len = 0;
	int err;

	err = str_shape(abi, raw, &s);
	if (err)
		return err;
	if (raw.len < s.header)
		return -EINVAL;
	text = raw.data + s.header;
	cnt = (raw.len - s.header) / s.char_size;
	*ret_cut = cnt < s.char_cnt;
	if (!*ret_cut)
		cnt = s.char_cnt;
	/* bytes over 127 in a str that calls itself ASCII are for text_clean() to judge */
	if (s.ascii)
		return text_clean(out, text, cnt);
	for (i = 0; i < cnt; i++) {
		len += put_utf8(utf8 + len, get_char(text, i, s.char_size));
		if (len > sizeof(utf8) - 4) {
			err = text_clean(out, utf8, len);
			if (err)
				return err;
			len = 0;
		}
	}
	return len ? text_clean(out, utf8, len) : 0;
}

/* --- whole objects from memory --- */

int object_read(struct mem *mem, uint64_t addr, size_t len, struct buf *store)
{
	size_t start = store->len, part;
	char chunk[READ_CHUNK];
	int err;

	/* in parts: only what is there and fits is ever allocated, whatever `len` says */
	while (len) {
		part = len < sizeof(chunk) ? len : sizeof(chunk);
		err = mem_read(mem, addr, chunk, part);
		if (!err)
			err = buf_add(store, chunk, part);
		if (err) {
			store->len = start;
			if (store->data)
				store->data[start] = '\0';
			return err;
		}
		addr += part;
		len -= part;
	}
	return 0;
}

int object_read_str(struct mem *mem, const struct py_abi *abi, uint64_t addr, size_t max,
		    struct buf *store)
{
	uint8_t header[256];
	struct bytes raw = { header, abi->off.str_ascii_size };
	size_t size;
	int err;

	if (raw.len > sizeof(header))
		return -EINVAL;
	/* the smaller of the two headers: no str object ends before it does */
	err = mem_read(mem, addr, header, raw.len);
	if (err)
		return err;
	size = object_str_size(abi, raw);
	if (!size)
		return -EINVAL;
	return object_read(mem, addr, size < max ? size : max, store);
}

int object_type_flags(struct mem *mem, const struct py_abi *abi, uint64_t object,
		      uint64_t *ret_flags)
{
	uint64_t type;
	int err;

	err = mem_u64(mem, object + abi->live.object_type, &type);
	if (err)
		return err;
	return mem_u64(mem, type + abi->off.type_flags, ret_flags);
}

/* --- dict --- */

/* DICT_KEYS_GENERAL entries (the only ones before 3.11) hold the key's hash first. */
#define ENTRY_GENERAL_SIZE 24
#define ENTRY_UNICODE_SIZE 16

enum keys_kind { /* Include/internal/pycore_dict.h, 3.11+ */
		 KEYS_GENERAL = 0,
		 KEYS_UNICODE = 1,
		 KEYS_SPLIT = 2,
};

/* The header of PyDictKeysObject: 3.8 - 3.10 Objects/dict-common.h, { dk_refcnt, dk_size,
 * dk_lookup, dk_usable, dk_nentries }; 3.11 - 3.15 Include/internal/pycore_dict.h, { dk_refcnt,
 * dk_log2_size: u8, dk_log2_index_bytes: u8, dk_kind: u8, dk_version: u32, dk_usable,
 * dk_nentries }. Then follow dk_indices and the entries. */
#define KEYS_HEADER_MAX 40
static const struct keys_layout {
	uint8_t size, nentries, header;
} keys_310 = { 8, 32, 40 }, keys_311 = { 8, 24, 32 };
#define KEYS_LOG2_INDEX_BYTES 9
#define KEYS_KIND             10

/* struct _dictvalues of 3.13: { capacity, size, embedded, valid: u8, then the pointers }; before,
 * nothing but the pointers (Include/internal/pycore_dict.h). */
#define VALUES_HEADER_SIZE 8
#define VALUES_CAPACITY    0
#define VALUES_VALID       3

/* 3.11 introduced the keys' present header, and instance attributes without a dict. */
static bool since(const struct py_abi *abi, uint16_t minor)
{
	return abi->major > 3 || (abi->major == 3 && abi->minor >= minor);
}

struct dict_keys_where object_dict_keys(const struct py_abi *abi)
{
	const struct keys_layout *k = since(abi, 11) ? &keys_311 : &keys_310;

	return (struct dict_keys_where){ .size = k->size,
					 .index_log2 = since(abi, 11) ? KEYS_LOG2_INDEX_BYTES : 0,
					 .kind = since(abi, 11) ? KEYS_KIND : 0,
					 .nentries = k->nentries,
					 .index = k->header };
}

int object_dict_mark(struct mem *mem, const struct py_abi *abi, uint64_t dict, uint64_t *ret_mark)
{
	uint64_t keys, nentries;
	int err;

	err = mem_u64(mem, dict + abi->off.dict_keys, &keys);
	if (!err)
		err = mem_u64(mem, keys + object_dict_keys(abi).nentries, &nentries);
	if (!err)
		*ret_mark = keys ^ nentries << 48;
	return err;
}

static int table_of_keys(struct mem *mem, const struct py_abi *abi, uint64_t keys, uint32_t max,
			 struct dict_table *ret)
{
	const struct keys_layout *k = since(abi, 11) ? &keys_311 : &keys_310;
	uint64_t size, nentries, index_bytes;
	uint8_t raw[KEYS_HEADER_MAX];
	int err;

	err = mem_read(mem, keys, raw, k->header);
	if (err)
		return err;
	memcpy(&nentries, raw + k->nentries, sizeof(nentries));
	if (since(abi, 11)) {
		/* neither 2^63 entries nor an index of as many bytes can be */
		if (raw[k->size] > 62 || raw[KEYS_LOG2_INDEX_BYTES] > 62 ||
		    raw[KEYS_KIND] > KEYS_SPLIT)
			return -EINVAL;
		size = 1ULL << raw[k->size];
		index_bytes = 1ULL << raw[KEYS_LOG2_INDEX_BYTES];
		ret->entry_size =
			raw[KEYS_KIND] == KEYS_GENERAL ? ENTRY_GENERAL_SIZE : ENTRY_UNICODE_SIZE;
	} else {
		memcpy(&size, raw + k->size, sizeof(size));
		if (!size || size & (size - 1) || size > 1ULL << 59)
			return -EINVAL;
		index_bytes = size * (size <= 0xff            ? 1
				      : size <= 0xffff        ? 2
				      : size <= 0xffffffffULL ? 4
							      : 8);
		ret->entry_size = ENTRY_GENERAL_SIZE;
	}
	if (nentries > size)
		return -EINVAL;
	if (nentries > max)
		return -E2BIG;
	ret->index = keys + k->header;
	ret->index_size = size;
	ret->entries = ret->index + index_bytes;
	ret->values = 0;
	ret->cnt = (uint32_t)nentries;
	return 0;
}

/* Gives the table the values of a split dict or of an object that has no dict. */
static int table_set_values(struct mem *mem, const struct py_abi *abi, uint64_t values,
			    struct dict_table *t)
{
	uint8_t raw[VALUES_HEADER_SIZE];
	int err;

	t->values = values;
	if (!since(abi, 13))
		return 0;
	err = mem_read(mem, values, raw, sizeof(raw));
	if (err)
		return err;
	/* a key that the class learned later than this array was made has no place in it */
	if (t->cnt > raw[VALUES_CAPACITY])
		t->cnt = raw[VALUES_CAPACITY];
	t->values += VALUES_HEADER_SIZE;
	return 0;
}

static int table_each(struct mem *mem, const struct dict_table *t,
		      int (*fn)(void *ctx, uint64_t key, uint64_t value), void *ctx)
{
	uint8_t entries[64 * ENTRY_GENERAL_SIZE];
	uint64_t values[64], pair[2];
	uint32_t i, j, n;
	int err;

	for (i = 0; i < t->cnt; i += n) {
		n = t->cnt - i < 64 ? t->cnt - i : 64;
		err = mem_read(mem, t->entries + i * t->entry_size, entries, n * t->entry_size);
		if (!err && t->values)
			err = mem_read(mem, t->values + i * 8ULL, values, n * sizeof(values[0]));
		if (err)
			return err;
		for (j = 0; j < n; j++) {
			memcpy(pair, entries + (j + 1) * t->entry_size - sizeof(pair),
			       sizeof(pair));
			if (t->values)
				pair[1] = values[j];
			/* a deleted entry, or a shared key that this one has no value for */
			if (!pair[0] || !pair[1])
				continue;
			err = fn(ctx, pair[0], pair[1]);
			if (err)
				return err;
		}
	}
	return 0;
}

int object_dict_table(struct mem *mem, const struct py_abi *abi, uint64_t dict, uint32_t max,
		      struct dict_table *ret)
{
	uint64_t keys, values;
	int err;

	err = mem_u64(mem, dict + abi->off.dict_keys, &keys);
	if (!err)
		err = mem_u64(mem, dict + abi->off.dict_values, &values);
	if (!err)
		err = table_of_keys(mem, abi, keys, max, ret);
	if (!err && values)
		err = table_set_values(mem, abi, values, ret);
	return err;
}

int object_dict_each(struct mem *mem, const struct py_abi *abi, uint64_t dict, uint32_t max,
		     int (*fn)(void *ctx, uint64_t key, uint64_t value), void *ctx)
{
	struct dict_table t;
	int err;

	err = object_dict_table(mem, abi, dict, max, &t);
	return err ? err : table_each(mem, &t, fn, ctx);
}

/* --- one entry by its name --- */

struct find {
	struct mem *mem;
	const struct py_abi *abi;
	const char *name;
	uint64_t value;
	int err; /* of a key that could not be read: if the name is not found, it may be that one */
};

int object_key_is(struct mem *mem, const struct py_abi *abi, uint64_t key, const char *name)
{
	uint8_t raw[256];
	struct bytes header = { raw, abi->off.str_ascii_size };
	size_t len = strlen(name);
	struct str_shape s;
	int err;

	if (header.len > sizeof(raw) || len > sizeof(raw))
		return -EINVAL;
	err = mem_read(mem, key, raw, header.len);
	if (err)
		return err;
	/* what is no compact str has no shape, and is another key */
	if (str_shape(abi, header, &s) || !s.ascii || s.char_cnt != len)
		return 0;
	err = mem_read(mem, key + s.header, raw, len);
	if (err)
		return err;
	return memcmp(raw, name, len) == 0;
}

static int find_one(void *ctx, uint64_t key, uint64_t value)
{
	struct find *f = ctx;
	int ret;

	ret = object_key_is(f->mem, f->abi, key, f->name);
	if (ret < 0)
		f->err = ret;
	if (ret <= 0)
		return 0;
	f->value = value;
	return 1;
}

static int find_result(const struct find *f, int ret, uint64_t *ret_value)
{
	if (ret < 0)
		return ret;
	if (ret == 0)
		return f->err ? f->err : -ENOENT;
	*ret_value = f->value;
	return 0;
}

int object_dict_get(struct mem *mem, const struct py_abi *abi, uint64_t dict, uint32_t max,
		    const char *name, uint64_t *ret_value)
{
	struct find f = { mem, abi, name };

	return find_result(&f, object_dict_each(mem, abi, dict, max, find_one, &f), ret_value);
}

/* --- attributes --- */

/* Where an object keeps its attributes; one of the two, or neither if it has none yet. */
struct place {
	uint64_t dict, values;
};

/*
 * Types with Py_TPFLAGS_MANAGED_DICT; the places are before the object, Include/internal/
 * pycore_object.h:
 *   3.11  _PyObject_ManagedDictPointer() 3 words before, _PyObject_ValuesPointer() 4
 *   3.12  _PyObject_DictOrValuesPointer() 3 words before; bit 0 set: values, and 1 too low
 *   3.13  _PyObject_ManagedDictPointer() 3 words before (a build with the GIL); the values after
 *         the object (_PyObject_InlineValues()), until a dict was given to it: then `valid` is 0
 */
static int place_managed(struct mem *mem, const struct py_abi *abi, uint64_t object, uint64_t type,
			 uint64_t flags, struct place *ret)
{
	uint8_t header[VALUES_HEADER_SIZE];
	uint64_t size;
	int err;

	/* 3.13+ MANAGED_DICT_OFFSET: without a GIL the garbage collector needs no words between */
	err = mem_u64(mem, object - (abi->build == PY_BUILD_FREE_THREADED ? 1 : 3) * 8, &ret->dict);
	if (err || (ret->dict && (abi->minor != 12 || !(ret->dict & 1))))
		return err;
	if (!since(abi, 12))
		return mem_u64(mem, object - 4 * 8, &ret->values);
	if (!since(abi, 13)) {
		if (ret->dict)
			ret->values = ret->dict + 1;
		ret->dict = 0;
		return 0;
	}
	if (!(flags & TYPE_INLINE_VALUES))
		return 0;
	err = mem_u64(mem, type + abi->off.type_basicsize, &size);
	if (!err)
		err = mem_read(mem, object + size, header, sizeof(header));
	if (!err && header[VALUES_VALID])
		ret->values = object + size;
	return err;
}

static int place_of(struct mem *mem, const struct py_abi *abi, uint64_t object, uint64_t type,
		    struct place *ret)
{
	uint64_t flags, offset;
	int err;

	err = mem_u64(mem, type + abi->off.type_flags, &flags);
	if (err)
		return err;
	if (since(abi, 11) && flags & TYPE_MANAGED_DICT) {
		if (!(flags & TYPE_HEAP))
			return -EINVAL;
		return place_managed(mem, abi, object, type, flags, ret);
	}
	err = mem_u64(mem, type + abi->off.type_dictoffset, &offset);
	if (err)
		return err;
	/* 0: no dict; negative: counted from the end of a variable-sized object, such as a
	 * subclass of int or tuple. Nothing that uncoil asks about is one. */
	if (!offset || offset >> 63)
		return 0;
	return mem_u64(mem, object + offset, &ret->dict);
}

int object_attr(struct mem *mem, const struct py_abi *abi, uint64_t object, const char *name,
		uint64_t *ret_value)
{
	struct find f = { mem, abi, name };
	struct place place = { 0 };
	uint64_t type, keys;
	struct dict_table t;
	int err;

	err = mem_u64(mem, object + abi->live.object_type, &type);
	if (!err)
		err = place_of(mem, abi, object, type, &place);
	if (err)
		return err;
	if (place.dict)
		return object_dict_get(mem, abi, place.dict, ATTRS_MAX, name, ret_value);
	if (!place.values)
		return -ENOENT;
	err = mem_u64(mem, type + abi->off.type_cached_keys, &keys);
	if (!err)
		err = table_of_keys(mem, abi, keys, ATTRS_MAX, &t);
	if (!err)
		err = table_set_values(mem, abi, place.values, &t);
	if (err)
		return err;
	return find_result(&f, table_each(mem, &t, find_one, &f), ret_value);
}
