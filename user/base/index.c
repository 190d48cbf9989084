/* SPDX-License-Identifier: Apache-2.0 */
#include "base/index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct index_entry {
	UT_hash_handle hh;
	uint32_t number;
	uint32_t len;
	_Alignas(8) char key[];
};

void index_init(struct index *x)
{
	*x = (struct index){};
}

void index_done(struct index *x)
{
	struct index_entry *entry, *next;

	HASH_ITER (hh, x->entries, entry, next) {
		HASH_DEL(x->entries, entry);
		free(entry);
	}
	*x = (struct index){};
}

uint32_t index_of(struct index *x, const void *key, size_t len, bool *ret_fresh)
{
	struct index_entry *entry;

	HASH_FIND(hh, x->entries, key, len, entry);
	if (ret_fresh)
		*ret_fresh = !entry;
	if (entry)
		return entry->number;
	entry = malloc(sizeof(*entry) + len + 1);
	if (!entry)
		goto no_memory;
	entry->number = x->cnt;
	entry->len = len;
	memcpy(entry->key, key, len);
	entry->key[len] = '\0';
	HASH_ADD_KEYPTR(hh, x->entries, entry->key, len, entry);
	if (!entry->hh.tbl)
		goto no_memory;
	return x->cnt++;
no_memory:
	free(entry);
	x->err = -ENOMEM;
	if (ret_fresh)
		*ret_fresh = false;
	return 0;
}

uint32_t index_of_str(struct index *x, const char *text, bool *ret_fresh)
{
	return index_of(x, text, strlen(text), ret_fresh);
}

int index_each(const struct index *x, int (*fn)(void *ctx, const void *key, size_t len), void *ctx)
{
	const struct index_entry *entry;
	int stop = 0;

	for (entry = x->entries; entry && !stop; entry = entry->hh.next)
		stop = fn(ctx, entry->key, entry->len);
	return stop;
}
