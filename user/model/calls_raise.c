/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions of a trace. The interpreter tells of one in each activation that it arises in or comes to,
 * the one included that catches it, and not where it goes from there. So the last one seen in an
 * activation is the one that it ends by, if it ends by one; else it was caught there. It was
 * caught too if another one follows it in the same activation.
 *
 * It arose where it was first told; where it comes to from a function that it just left it is
 * the same one: of the same type, with nothing in between.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "model/calls_impl.h"

void calls_raised_free(struct raised *raised)
{
	if (raised)
		free(raised->name);
	free(raised);
}

static struct raised *raised_find(struct calls *c, uint32_t image, uint64_t frame)
{
	struct gen_id id = { .frame = frame, .image = image };
	struct raised *raised;

	HASH_FIND(hh, c->raised, &id, sizeof(id), raised);
	return raised;
}

struct raised *calls_raised_take(struct calls *c, uint32_t image, uint64_t frame)
{
	struct raised *raised = c->raised ? raised_find(c, image, frame) : NULL;

	if (raised)
		HASH_DEL(c->raised, raised);
	return raised;
}

static struct raised *raised_new(const struct ev_raise *ev)
{
	struct raised *raised = calloc(1, sizeof(*raised));
	struct buf name;

	if (!raised)
		return NULL;
	raised->id = (struct gen_id){ .frame = ev->frame, .image = ev->hdr.image };
	raised->ts_ns = ev->hdr.ts_ns;
	raised->type = ev->type;
	buf_init(&name, 4 * EV_TYPE_NAME_MAX);
	text_clean(&name, ev->name, ev->name_len);
	raised->name = strdup(name.len ? buf_text(&name) : "?");
	buf_done(&name);
	if (raised->name)
		return raised;
	free(raised);
	return NULL;
}

int calls_mark(struct calls *c, struct call_thread_state *t, struct func *f,
	       const struct raised *raised, enum call_mark_kind kind)
{
	struct call_mark mark = { .kind = kind,
				  .ts_ns = raised->ts_ns,
				  .func = &f->pub,
				  .thread = &t->pub,
				  .frame = raised->id.frame,
				  .exception = raised->name };

	return c->told.mark && calls_kept(c, f) ? c->told.mark(c->told.ctx, &mark) : 0;
}

int calls_raise(struct calls *c, const struct ev_raise *ev)
{
	struct func *f = calls_func(c, ev->func);
	struct call_thread_state *t;
	struct raised *raised, *before;
	bool passed;
	int err;

	t = calls_thread(c, &ev->hdr, &err);
	if (!t)
		return err;
	passed = t->left_type && t->left_type == ev->type;
	t->left_type = 0;
	if (!ev->func) {
		t->left_type = ev->type; /* comes through here, and may go on */
		return 0;
	}
	if (!f || f->image != ev->hdr.image) {
		c->orphans++;
		return 0;
	}
	err = calls_func_known(c, f);
	if (err)
		return err;
	raised = raised_new(ev);
	if (!raised)
		return -ENOMEM;
	before = calls_raised_take(c, ev->hdr.image, ev->frame);
	if (before)
		err = calls_mark(c, t, f, before, CALL_CATCH);
	calls_raised_free(before);
	if (!err && !passed)
		err = calls_mark(c, t, f, raised, CALL_RAISE);
	if (err || HASH_COUNT(c->raised) >= CALL_RAISED_MAX) {
		c->raised_full += !err;
		calls_raised_free(raised);
		return err;
	}
	HASH_ADD(hh, c->raised, id, sizeof(raised->id), raised);
	if (raised->hh.tbl)
		return 0;
	calls_raised_free(raised);
	return -ENOMEM;
}
