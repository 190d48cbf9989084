/* SPDX-License-Identifier: Apache-2.0 */
#include "model/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "model/decode.h"
#include "model/profile_impl.h"

/* What frames of a stack cost at most: a node, and a code object that is new too. */
#define FRAME_COST (sizeof(struct node) + sizeof(struct code) + 2 * ENTRY_COST)

/* Code objects that stacks already name may take a little more than the limit: a name is worth more
 * than the next stack. */
#define CODE_MORE(p) ((p)->bytes_max / 8)

static struct image *image_find(struct profile *p, uint32_t id)
{
	struct image *image;

	HASH_FIND(hh, p->images, &id, sizeof(id), image);
	return image;
}

/* An image for a fork, exec or answer; NULL: out of memory, or (0 in *ret_err) the profile is full. */
static struct image *image_new(struct profile *p, uint32_t id, int32_t pid, int *ret_err)
{
	struct image *image = image_find(p, id);

	*ret_err = 0;
	if (image)
		return image;
	if (!profile_room(p, sizeof(*image) + ENTRY_COST)) {
		p->images_full++;
		return NULL;
	}
	image = profile_image(p, id, pid);
	if (!image)
		*ret_err = -ENOMEM;
	return image;
}

static int image_ask(struct profile *p, const struct image *image)
{
	profile_ask(p, (struct want){ .type = WANT_IMAGE, .image = image->id, .pid = image->pid });
	return 0;
}

/* An image that no fork, exec or answer announced (its event was lost): ask who it is. */
static struct image *image_seen(struct profile *p, const struct ev_hdr *hdr)
{
	uint32_t before = HASH_COUNT(p->images);
	struct image *image = profile_image(p, hdr->image, hdr->tgid);

	if (image && HASH_COUNT(p->images) != before)
		image_ask(p, image);
	return image;
}

/* When it began, of this recording. */
static void image_begins(const struct profile *p, struct image *image, const struct ev_hdr *hdr)
{
	image->start_ns = hdr->ts_ns > p->meta.start_ns ? hdr->ts_ns : p->meta.start_ns;
}

static int stack_apply(struct profile *p, const struct ev_stack *ev)
{
	struct stack_id id = { .hash = ev->hash, .thread = ev->hdr.thread, .image = ev->hdr.image };
	struct node *node = NULL;
	struct image *image;
	struct stack *stack;
	struct code *code;
	uint32_t i;

	HASH_FIND(hh, p->stacks, &id, sizeof(id), stack);
	if (stack)
		return 0; /* sent anew after a drain */
	/* counted as if nothing of it were known: how much is would take a walk to tell */
	if (p->full || !profile_room(p, sizeof(*image) + sizeof(struct thread) + sizeof(*stack) +
						3 * ENTRY_COST + ev->frame_cnt * FRAME_COST))
		return 0; /* its counts are lost, and counted there */
	image = image_seen(p, &ev->hdr);
	if (!image || !profile_thread(p, &ev->hdr))
		return -ENOMEM;
	if ((ev->flags & EV_STACK_NO_IMAGE) && (image->flags & RECORD_IMAGE_PYTHON) &&
	    image->parent && !image->asked) {
		/* forked before its parent's interpreter was found, told of after it was: the
		 * kernel side does not know what was concluded here */
		image->asked = true;
		image_ask(p, image);
	}
	for (i = ev->frame_cnt; i-- > 0;) {
		if (!ev->frames[i].code && ev->frames[i].lasti < EV_TASK_NAMED) {
			node = profile_node(p, node, NULL, ev->frames[i].check);
			if (!node)
				return -ENOMEM;
			continue;
		}
		code = profile_code(p, (struct code_id){ ev->frames[i].code, ev->hdr.image,
							 ev->frames[i].check });
		if (!code)
			return -ENOMEM;
		if (code->id.check && !code->decoded && !code->raw && !code->asked)
			profile_ask(p, (struct want){ .type = WANT_CODE,
						      .image = ev->hdr.image,
						      .pid = ev->hdr.tgid,
						      .code = ev->frames[i].code,
						      .check = ev->frames[i].check });
		node = profile_node(p, node, code, ev->frames[i].lasti);
		if (!node)
			return -ENOMEM;
	}
	stack = calloc(1, sizeof(*stack));
	if (!stack)
		return -ENOMEM;
	stack->id = id;
	stack->flags = ev->flags;
	stack->leaf = node;
	stack->wait = ev->wait;
	stack->number = HASH_COUNT(p->stacks);
	HASH_ADD(hh, p->stacks, id, sizeof(stack->id), stack);
	if (!stack->hh.tbl) {
		free(stack);
		return -ENOMEM;
	}
	p->bytes += sizeof(*stack) + ENTRY_COST;
	return 0;
}

