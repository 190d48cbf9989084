/* SPDX-License-Identifier: Apache-2.0 */
/*
 * asyncio's tasks, for `uncoil dump --async`. As text a tree: whoever is awaited stands below the one
 * that awaits it, and a task's frames run from its outermost coroutine down to where it waits, so
 * that from a task at the margin the way down is the way of the waiting.
 *
 *	Tasks of thread 1234 "MainThread": 3
 *	  "Task-1" (waiting)
 *	    main (app.py:30)
 *	    gather_all (app.py:20)
 *	      "fetch" (waiting)
 *	        fetch (app.py:10)
 *	        sleep (tasks.py:702)
 *
 * A task that several await is shown in full once. Tasks that await each other in a circle have no
 * first one; the tree then begins with any. As JSON a list, with who awaits whom both ways.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/text.h"
#include "cmd/dump.h"
#include "model/remarks.h"

#define INDENT_MAX 60 /* columns; what stands deeper is written with its depth */

static const char *const state_words[] = {
	[CORO_UNKNOWN] = "state not known",
	[CORO_CREATED] = "has not begun",
	[CORO_SUSPENDED] = "waiting",
	[CORO_RUNNING] = "running",
	[CORO_DONE] = "done",
};

/* What is known of the frames of one task: its own, or its thread's if it runs. */
struct view {
	const struct py_frame *frames;
	uint32_t cnt, flags;
	bool leaf_first, exact;
};

static struct view view_of(const struct snapshot *s, uint32_t at)
{
	const struct task *task = &s->tasks.list[at];
	const struct snapshot_thread *t = snapshot_task_thread(s, at);

	if (t && t->task == at)
		return (struct view){ t->stack.frames, t->stack.seek_at + 1, t->stack.flags, true,
				      t->stack.truth == STACK_EXACT };
	return (struct view){ s->tasks.stack.frames + task->frame_start, task->frame_cnt,
			      task->flags, false, t && t->slept };
}

void dump_task_name(const struct snapshot *s, uint32_t task, struct buf *out)
{
	const char *name = s->tasks.list[task].name;

	buf_str(out, "\"");
	text_terminal(out, name ? name : "?");
	buf_str(out, "\"");
}

/* --- text --- */

struct tree {
	const struct dump *d;
	const struct snapshot *s;
	struct buf *out;
	uint8_t *seen;    /* by task */
	uint8_t *awaited; /* by task: by another one */
	uint32_t *first;  /* by task: its first edge as awaiter; one more at the end */
	struct step {
		uint32_t task, depth;
	} * steps; /* to be shown, the next one last */
	uint32_t step_cnt;
};

static void task_text(struct tree *t, const struct step *step)
{
	const struct view v = view_of(t->s, step->task);
	int indent = step->depth * 4 + 2;
	uint32_t i;
	size_t k;

	if (indent > INDENT_MAX) {
		indent = INDENT_MAX;
		buf_fmt(t->out, "%*s(%u deep) ", indent, "", step->depth);
	} else {
		buf_fmt(t->out, "%*s", indent, "");
	}
	dump_task_name(t->s, step->task, t->out);
	if (t->seen[step->task]) {
		buf_str(t->out, " (shown above)\n");
		return;
	}
	buf_fmt(t->out, " (%s)%s\n", state_words[t->s->tasks.list[step->task].state],
		v.cnt && !v.exact ? ", read while its thread ran: may be torn" : "");
	for (i = 0; i < v.cnt; i++)
		dump_frame_text(t->d, t->s, &v.frames[v.leaf_first ? v.cnt - 1 - i : i], indent + 2,
				t->out);
	for (k = 0; k < FLAG_TEXT_CNT; k++)
		if (v.flags & flag_texts[k].flag)
			buf_fmt(t->out, "%*s%s\n", indent + 2, "", flag_texts[k].mark);
}

/* The task, and below it whomever it awaits. Not by recursion: a chain may be as long as a hostile
 * target likes. */
static void tree_text(struct tree *t, uint32_t root)
{
	const struct tasks *tasks = &t->s->tasks;
	struct step step;
	uint32_t i;

	t->steps[t->step_cnt++] = (struct step){ root, 0 };
	while (t->step_cnt && !t->out->err) {
		step = t->steps[--t->step_cnt];
		task_text(t, &step);
		if (t->seen[step.task])
			continue;
		t->seen[step.task] = 1;
		/* each task does this once: there are never more steps than edges, and the root */
		for (i = t->first[step.task + 1]; i-- > t->first[step.task];)
			t->steps[t->step_cnt++] =
				(struct step){ tasks->edges[i].task, step.depth + 1 };
	}
}

/* The trees that begin in a thread (NULL: in none that is known). */
static void thread_tasks(struct tree *t, const struct snapshot_thread *thread)
{
	const struct snapshot *s = t->s;
	uint32_t i, pass, cnt = 0;

	for (i = 0; i < s->tasks.cnt; i++)
		cnt += snapshot_task_thread(s, i) == thread;
	if (!cnt)
		return;
	if (thread) {
		buf_fmt(t->out, "\nTasks of thread %d \"", thread->tid);
		text_terminal(t->out, thread->name);
		buf_fmt(t->out, "\": %u\n", cnt);
	} else {
		buf_fmt(t->out, "\nTasks of no thread that is known: %u\n", cnt);
	}
	/* last those that await each other and are reached from nowhere */
	for (pass = 0; pass < 2; pass++)
		for (i = 0; i < s->tasks.cnt; i++)
			if (!t->seen[i] && !(pass == 0 && t->awaited[i]) &&
			    snapshot_task_thread(s, i) == thread)
				tree_text(t, i);
}

