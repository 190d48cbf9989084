/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the profile to the report: stacks become paths in one tree, frames get their text, and what
 * is missing gets its sentence.
 *
 * Frames are equal when their text is: two code objects of one function (a reload, a second worker)
 * fall together, as a reader expects. Strings are interned, so that comparing text is comparing
 * pointers; children are found through one hash over (parent, text).
 */
#include "model/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "model/choice.h"
#include "model/files.h"
#include "model/overhead.h"
#include "model/profile_impl.h"
#include "model/remarks.h"
#include "model/report_impl.h"
#include "model/timeline.h"
#include "model/wait.h"

#define TASK_NAME_MAX 4096

static const char *intern(struct built *b, const char *text)
{
	size_t len = strlen(text);
	struct text *t;

	HASH_FIND(hh, b->texts, text, len, t);
	if (t)
		return t->text;
	t = malloc(sizeof(*t) + len + 1);
	if (!t) {
		b->no_memory = true;
		return "";
	}
	memcpy(t->text, text, len + 1);
	HASH_ADD_KEYPTR(hh, b->texts, t->text, len, t);
	if (!t->hh.tbl) {
		free(t);
		b->no_memory = true;
		return "";
	}
	return t->text;
}

/* The child of `parent` with this text, made if need be; NULL: out of memory. */
static struct report_node *child(struct built *b, struct report_node *parent,
				 const struct report_node *like)
{
	struct child_key key;
	struct tree_node *t;

	memset(&key, 0, sizeof(key)); /* padding is part of the hash */
	key.parent = parent;
	key.func = like->func;
	key.file = like->file;
	key.path = like->path;
	key.kind_line = (uint64_t)like->kind << 32 | (uint32_t)like->line;
	key.column = (uint32_t)like->column;
	HASH_FIND(hh, b->nodes, &key, sizeof(key), t);
	if (t)
		return &t->node;
	t = calloc(1, sizeof(*t));
	if (!t)
		goto no_memory;
	t->key = key;
	t->node = *like;
	t->node.parent = parent;
	HASH_ADD(hh, b->nodes, key, sizeof(t->key), t);
	if (!t->hh.tbl)
		goto no_memory;
	if (parent) {
		t->node.next = parent->child;
		parent->child = &t->node;
	}
	return &t->node;
no_memory:
	free(t);
	b->no_memory = true;
	return NULL;
}

static struct report_node *label(struct built *b, struct report_node *parent, enum frame_kind kind,
				 const char *text)
{
	struct report_node like = {
		.kind = kind, .func = intern(b, text), .file = intern(b, ""), .path = intern(b, "")
	};

	return parent ? child(b, parent, &like) : NULL;
}

static struct report_node *frame(struct built *b, struct report_node *parent,
				 const struct image *image, const struct node *node,
				 const struct report_options *options)
{
	const struct code *code = node->id.code;
	struct report_node like = {};
	struct line_place place;
	enum frame_kind kind;
	const char *shown;

	if (!code)
		return label(b, parent, FRAME_GC, gc_mark(node->id.lasti));
	if (!code->decoded)
		return label(b, parent, FRAME_MARK, "[name not read]");
	shown = file_shown(code->py.filename, image ? image->cwd : NULL, &kind);
	like.kind = kind;
	like.func = intern(b, code->py.name);
	like.path = intern(b, code->py.filename);
	like.file = intern(b, shown);
	like.first_line = code->py.firstlineno > 0 ? code->py.firstlineno : 0;
	if (!options->functions && image) {
		place = code_place(&image->abi, &code->py, node->id.lasti);
		like.line = place.line;
		like.column = options->columns ? place.column : 0;
	}
	return parent ? child(b, parent, &like) : NULL;
}

/* The task that a stack is of. */
static struct report_node *task_node(struct built *b, struct report_node *parent,
				     const struct node *node)
{
	const struct code *code = node->id.code;
	const char *name = code->decoded ? code->py.name : "[name not read]";
	int len = text_cut(name, strlen(name), TASK_NAME_MAX);
	struct report_node *at;
	struct buf text;

	buf_init(&text, 2 * TASK_NAME_MAX);
	switch ((uint32_t)node->id.lasti) {
	case EV_TASK_NAMED:
		buf_fmt(&text, "task %.*s", len, name);
		break;
	case EV_TASK_OF:
		if (code->id.check)
			buf_fmt(&text, "tasks of %.*s", len, name);
		else
			buf_str(&text, "[task of no Python function]");
		break;
	case EV_TASK_OTHER:
		buf_str(&text, TASK_OTHER_TEXT);
		break;
	default:
		buf_str(&text, "[task not known]");
	}
	b->no_memory |= text.err != 0;
	at = label(b, parent, FRAME_TASK, buf_text(&text));
	buf_done(&text);
	return at;
}