/* A code object's parts come once more, from memory, because some had been out of reach. */
static void code_again(struct profile *p, struct code *code, const struct image *image,
		       const struct event *ev)
{
	size_t before = code->py.lines_len;
	struct py_code fresh;

	if (!code_partial(&code->py) || code_decode(&image->abi, &ev->raw, &fresh))
		return;
	code_merge(&code->py, &fresh);
	code_done(&fresh);
	p->bytes += code->py.lines_len - before;
}

static void code_ask(struct profile *p, const struct image *image, const struct code *code)
{
	profile_ask(p, (struct want){ .type = WANT_CODE,
				      .image = image->id,
				      .pid = image->pid,
				      .code = code->id.code,
				      .check = code->id.check });
}

/* Decodes a code object's parts, now or, if its image is not known yet, when that is. */
static int code_apply(struct profile *p, const struct event *ev, const void *data, size_t len)
{
	struct code_id id = { ev->code->code, ev->hdr->image, ev->code->check };
	struct image *image;
	struct code *code;
	int err;

	HASH_FIND(hh, p->codes, &id, sizeof(id), code);
	/* of one that no stack names nothing is kept, once the profile is full */
	if ((p->full && !code) || p->bytes + len > p->bytes_max + CODE_MORE(p))
		return 0;
	code = profile_code(p, id);
	image = image_seen(p, ev->hdr);
	if (!code || !image)
		return -ENOMEM;
	if (code->decoded) {
		code_again(p, code, image, ev);
		return 0;
	}
	if (!image->known || !(image->flags & RECORD_IMAGE_PYTHON)) {
		if (code->raw)
			return 0;
		code->raw = malloc(len);
		if (!code->raw)
			return -ENOMEM;
		memcpy(code->raw, data, len);
		code->raw_len = len;
		p->bytes += len;
		return 0;
	}
	err = code_decode(&image->abi, &ev->raw, &code->py);
	if (err == -ENOMEM)
		return err;
	code->decoded = !err;
	code->failed = err;
	p->bytes += len;
	if (!err && code_partial(&code->py) && !code->asked)
		code_ask(p, image, code);
	return 0;
}

static void thread_ended(struct profile *p, uint32_t serial)
{
	struct thread *thread;

	HASH_FIND(hh, p->threads, &serial, sizeof(serial), thread);
	if (thread)
		thread->ended = true;
}

static int thread_apply(struct profile *p, const struct ev_thread *ev)
{
	struct thread *thread;
	struct buf comm;

	if (!p->first_ns)
		p->first_ns = ev->hdr.ts_ns;
	if (p->full || !profile_room(p, sizeof(struct image) + sizeof(*thread) + 2 * ENTRY_COST))
		return 0; /* its samples are lost with their stacks */
	if (!image_seen(p, &ev->hdr))
		return -ENOMEM;
	thread = profile_thread(p, &ev->hdr);
	if (!thread)
		return -ENOMEM;
	thread->thread_id = ev->thread_id;
	if (!thread->comm) {
		buf_init(&comm, 64);
		text_clean(&comm, ev->comm, strnlen(ev->comm, sizeof(ev->comm)));
		thread->comm = strdup(buf_text(&comm));
		buf_done(&comm);
	}
	profile_ask(p, (struct want){ .type = WANT_THREAD_NAME,
				      .image = ev->hdr.image,
				      .pid = ev->hdr.tgid,
				      .thread = thread->serial,
				      .tid = thread->tid,
				      .thread_id = thread->thread_id });
	return thread->comm ? 0 : -ENOMEM;
}

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

