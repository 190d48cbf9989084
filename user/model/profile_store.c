/* SPDX-License-Identifier: Apache-2.0 */
/* What the profile holds: made, found, freed, and asked for. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "model/profile_impl.h"

#define WANTS_MAX 65536

/* A busy application of 100 000 lines takes 2 to 4 MiB. */
#define BYTES_MAX (24u << 20)

/* Samples are of 16 bytes each, and 64 more while outputs are written: 160 MiB. 2 Mi of them are 22
 * minutes of 16 busy threads at 99 Hz. Of waits, at 40 bytes and twice 64, half as many are kept. */
#define TICKS_MAX (2u << 20)

struct profile *profile__new(void)
{
	struct profile *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->bytes_max = BYTES_MAX;
	p->tick_max = TICKS_MAX;
	return p;
}

void profile__limit_ticks(struct profile *p, uint32_t ticks_max)
{
	p->tick_max = ticks_max;
}

void profile__limit(struct profile *p, size_t bytes_max)
{
	p->bytes_max = bytes_max;
}

bool profile_room(struct profile *p, size_t bytes)
{
	if (p->bytes + bytes <= p->bytes_max)
		return true;
	p->full = true;
	return false;
}

static void image_free(struct image *image)
{
	free(image->command);
	free(image->comm);
	free(image->cwd);
	free(image->python);
	free(image);
}

static void code_free(struct code *code)
{
	if (code->decoded)
		code_done(&code->py);
	free(code->raw);
	free(code);
}

void profile__free(struct profile *p)
{
	struct image *image, *next_image;
	struct thread *thread, *next_thread;
	struct code *code, *next_code;
	struct node *node, *next_node;
	struct stack *stack, *next_stack;

	if (!p)
		return;
	HASH_ITER (hh, p->images, image, next_image) {
		HASH_DEL(p->images, image);
		image_free(image);
	}
	HASH_ITER (hh, p->threads, thread, next_thread) {
		HASH_DEL(p->threads, thread);
		free(thread->comm);
		free(thread->name);
		free(thread);
	}
	HASH_ITER (hh, p->codes, code, next_code) {
		HASH_DEL(p->codes, code);
		code_free(code);
	}
	HASH_ITER (hh, p->nodes, node, next_node) {
		HASH_DEL(p->nodes, node);
		free(node);
	}
	HASH_ITER (hh, p->stacks, stack, next_stack) {
		HASH_DEL(p->stacks, stack);
		free(stack);
	}
	free(p->ticks);
	free(p->wait_times);
	free(p->mode);
	free(p->wants[WANT_QUEUE_FIRST].wants);
	free(p->wants[WANT_QUEUE_NAMES].wants);
	free(p);
}

void profile_ask(struct profile *p, struct want want)
{
	struct want_queue *q =
		&p->wants[want.type == WANT_THREAD_NAME ? WANT_QUEUE_NAMES : WANT_QUEUE_FIRST];
	struct want *grown;
	uint32_t cap;

	if (q->next == q->cnt)
		q->next = q->cnt = 0;
	if (q->cnt == q->cap) {
		cap = q->cap ? q->cap * 2 : 64;
		grown = cap <= WANTS_MAX ? realloc(q->wants, cap * sizeof(*grown)) : NULL;
		if (!grown)
			return; /* asked again at the end */
		q->wants = grown;
		q->cap = cap;
	}
	q->wants[q->cnt++] = want;
}

/* Is the code object still unknown, or known in part? Most arrive right behind the stack that asked
 * for them. */
static bool code_wanted(struct profile *p, const struct want *want)
{
	struct code_id id = { want->code, want->image, want->check };
	struct code *code;

	HASH_FIND(hh, p->codes, &id, sizeof(id), code);
	if (!code || code->raw || code->asked || (code->decoded && !code_partial(&code->py)))
		return false;
	code->asked = true;
	return true;
}

bool profile__want(struct profile *p, struct want *ret_want)
{
	struct want_queue *q;

	for (q = p->wants; q < p->wants + WANT_QUEUES; q++)
		while (q->next < q->cnt) {
			*ret_want = q->wants[q->next++];
			if (ret_want->type != WANT_CODE || code_wanted(p, ret_want))
				return true;
		}
	return false;
}

