/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of frames for the formats that write each frame once: nodes with the same function, file,
 * line and column have the same number, from 0 in the order in which they were first asked for.
 */
#ifndef UNCOIL_SINK_FRAMES_H
#define UNCOIL_SINK_FRAMES_H

#include <stdint.h>

#include "base/index.h"
#include "model/report.h"

struct frame {
	const char *func, *file, *path; /* the report's; of the first node */
	int32_t line, column;
	uint32_t kind; /* enum frame_kind */
};

struct frames {
	struct index strings, frames;
	struct frame *list;
	uint32_t cap;
	int err;
};

void frames_init(struct frames *f);
void frames_done(struct frames *f);

/* -ENOMEM if any call failed; numbers mean nothing then. */
int frames_err(const struct frames *f);

uint32_t frames_number(struct frames *f, const struct report_node *node);
int frames_each(const struct frames *f, int (*fn)(void *ctx, const struct frame *frame), void *ctx);

#endif