static size_t image_strings(const struct image *image)
{
	const char *const texts[] = { image->command, image->comm, image->cwd, image->python };
	size_t sum = 0, i;

	for (i = 0; i < 4; i++)
		sum += texts[i] ? strlen(texts[i]) + 1 : 0;
	return sum;
}

static int fork_apply(struct profile *p, const struct ev_fork *ev)
{
	struct image *image, *parent;
	int err;

	image = image_new(p, ev->hdr.image, ev->hdr.tgid, &err);
	if (!image)
		return err;
	parent = image_find(p, ev->parent_image);
	image->parent = ev->parent_image;
	if (!image->known && parent && parent->known) {
		image->known = true;
		image->flags = parent->flags & ~RECORD_IMAGE_ROOT;
		image->hex = parent->hex;
		image->abi = parent->abi;
		image->command = copy(parent->command);
		image->comm = copy(parent->comm);
		image->cwd = copy(parent->cwd);
		image->python = copy(parent->python);
		p->bytes += image_strings(image);
	}
	image_begins(p, image, &ev->hdr);
	if (parent) {
		image->tasks_told = parent->tasks_told;
		image->tasks_refused = parent->tasks_refused;
	}
	/* its parent's interpreter may be found only after this, and its own is then to be looked
	 * for: nothing else will announce it */
	return image->flags & RECORD_IMAGE_PYTHON ? 0 : image_ask(p, image);
}

static int exec_apply(struct profile *p, const struct ev_exec *ev)
{
	struct image *old = image_find(p, ev->old_image), *image;
	int err;

	if (old) {
		old->gone = true;
		old->replaced_by = ev->hdr.image;
	}
	image = image_new(p, ev->hdr.image, ev->hdr.tgid, &err);
	if (!image)
		return err;
	if (old)
		image->flags = old->flags & RECORD_IMAGE_ROOT;
	image_begins(p, image, &ev->hdr);
	return image_ask(p, image);
}

static int exit_apply(struct profile *p, const struct ev_exit *ev)
{
	struct image *image;
	int err;

	image = image_new(p, ev->hdr.image, ev->hdr.tgid, &err);
	if (image)
		image->gone = true;
	return err;
}

static int ring_apply(struct profile *p, const void *data, size_t len, struct err *err)
{
	struct event ev;

	if (event_decode(data, len, &ev)) {
		/* said by the kernel side's own programs, so a bug; counted, and shown */
		p->events_refused++;
		return 0;
	}
	switch (ev.hdr->kind) {
	case EV_STACK:
		return stack_apply(p, ev.stack);
	case EV_CODE:
		return code_apply(p, &ev, data, len);
	case EV_THREAD:
		return thread_apply(p, ev.thread);
	case EV_FORK:
		return fork_apply(p, ev.fork);
	case EV_EXEC:
		return exec_apply(p, ev.exec);
	case EV_EXIT:
		return exit_apply(p, ev.exit);
	case EV_TIMES:
		thread_ended(p, ev.hdr->thread);
		return profile_times(p, ev.hdr->thread, &ev.times->times);
	case EV_TICK:
		return profile_tick(p, ev.tick);
	case EV_WAIT:
		return profile_wait_time(p, ev.wait);
	case EV_TASK:
		return profile_task(p, ev.task);
	case EV_FUNC:
	case EV_CALL:
	case EV_RAISE:
		p->events_refused++; /* a trace's (model/calls.h), which keeps them from here */
		return 0;
	}
	return 0;
}