static bool is_shim(const struct code *code)
{
	return code && code->decoded && code_is_shim(&code->py);
}

static struct report_node *thread_nodes(struct built *b, struct report_node *at,
					const struct thread *thread, const struct image *image)
{
	struct buf text;

	buf_init(&text, 4096);
	buf_fmt(&text, "process %d (%s)", thread ? thread->tgid : 0,
		image && image->comm ? image->comm : "?");
	at = label(b, at, FRAME_PROCESS, buf_text(&text));
	if (at) {
		at->id = thread ? thread->tgid : 0;
		at->name = image && image->comm ? image->comm : "?";
	}
	buf_clear(&text);
	buf_fmt(&text, "thread %d (%s)", thread ? thread->tid : 0, report_thread_name(thread));
	at = label(b, at, FRAME_THREAD, buf_text(&text));
	if (at) {
		at->id = thread ? thread->tid : 0;
		at->name = report_thread_name(thread);
	}
	buf_done(&text);
	return at;
}

static void value_add(struct report_node *at, uint64_t value)
{
	if (!at)
		return; /* out of memory: report_new() fails */
	at->self += value;
	for (; at; at = at->parent)
		at->total += value;
}

/* A wait's reason stands below the frames; the run queue beside it, as what came after. */
static void wait_nodes(struct built *b, struct report_node *at, const struct stack *stack)
{
	struct buf text;

	buf_init(&text, 256);
	wait_text(&stack->wait, &text);
	if (b->waits_for)
		b->waits_for[stack->number] = intern(b, buf_text(&text));
	if (stack->wait_ns)
		value_add(label(b, at, FRAME_WAIT, buf_text(&text)), stack->wait_ns);
	if (stack->runq_ns)
		value_add(label(b, at, FRAME_WAIT, WAIT_RUNQ_TEXT), stack->runq_ns);
	buf_done(&text);
}

/* What a stack's samples stand for: their share of the CPU time that the thread had, where that was
 * measured; the timer's periods where it was not. */
static uint64_t stack_cpu_ns(const struct profile *p, const struct stack *stack,
			     const struct thread *thread)
{
	if (thread && thread->has_times && thread->samples)
		return (double)thread->times.cpu_ns * stack->count / thread->samples;
	return p->meta.rate_hz ? stack->count * (1000000000 / p->meta.rate_hz) : 0;
}

/* What a stack adds to the tree. */
static uint64_t stack_value(const struct built *b, const struct profile *p,
			    const struct stack *stack, const struct thread *thread)
{
	if (b->report.unit == REPORT_SAMPLES)
		return stack->count;
	return stack->flags & EV_STACK_WAIT ? stack->wait_ns + stack->runq_ns
					    : stack_cpu_ns(p, stack, thread);
}

static void stack_add(struct built *b, const struct profile *p, const struct stack *stack,
		      const struct report_options *options, const struct node **path, size_t max)
{
	struct report_node *at = b->report.root;
	const struct node *node;
	struct thread *thread;
	struct image *image;
	size_t i, depth = 0;

	HASH_FIND(hh, p->threads, &stack->id.thread, sizeof(stack->id.thread), thread);
	if (!choice_has(&b->choice, stack->id.thread)) {
		b->choice.left_out += stack_value(b, p, stack, thread);
		return;
	}
	*(stack->flags & EV_STACK_WAIT ? &b->report.waits : &b->report.ticks) += stack->count;
	HASH_FIND(hh, p->images, &stack->id.image, sizeof(stack->id.image), image);
	if (options->threads)
		at = thread_nodes(b, at, thread, image);
	for (node = stack->leaf; node && depth < max; node = node->id.up)
		path[depth++] = node;
	if (depth && node_is_task(path[depth - 1]))
		at = task_node(b, at, path[--depth]);
	else if (p->async && stack_steps(stack))
		at = label(b, at, FRAME_TASK, TASK_OTHER_TEXT);
	for (i = 0; i < FLAG_TEXT_CNT; i++)
		if (stack->flags & flag_texts[i].flag)
			at = label(b, at, FRAME_MARK, flag_texts[i].mark);
	while (depth-- > 0)
		if (!is_shim(path[depth]->id.code))
			at = frame(b, at, image, path[depth], options);
	if (!at)
		return; /* out of memory: report_new() fails */
	if (b->leaves)
		b->leaves[stack->number] = at;
	if (b->report.unit == REPORT_NS && (stack->flags & EV_STACK_WAIT))
		wait_nodes(b, at, stack);
	else
		value_add(at, stack_value(b, p, stack, thread));
}

