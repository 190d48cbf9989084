/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/frames.h"

#include <errno.h>
#include <stdlib.h>

struct frame_key {
	uint32_t func, file, path, kind;
	int32_t line, column;
};

void frames_init(struct frames *f)
{
	*f = (struct frames){};
	index_init(&f->strings);
	index_init(&f->frames);
}

void frames_done(struct frames *f)
{
	index_done(&f->strings);
	index_done(&f->frames);
	free(f->list);
	*f = (struct frames){};
}

int frames_err(const struct frames *f)
{
	return f->err || f->strings.err || f->frames.err ? -ENOMEM : 0;
}

uint32_t frames_number(struct frames *f, const struct report_node *node)
{
	struct frame_key key = { .func = index_of_str(&f->strings, node->func, NULL),
				 .file = index_of_str(&f->strings, node->file, NULL),
				 .path = index_of_str(&f->strings, node->path, NULL),
				 .kind = node->kind,
				 .line = node->line,
				 .column = node->column };
	struct frame *grown;
	uint32_t number, cap;
	bool fresh;

	number = index_of(&f->frames, &key, sizeof(key), &fresh);
	if (!fresh)
		return number;
	if (number == f->cap) {
		cap = f->cap ? f->cap * 2 : 256;
		grown = realloc(f->list, cap * sizeof(*grown));
		if (!grown) {
			f->err = -ENOMEM;
			f->frames.cnt--; /* not in the list */
			return 0;
		}
		f->list = grown;
		f->cap = cap;
	}
	f->list[number] = (struct frame){ node->func, node->file,   node->path,
					  node->line, node->column, node->kind };
	return number;
}

int frames_each(const struct frames *f, int (*fn)(void *ctx, const struct frame *frame), void *ctx)
{
	uint32_t i;
	int stop = 0;

	for (i = 0; i < f->frames.cnt && !stop && !f->err; i++)
		stop = fn(ctx, &f->list[i]);
	return stop;
}
