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
#include "model/files.h"
#include "model/profile_impl.h"
#include "model/remarks.h"
#include "model/wait.h"

struct text {
	UT_hash_handle hh;
	char text[];
};

struct child_key {
	struct report_node *parent;
	const char *func, *file, *path;
	uint64_t kind_line, column;
};

struct function_key {
	const char *func, *file;
	uint64_t kind;
};

struct function {
	struct function_key key;
	uint64_t self, total;
	uint32_t open; /* how often it is on the path being walked */
	UT_hash_handle hh;
};

struct tree_node {
	struct report_node node;
	struct child_key key;
	struct function *function;
	UT_hash_handle hh;
};

/* A report and all that it owns. */
struct built {
	struct report report;
	struct text *texts;
	struct tree_node *nodes;
	struct function *functions;
	struct report_target *targets;
	struct report_thread *threads;
	struct report_self *selves;
	struct report_remark *remarks;
	bool no_memory;
};

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

	if (!code->decoded)
		return label(b, parent, FRAME_MARK, "[name not read]");
	shown = file_shown(code->py.filename, image ? image->cwd : NULL, &kind);
	like.kind = kind;
	like.func = intern(b, code->py.name);
	like.path = intern(b, code->py.filename);
	like.file = intern(b, shown);
	if (!options->functions && image) {
		place = code_place(&image->abi, &code->py, node->id.lasti);
		like.line = place.line;
		like.column = options->columns ? place.column : 0;
	}
	return parent ? child(b, parent, &like) : NULL;
}

static bool is_shim(const struct code *code)
{
	return code->decoded && code_is_shim(&code->py);
}

static const char *thread_name(const struct thread *thread)
{
	if (thread && thread->name)
		return thread->name;
	return thread && thread->comm ? thread->comm : "?";
}

