/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of whole objects from memory, for the readers of user/python/ only. */
#ifndef UNCOIL_PYTHON_OBJECT_READ_H
#define UNCOIL_PYTHON_OBJECT_READ_H

#include <stddef.h>
#include <stdint.h>

#include "python/code.h"

struct buf;
struct mem;

/* tp_flags, part of the stable ABI (Include/object.h, 3.8 - 3.15) */
#define TYPE_INLINE_VALUES (1ULL << 2) /* 3.13+ */
#define TYPE_MANAGED_DICT  (1ULL << 4) /* 3.11+ */
#define TYPE_HEAP          (1ULL << 9)
#define TYPE_LONG_SUBCLASS (1ULL << 24)
#define TYPE_STR_SUBCLASS  (1ULL << 28)
#define TYPE_DICT_SUBCLASS (1ULL << 29)

/* Appends `len` bytes at addr to store; nothing is left of them on failure. */
int object_read(struct mem *mem, uint64_t addr, size_t len, struct buf *store);

/* Appends the raw str object at addr, at most `max` bytes of it. -EINVAL if it is no compact str. */
int object_read_str(struct mem *mem, const struct py_abi *abi, uint64_t addr, size_t max,
		    struct buf *store);

/* tp_flags of the object's type. */
int object_type_flags(struct mem *mem, const struct py_abi *abi, uint64_t object,
		      uint64_t *ret_flags);

/* Where the keys of a dict with other keys than strings have what; offsets in bytes. */
struct dict_keys_where {
	uint32_t size;       /* slots of the index (64 bits), or */
	uint32_t index_log2; /* logarithm of its bytes (a byte, 3.11+); 0: none */
	uint32_t kind;       /* a byte: 0 (3.11+); 0: none */
	uint32_t nentries;
	uint32_t index; /* and behind it the entries: { hash, key, value } */
};
struct dict_keys_where object_dict_keys(const struct py_abi *abi);

/* A dict's table in memory. Before its entries lies a hash index of `index_size` slots, each as many
 * bytes wide as its size needs (1, 2, 4 or 8): the number of an entry, or below 0 (Objects/dictobject.c,
 * dictkeys_get_index(); 3.8 - 3.15). */
struct dict_table {
	uint64_t index;      /* address */
	uint64_t index_size; /* a power of two */
	uint64_t entries;    /* address */
	uint64_t entry_size; /* the key and value are the last two words */
	uint64_t values;     /* address of the array of values, 0: they are in the entries */
	uint32_t cnt;        /* of entries, or of values if there are less */
};

/* -E2BIG if it has more than `max` entries. */
int object_dict_table(struct mem *mem, const struct py_abi *abi, uint64_t dict, uint32_t max,
		      struct dict_table *ret);

/* 1 if the object is the ASCII str `name`, 0 if not, -errno. */
int object_key_is(struct mem *mem, const struct py_abi *abi, uint64_t key, const char *name);

/* A number that is another one once something was added to the dict. */
int object_dict_mark(struct mem *mem, const struct py_abi *abi, uint64_t dict, uint64_t *ret_mark);

/* dict[name] for an ASCII name, in a dict of at most `max` entries; -ENOENT if there is none. */
int object_dict_get(struct mem *mem, const struct py_abi *abi, uint64_t dict, uint32_t max,
		    const char *name, uint64_t *ret_value);

#endif
