/* SPDX-License-Identifier: Apache-2.0 */
#include "model/keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "events.h"
#include "model/decode.h"

struct raw {
	enum record_type type;
	void *data; /* NULL: none */
	size_t len;
};

struct kept_stack {
	struct {
		uint64_t hash;
		uint32_t thread, image;
	} id;
	struct raw raw;
	bool wanted; /* came since the cut began, or is held */
	UT_hash_handle hh;
};

struct kept_thread {
	uint32_t serial, image;
	struct raw raw, name;
	bool wanted; /* came since the cut began, lives, or has a stack that is kept */
	UT_hash_handle hh;
};

struct kept_code {
	struct code_key key;
	struct raw raw, more; /* as it came along, and as it was read from memory */
	bool told;            /* this part has it */
	UT_hash_handle hh;
};

struct keep {
	struct kept_stack *stacks;
	struct kept_thread *threads;
	struct kept_code *codes;
	size_t bytes;
};

struct keep *keep__new(void)
{
	return calloc(1, sizeof(struct keep));
}

static void raw_drop(struct keep *k, struct raw *raw)
{
	if (raw->data)
		k->bytes -= raw->len;
	free(raw->data);
	raw->data = NULL;
}

static int raw_set(struct keep *k, struct raw *raw, enum record_type type, const void *data,
		   size_t len)
{
	void *copy = malloc(len);

	if (!copy)
		return -ENOMEM;
	raw_drop(k, raw);
	memcpy(copy, data, len);
	*raw = (struct raw){ type, copy, len };
	k->bytes += len;
	return 0;
}

static void stack_drop(struct keep *k, struct kept_stack *stack)
{
	HASH_DEL(k->stacks, stack);
	raw_drop(k, &stack->raw);
	k->bytes -= sizeof(*stack);
	free(stack);
}

static void thread_drop(struct keep *k, struct kept_thread *thread)
{
	HASH_DEL(k->threads, thread);
	raw_drop(k, &thread->raw);
	raw_drop(k, &thread->name);
	k->bytes -= sizeof(*thread);
	free(thread);
}

static void code_drop(struct keep *k, struct kept_code *code)
{
	HASH_DEL(k->codes, code);
	raw_drop(k, &code->raw);
	raw_drop(k, &code->more);
	k->bytes -= sizeof(*code);
	free(code);
}

void keep__free(struct keep *k)
{
	struct kept_stack *stack, *next_stack;
	struct kept_thread *thread, *next_thread;
	struct kept_code *code, *next_code;

	if (!k)
		return;
	HASH_ITER (hh, k->stacks, stack, next_stack)
		stack_drop(k, stack);
	HASH_ITER (hh, k->threads, thread, next_thread)
		thread_drop(k, thread);
	HASH_ITER (hh, k->codes, code, next_code)
		code_drop(k, code);
	free(k);
}

static bool room(const struct keep *k, size_t len)
{
	return k->bytes + len <= KEEP_BYTES_MAX;
}

static int see_stack(struct keep *k, const struct ev_stack *ev, const void *data, size_t len)
{
	struct kept_stack *stack, key = {};

	key.id.hash = ev->hash;
	key.id.thread = ev->hdr.thread;
	key.id.image = ev->hdr.image;
	HASH_FIND(hh, k->stacks, &key.id, sizeof(key.id), stack);
	if (!stack) {
		if (!room(k, len + sizeof(*stack)))
			return 0;
		stack = calloc(1, sizeof(*stack));
		if (!stack)
			return -ENOMEM;
		stack->id = key.id;
		HASH_ADD(hh, k->stacks, id, sizeof(stack->id), stack);
		if (!stack->hh.tbl) {
			free(stack);
			return -ENOMEM;
		}
		k->bytes += sizeof(*stack);
	}
	stack->wanted = true;
	return stack->raw.data ? 0 : raw_set(k, &stack->raw, RECORD_RING, data, len);
}

static int see_thread(struct keep *k, const struct ev_hdr *hdr, const void *data, size_t len)
{
	struct kept_thread *thread;

	HASH_FIND(hh, k->threads, &hdr->thread, sizeof(hdr->thread), thread);
	if (!thread) {
		if (!room(k, len + sizeof(*thread)))
			return 0;
		thread = calloc(1, sizeof(*thread));
		if (!thread)
			return -ENOMEM;
		thread->serial = hdr->thread;
		thread->image = hdr->image;
		HASH_ADD(hh, k->threads, serial, sizeof(thread->serial), thread);
		if (!thread->hh.tbl) {
			free(thread);
			return -ENOMEM;
		}
		k->bytes += sizeof(*thread);
	}
	thread->wanted = true;
	return raw_set(k, &thread->raw, RECORD_RING, data, len);
}

/* A code object, or a task's name: that has a hash for an address, and no check. */
static int see_code(struct keep *k, enum record_type type, struct code_key key, const void *data,
		    size_t len)
{
	struct kept_code *code;

	HASH_FIND(hh, k->codes, &key, sizeof(key), code);
	if (!code) {
		if (!room(k, len + sizeof(*code)))
			return 0;
		code = calloc(1, sizeof(*code));
		if (!code)
			return -ENOMEM;
		code->key = key;
		HASH_ADD(hh, k->codes, key, sizeof(code->key), code);
		if (!code->hh.tbl) {
			free(code);
			return -ENOMEM;
		}
		k->bytes += sizeof(*code);
	}
	code->told = true;
	return raw_set(k, type == RECORD_CODE ? &code->more : &code->raw, type, data, len);
}

