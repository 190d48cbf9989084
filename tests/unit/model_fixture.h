/* SPDX-License-Identifier: Apache-2.0 */
/* Records made by hand, for the tests of the model. */
#ifndef UNCOIL_TESTS_MODEL_FIXTURE_H
#define UNCOIL_TESTS_MODEL_FIXTURE_H

#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "model/profile.h"
#include "model/report.h"

#define FRAMES_HEAD offsetof(struct ev_stack, frames)

static inline struct ev_stack stack_event(uint32_t thread, uint64_t hash, uint32_t flags,
					  uint32_t cnt)
{
	struct ev_stack ev = {
		.hdr = { .kind = EV_STACK, .image = 1, .tgid = 7, .tid = 8, .thread = thread },
		.hash = hash,
		.flags = flags,
		.frame_cnt = cnt
	};

	for (uint32_t i = 0; i < cnt; i++)
		ev.frames[i].code = 0x8000;
	ev.hdr.size = FRAMES_HEAD + cnt * sizeof(struct py_frame);
	return ev;
}

static inline void put(struct profile *p, enum record_type type, const void *data, size_t len,
		       int want)
{
	struct err err;

	assert_int_equal(profile__apply(p, type, data, len, &err), want);
	if (want)
		assert_true(err.msg[0]);
}

static inline void put_meta_as(struct profile *p, uint32_t format, uint32_t mode, int want)
{
	struct {
		struct record_meta meta;
		uint32_t len;
		char mode[6];
	} r = { .meta = { .format = format, .rate_hz = 99, .mode = mode },
		.len = 6,
		.mode = "on-CPU" };

	put(p, RECORD_META, &r, sizeof(r.meta) + 4 + 6, want);
}

static inline void put_meta(struct profile *p, uint32_t format, int want)
{
	put_meta_as(p, format, RECORD_CPU, want);
}

static inline void put_end(struct profile *p, struct record_stats *stats)
{
	put(p, RECORD_STATS, stats, sizeof(*stats), 0);
	put(p, RECORD_END, NULL, 0, 0);
}

static inline void put_count(struct profile *p, uint32_t thread, uint64_t hash, uint64_t count)
{
	struct record_count r = { .key = { .thread = thread, .image = 1, .hash = hash },
				  .count = count };

	put(p, RECORD_COUNTS, &r, sizeof(r), 0);
}

static inline const struct report_remark *remark_like(const struct report *report, const char *text)
{
	uint32_t i;

	for (i = 0; i < report->remark_cnt; i++)
		if (strstr(report->remarks[i].text, text))
			return &report->remarks[i];
	return NULL;
}

#endif
