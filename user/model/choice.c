/* SPDX-License-Identifier: Apache-2.0 */
#include "model/choice.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/profile_impl.h"
#include "model/report_impl.h"

static bool fits(const char *pattern, const struct thread *thread)
{
	char id[16];

	snprintf(id, sizeof(id), "%d", thread->tid);
	return !strcmp(pattern, id) || !fnmatch(pattern, report_thread_name(thread), 0);
}

static int serial_order(const void *pa, const void *pb)
{
	const uint32_t *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

int choice_make(struct choice *c, const struct profile *p, const struct report_options *options)
{
	bool fitted[REPORT_ONLY_MAX] = {}, chosen, fit;
	const struct thread *thread;
	uint32_t i;

	*c = (struct choice){ .all = !options->only_cnt };
	if (c->all)
		return 0;
	c->serials = calloc(HASH_COUNT(p->threads) + 1, sizeof(*c->serials));
	c->unmatched = calloc(options->only_cnt, sizeof(*c->unmatched));
	if (!c->serials || !c->unmatched)
		return -ENOMEM;
	for (thread = p->threads; thread; thread = thread->hh.next) {
		chosen = false;
		for (i = 0; i < options->only_cnt; i++) {
			fit = fits(options->only[i], thread);
			fitted[i] |= fit;
			chosen |= fit;
		}
		if (chosen)
			c->serials[c->cnt++] = thread->serial;
	}
	qsort(c->serials, c->cnt, sizeof(*c->serials), serial_order);
	for (i = 0; i < options->only_cnt; i++)
		if (!fitted[i])
			c->unmatched[c->unmatched_cnt++] = options->only[i];
	return 0;
}

void choice_done(struct choice *c)
{
	free(c->serials);
	free(c->unmatched);
}

bool choice_has(const struct choice *c, uint32_t serial)
{
	return c->all || bsearch(&serial, c->serials, c->cnt, sizeof(serial), serial_order);
}
