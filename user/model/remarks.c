/* SPDX-License-Identifier: Apache-2.0 */
#include "model/remarks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/choice.h"
#include "model/profile_impl.h"
#include "model/wait.h"

/* A remark for each process whose Python was refused, up to this many. */
#define REFUSED_MAX      16
#define REFUSED_TEXT_MAX 192

/* CPU time between ticks is always said. It is worth an exit code once the profile stands for less
 * than half of the CPU time; below that it is what a busy machine does to late ticks at high rates. */
#define MISSING_LOSS_PERCENT 50
#define MISSING_LOSS_MIN     5

/* Second ticks are no samples. Many of them mean that -s came upon a storm of forks, or that what was
 * taken for second ones was not. */
#define FILTERED_SAID_PERCENT 5

#define SAMPLES_OR_WAITS(text)                 \
	{                                      \
		"samples " text, "waits " text \
	}

const struct flag_text flag_texts[FLAG_TEXT_CNT] = {
	{ EV_STACK_TRUNCATED, "[deeper frames cut]",
	  SAMPLES_OR_WAITS("of stacks deeper than 512 frames, or than 400 of changing functions, "
			   "cut at the root end") },
	{ EV_STACK_UNREADABLE, "[unreadable frame]",
	  SAMPLES_OR_WAITS("with a frame that could not be read, cut above it") },
	{ EV_STACK_NO_IMAGE, "[no interpreter found]",
	  SAMPLES_OR_WAITS("in processes where no interpreter was found, or not yet") },
	{ EV_STACK_NO_TSTATE, "[not a Python thread]",
	  SAMPLES_OR_WAITS("in threads that have no Python thread state") },
	{ EV_STACK_NO_FRAME, "[no Python function running]",
	  SAMPLES_OR_WAITS("in Python threads that ran no Python function") },
	{ EV_STACK_NOT_SEARCHED, "[thread state not found]",
	  SAMPLES_OR_WAITS("of threads not found among the first 512 thread states"), true },
	{ EV_STACK_UNSETTLED, "[call in progress]",
	  SAMPLES_OR_WAITS("in the midst of a call or a return, when there is no whole stack") },
};

const char *gc_mark(enum ev_check check)
{
	return check == EV_CHECK_GC ? "[garbage collection]" : "[during garbage collection]";
}

struct remarks {
	const struct profile *profile;
	const struct report_options *options;
	const struct choice *choice;
	struct report_remark *list;
	uint32_t cnt;
	char *text; /* where the next text of its own goes */
};

static void remark(struct remarks *r, uint64_t count, const char *text, bool is_loss)
{
	if (count)
		r->list[r->cnt++] = (struct report_remark){ count, text, is_loss };
}

struct sums {
	uint64_t samples, waits;
};

static void sum(struct sums *sums, const struct stack *stack)
{
	*(stack->flags & EV_STACK_WAIT ? &sums->waits : &sums->samples) += stack->count;
}

static void remark_each(struct remarks *r, struct sums sums, struct remark_text text, bool is_loss)
{
	remark(r, sums.samples, text.samples, is_loss);
	remark(r, sums.waits, text.waits, is_loss);
}

bool stack_is_shown(const struct stack *stack, const struct report_options *options)
{
	return options->idle || !(stack->flags & EV_STACK_WAIT) || !wait_is_idle(&stack->wait);
}

static bool is_told(const struct remarks *r, const struct stack *stack)
{
	return stack_is_shown(stack, r->options) && choice_has(r->choice, stack->id.thread);
}