/* Code objects that came before their image was known. */
static int codes_decode(struct profile *p, const struct image *image)
{
	struct code *code, *next;
	struct event ev;
	int err;

	HASH_ITER (hh, p->codes, code, next) {
		if (code->id.image != image->id || !code->raw || code->decoded)
			continue;
		err = code_record_decode(code->raw, code->raw_len, &ev);
		if (!err)
			err = code_decode(&image->abi, &ev.raw, &code->py);
		if (err == -ENOMEM)
			return err;
		code->decoded = !err;
		code->failed = err;
		free(code->raw);
		code->raw = NULL;
		if (!err && code_partial(&code->py))
			code_ask(p, image, code);
	}
	return 0;
}

static bool image_holds(const struct record_image *r)
{
	if (!r->image || (r->flags & ~RECORD_IMAGE_ALL) || r->lines > PY_LINES_ENTRIES ||
	    r->str_kind_shift > 24)
		return false;
#define X(field, group, what)          \
	if (r->off.field > (1u << 20)) \
		return false;
	PY_OFFSETS(X)
#undef X
	return true;
}

static int image_apply(struct profile *p, const void *data, size_t len)
{
	const struct record_image *r = data;
	const uint8_t *at = (const uint8_t *)data + sizeof(*r);
	char *text[4] = {};
	struct image *image;
	size_t left, i;
	int err = -EINVAL;

	if (len < sizeof(*r) || !image_holds(r))
		return -EINVAL;
	left = len - sizeof(*r);
	for (i = 0; i < 4; i++) {
		text[i] = record_string(&at, &left);
		if (!text[i])
			goto out;
	}
	if (left)
		goto out;
	image = image_new(p, r->image, r->pid, &err);
	if (!image)
		goto out;
	p->bytes -= image_strings(image);
	image->known = true;
	image->pid = r->pid;
	image->flags = r->flags;
	image->hex = r->hex;
	image->abi = (struct py_abi){ .major = r->hex >> 24,
				      .minor = (r->hex >> 16) & 0xff,
				      .off = r->off,
				      .lines = r->lines,
				      .str_kind_shift = r->str_kind_shift };
	free(image->command);
	free(image->comm);
	free(image->cwd);
	free(image->python);
	image->command = text[0];
	image->comm = text[1];
	image->cwd = text[2];
	image->python = text[3];
	memset(text, 0, sizeof(text));
	p->bytes += image_strings(image);
	err = image->flags & RECORD_IMAGE_PYTHON ? codes_decode(p, image) : 0;
out:
	for (i = 0; i < 4; i++)
		free(text[i]);
	return err;
}

static int thread_name_apply(struct profile *p, const void *data, size_t len)
{
	const struct record_thread *r = data;
	const uint8_t *at = (const uint8_t *)data + sizeof(*r);
	struct thread *thread;
	size_t left;
	char *name;

	if (len < sizeof(*r) || (r->flags & ~RECORD_THREAD_NOT_READ))
		return -EINVAL;
	left = len - sizeof(*r);
	name = record_string(&at, &left);
	if (!name || left) {
		free(name);
		return -EINVAL;
	}
	HASH_FIND(hh, p->threads, &r->thread, sizeof(r->thread), thread);
	if (!thread) {
		free(name);
		return -EINVAL;
	}
	if (r->flags & RECORD_THREAD_NOT_READ) {
		thread->not_read = true;
		free(name);
		return 0;
	}
	p->bytes += strlen(name) + 1;
	free(thread->name);
	thread->name = name;
	return 0;
}

