/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of a trace: their names, their modules, and whether they are wanted. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/calls_impl.h"
#include "model/files.h"

#define NOT_READ "[name not read]"

struct func *calls_func(struct calls *c, uint32_t number)
{
	return number && number <= c->func_cap ? c->funcs[number - 1] : NULL;
}

static int queue_add(struct queue *q, uint32_t number)
{
	uint32_t *grown, cap;

	if (q->next == q->cnt)
		q->next = q->cnt = 0;
	if (q->cnt == q->cap) {
		cap = q->cap ? 2 * q->cap : 64;
		grown = realloc(q->numbers, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		q->numbers = grown;
		q->cap = cap;
	}
	q->numbers[q->cnt++] = number;
	return 0;
}

static int funcs_room(struct calls *c, uint32_t number)
{
	uint32_t cap = c->func_cap ? c->func_cap : 256;
	struct func **grown;

	while (cap < number)
		cap *= 2;
	if (cap == c->func_cap)
		return 0;
	grown = realloc(c->funcs, cap * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	memset(grown + c->func_cap, 0, (cap - c->func_cap) * sizeof(*grown));
	c->funcs = grown;
	c->func_cap = cap;
	return 0;
}

int calls_func_add(struct calls *c, const struct ev_func *ev)
{
	struct func *f;

	/* its number is a word from a journal too: one that was had already changes nothing */
	if (ev->func > CALL_FUNCS_MAX || calls_func(c, ev->func)) {
		c->refused++;
		return 0;
	}
	if (funcs_room(c, ev->func))
		return -ENOMEM;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->pub = (struct call_func){ .number = ev->func,
				     .pid = ev->hdr.tgid,
				     .name = NOT_READ,
				     .module = "",
				     .file = "",
				     .path = "",
				     .kind = ev->kind };
	f->image = ev->hdr.image;
	f->code_at = ev->code;
	f->globals = ev->globals;
	c->funcs[ev->func - 1] = f;
	c->func_cnt++;
	return queue_add(&c->wants, ev->func);
}

static int replace(char **to, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

int calls_func_known(struct calls *c, struct func *f)
{
	struct code_id id = { f->code_at, f->image, f->pub.number };
	const struct py_code *py;
	enum frame_kind kind;

	if (!f->code)
		HASH_FIND(hh, c->profile->codes, &id, sizeof(id), f->code);
	if (!f->of)
		HASH_FIND(hh, c->profile->images, &f->image, sizeof(f->image), f->of);
	if (!f->code || !f->code->decoded || !f->of)
		return 0;
	py = &f->code->py;
	if (py->name == f->from_name && py->filename == f->from_path)
		return 0;
	if (replace(&f->name, py->name) || replace(&f->path, py->filename))
		return -ENOMEM;
	f->from_name = py->name;
	f->from_path = py->filename;
	f->pub.name = f->name;
	f->pub.path = f->path;
	f->pub.file = file_shown(f->path, f->of->cwd, &kind);
	f->pub.line = py->firstlineno > 0 ? py->firstlineno : 0;
	return 0;
}

/* Asks once, and remembers. */
static void decide(struct calls *c, struct func *f)
{
	f->decided = true;
	f->kept = !c->told.keep || c->told.keep(c->told.keep_ctx, &f->pub);
	/* one that does not get into the queue stays as it is to the kernel side: still traced, and
	 * left out here */
	if (c->told.keep)
		queue_add(&c->decisions, f->pub.number);
}

bool calls_kept(struct calls *c, struct func *f)
{
	if (!f->decided)
		decide(c, f);
	return f->kept;
}

static int decide_early(struct calls *c, struct func *f)
{
	int err = calls_func_known(c, f);

	if (!err && !f->decided && f->name && f->module_told)
		decide(c, f);
	return err;
}

int calls_code_came(struct calls *c, uint32_t image, uint64_t code, uint32_t check)
{
	struct func *f = calls_func(c, check);

	return f && f->image == image && f->code_at == code ? decide_early(c, f) : 0;
}

int calls_module(struct calls *c, const void *data, size_t len)
{
	const struct record_module *r = data;
	const uint8_t *at = (const uint8_t *)data + sizeof(*r);
	struct func *f;
	size_t left;
	char *name;

	if (len < sizeof(*r))
		return -EINVAL;
	left = len - sizeof(*r);
	name = record_string(&at, &left);
	f = calls_func(c, r->func);
	if (!name || left || !f || f->image != r->image) {
		free(name);
		return -EINVAL;
	}
	free(f->module);
	f->module = name;
	f->pub.module = name;
	f->module_told = true;
	return decide_early(c, f);
}

bool calls__want_module(struct calls *c, struct call_want *ret_want)
{
	struct queue *q = &c->wants;
	const struct func *f;

	while (q->next < q->cnt) {
		f = calls_func(c, q->numbers[q->next++]);
		if (f->module_told)
			continue;
		*ret_want = (struct call_want){ f->image, f->pub.pid, f->pub.number, f->globals };
		return true;
	}
	return false;
}

bool calls__decided(struct calls *c, struct call_decision *ret_decision)
{
	struct queue *q = &c->decisions;
	const struct func *f;

	if (q->next == q->cnt)
		return false;
	f = calls_func(c, q->numbers[q->next++]);
	*ret_decision = (struct call_decision){ f->image, f->pub.number, f->kept };
	return true;
}

int32_t calls_line(struct func *f, uint32_t lasti)
{
	struct line_known *known;
	int32_t line;
	int i;

	if (lasti == EV_LASTI_NONE || !f->code || !f->code->decoded || !f->of)
		return 0;
	if (!f->lines) {
		f->lines = malloc(LINE_CACHE * sizeof(*f->lines));
		if (!f->lines)
			return 0;
		for (i = 0; i < LINE_CACHE; i++)
			f->lines[i].line = -1;
	}
	known = &f->lines[lasti / 2 % LINE_CACHE];
	if (known->line < 0 || known->lasti != lasti) {
		line = code_line(&f->of->abi, &f->code->py, lasti);
		*known = (struct line_known){ lasti, line > 0 ? line : 0 };
	}
	return known->line;
}

void calls_funcs_free(struct calls *c)
{
	struct func *f;
	uint32_t i;

	for (i = 0; i < c->func_cap; i++) {
		f = c->funcs[i];
		if (!f)
			continue;
		free(f->name);
		free(f->path);
		free(f->module);
		free(f->lines);
		free(f);
	}
	free(c->funcs);
	free(c->wants.numbers);
	free(c->decisions.numbers);
}
