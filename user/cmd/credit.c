/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/credit.h"

#include <errno.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct credit {
	uint32_t thread;
	uint64_t hash, ns;
	UT_hash_handle hh;
};

static void list_free(struct credit **list)
{
	struct credit *credit, *next;

	HASH_ITER (hh, *list, credit, next) {
		HASH_DEL(*list, credit);
		free(credit);
	}
}

void credits_free(struct credits *c)
{
	list_free(&c->given);
	list_free(&c->fresh);
}

static __u64 less(__u64 *from, __u64 ns)
{
	__u64 part = ns < *from ? ns : *from;

	*from -= part;
	return part;
}

void credits_use(struct credits *c, const struct count_key *key, struct count_val *val)
{
	struct credit *credit;

	HASH_FIND(hh, c->given, &key->thread, sizeof(key->thread), credit);
	if (!credit || credit->hash != key->hash)
		return;
	/* its time in the run queue may be known only now: so the sum is what is taken off. What is
	 * left over was of another wait with this stack, whose count comes later */
	credit->ns -= less(&val->wait_ns, credit->ns);
	credit->ns -= less(&val->runq_ns, credit->ns);
	if (credit->ns)
		return;
	HASH_DEL(c->given, credit);
	free(credit);
}

int credits_give(struct credits *c, const struct count_key *key, struct count_val *val)
{
	uint64_t ns = val->wait_ns + val->runq_ns;
	struct credit *credit;

	HASH_FIND(hh, c->fresh, &key->thread, sizeof(key->thread), credit);
	if (credit)
		return 1;
	credit = calloc(1, sizeof(*credit));
	if (!credit)
		return -ENOMEM;
	credit->thread = key->thread;
	credit->hash = key->hash;
	credit->ns = ns;
	HASH_ADD(hh, c->fresh, thread, sizeof(credit->thread), credit);
	if (!credit->hh.tbl) {
		free(credit);
		return -ENOMEM;
	}
	credits_use(c, key, val);
	val->count = 0;
	return 0;
}

void credits_turn(struct credits *c)
{
	list_free(&c->given);
	c->given = c->fresh;
	c->fresh = NULL;
}