static void remarks_of_stats(struct remarks *r)
{
	static const struct {
		enum stat_id stat;
		const char *text;
	} stats[] = {
#define X(name, text) { STAT_##name, text },
		STATS(X)
#undef X
	};
	const struct profile *p = r->profile;
	uint64_t kernel, drops, user;
	uint32_t i;

	for (i = 0; i < STAT_MAX; i++)
		if (stats[i].stat >= STAT_DROP_FIRST)
			remark(r, p->stats.stat[stats[i].stat], stats[i].text, true);
	remark(r, p->samples_orphan, "samples lost: their stack did not arrive", true);
	remark(r, p->samples_full, "samples lost: the profile is full (too many different stacks)",
	       true);
	remark(r, p->images_full, "forks, execs or exits lost: the profile is full", true);
	remark(r, p->events_refused, "records from the kernel side that did not hold", true);
	remark(r, p->answers_refused, "records read from a process that did not hold", true);
	/* the closing balance: what was counted as taken has arrived, or is named above */
	drops = p->stats.stat[STAT_DROP_COUNTS_FULL] + p->stats.stat[STAT_DROP_RING_FULL];
	kernel = p->stats.stat[STAT_SAMPLES];
	user = p->samples + p->samples_orphan + p->samples_full;
	if (kernel > drops + user)
		remark(r, kernel - drops - user,
		       "samples lost between the kernel's table and the profile", true);
}

static void remarks_of_stacks(struct remarks *r)
{
	static const struct remark_text
		unnamed_text = SAMPLES_OR_WAITS("with a function whose file or name could not be "
						"read"),
		lines_text = SAMPLES_OR_WAITS("in functions whose line table was only partly read");
	struct sums flagged[FLAG_TEXT_CNT] = {}, unnamed = {}, lines_cut = {};
	const struct stack *stack;
	const struct node *node;
	bool is_unnamed, is_cut;
	int i;

	for (stack = r->profile->stacks; stack; stack = stack->hh.next) {
		if (!is_told(r, stack))
			continue;
		for (i = 0; i < FLAG_TEXT_CNT; i++)
			if (stack->flags & flag_texts[i].flag)
				sum(&flagged[i], stack);
		is_unnamed = is_cut = false;
		for (node = stack->leaf; node; node = node->id.up) {
			if (!node->id.code)
				continue; /* the collector */
			if (node_is_task(node) && node->id.lasti != EV_TASK_NAMED &&
			    !node->id.code->id.check)
				continue; /* has none */
			is_unnamed |= !node->id.code->decoded || node->id.code->py.name_missing ||
				      node->id.code->py.filename_missing;
			is_cut |= node->id.code->decoded && node->id.code->py.lines_cut;
		}
		if (is_unnamed)
			sum(&unnamed, stack);
		if (is_cut)
			sum(&lines_cut, stack);
	}
	for (i = 0; i < FLAG_TEXT_CNT; i++)
		remark_each(r, flagged[i], flag_texts[i].remark, flag_texts[i].is_loss);
	remark_each(r, unnamed, unnamed_text, false);
	remark_each(r, lines_cut, lines_text, false);
}

bool stack_steps(const struct stack *stack)
{
	static const char file[] = "/asyncio/tasks.py";
	const struct py_code *py;
	const struct node *node;
	const char *name;
	size_t len;

	for (node = stack->leaf; node; node = node->id.up) {
		if (!node->id.code || !node->id.code->decoded || node_is_task(node))
			continue;
		py = &node->id.code->py;
		len = strlen(py->filename);
		name = strncmp(py->name, "Task.", 5) ? py->name : py->name + 5;
		if (!strncmp(name, "__step", 6) && len >= sizeof(file) - 1 &&
		    !strcmp(py->filename + len - (sizeof(file) - 1), file))
			return true;
	}
	return false;
}

static void remarks_of_tasks(struct remarks *r)
{
	static const struct remark_text
		other_text = SAMPLES_OR_WAITS("in tasks of another class than asyncio's own, which "
					      "are not told"),
		lost_text = SAMPLES_OR_WAITS("whose task is not known: the stack was cut, or too "
					     "many event loops run");
	struct sums other = {}, lost = {};
	uint64_t late_ns = 0, refused = 0;
	const struct stack *stack;
	const struct image *image;
	const struct node *node;

	if (!r->profile->async)
		return;
	for (stack = r->profile->stacks; stack; stack = stack->hh.next) {
		if (!is_told(r, stack))
			continue;
		for (node = stack->leaf; node && node->id.up; node = node->id.up)
			;
		if (!node || !node_is_task(node)) {
			if (stack_steps(stack))
				sum(&other, stack);
		} else if (node->id.lasti == EV_TASK_OTHER) {
			sum(&other, stack);
		} else if (node->id.lasti == EV_TASK_LOST) {
			sum(&lost, stack);
		}
	}
	for (image = r->profile->images; image; image = image->hh.next) {
		late_ns += image->tasks_late_ns;
		refused += image->tasks_refused;
	}
	remark_each(r, other, other_text, false);
	remark_each(r, lost, lost_text, false);
	remark(r, refused, "processes with an asyncio that is not known: their tasks are not told",
	       false);
	remark(r, (late_ns + 500000) / 1000000,
	       "ms of processes before asyncio was found in them: no task of that time is told",
	       false);
}