static struct report_node *thread_nodes(struct built *b, struct report_node *at,
					const struct thread *thread, const struct image *image)
{
	struct buf text;

	buf_init(&text, 4096);
	buf_fmt(&text, "process %d (%s)", thread ? thread->tgid : 0,
		image && image->comm ? image->comm : "?");
	at = label(b, at, FRAME_PROCESS, buf_text(&text));
	buf_clear(&text);
	buf_fmt(&text, "thread %d (%s)", thread ? thread->tid : 0, thread_name(thread));
	at = label(b, at, FRAME_THREAD, buf_text(&text));
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

static void stack_add(struct built *b, const struct profile *p, const struct stack *stack,
		      const struct report_options *options, const struct node **path, size_t max)
{
	struct report_node *at = b->report.root;
	const struct node *node;
	struct thread *thread;
	struct image *image;
	size_t i, depth = 0;

	HASH_FIND(hh, p->threads, &stack->id.thread, sizeof(stack->id.thread), thread);
	HASH_FIND(hh, p->images, &stack->id.image, sizeof(stack->id.image), image);
	if (options->threads)
		at = thread_nodes(b, at, thread, image);
	for (i = 0; i < FLAG_TEXT_CNT; i++)
		if (stack->flags & flag_texts[i].flag)
			at = label(b, at, FRAME_MARK, flag_texts[i].mark);
	for (node = stack->leaf; node && depth < max; node = node->id.up)
		path[depth++] = node;
	while (depth-- > 0)
		if (!is_shim(path[depth]->id.code))
			at = frame(b, at, image, path[depth], options);
	if (!at)
		return; /* out of memory: report_new() fails */
	if (b->report.unit == REPORT_SAMPLES)
		value_add(at, stack->count);
	else if (stack->flags & EV_STACK_WAIT)
		wait_nodes(b, at, stack);
	else
		value_add(at, stack_cpu_ns(p, stack, thread));
}

/* What is known of a thread's time only as a sum. */
static void thread_rest(struct built *b, const struct profile *p, const struct thread *thread,
			const struct report_options *options)
{
	const struct thread_times *times = &thread->times;
	struct report_node *at = b->report.root, *node;
	uint64_t off = times->wait_ns + times->runq_ns;
	struct image *image;

	HASH_FIND(hh, p->images, &thread->image, sizeof(thread->image), image);
	if (options->threads)
		at = thread_nodes(b, at, thread, image);
	if (p->meta.mode == RECORD_WALL && !thread->samples && times->cpu_ns) {
		node = label(b, at, FRAME_MARK, "[on CPU, not sampled]");
		value_add(node, times->cpu_ns);
	}
	if (off > thread->waits_ns) {
		node = label(b, at, FRAME_MARK, "[waiting, stack not known]");
		value_add(node, off - thread->waits_ns);
	}
}

static int text_order(const char *a, const char *b)
{
	return a == b ? 0 : strcmp(a, b);
}

static int node_order(const void *pa, const void *pb)
{
	const struct report_node *a = *(struct report_node *const *)pa;
	const struct report_node *b = *(struct report_node *const *)pb;
	int order;

	if (a->total != b->total)
		return a->total > b->total ? -1 : 1;
	order = text_order(a->func, b->func);
	if (!order)
		order = text_order(a->path, b->path);
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

static struct function *function_of(struct built *b, const struct report_node *node)
{
	struct tree_node *t = (struct tree_node *)node;
	struct function_key key;
	struct function *f;

	if (t->function)
		return t->function;
	memset(&key, 0, sizeof(key));
	key.func = node->func;
	key.file = node->file;
	key.kind = node->kind;
	HASH_FIND(hh, b->functions, &key, sizeof(key), f);
	if (!f) {
		f = calloc(1, sizeof(*f));
		if (!f)
			return NULL;
		f->key = key;
		HASH_ADD(hh, b->functions, key, sizeof(f->key), f);
		if (!f->hh.tbl) {
			free(f);
			return NULL;
		}
	}
	t->function = f;
	return f;
}

/* Sums per function: walks the tree, and counts a function's samples at its outermost frame only. */
static void functions_sum(struct built *b)
{
	struct report_node *node = b->report.root;
	struct function *f;
	bool down = true;

	while (node) {
		if (node->kind >= FRAME_APP) {
			f = function_of(b, node);
			if (!f) {
				b->no_memory = true;
				return;
			}
			if (down) {
				f->self += node->self;
				if (!f->open++)
					f->total += node->total;
			}
			if (!down || !node->child)
				f->open--;
		}
		if (down && node->child) {
			node = node->child;
		} else if (node->next) {
			node = node->next;
			down = true;
		} else {
			node = node->parent;
			down = false;
		}
	}
}

static int self_order(const void *pa, const void *pb)
{
	const struct report_self *a = pa, *b = pb;
	int order;

	if (a->self != b->self)
		return a->self > b->self ? -1 : 1;
	if (a->total != b->total)
		return a->total > b->total ? -1 : 1;
	order = text_order(a->func, b->func);
	return order ? order : text_order(a->file, b->file);
}

static void functions_list(struct built *b)
{
	struct function *f;

	functions_sum(b);
	b->selves = calloc(HASH_COUNT(b->functions) + 1, sizeof(*b->selves));
	if (!b->selves) {
		b->no_memory = true;
		return;
	}
	for (f = b->functions; f; f = f->hh.next)
		b->selves[b->report.function_cnt++] =
			(struct report_self){ f->key.kind, f->key.func, f->key.file, f->self,
					      f->total };
	qsort(b->selves, b->report.function_cnt, sizeof(*b->selves), self_order);
	b->report.functions = b->selves;
}

static int thread_order(const void *pa, const void *pb)
{
	const struct report_thread *a = pa, *b = pb;

	if (a->cpu_ns != b->cpu_ns)
		return a->cpu_ns > b->cpu_ns ? -1 : 1;
	if (a->samples != b->samples)
		return a->samples > b->samples ? -1 : 1;
	return a->tid != b->tid ? (a->tid > b->tid) - (a->tid < b->tid) : strcmp(a->name, b->name);
}

static int target_order(const void *pa, const void *pb)
{
	const struct report_target *a = pa, *b = pb;

	return (a->pid > b->pid) - (a->pid < b->pid);
}

/* Has it exec'ed into something that is known? Then that is what is shown. */
static bool is_replaced(const struct profile *p, const struct image *image)
{
	uint32_t left = HASH_COUNT(p->images), id;

	for (; image && image->replaced_by && left; left--) { /* a journal's chain may be a ring */
		id = image->replaced_by;
		HASH_FIND(hh, p->images, &id, sizeof(id), image);
		if (image && image->known)
			return true;
	}
	return false;
}

static void targets_list(struct built *b, const struct profile *p)
{
	struct thread *thread;
	struct image *image;

	b->threads = calloc(HASH_COUNT(p->threads) + 1, sizeof(*b->threads));
	b->targets = calloc(HASH_COUNT(p->images) + 1, sizeof(*b->targets));
	if (!b->threads || !b->targets) {
		b->no_memory = true;
		return;
	}
	for (thread = p->threads; thread; thread = thread->hh.next)
		b->threads[b->report.thread_cnt++] =
			(struct report_thread){ .pid = thread->tgid,
						.tid = thread->tid,
						.name = thread_name(thread),
						.samples = thread->samples,
						.cpu_ns = thread->times.cpu_ns,
						.wait_ns = thread->times.wait_ns,
						.runq_ns = thread->times.runq_ns };
	qsort(b->threads, b->report.thread_cnt, sizeof(*b->threads), thread_order);
	for (image = p->images; image; image = image->hh.next) {
		/* a root that has exec'ed is its last image, and children are not targets */
		if (!(image->flags & RECORD_IMAGE_ROOT) || !image->known || is_replaced(p, image))
			continue;
		b->targets[b->report.target_cnt++] =
			(struct report_target){ image->pid, image->command, image->python };
	}
	qsort(b->targets, b->report.target_cnt, sizeof(*b->targets), target_order);
	b->report.threads = b->threads;
	b->report.targets = b->targets;
}

static void stacks_add(struct built *b, const struct profile *p,
		       const struct report_options *options)
{
	const struct node **path = calloc(EV_FRAMES_MAX, sizeof(*path));
	const struct thread *thread;
	const struct stack *stack;

	if (!path) {
		b->no_memory = true;
		return;
	}
	for (stack = p->stacks; stack; stack = stack->hh.next) {
		if (!stack->count || (!options->idle && (stack->flags & EV_STACK_WAIT) &&
				      wait_is_idle(&stack->wait)))
			continue;
		stack_add(b, p, stack, options, path, EV_FRAMES_MAX);
		b->report.waits += stack->flags & EV_STACK_WAIT ? stack->count : 0;
	}
	for (thread = p->threads; thread && b->report.unit == REPORT_NS; thread = thread->hh.next)
		thread_rest(b, p, thread, options);
	free(path);
}

struct report *report_new(const struct profile *p, const struct report_options *options)
{
	struct built *b = calloc(1, sizeof(*b));
	struct report_node root = { .kind = FRAME_ROOT };

	if (!b)
		return NULL;
	root.func = intern(b, "all");
	root.file = root.path = intern(b, "");
	b->report.root = child(b, NULL, &root);
	b->report.mode = p->mode ? p->mode : "?";
	b->report.unit = record_mode_waits(p->meta.mode) ? REPORT_NS : REPORT_SAMPLES;
	b->report.rate_hz = p->meta.rate_hz;
	b->report.start_unix_ns = p->meta.start_unix_ns;
	b->report.duration_ns = p->stats.duration_ns;
	b->report.ticks = p->samples;
	if (!b->no_memory)
		stacks_add(b, p, options);
	if (!b->no_memory)
		b->report.samples = b->report.root->total;
	if (!b->no_memory)
		tree_sort(b);
	if (!b->no_memory)
		functions_list(b);
	if (!b->no_memory)
		targets_list(b, p);
	if (!b->no_memory) {
		b->remarks = remarks_new(p, options, &b->report.remark_cnt);
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
	free(b);
}
