/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/top_view.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "sink/amount.h"

#define REVERSE "\x1b[7m"
#define BOLD    "\x1b[1m"
#define PLAIN   "\x1b[m"
#define CLEAR   "\x1b[K" /* to the end of the line */

#define HEAD_LINES  4 /* two of facts, an empty one, the table's head */
#define FOOT_LINES  1
#define COLUMNS_MAX 4096

static const char *const by_names[] = {
	[RANK_FUNCTION] = "function",
	[RANK_LINE] = "line",
	[RANK_THREAD] = "thread",
	[RANK_FILE] = "file",
};

static const char *const sort_names[] = {
	[SORT_SELF] = "self",
	[SORT_TOTAL] = "total",
	[SORT_SELF_ALL] = "self since the start",
	[SORT_TOTAL_ALL] = "total since the start",
	[SORT_NAME] = "name",
};

int top_view__init(struct top_view *v, enum record_mode mode)
{
	int by;

	*v = (struct top_view){ .mode = mode };
	for (by = 0; by < RANK_BY_MAX; by++) {
		v->ranks[by] = rank_new(by);
		if (!v->ranks[by])
			return -ENOMEM;
		if (record_mode_waits(mode))
			rank_waits_apart(v->ranks[by]);
	}
	return 0;
}

void top_view__done(struct top_view *v)
{
	int by;

	for (by = 0; by < RANK_BY_MAX; by++)
		rank_free(v->ranks[by]);
	free(v->sorted);
	*v = (struct top_view){};
}

int top_view__refresh(struct top_view *v, const struct report *report, double seconds)
{
	unsigned int column = (v->refreshes + 1) % RANK_COLUMNS;
	int by, err = 0;

	for (by = 0; by < RANK_BY_MAX && !err; by++)
		err = rank_put(v->ranks[by], column, report);
	v->times[column] = seconds;
	v->refreshes++;
	return err;
}

/* --- what the rows are worth */

static unsigned int column_now(const struct top_view *v)
{
	return v->refreshes % RANK_COLUMNS;
}

/* Where the window begins; before anything was taken, all columns are 0. */
static unsigned int column_then(const struct top_view *v)
{
	uint64_t back = v->refreshes < TOP_WINDOW ? v->refreshes : TOP_WINDOW;

	return (v->refreshes - back) % RANK_COLUMNS;
}

/* What could not be named at first may have its name by now: then it is less than it was. */
static uint64_t since(uint64_t now, uint64_t then)
{
	return now > then ? now - then : 0;
}

static uint64_t value(const struct top_view *v, const struct rank_row *row, enum top_sort of)
{
	const struct rank_value *now = &row->at[column_now(v)], *then = &row->at[column_then(v)];

	switch (of) {
	case SORT_SELF:
		return since(now->self, then->self);
	case SORT_TOTAL:
		return since(now->total, then->total);
	case SORT_SELF_ALL:
		return now->self;
	default:
		return now->total;
	}
}

/* "func (file:line)", as the row shows it and the filter searches it. */
static void label(const struct rank_row *row, struct buf *out)
{
	buf_clear(out);
	if (row->kind == FRAME_THREAD) {
		buf_fmt(out, "%s (thread %d of process %d)", row->func, row->tid, row->pid);
		return;
	}
	buf_str(out, row->func);
	if (row->thread)
		buf_fmt(out, " in %s (thread %d of process %d)", row->thread->func, row->tid,
			row->pid);
	if (!*row->file)
		return;
	buf_fmt(out, *row->func ? " (%s" : "%s", row->file);
	if (row->line)
		buf_fmt(out, ":%d", row->line);
	if (*row->func)
		buf_str(out, ")");
}

static const struct top_view *sorting; /* qsort() takes no context */

static int by_name(const struct rank_row *a, const struct rank_row *b)
{
	int order = strcmp(a->func, b->func);

	if (!order)
		order = strcmp(a->file, b->file);
	if (!order)
		order = (a->line > b->line) - (a->line < b->line);
	return order ? order : (a->tid > b->tid) - (a->tid < b->tid);
}