static void remarks_of_columns(struct remarks *r)
{
	static const struct remark_text text =
		SAMPLES_OR_WAITS("without columns: CPython tells them from 3.11 on");
	const struct stack *stack;
	struct image *image;
	struct sums without = {};

	for (stack = r->profile->stacks; stack && r->options->columns; stack = stack->hh.next) {
		HASH_FIND(hh, r->profile->images, &stack->id.image, sizeof(stack->id.image), image);
		if (image && stack->leaf && image->abi.lines != PY_LINES_ENTRIES &&
		    is_told(r, stack))
			sum(&without, stack);
	}
	remark_each(r, without, text, false);
}

static void remarks_of_waits(struct remarks *r)
{
	const struct profile *p = r->profile;
	uint64_t idle_ns = 0, kernel, user;
	const struct stack *stack;

	if (!record_mode_waits(p->meta.mode))
		return;
	for (stack = p->stacks; stack; stack = stack->hh.next)
		if (!stack_is_shown(stack, r->options) && choice_has(r->choice, stack->id.thread))
			idle_ns += stack->wait_ns + stack->runq_ns;
	remark(r, (idle_ns + 500000) / 1000000,
	       "ms of waiting for work (event loops, accept) are left out; -i shows them", false);
	remark(r, p->waits_orphan, "waits lost: their stack did not arrive", true);
	remark(r, p->stats.stat[STAT_SWITCH_UNHEARD],
	       "switches that the kernel told nothing of: times made up from its own sums", false);
	kernel = p->stats.stat[STAT_WAITS] - p->stats.stat[STAT_DROP_WAITS];
	user = p->waits + p->waits_orphan;
	if (kernel > user)
		remark(r, kernel - user, "waits lost between the kernel's table and the profile",
		       true);
}

/* The same of waits; and what is known of a thread only as a sum may have been somewhere in time. */
static void remarks_of_wait_times(struct remarks *r)
{
	const struct profile *p = r->profile;
	const struct thread *thread;
	uint64_t off, seen, hidden_ns = 0;

	remark(r, p->wait_times_full, "waits without their time, not in the timeline: it is full",
	       true);
	if (p->waits > p->wait_times_came)
		remark(r, p->waits - p->wait_times_came,
		       "waits without their time, not in the timeline: the ring buffer was full",
		       true);
	for (thread = p->threads; thread; thread = thread->hh.next) {
		if (!choice_has(r->choice, thread->serial))
			continue;
		off = thread->times.wait_ns + thread->times.runq_ns;
		seen = thread->waits_ns + thread->hidden_ns;
		hidden_ns += off > seen ? off - seen : 0;
	}
	remark(r, hidden_ns / 1000000,
	       "ms of waits whose stack and time are not known, not in the timeline", false);
}

/* Each counted sample had one tick; of those that are not here, some came and found no room. */
static void remarks_of_ticks(struct remarks *r)
{
	const struct profile *p = r->profile;
	uint64_t came = p->tick_cnt + p->ticks_full;

	if (!p->timeline)
		return;
	remark(r, p->ticks_full, "samples without their time, not in the timeline: it is full",
	       true);
	if (p->samples > came)
		remark(r, p->samples - came,
		       "samples without their time, not in the timeline: the ring buffer was full",
		       true);
	remarks_of_wait_times(r);
}

