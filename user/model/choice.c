/* SPDX-License-Identifier: Apache-2.0 */
#include "model/choice.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/profile_impl.h"
#include "model/report_impl.h"

#define MAIN_THREAD "MainThread" /* as every Python calls it, once its threading is imported */

static bool fits(const char *pattern, int32_t tid, const char *name)
{
	char id[16];

	snprintf(id, sizeof(id), "%d", tid);
	return !strcmp(pattern, id) || (name && !fnmatch(pattern, name, 0));
}

bool choice_fits(const char *const *only, uint32_t only_cnt, int32_t tid, const char *name)
{
	uint32_t i;

	for (i = 0; i < only_cnt; i++)
		if (fits(only[i], tid, name))
			return true;
	return false;
}

enum choice_state choice_of(const struct profile *p, const char *const *only, uint32_t only_cnt,
			    uint32_t serial)
{
	const struct thread *thread;

	HASH_FIND(hh, p->threads, &serial, sizeof(serial), thread);
	if (!thread)
		return CHOICE_NOT_YET;
	if (choice_fits(only, only_cnt, thread->tid, report_thread_name(thread)) ||
	    (!thread->name && thread->tid == thread->tgid &&
	     choice_fits(only, only_cnt, thread->tid, MAIN_THREAD)))
		return CHOICE_FITS;
	return thread->name ? CHOICE_NOT : CHOICE_NOT_YET;
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
			fit = fits(options->only[i], thread->tid, report_thread_name(thread));
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