static void tree_done(struct tree *t)
{
	free(t->seen);
	free(t->awaited);
	free(t->first);
	free(t->steps);
}

static int tree_init(struct tree *t)
{
	const struct tasks *tasks = &t->s->tasks;
	uint32_t i;

	t->seen = calloc(tasks->cnt + 1, 1);
	t->awaited = calloc(tasks->cnt + 1, 1);
	t->first = calloc(tasks->cnt + 2, sizeof(*t->first));
	t->steps = calloc(tasks->edge_cnt + 1, sizeof(*t->steps));
	if (!t->seen || !t->awaited || !t->first || !t->steps)
		return -ENOMEM;
	for (i = 0; i < tasks->edge_cnt; i++) {
		t->awaited[tasks->edges[i].task] = 1;
		t->first[tasks->edges[i].awaiter + 1]++;
	}
	for (i = 0; i < tasks->cnt; i++)
		t->first[i + 1] += t->first[i];
	return 0;
}

static void remarks_text(const struct tasks *tasks, struct buf *out)
{
	if (tasks->other_cnt)
		buf_fmt(out,
			"\n%u entries of asyncio's lists are no asyncio.Task of its own kind\n",
			tasks->other_cnt);
	if (tasks->cut)
		buf_str(out, "\nThere are more tasks, or who awaits them, than are shown\n");
}

void dump_tasks_text(const struct dump *d, const struct snapshot *s, struct buf *out)
{
	struct tree t = { .d = d, .s = s, .out = out };
	int i;

	if (*s->no_tasks) {
		buf_fmt(out, "\nNo tasks: %s\n", s->no_tasks);
		return;
	}
	if (!s->tasks.cnt)
		buf_str(out, "\nNo tasks: asyncio has none at this moment\n");
	if (tree_init(&t)) {
		out->err = -ENOMEM;
	} else {
		for (i = 0; i < s->thread_cnt; i++)
			thread_tasks(&t, &s->threads[i]);
		thread_tasks(&t, NULL);
		remarks_text(&s->tasks, out);
	}
	tree_done(&t);
}

/* --- JSON --- */

static void id_json(const struct snapshot *s, uint32_t task, struct buf *out)
{
	buf_fmt(out, "\"%#" PRIx64 "\"", s->tasks.list[task].addr);
}

static int by_task(const void *a, const void *b)
{
	const struct task_edge *x = a, *y = b;

	if (x->task != y->task)
		return x->task < y->task ? -1 : 1;
	return (x->awaiter > y->awaiter) - (x->awaiter < y->awaiter);
}

static void task_json(const struct dump *d, const struct snapshot *s, uint32_t at, struct buf *out)
{
	static const char *const words[] = {
		[CORO_UNKNOWN] = "unknown",   [CORO_CREATED] = "created",
		[CORO_SUSPENDED] = "waiting", [CORO_RUNNING] = "running",
		[CORO_DONE] = "done",
	};
	const struct snapshot_thread *thread = snapshot_task_thread(s, at);
	const struct view v = view_of(s, at);
	const char *comma = "";
	uint32_t i;

	buf_str(out, "{\"id\":");
	id_json(s, at, out);
	buf_str(out, ",");
	dump_key_json(out, "name", s->tasks.list[at].name);
	buf_fmt(out, ",\"state\":\"%s\",\"tid\":", words[s->tasks.list[at].state]);
	if (thread)
		buf_fmt(out, "%d", thread->tid);
	else
		buf_str(out, "null");
	buf_fmt(out, ",\"exact\":%s,\"marks\":", v.exact ? "true" : "false");
	dump_marks_json(v.flags, out);
	buf_str(out, ",\"frames\":[");
	for (i = 0; i < v.cnt; i++)
		dump_frame_json(d, s, &v.frames[v.leaf_first ? i : v.cnt - 1 - i], &comma, out);
	buf_str(out, "]");
}

void dump_tasks_json(const struct dump *d, const struct snapshot *s, struct buf *out)
{
	const struct tasks *tasks = &s->tasks;
	struct task_edge *awaited;
	const char *comma;
	uint32_t i, k = 0, m = 0;

	dump_key_json(out, "no_tasks", *s->no_tasks ? s->no_tasks : NULL);
	buf_fmt(out, ",\"tasks_cut\":%s,\"tasks_of_another_kind\":%u,\"tasks\":[",
		tasks->cut ? "true" : "false", tasks->other_cnt);
	awaited = calloc(tasks->edge_cnt + 1, sizeof(*awaited));
	if (!awaited) {
		out->err = -ENOMEM;
		return;
	}
	for (i = 0; i < tasks->edge_cnt; i++)
		awaited[i] = tasks->edges[i];
	qsort(awaited, tasks->edge_cnt, sizeof(*awaited), by_task);
	for (i = 0; i < tasks->cnt && !out->err; i++) {
		buf_str(out, i ? ",\n" : "\n");
		task_json(d, s, i, out);
		buf_str(out, ",\"awaits\":[");
		for (comma = ""; k < tasks->edge_cnt && tasks->edges[k].awaiter == i; comma = ",") {
			buf_str(out, comma);
			id_json(s, tasks->edges[k++].task, out);
		}
		buf_str(out, "],\"awaited_by\":[");
		for (comma = ""; m < tasks->edge_cnt && awaited[m].task == i; comma = ",") {
			buf_str(out, comma);
			id_json(s, awaited[m++].awaiter, out);
		}
		buf_str(out, "]}");
	}
	free(awaited);
	buf_str(out, "]");
}
