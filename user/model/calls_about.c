/* SPDX-License-Identifier: Apache-2.0 */
/* What a trace says of itself: how, of what, how much of the time, and what is missing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/calls_impl.h"

#define REMARKS_OWN 24

static const char *const stat_texts[] = {
#define X(name, text) [TRACE_STAT_##name] = text,
	TRACE_STATS(X)
#undef X
};

static void remark(struct call_about *a, uint64_t count, const char *text, bool is_loss)
{
	if (!count)
		return;
	a->remarks[a->remark_cnt++] = (struct call_remark){ count, text, is_loss };
	a->lost += is_loss ? count : 0;
}

static uint64_t unnamed(const struct calls *c)
{
	uint64_t cnt = 0;
	uint32_t i;

	for (i = 0; i < c->func_cap; i++)
		cnt += c->funcs[i] && !c->funcs[i]->name;
	return cnt;
}

/* A process that has ended tells no module's name; a pattern that asks for one fits nothing then. */
static uint64_t unplaced(const struct calls *c)
{
	uint64_t cnt = 0;
	uint32_t i;

	for (i = 0; i < c->func_cap; i++)
		cnt += c->funcs[i] && c->funcs[i]->decided && !c->funcs[i]->kept &&
		       c->funcs[i]->globals && !(c->funcs[i]->module && c->funcs[i]->module[0]);
	return cnt;
}

/* Children, and what they exec'ed: what is not seen of them. */
static void remarks_kin(const struct calls *c, struct call_about *a)
{
	const struct record_trace_account *r = &c->account;

	snprintf(a->kin_text, sizeof(a->kin_text),
		 "processes forked or exec'ed meanwhile: not seen until their probes were in, "
		 "%.1f ms on average and %.1f ms at most",
		 r->late ? r->gap_sum_ns / 1e6 / r->late : 0, r->gap_ns / 1e6);
	remark(a, r->late, a->kin_text, false);
	remark(a, r->missed,
	       "processes forked or exec'ed meanwhile: ended before their probes were in", false);
	remark(a, r->unknown,
	       "processes forked or exec'ed meanwhile: ended, and no Python was found in them",
	       false);
	remark(a, r->refused, "processes forked or exec'ed meanwhile: cannot be traced", false);
	remark(a, r->full, "children not traced: too many processes at once", true);
	remark(a, r->threads_late,
	       "threads not asked for: traced until their names were known; sums have that", false);
}

static void remarks(const struct calls *c, struct call_about *a)
{
	const struct profile *p = c->profile;
	int i;

	for (i = TRACE_STAT_DROP_FIRST; i < TRACE_STAT_MAX; i++)
		remark(a, c->stats.stat[i], stat_texts[i], true);
	remark(a, c->orphans, "calls and exceptions lost: their function did not arrive", true);
	remark(a, c->threads_full, "calls and exceptions lost: too many threads", true);
	remark(a, c->sums_orphan, "functions' sums lost: the function did not arrive", true);
	remark(a, c->gens_full,
	       "generators and coroutines not followed: too many were suspended at once", true);
	remark(a, c->raised_full, "exceptions not followed: too many at once", true);
	remark(a, p->images_full, "forks, execs or exits lost: too many processes", true);
	remark(a, c->refused + p->events_refused, "records that did not hold", true);
	remark(a, p->answers_refused, "records read from a process that did not hold", true);
	remark(a, unnamed(c), "functions whose name could not be read", false);
	remark(a, unplaced(c),
	       "functions left out by --match: their module could not be read any more", false);
	remark(a, c->stats.stat[TRACE_STAT_SHORT], stat_texts[TRACE_STAT_SHORT], false);
	remark(a, c->before, "calls that had begun before they were first seen", false);
	remark(a, c->open, "calls that had not ended when the trace, or a window of it, did",
	       false);
	remark(a, c->unseen, "calls whose end was not seen: they ended by then at the latest",
	       false);
	remarks_kin(c, a);
}

static void stats(const struct calls *c, struct call_about *a)
{
	int i;

	for (i = 0; i < TRACE_STAT_DROP_FIRST; i++)
		a->stats[a->stat_cnt++] = (struct call_stat){ stat_texts[i], c->stats.stat[i] };
}

static void targets(const struct calls *c, struct call_about *a)
{
	const struct image *image;

	for (image = c->profile->images; image; image = image->hh.next)
		if (image->known && (image->flags & RECORD_IMAGE_PYTHON))
			a->targets[a->target_cnt++] =
				(struct call_target){ image->pid,
						      image->python ? image->python : "?",
						      image->command ? image->command : "?" };
}

static uint64_t summed(const struct calls *c)
{
	uint64_t cnt = 0;
	size_t i;
	int k;

	for (i = 0; i < c->sum_cnt; i++)
		for (k = 0; k < EV_BEGAN_MAX; k++)
			cnt += c->sums[i].sum.began[k];
	return cnt;
}

struct call_about *calls__about(const struct calls *c)
{
	const struct profile *p = c->profile;
	struct call_about *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->remarks = calloc(TRACE_STAT_MAX + REMARKS_OWN, sizeof(*a->remarks));
	a->targets = calloc(HASH_COUNT(p->images) + 1, sizeof(*a->targets));
	a->stats = calloc(TRACE_STAT_DROP_FIRST, sizeof(*a->stats));
	if (!a->remarks || !a->targets || !a->stats) {
		call_about_free(a);
		return NULL;
	}
	a->method = p->mode ? p->mode : "?";
	a->start_ns = p->meta.start_ns;
	a->start_unix_ns = p->meta.start_unix_ns;
	a->duration_ns = c->stats.duration_ns;
	a->traced_ns = c->stats.traced_ns;
	a->begin_ns = c->stats.begin_ns;
	a->end_ns = c->stats.end_ns;
	a->inside_ns = c->stats.inside_ns;
	a->has_account = c->has_account;
	a->slowdown = c->account.slowdown / 1e6;
	a->worst = c->account.worst / 1e6;
	a->bound = c->account.bound / 1e6;
	a->windows = c->account.windows;
	a->let_go = c->let_go;
	a->unfitted = c->unfitted;
	a->unfitted_cnt = c->unfitted_cnt;
	a->each = c->trace.flags & RECORD_TRACE_EVENTS;
	a->callers = c->trace.flags & RECORD_TRACE_EDGES;
	a->depth = c->trace.depth;
	a->min_ns = c->trace.min_ns;
	a->calls = a->each ? c->told_cnt : summed(c);
	a->funcs = a->each ? c->func_cnt : c->sum_cnt;
	remarks(c, a);
	stats(c, a);
	targets(c, a);
	return a;
}

void call_about_free(struct call_about *a)
{
	if (!a)
		return;
	free(a->remarks);
	free(a->targets);
	free(a->stats);
	free(a);
}