struct image *profile_image(struct profile *p, uint32_t id, int32_t pid)
{
	struct image *image;

	HASH_FIND(hh, p->images, &id, sizeof(id), image);
	if (image)
		return image;
	image = calloc(1, sizeof(*image));
	if (!image)
		return NULL;
	image->id = id;
	image->pid = pid;
	image->start_ns = p->meta.start_ns;
	HASH_ADD(hh, p->images, id, sizeof(image->id), image);
	if (!image->hh.tbl) {
		free(image);
		return NULL;
	}
	p->bytes += sizeof(*image) + ENTRY_COST;
	return image;
}

bool profile__image_alive(const struct profile *p, uint32_t id)
{
	struct image *image;

	HASH_FIND(hh, p->images, &id, sizeof(id), image);
	return image && !image->gone;
}

bool profile__any_alive(const struct profile *p)
{
	const struct image *image;

	for (image = p->images; image; image = image->hh.next)
		if (!image->gone)
			return true;
	return false;
}

int profile__alive_each(struct profile *p, bool (*is_alive)(void *ctx, int32_t pid), void *ctx)
{
	struct image *image;
	int left = 0;

	for (image = p->images; image; image = image->hh.next) {
		if (image->gone)
			continue;
		if (is_alive(ctx, image->pid))
			left++;
		else
			image->gone = true;
	}
	return left;
}

uint32_t profile__image_parent(const struct profile *p, uint32_t id)
{
	struct image *image;

	HASH_FIND(hh, p->images, &id, sizeof(id), image);
	return image ? image->parent : 0;
}

bool profile__image_is_root(const struct profile *p, uint32_t id)
{
	struct image *image;

	HASH_FIND(hh, p->images, &id, sizeof(id), image);
	return image && (image->flags & RECORD_IMAGE_ROOT);
}

struct thread *profile_thread(struct profile *p, const struct ev_hdr *hdr)
{
	struct thread *thread;
	uint32_t serial = hdr->thread;

	HASH_FIND(hh, p->threads, &serial, sizeof(serial), thread);
	if (thread)
		return thread;
	thread = calloc(1, sizeof(*thread));
	if (!thread)
		return NULL;
	thread->serial = serial;
	thread->image = hdr->image;
	thread->tgid = hdr->tgid;
	thread->tid = hdr->tid;
	HASH_ADD(hh, p->threads, serial, sizeof(thread->serial), thread);
	if (!thread->hh.tbl) {
		free(thread);
		return NULL;
	}
	p->bytes += sizeof(*thread) + ENTRY_COST;
	return thread;
}

struct code *profile_code(struct profile *p, struct code_id id)
{
	struct code *code;

	HASH_FIND(hh, p->codes, &id, sizeof(id), code);
	if (code)
		return code;
	code = calloc(1, sizeof(*code));
	if (!code)
		return NULL;
	code->id = id;
	HASH_ADD(hh, p->codes, id, sizeof(code->id), code);
	if (!code->hh.tbl) {
		free(code);
		return NULL;
	}
	p->bytes += sizeof(*code) + ENTRY_COST;
	return code;
}

struct node *profile_node(struct profile *p, struct node *up, struct code *code, uint32_t lasti)
{
	struct node_id id = { .up = up, .code = code, .lasti = lasti };
	struct node *node;

	HASH_FIND(hh, p->nodes, &id, sizeof(id), node);
	if (node)
		return node;
	node = calloc(1, sizeof(*node));
	if (!node)
		return NULL;
	node->id = id;
	HASH_ADD(hh, p->nodes, id, sizeof(node->id), node);
	if (!node->hh.tbl) {
		free(node);
		return NULL;
	}
	p->bytes += sizeof(*node) + ENTRY_COST;
	return node;
}

static bool alive(struct profile *p, uint32_t id, struct image **ret_image)
{
	HASH_FIND(hh, p->images, &id, sizeof(id), *ret_image);
	return *ret_image && !(*ret_image)->gone;
}