/* "samples in process 7: CPython 3.7.4 (not supported)", with its text behind the list. */
static void remark_refused(struct remarks *r, uint64_t count, const char *what,
			   const struct image *image)
{
	const char *python = image->python ? image->python : "?";

	if (!count)
		return;
	snprintf(r->text, REFUSED_TEXT_MAX, "%s in process %d: %.*s", what, image->pid,
		 (int)text_cut(python, strlen(python), 128), python);
	remark(r, count, r->text, false);
	r->text += REFUSED_TEXT_MAX;
}

static void remarks_of_refused(struct remarks *r)
{
	const struct image *image;
	const struct stack *stack;
	int left = REFUSED_MAX;
	struct sums sums;

	for (image = r->profile->images; image && left; image = image->hh.next) {
		if (!(image->flags & RECORD_IMAGE_REFUSED))
			continue;
		sums = (struct sums){};
		for (stack = r->profile->stacks; stack; stack = stack->hh.next)
			if (stack->id.image == image->id && is_told(r, stack))
				sum(&sums, stack);
		remark_refused(r, sums.samples, "samples", image);
		remark_refused(r, sums.waits, "waits", image);
		left -= sums.samples || sums.waits;
	}
}

/* What --thread leaves out was recorded, and is no loss. Time is rounded up: a little is something. */
static void remarks_of_choice(struct remarks *r)
{
	if (record_mode_waits(r->profile->meta.mode))
		remark(r, (r->choice->left_out + 999999) / 1000000,
		       "ms of other threads are left out (--thread)", false);
	else
		remark(r, r->choice->left_out, "samples of other threads are left out (--thread)",
		       false);
}

static void remarks_of_rest(struct remarks *r)
{
	const struct record_stats *s = &r->profile->stats;
	uint64_t came, missing = 0, not_read = 0, filtered = s->stat[STAT_DUPLICATE_TIMER];
	const struct thread *thread;

	for (thread = r->profile->threads; thread; thread = thread->hh.next)
		not_read += thread->not_read && !thread->name;
	remark(r, not_read, "threads whose names were not read (out of time)", false);
	came = s->stat[STAT_SAMPLES] + s->stat[STAT_EXITING] + s->stat[STAT_DUPLICATE_TIMER] +
	       s->stat[STAT_NOT_HOLDER] + s->stat[STAT_DROP_THREADS_FULL] +
	       s->stat[STAT_DROP_RING_THREAD] + s->stat[STAT_DROP_SCRATCH];
	if (filtered * 100 > (s->stat[STAT_SAMPLES] + filtered) * FILTERED_SAID_PERCENT)
		remark(r, filtered, "ticks of a second timer on one thread, filtered", false);
	if (s->ticks_expected > came + s->ticks_slack)
		missing = s->ticks_expected - came;
	remark(r, missing,
	       "samples' worth of CPU time not sampled: threads shorter than a tick (a higher -r "
	       "sees them), or ticks that came late",
	       missing >= MISSING_LOSS_MIN &&
		       missing * 100 > (s->stat[STAT_SAMPLES] + missing) * MISSING_LOSS_PERCENT);
}

struct report_remark *remarks_new(const struct profile *p, const struct report_options *options,
				  const struct choice *choice, uint32_t *ret_cnt)
{
	/* what is said of stacks is said of samples and of waits */
	const size_t max = STAT_MAX + 2 * FLAG_TEXT_CNT + 2 * REFUSED_MAX + 34;
	struct remarks r = { .profile = p, .options = options, .choice = choice };

	r.list = calloc(1, max * sizeof(*r.list) + 2 * REFUSED_MAX * REFUSED_TEXT_MAX);
	if (!r.list)
		return NULL;
	r.text = (char *)(r.list + max);
	remarks_of_choice(&r);
	remarks_of_stats(&r);
	remarks_of_stacks(&r);
	remarks_of_ticks(&r);
	remarks_of_refused(&r);
	remarks_of_columns(&r);
	remarks_of_tasks(&r);
	remarks_of_waits(&r);
	remarks_of_rest(&r);
	*ret_cnt = r.cnt;
	return r.list;
}