static int meta_apply(struct profile *p, const void *data, size_t len, struct err *err)
{
	const struct record_meta *r = data;
	const uint8_t *at = (const uint8_t *)data + sizeof(*r);
	size_t left;

	if (len < sizeof(*r) || p->has_meta)
		return -EINVAL;
	if (r->format != RECORD_FORMAT)
		return err_set(err, -EINVAL, "its format is %u, and this uncoil reads %u",
			       r->format, RECORD_FORMAT);
	if (r->mode == RECORD_CALLS && !p->calls)
		return err_set(err, -EINVAL, "it is a trace of calls, not a profile");
	if (r->mode >= RECORD_MODE_MAX && r->mode != RECORD_CALLS)
		return -EINVAL;
	left = len - sizeof(*r);
	p->mode = record_string(&at, &left);
	if (!p->mode || left)
		return -EINVAL;
	p->meta = *r;
	p->has_meta = true;
	return 0;
}

int profile__apply(struct profile *p, enum record_type type, const void *data, size_t len,
		   struct err *err)
{
	int code = -EINVAL;
	struct event ev;

	err_set(err, 0, "%s", "");
	if (!p->has_meta && type != RECORD_META)
		return err_set(err, -EINVAL, "it does not begin with what was recorded, and how");
	switch (type) {
	case RECORD_META:
		code = meta_apply(p, data, len, err);
		break;
	case RECORD_RING:
		code = ring_apply(p, data, len, err);
		break;
	case RECORD_COUNTS:
		if (len % sizeof(struct record_count) == 0)
			code = profile_counts(p, data, len / sizeof(struct record_count));
		break;
	case RECORD_IMAGE:
		code = image_apply(p, data, len);
		break;
	case RECORD_THREAD_NAME:
		code = thread_name_apply(p, data, len);
		break;
	case RECORD_CODE:
		if (!code_record_decode(data, len, &ev))
			code = code_apply(p, &ev, data, len);
		break;
	case RECORD_TIMES:
		if (len % sizeof(struct record_times) == 0)
			code = profile_times_list(p, data, len / sizeof(struct record_times));
		break;
	case RECORD_TIMES_BEFORE:
		if (len % sizeof(struct record_times) == 0)
			code = profile_times_before(p, data, len / sizeof(struct record_times));
		break;
	case RECORD_STATS:
		if (len == sizeof(p->stats)) {
			memcpy(&p->stats, data, sizeof(p->stats));
			p->has_stats = true;
			code = 0;
		}
		break;
	case RECORD_END:
		code = len || !p->has_stats ? -EINVAL : 0;
		break;
	case RECORD_ASYNC:
		p->async = true;
		code = len ? -EINVAL : 0;
		break;
	case RECORD_TASKS:
		if (len == sizeof(struct record_tasks))
			code = profile_tasks_told(p, data);
		break;
	case RECORD_TIMELINE:
		p->timeline = true;
		code = len ? -EINVAL : 0;
		break;
	case RECORD_OVERHEAD:
		if (len == sizeof(p->overhead)) {
			memcpy(&p->overhead, data, sizeof(p->overhead));
			p->has_overhead = true;
			code = 0;
		}
		break;
	case RECORD_TRACE: /* a trace's */
	case RECORD_MODULE:
	case RECORD_SUMS:
	case RECORD_EDGES:
	case RECORD_TRACE_STATS:
	case RECORD_TRACE_ACCOUNT:
	case RECORD_NONE:
	case RECORD_MAX:
		break;
	}
	if (code == -EINVAL &&
	    (type == RECORD_IMAGE || type == RECORD_THREAD_NAME || type == RECORD_CODE)) {
		/* what a hostile process made of an answer must not end the recording of the others;
		 * the same in a replay, so that it says the same */
		p->answers_refused++;
		code = 0;
	}
	if (code == -EINVAL && err && !err->msg[0])
		err_set(err, code, "a record of type %d does not hold", type);
	else if (code == -ENOMEM)
		err_set(err, code, "out of memory");
	return code;
}