/* What is known of a thread's time only as a sum. */
static void thread_rest(struct built *b, const struct profile *p, const struct thread *thread,
			const struct report_options *options)
{
	const struct thread_times *times = &thread->times;
	struct report_node *at = b->report.root, *node;
	uint64_t off = times->wait_ns + times->runq_ns;
	uint64_t cpu = p->meta.mode == RECORD_WALL && !thread->samples ? times->cpu_ns : 0;
	struct image *image;

	off = off > thread->waits_ns ? off - thread->waits_ns : 0;
	if (!choice_has(&b->choice, thread->serial)) {
		b->choice.left_out += cpu + off;
		return;
	}
	HASH_FIND(hh, p->images, &thread->image, sizeof(thread->image), image);
	if (options->threads)
		at = thread_nodes(b, at, thread, image);
	if (cpu) {
		node = label(b, at, FRAME_MARK, "[on CPU, not sampled]");
		value_add(node, cpu);
	}
	if (off) {
		node = label(b, at, FRAME_MARK, WAIT_UNKNOWN_TEXT);
		value_add(node, off);
	}
}

static int node_order(const void *pa, const void *pb)
{
	const struct report_node *a = *(struct report_node *const *)pa;
	const struct report_node *b = *(struct report_node *const *)pb;
	int order;

	if (a->total != b->total)
		return a->total > b->total ? -1 : 1;
	order = report_text_order(a->func, b->func);
	if (!order)
		order = report_text_order(a->path, b->path);
	if (!order)
		order = a->kind - b->kind;
	if (!order)
		order = (a->line > b->line) - (a->line < b->line);
	return order ? order : (a->column > b->column) - (a->column < b->column);
}

/* Puts each node's children into the canonical order. */
static void tree_sort(struct built *b)
{
	struct report_node **list = NULL, **grown, *node;
	size_t cnt, cap = 0, i;
	struct tree_node *t;

	for (t = b->nodes; t; t = t->hh.next) {
		cnt = 0;
		for (node = t->node.child; node; node = node->next) {
			if (cnt == cap) {
				cap = cap ? cap * 2 : 64;
				grown = realloc(list, cap * sizeof(*list));
				if (!grown) {
					b->no_memory = true;
					goto out;
				}
				list = grown;
			}
			list[cnt++] = node;
		}
		if (cnt < 2)
			continue;
		qsort(list, cnt, sizeof(*list), node_order);
		t->node.child = list[0];
		for (i = 0; i < cnt; i++)
			list[i]->next = i + 1 < cnt ? list[i + 1] : NULL;
	}
out:
	free(list);
}

static void stacks_add(struct built *b, const struct profile *p,
		       const struct report_options *options)
{
	const struct node **path = calloc(EV_ENTRIES_MAX, sizeof(*path));
	const struct thread *thread;
	const struct stack *stack;

	if (!path) {
		b->no_memory = true;
		return;
	}
	for (stack = p->stacks; stack; stack = stack->hh.next) {
		/* a wait that is counted in a later part has a share in this one (--rotate) */
		if ((!stack->count && !stack->wait_ns && !stack->runq_ns) ||
		    !stack_is_shown(stack, options))
			continue;
		stack_add(b, p, stack, options, path, EV_ENTRIES_MAX);
	}
	for (thread = p->threads; thread && b->report.unit == REPORT_NS; thread = thread->hh.next)
		thread_rest(b, p, thread, options);
	free(path);
}

