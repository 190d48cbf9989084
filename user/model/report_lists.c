/* SPDX-License-Identifier: Apache-2.0 */
/* The report's lists: functions with their sums, processes, threads. */
#include <stdlib.h>
#include <string.h>

#include "model/report_impl.h"

const char *report_thread_name(const struct thread *thread)
{
	if (thread && thread->name)
		return thread->name;
	return thread && thread->comm ? thread->comm : "?";
}

int report_text_order(const char *a, const char *b)
{
	return a == b ? 0 : strcmp(a, b);
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
		if (node->kind >= FRAME_TASK) {
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
	order = report_text_order(a->func, b->func);
	return order ? order : report_text_order(a->file, b->file);
}

static int total_order(const void *pa, const void *pb)
{
	const struct report_self *a = pa, *b = pb;

	if (a->total != b->total)
		return a->total > b->total ? -1 : 1;
	return self_order(a, b);
}

void report_functions(struct built *b)
{
	struct report_self *tasks, *at;
	struct function *f;

	functions_sum(b);
	b->selves = calloc(HASH_COUNT(b->functions) + 1, sizeof(*b->selves));
	if (!b->selves) {
		b->no_memory = true;
		return;
	}
	/* functions from the front, tasks behind them */
	tasks = b->selves + HASH_COUNT(b->functions);
	for (f = b->functions; f; f = f->hh.next) {
		at = f->key.kind == FRAME_TASK ? --tasks : &b->selves[b->report.function_cnt++];
		*at = (struct report_self){ f->key.kind, f->key.func, f->key.file, f->self,
					    f->total };
	}
	b->report.task_cnt = HASH_COUNT(b->functions) - b->report.function_cnt;
	qsort(b->selves, b->report.function_cnt, sizeof(*b->selves), self_order);
	qsort(tasks, b->report.task_cnt, sizeof(*tasks), total_order);
	b->report.functions = b->selves;
	b->report.tasks = tasks;
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

void report_targets(struct built *b, const struct profile *p)
{
	struct thread *thread;
	struct image *image;

	b->threads = calloc(HASH_COUNT(p->threads) + 1, sizeof(*b->threads));
	b->targets = calloc(HASH_COUNT(p->images) + 1, sizeof(*b->targets));
	if (!b->threads || !b->targets) {
		b->no_memory = true;
		return;
	}
	for (thread = p->threads; thread; thread = thread->hh.next) {
		if (!choice_has(&b->choice, thread->serial))
			continue;
		HASH_FIND(hh, p->images, &thread->image, sizeof(thread->image), image);
		b->threads[b->report.thread_cnt++] =
			(struct report_thread){ .pid = thread->tgid,
						.tid = thread->tid,
						.name = report_thread_name(thread),
						.samples = thread->samples,
						.cpu_ns = thread->times.cpu_ns,
						.wait_ns = thread->times.wait_ns,
						.runq_ns = thread->times.runq_ns,
						.process = image && image->comm ? image->comm : "?",
						.serial = thread->serial };
	}
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