static int row_order(const void *x, const void *y)
{
	/* equal ones go by the next number, so that rows do not jump about */
	static const enum top_sort then[] = { SORT_SELF, SORT_TOTAL, SORT_SELF_ALL,
					      SORT_TOTAL_ALL };
	const struct rank_row *a = *(const struct rank_row *const *)x;
	const struct rank_row *b = *(const struct rank_row *const *)y;
	uint64_t left, right;
	size_t i;
	int order = 0;

	if (sorting->sort != SORT_NAME)
		for (i = 0; i <= sizeof(then) / sizeof(then[0]) && !order; i++) {
			left = value(sorting, a, i ? then[i - 1] : sorting->sort);
			right = value(sorting, b, i ? then[i - 1] : sorting->sort);
			order = (left < right) - (left > right);
		}
	if (!order)
		order = by_name(a, b);
	return sorting->reverse ? -order : order;
}

/* Sorts the rows that match the filter, and have anything, into v->sorted. */
static int collect(struct top_view *v)
{
	struct rank_row *const *rows;
	uint32_t cnt, i;
	struct buf text;
	const struct rank_row **grown;

	v->matching = 0;
	rows = rank_rows(v->ranks[v->by], &cnt);
	if (cnt > v->sorted_cap) {
		grown = realloc(v->sorted, cnt * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		v->sorted = grown;
		v->sorted_cap = cnt;
	}
	buf_init(&text, 65536);
	for (i = 0; i < cnt; i++) {
		if (!rows[i]->at[column_now(v)].total)
			continue;
		label(rows[i], &text);
		if (!*v->filter || strcasestr(buf_text(&text), v->filter))
			v->sorted[v->matching++] = rows[i];
	}
	buf_done(&text);
	sorting = v;
	if (v->matching)
		qsort(v->sorted, v->matching, sizeof(*v->sorted), row_order);
	return 0;
}

/* --- keys */

static void filter_key(struct top_view *v, int key)
{
	size_t len = strlen(v->filter);

	if (key == '\r' || key == '\n') {
		v->filtering = false;
	} else if (key == KEY_ESCAPE) {
		memcpy(v->filter, v->filter_before, sizeof(v->filter));
		v->filtering = false;
	} else if (key == 0x7f || key == '\b') {
		/* a whole character of UTF-8 */
		while (len && ((unsigned char)v->filter[--len] & 0xc0) == 0x80)
			;
		v->filter[len] = '\0';
	} else if (key == 'U' - '@') {
		v->filter[0] = '\0';
	} else if (key >= ' ' && key < 0x100 && len < TOP_FILTER_MAX) {
		v->filter[len] = (char)key;
		v->filter[len + 1] = '\0';
	}
	v->first = 0;
}

static bool move_key(struct top_view *v, int key)
{
	uint32_t page = v->shown ? v->shown : 1;
	uint32_t last = v->matching > v->shown ? v->matching - v->shown : 0;

	switch (key) {
	case KEY_UP:
	case 'k':
		v->first -= v->first > 0;
		return true;
	case KEY_DOWN:
	case 'j':
		v->first += v->first < last;
		return true;
	case KEY_PAGE_UP:
		v->first = v->first > page ? v->first - page : 0;
		return true;
	case KEY_PAGE_DOWN:
		v->first = v->first + page < last ? v->first + page : last;
		return true;
	case KEY_HOME:
		v->first = 0;
		return true;
	case KEY_END:
		v->first = last;
		return true;
	}
	return false;
}

static bool sort_key(struct top_view *v, int key)
{
	static const char keys[] = "stSTn"; /* in the order of enum top_sort */
	const char *at = key < 0x80 && key > 0 ? strchr(keys, key) : NULL;

	if (!at)
		return false;
	v->sort = at - keys;
	v->reverse = false;
	v->first = 0;
	return true;
}

bool top_view__key(struct top_view *v, int key)
{
	if (v->filtering) {
		filter_key(v, key);
		return true;
	}
	if (v->help && key != 'q') {
		v->help = false;
		return true;
	}
	if (move_key(v, key) || sort_key(v, key))
		return true;
	switch (key) {
	case 'q':
		v->quit = true;
		return true;
	case ' ':
	case 'p':
		v->paused = !v->paused;
		return true;
	case '?':
	case 'h':
		v->help = true;
		return true;
	case '/':
		v->filtering = true;
		memcpy(v->filter_before, v->filter, sizeof(v->filter));
		return true;
	case KEY_ESCAPE:
		v->filter[0] = '\0';
		v->first = 0;
		return true;
	case 'r':
		v->reverse = !v->reverse;
		return true;
	case '\t':
		v->by = (v->by + 1) % RANK_BY_MAX;
		v->first = 0;
		return true;
	case '1':
	case '2':
	case '3':
	case '4':
		v->by = key - '1';
		v->first = 0;
		return true;
	}
	return false;
}

/* --- the screen */

/* One line of hostile text, cut to the screen. */
static void line(struct buf *out, const char *text, unsigned int cols)
{
	text_fit(out, text, cols);
	buf_str(out, CLEAR "\r\n");
}

static int cell_width(const struct top_view *v)
{
	return record_mode_waits(v->mode) ? 9 : 8;
}

static void draw_head(const struct top_view *v, const struct top_head *head, unsigned int cols,
		      struct buf *out)
{
	double window = v->times[column_now(v)] - v->times[column_then(v)];
	char recent[32];
	struct buf text;

	buf_init(&text, 65536);
	buf_fmt(&text, "uncoil top  %s", head->target);
	buf_str(out, BOLD);
	text_fit(out, buf_text(&text), cols);
	buf_str(out, PLAIN CLEAR "\r\n");
	buf_clear(&text);
	buf_fmt(&text, "%s  %.0f s  ", head->how, head->seconds);
	if (v->mode != RECORD_OFFCPU)
		buf_fmt(&text, "%" PRIu64 " samples, ", head->samples);
	if (record_mode_waits(v->mode))
		buf_fmt(&text, "%" PRIu64 " waits, ", head->waits);
	buf_fmt(&text, "%" PRIu64 " lost  by %s, sorted by %s%s", head->lost, by_names[v->by],
		v->reverse ? "least " : "", sort_names[v->sort]);
	if (v->filtering)
		buf_fmt(&text, "  filter: %s_", v->filter);
	else if (*v->filter)
		buf_fmt(&text, "  filter: %s", v->filter);
	if (v->paused)
		buf_str(&text, "  PAUSED");
	if (head->ended)
		buf_str(&text, "  ENDED");
	line(out, buf_text(&text), cols);
	buf_str(out, CLEAR "\r\n" REVERSE);
	buf_clear(&text);
	snprintf(recent, sizeof(recent), "last %.0f s: self", window);
	/* padded, so that the whole line is shown in reverse */
	buf_fmt(&text, "%16s %6s | %9s %6s %*s  %-*s", recent, "total", "all: self", "total",
		cell_width(v), record_mode_waits(v->mode) ? "time" : "samples", COLUMNS_MAX,
		by_names[v->by]);
	text.data[text.len < cols ? text.len : cols] = '\0';
	buf_str(out, buf_text(&text));
	buf_str(out, PLAIN CLEAR "\r\n");
	buf_done(&text);
}

static double share(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0.0;
}

static void draw_row(const struct top_view *v, const struct rank_row *row, unsigned int cols,
		     struct buf *text, struct buf *out)
{
	const struct rank *rank = v->ranks[v->by];
	uint64_t all = rank_sum(rank, column_now(v));
	uint64_t recent = since(all, rank_sum(rank, column_then(v)));
	struct buf name;

	buf_init(&name, 65536);
	label(row, &name);
	buf_clear(text);
	buf_fmt(text, "%15.1f%% %5.1f%% | %8.1f%% %5.1f%% %*s  %s",
		share(value(v, row, SORT_SELF), recent), share(value(v, row, SORT_TOTAL), recent),
		share(value(v, row, SORT_SELF_ALL), all), share(value(v, row, SORT_TOTAL_ALL), all),
		cell_width(v),
		amount_cell(record_mode_waits(v->mode) ? REPORT_NS : REPORT_SAMPLES,
			    row->at[column_now(v)].self)
			.text,
		buf_text(&name));
	line(out, buf_text(text), cols);
	buf_done(&name);
}

static const char *const help_lines[] = {
	"1 2 3 4    by function, line, thread, file; Tab: the next of them",
	"s t        sort by self, by total share of the last seconds",
	"S T        sort by self, by total share since the start",
	"n r        sort by name; reverse the order",
	"/          show only what contains a text; Enter keeps it, Escape drops it",
	"space      pause: the screen stands still, the recording goes on",
	"arrows     move through the list, also Page Up, Page Down, Home, End",
	"q          quit, and detach; Ctrl-C too; Ctrl-Z suspends",
	"",
};

/* What the numbers mean: the key to the table. */
#define LEGEND_LINES 5
static const char *const legends[RECORD_MODE_MAX][LEGEND_LINES] = {
	[RECORD_CPU] = {
		"self: samples in which this was running; total: in which it was on the stack.",
		"A thread is sampled while it is on a CPU: 100 % is all CPU time of the processes.",
	},
	[RECORD_GIL] = {
		"self: samples in which this was running; total: in which it was on the stack.",
		"Only threads that hold the GIL are sampled: 100 % is all CPU time spent with it.",
	},
	[RECORD_OFFCPU] = {
		"\"[lock] in f\": what f waits for, itself; self: for how long. total: that f was on",
		"the stack of a wait. 100 % is all time that threads waited, and each thread's counts.",
		"[GIL], [lock], [socket read PEER], [disk ...], [sleep] ...: man uncoil has the list;",
		"[run queue]: it was woken, and no CPU was free. Waits that go on count up to now.",
		"Waits for work (event loops, accept) are left out but with -i.",
	},
	[RECORD_WALL] = {
		"f, self: its time on a CPU. \"[lock] in f\": what f waits for, itself, and how long.",
		"total: f was on the stack. 100 % is all time of all threads: a second each a second.",
		"[GIL], [lock], [socket read PEER], [disk ...], [sleep] ...: man uncoil has the list;",
		"[run queue]: it was woken, and no CPU was free. Waits that go on count up to now.",
		"Waits for work (event loops, accept) are left out but with -i.",
	},
};

#define HELP_LINES (sizeof(help_lines) / sizeof(help_lines[0]))

static const char *help_line(const struct top_view *v, uint32_t i)
{
	const char *text = "";

	if (i < HELP_LINES)
		text = help_lines[i];
	else if (i - HELP_LINES < LEGEND_LINES)
		text = legends[v->mode][i - HELP_LINES];
	return text ? text : "";
}

static const char *nothing_text(const struct top_view *v)
{
	if (*v->filter)
		return "nothing has such a name";
	if (v->chosen)
		return "nothing yet of the threads that --thread names";
	if (v->mode == RECORD_OFFCPU)
		return "no waits yet: no thread has waited, unless for work to come (-i shows that)";
	return v->mode == RECORD_WALL ? "nothing yet: threads only wait for work (-i shows that)"
				      : "no samples yet: no thread has used the CPU";
}

static void draw_foot(const struct top_view *v, unsigned int cols, struct buf *out)
{
	const char *text =
		"q quit  ? help  1-4 by function, line, thread, file  s t S T sort  / filter  "
		"space pause";

	if (v->filtering)
		text = "type a part of a name; Enter keeps it, Escape drops it";
	else if (v->help)
		text = "any key closes the help";
	/* not the last column: a terminal may scroll */
	text_fit(out, text, cols > 1 ? cols - 1 : 1);
	buf_str(out, CLEAR);
}

int top_view__draw(struct top_view *v, const struct top_head *head, unsigned int rows,
		   unsigned int cols, struct buf *out)
{
	uint32_t room = rows > HEAD_LINES + FOOT_LINES ? rows - HEAD_LINES - FOOT_LINES : 0, i;
	struct buf text;
	int err;

	if (cols > COLUMNS_MAX)
		cols = COLUMNS_MAX;
	err = collect(v);
	if (err)
		return err;
	v->shown = room < v->matching ? room : v->matching;
	if (v->first > v->matching - v->shown)
		v->first = v->matching - v->shown;
	if (room)
		draw_head(v, head, cols, out);
	buf_init(&text, 65536);
	for (i = 0; i < room; i++) {
		if (v->help)
			line(out, help_line(v, i), cols);
		else if (i < v->shown)
			draw_row(v, v->sorted[v->first + i], cols, &text, out);
		else if (!i)
			line(out, nothing_text(v), cols);
		else
			buf_str(out, CLEAR "\r\n");
	}
	buf_done(&text);
	draw_foot(v, cols, out);
	return out->err;
}
