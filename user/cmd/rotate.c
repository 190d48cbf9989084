/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/rotate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/recording.h"
#include "model/keep.h"
#include "probe/rest.h"
#include "probe/sampler.h"
#include "sink/sink.h"

#define TIMES_BYTES_MAX (16u << 20)
#define HELD_BYTES_MAX  (256u << 20) /* as large as a ring may be */
#define NAMES_MAX       1000         /* of one second */

struct rotate {
	struct keep *keep;
	struct buf times; /* struct record_times: the threads' as of this cut */
	struct buf held;  /* events that are the next part's */
	bool holds;
	uint32_t table; /* they are counted here */
	struct recording *recording;
};

struct rotate *rotate_new(void)
{
	struct rotate *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	buf_init(&r->times, TIMES_BYTES_MAX);
	buf_init(&r->held, HELD_BYTES_MAX);
	r->keep = keep__new();
	if (!r->keep) {
		free(r);
		return NULL;
	}
	return r;
}

void rotate_free(struct rotate *r)
{
	if (!r)
		return;
	buf_done(&r->times);
	buf_done(&r->held);
	keep__free(r->keep);
	free(r);
}

struct keep *rotate_keep(struct rotate *r)
{
	return r->keep;
}

/* A wait that goes on: this part's share of it. */
static int cut_wait(void *ctx, const struct count_key *key, const struct count_val *val)
{
	struct rotate *r = ctx;
	struct count_val share = *val;
	int code = credits_give(&r->recording->credits, key, &share);

	if (code)
		return code < 0 ? code : 0;
	return recording_share(r->recording, key, &share);
}

static int cut_event(void *ctx, void *data, size_t len)
{
	struct rotate *r = ctx;

	return recording_put(r->recording, RECORD_RING, data, len);
}

static int cut_times(void *ctx, const struct thread_seen *thread)
{
	struct rotate *r = ctx;
	struct record_times times = { .thread = thread->serial,
				      .image = thread->image,
				      .times = thread->times };

	return buf_add(&r->times, &times, sizeof(times));
}

/* Every stack that the kernel side may count without sending it again. */
static int hold(void *ctx, pid_t tid, struct thread_seen *thread)
{
	struct keep *keep = ctx;
	int i;

	(void)tid;
	keep__lives(keep, thread->serial);
	keep__holds(keep, thread->serial, thread->image, thread->hash);
	keep__holds(keep, thread->serial, thread->image, thread->over_hash);
	for (i = 0; i < MEMO_CNT; i++)
		keep__holds(keep, thread->serial, thread->image, thread->memo[i].hash);
	return 0;
}

static void forget(void *ctx, const struct code_key *key)
{
	sampler__code_forget(ctx, key);
}

bool rotate_holds(struct rotate *r, const void *data, size_t len)
{
	const struct ev_hdr *hdr = data;

	if (!r->holds || len < sizeof(*hdr) || hdr->size != len || len % sizeof(uint64_t) ||
	    (hdr->kind != EV_TICK && hdr->kind != EV_WAIT) || hdr->table != r->table)
		return false;
	return !buf_add(&r->held, data, len);
}

static int held_put(struct rotate *r)
{
	const struct ev_hdr *hdr;
	size_t at;
	int code = 0;

	for (at = 0; at < r->held.len && !code; at += hdr->size) {
		hdr = (const void *)(r->held.data + at);
		code = recording_put(r->recording, RECORD_RING, hdr, hdr->size);
	}
	buf_clear(&r->held);
	return code;
}

/* The threads' times, in records that are not too long. */
static int times_put(struct rotate *r, enum record_type type)
{
	const size_t once = 4096 * sizeof(struct record_times);
	size_t at, len;
	int code = r->times.err;

	for (at = 0; at < r->times.len && !code; at += len) {
		len = r->times.len - at < once ? r->times.len - at : once;
		code = recording_put(r->recording, type, r->times.data + at, len);
	}
	return code;
}

int rotate_cut(struct recording *recording)
{
	struct rotate *r = recording->rotate;
	struct sampler *sampler = recording->sampler;
	struct rest_to to = { .count = cut_wait,
			      .event = recording->options.timeline ? cut_event : NULL,
			      .times = cut_times,
			      .ctx = r };
	uint64_t floor[STAT_MAX];
	int code;

	r->recording = recording;
	keep__begin(r->keep);
	/* what a thread holds between two looks, it holds at one of them, or it is sent */
	sampler__threads(sampler, hold, r->keep);
	code = recording_counts(recording);
	sampler__threads(sampler, hold, r->keep);
	if (!code)
		code = sampler__stats(sampler, floor);
	buf_clear(&r->times);
	if (!code)
		code = sampler__finish(sampler, &to);
	/* the other table: from here on it is the next part's */
	recording->cut_ns = recording_clock_ns(CLOCK_MONOTONIC);
	r->table = !sampler__table(sampler);
	r->holds = true;
	if (!code)
		code = recording_counts(recording);
	r->holds = false;
	sampler__threads(sampler, hold, r->keep);
	credits_turn(&recording->credits);
	if (!code)
		code = times_put(r, RECORD_TIMES);
	return code ? code : recording_end(recording, floor);
}

static bool image_needed(void *ctx, uint32_t image)
{
	return keep__image(ctx, image);
}

int rotate_next(struct recording *recording)
{
	struct rotate *r = recording->rotate;
	struct profile *before = recording->profile;
	int code;

	recording->profile = profile__new();
	if (!recording->profile) {
		recording->profile = before;
		return err_set(&recording->err, -ENOMEM, "out of memory");
	}
	keep__drop(r->keep, forget, recording->sampler);
	code = recording_begin(recording);
	if (!code)
		code = profile__images_tell(before, image_needed, recording_put, recording);
	profile__free(before);
	answers__profile(recording->answers, recording->profile);
	if (!code)
		code = keep__tell(r->keep, recording_put, recording);
	if (!code)
		code = times_put(r, RECORD_TIMES_BEFORE);
	return code ? code : held_put(r);
}

char *rotate_path(const char *file, int64_t unix_ns)
{
	const char *base = strrchr(file, '/'), *dot = strrchr(base ? base : file, '.');
	size_t suffix = sink_suffix(file);
	time_t seconds = unix_ns / 1000000000;
	char when[32], *path;
	struct tm tm;
	int number;

	if (!dot || dot == (base ? base + 1 : file))
		dot = file + strlen(file);
	if (suffix)
		dot = file + strlen(file) - suffix; /* .speedscope.json is one */
	gmtime_r(&seconds, &tm);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
	for (number = 1; number < NAMES_MAX; number++) {
		char more[16] = "";

		if (number > 1)
			snprintf(more, sizeof(more), "-%d", number);
		if (asprintf(&path, "%.*s-%s%s%s", (int)(dot - file), file, when, more, dot) < 0)
			return NULL;
		if (access(path, F_OK))
			return path;
		free(path);
	}
	return NULL;
}