static void events_list(struct built *b, const struct profile *p)
{
	struct timeline timeline = { .profile = p,
				     .leaves = b->leaves,
				     .names = b->waits_for,
				     .root = b->report.root,
				     .threads = b->threads,
				     .thread_cnt = b->report.thread_cnt };

	b->events = timeline_new(&timeline, &b->report.event_cnt);
	b->report.events = b->events;
	b->no_memory = !b->events;
}

static void overhead_fill(struct report *report, const struct profile *p)
{
	const struct record_overhead *r = &p->overhead;
	struct report_overhead *o = &report->overhead;
	const struct thread *thread;

	*o = (struct report_overhead){ .known = p->has_overhead,
				       .bare_known = r->bare_ns != 0,
				       .cpu_ns = r->cpu_ns,
				       .own_ns = r->own_ns,
				       .start_ns = r->start_ns,
				       .ticks = r->ticks,
				       .switches = r->switches,
				       .worst = r->worst / 1e6,
				       .bound = r->bound / 1e6 };
	if (!r->cpu_ns)
		for (thread = p->threads; thread; thread = thread->hh.next)
			o->cpu_ns += thread->times.cpu_ns;
	if (r->ticks)
		o->tick_ns = r->bare_ns + r->tick_ns / r->ticks;
	if (r->switches)
		o->switch_ns = r->switch_ns / r->switches;
	o->share = overhead_share(r, o->cpu_ns);
}

struct report *report_new(const struct profile *p, const struct report_options *options)
{
	bool timeline = options->timeline && p->timeline;
	struct built *b = calloc(1, sizeof(*b));
	struct report_node root = { .kind = FRAME_ROOT };

	if (!b)
		return NULL;
	root.func = intern(b, "all");
	root.file = root.path = intern(b, "");
	b->report.root = child(b, NULL, &root);
	b->report.mode = p->mode ? p->mode : "?";
	b->report.waits_only = p->meta.mode == RECORD_OFFCPU;
	b->report.unit = record_mode_waits(p->meta.mode) ? REPORT_NS : REPORT_SAMPLES;
	b->report.rate_hz = p->meta.rate_hz;
	b->report.start_unix_ns = p->meta.start_unix_ns;
	b->report.duration_ns = p->stats.duration_ns;
	b->report.start_ns = p->meta.start_ns;
	overhead_fill(&b->report, p);
	if (timeline) {
		b->leaves = calloc(HASH_COUNT(p->stacks) + 1, sizeof(*b->leaves));
		b->waits_for = calloc(HASH_COUNT(p->stacks) + 1, sizeof(*b->waits_for));
		b->no_memory |= !b->leaves || !b->waits_for;
	}
	if (choice_make(&b->choice, p, options))
		b->no_memory = true;
	b->report.unmatched = b->choice.unmatched;
	b->report.unmatched_cnt = b->choice.unmatched_cnt;
	if (!b->no_memory)
		stacks_add(b, p, options);
	if (!b->no_memory)
		b->report.samples = b->report.root->total;
	if (!b->no_memory)
		tree_sort(b);
	if (!b->no_memory)
		report_functions(b);
	if (!b->no_memory)
		report_targets(b, p);
	if (!b->no_memory && timeline)
		events_list(b, p);
	if (!b->no_memory) {
		b->remarks = remarks_new(p, options, &b->choice, &b->report.remark_cnt);
		b->report.remarks = b->remarks;
		b->no_memory = !b->remarks;
	}
	if (b->no_memory) {
		report_free(&b->report);
		return NULL;
	}
	return &b->report;
}

void report_free(struct report *report)
{
	struct built *b = (struct built *)report;
	struct function *f, *next_f;
	struct tree_node *t, *next_t;
	struct text *s, *next_s;

	if (!b)
		return;
	HASH_ITER (hh, b->nodes, t, next_t) {
		HASH_DEL(b->nodes, t);
		free(t);
	}
	HASH_ITER (hh, b->functions, f, next_f) {
		HASH_DEL(b->functions, f);
		free(f);
	}
	HASH_ITER (hh, b->texts, s, next_s) {
		HASH_DEL(b->texts, s);
		free(s);
	}
	free(b->targets);
	free(b->threads);
	free(b->selves);
	free(b->remarks);
	free(b->leaves);
	free(b->waits_for);
	free(b->events);
	choice_done(&b->choice);
	free(b);
}