void profile__want_again(struct profile *p)
{
	struct thread *thread;
	struct image *image;
	struct code *code;

	p->ending = true;
	/* what still waits is asked here, if it can still be answered */
	p->wants[WANT_QUEUE_NAMES].next = p->wants[WANT_QUEUE_NAMES].cnt = 0;
	for (thread = p->threads; thread; thread = thread->hh.next) {
		if (thread->name || thread->ended || !alive(p, thread->image, &image))
			continue;
		profile_ask(p, (struct want){ .type = WANT_THREAD_NAME,
					      .image = thread->image,
					      .pid = thread->tgid,
					      .thread = thread->serial,
					      .tid = thread->tid,
					      .thread_id = thread->thread_id });
	}
	for (code = p->codes; code; code = code->hh.next) {
		if (code->raw || !code->id.check || (code->decoded && !code_partial(&code->py)) ||
		    !alive(p, code->id.image, &image))
			continue;
		code->asked = false;
		profile_ask(p, (struct want){ .type = WANT_CODE,
					      .image = image->id,
					      .pid = image->pid,
					      .code = code->id.code,
					      .check = code->id.check });
	}
}

bool profile__ending(const struct profile *p)
{
	return p->ending;
}

uint64_t profile__samples(const struct profile *p)
{
	return p->samples;
}

bool profile__has_timeline(const struct profile *p)
{
	return p->timeline;
}

uint32_t profile__stacks(const struct profile *p)
{
	return HASH_COUNT(p->stacks);
}

void profile__counted(const struct profile *p, uint64_t *ret_samples, uint64_t *ret_waits)
{
	*ret_samples = p->samples + p->samples_orphan + p->samples_full;
	*ret_waits = p->waits + p->waits_orphan;
}

static void string_add(struct buf *record, const char *text)
{
	uint32_t len = text ? strlen(text) : 0;

	buf_add(record, &len, sizeof(len));
	buf_add(record, text ? text : "", len);
}

static int image_tell(const struct image *image,
		      int (*put)(void *ctx, enum record_type type, const void *data, size_t len),
		      void *ctx)
{
	struct record_image r = { .image = image->id,
				  .pid = image->pid,
				  .flags = image->flags,
				  .hex = image->hex,
				  .lines = image->abi.lines,
				  .str_kind_shift = image->abi.str_kind_shift,
				  .off = image->abi.off };
	struct ev_fork fork = { .hdr = { .kind = EV_FORK,
					 .size = sizeof(fork),
					 .image = image->id,
					 .tgid = image->pid,
					 .tid = image->pid } };
	struct ev_exit gone = { .hdr = { .kind = EV_EXIT,
					 .size = sizeof(gone),
					 .image = image->id,
					 .tgid = image->pid,
					 .tid = image->pid } };
	struct record_tasks tasks = { .image = image->id,
				      .flags = image->tasks_refused ? RECORD_TASKS_REFUSED : 0 };
	struct buf record;
	int err;

	if (!image->known) {
		/* nothing is known yet but that it is there: it is asked for anew */
		err = put(ctx, RECORD_RING, &fork, sizeof(fork));
	} else {
		buf_init(&record, sizeof(r) + 4 * (RECORD_STRING_MAX + sizeof(uint32_t)));
		buf_add(&record, &r, sizeof(r));
		string_add(&record, image->command);
		string_add(&record, image->comm);
		string_add(&record, image->cwd);
		string_add(&record, image->python);
		err = record.err ? record.err : put(ctx, RECORD_IMAGE, record.data, record.len);
		buf_done(&record);
	}
	if (!err && image->tasks_told)
		err = put(ctx, RECORD_TASKS, &tasks, sizeof(tasks));
	return err || !image->gone ? err : put(ctx, RECORD_RING, &gone, sizeof(gone));
}

int profile__images_tell(const struct profile *p, bool (*needed)(void *ctx, uint32_t image),
			 int (*put)(void *ctx, enum record_type type, const void *data, size_t len),
			 void *ctx)
{
	const struct image *image;
	int err = 0;

	for (image = p->images; image && !err; image = image->hh.next)
		if (!image->gone || needed(ctx, image->id))
			err = image_tell(image, put, ctx);
	return err;
}