static int see_name(struct keep *k, const void *data, size_t len)
{
	const struct record_thread *r = data;
	struct kept_thread *thread;

	if (len < sizeof(*r))
		return 0;
	HASH_FIND(hh, k->threads, &r->thread, sizeof(r->thread), thread);
	return thread ? raw_set(k, &thread->name, RECORD_THREAD_NAME, data, len) : 0;
}

static struct code_key code_key_of(const struct ev_code *ev)
{
	return (struct code_key){ .code = ev->code, .image = ev->hdr.image, .check = ev->check };
}

int keep__see(struct keep *k, enum record_type type, const void *data, size_t len)
{
	struct code_key key;
	struct event ev;

	if (type == RECORD_THREAD_NAME)
		return see_name(k, data, len);
	if (type == RECORD_CODE)
		return code_record_decode(data, len, &ev)
			       ? 0
			       : see_code(k, type, code_key_of(ev.code), data, len);
	if (type != RECORD_RING || event_decode(data, len, &ev))
		return 0;
	switch (ev.hdr->kind) {
	case EV_STACK:
		return see_stack(k, ev.stack, data, len);
	case EV_THREAD:
		return see_thread(k, ev.hdr, data, len);
	case EV_CODE:
		return see_code(k, type, code_key_of(ev.code), data, len);
	case EV_TASK:
		key = (struct code_key){ .code = ev.task->hash, .image = ev.hdr->image };
		return see_code(k, type, key, data, len);
	}
	return 0;
}

static int raw_put(const struct raw *raw, keep_put_fn put, void *ctx)
{
	return raw->data ? put(ctx, raw->type, raw->data, raw->len) : 0;
}

int keep__codes(struct keep *k, enum record_type type, const void *data, size_t len,
		keep_put_fn put, void *ctx)
{
	struct kept_code *code;
	struct code_key key;
	struct event ev;
	uint32_t i;
	int err = 0;

	if (type != RECORD_RING || event_decode(data, len, &ev) || ev.hdr->kind != EV_STACK)
		return 0;
	for (i = 0; i < ev.stack->frame_cnt && !err; i++) {
		key = (struct code_key){ .code = ev.stack->frames[i].code,
					 .image = ev.hdr->image,
					 .check = ev.stack->frames[i].check };
		HASH_FIND(hh, k->codes, &key, sizeof(key), code);
		if (!code || code->told)
			continue;
		code->told = true;
		err = raw_put(&code->raw, put, ctx);
		if (!err)
			err = raw_put(&code->more, put, ctx);
	}
	return err;
}

void keep__begin(struct keep *k)
{
	struct kept_thread *thread;
	struct kept_stack *stack;

	for (stack = k->stacks; stack; stack = stack->hh.next)
		stack->wanted = false;
	for (thread = k->threads; thread; thread = thread->hh.next)
		thread->wanted = false;
}

void keep__lives(struct keep *k, uint32_t serial)
{
	struct kept_thread *thread;

	HASH_FIND(hh, k->threads, &serial, sizeof(serial), thread);
	if (thread)
		thread->wanted = true;
}

void keep__holds(struct keep *k, uint32_t thread, uint32_t image, uint64_t hash)
{
	struct kept_stack *stack, key = {};

	key.id.hash = hash;
	key.id.thread = thread;
	key.id.image = image;
	HASH_FIND(hh, k->stacks, &key.id, sizeof(key.id), stack);
	if (stack)
		stack->wanted = true;
}

void keep__drop(struct keep *k, void (*forget)(void *ctx, const struct code_key *key), void *ctx)
{
	struct kept_stack *stack, *next_stack;
	struct kept_thread *thread, *next_thread;
	struct kept_code *code, *next_code;

	HASH_ITER (hh, k->stacks, stack, next_stack) {
		if (stack->wanted)
			keep__lives(k, stack->id.thread);
		else
			stack_drop(k, stack);
	}
	HASH_ITER (hh, k->threads, thread, next_thread)
		if (!thread->wanted)
			thread_drop(k, thread);
	HASH_ITER (hh, k->codes, code, next_code) {
		if (!code->told) {
			forget(ctx, &code->key);
			code_drop(k, code);
			continue;
		}
		code->told = false;
	}
}

bool keep__image(const struct keep *k, uint32_t image)
{
	const struct kept_thread *thread;

	for (thread = k->threads; thread; thread = thread->hh.next)
		if (thread->image == image)
			return true;
	return false;
}

int keep__tell(struct keep *k, keep_put_fn put, void *ctx)
{
	struct kept_thread *thread;
	struct kept_stack *stack;
	int err = 0;

	for (thread = k->threads; thread && !err; thread = thread->hh.next) {
		err = raw_put(&thread->raw, put, ctx);
		if (!err)
			err = raw_put(&thread->name, put, ctx);
	}
	for (stack = k->stacks; stack && !err; stack = stack->hh.next) {
		err = raw_put(&stack->raw, put, ctx);
		if (!err)
			err = keep__codes(k, stack->raw.type, stack->raw.data, stack->raw.len, put,
					  ctx);
	}
	return err;
}
