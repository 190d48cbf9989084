/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `top` shows and what its keys do, without a terminal: keys and reports go in, the text of a
 * screen comes out.
 */
#ifndef UNCOIL_CMD_TOP_VIEW_H
#define UNCOIL_CMD_TOP_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/rank.h"
#include "model/record.h"

struct buf;
struct report;

#define TOP_WINDOW     5 /* refreshes that "recent" means; less than RANK_COLUMNS */
#define TOP_FILTER_MAX 64

enum top_key { /* what is no byte of text */
	       KEY_NONE = 0x100,
	       KEY_UP,
	       KEY_DOWN,
	       KEY_PAGE_UP,
	       KEY_PAGE_DOWN,
	       KEY_HOME,
	       KEY_END,
	       KEY_ESCAPE,
};

enum top_sort {
	SORT_SELF, /* recent */
	SORT_TOTAL,
	SORT_SELF_ALL, /* since the start */
	SORT_TOTAL_ALL,
	SORT_NAME,
	SORT_MAX
};

/* What stands above the table, but for what the view knows itself. */
struct top_head {
	const char *target; /* hostile text */
	const char *how;    /* "on-CPU, 99 Hz" */
	double seconds;     /* since the start */
	uint64_t samples, waits, lost;
	bool ended; /* all processes */
};

struct top_view {
	enum record_mode mode;
	bool chosen; /* not of all threads (--thread) */
	struct rank *ranks[RANK_BY_MAX];
	double times[RANK_COLUMNS]; /* when a column was filled, in seconds since the start */
	uint64_t refreshes;
	enum rank_by by;
	enum top_sort sort;
	bool reverse, paused, help, filtering, quit;
	char filter[TOP_FILTER_MAX + 1];
	char filter_before[TOP_FILTER_MAX + 1]; /* Escape brings it back */
	uint32_t first;                         /* row at the top of the table */
	uint32_t shown, matching;               /* as of the last draw */
	const struct rank_row **sorted;         /* scratch */
	uint32_t sorted_cap;
};

int top_view__init(struct top_view *v,
		   enum record_mode mode); /* 0 or -ENOMEM; __done() is due in any case */
void top_view__done(struct top_view *v);

/* Takes what the report says now; of a mode that records waits it has threads in it
 * (report_options.threads). 0 or -ENOMEM. */
int top_view__refresh(struct top_view *v, const struct report *report, double seconds);

/* A byte of text or one of enum top_key; false: it means nothing here. */
bool top_view__key(struct top_view *v, int key);

/* Appends a whole screen: lines ended by "\x1b[K" and, but for the last, "\r\n". 0 or -ENOMEM. */
int top_view__draw(struct top_view *v, const struct top_head *head, unsigned int rows,
		   unsigned int cols, struct buf *out);

#endif
