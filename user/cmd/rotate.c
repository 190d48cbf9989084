/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/rotate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "cmd/recording.h"
#include "model/keep.h"
#include "probe/sampler.h"
#include "sink/sink.h"

#define TIMES_BYTES_MAX (16u << 20)
#define NAMES_MAX       1000 /* of one second */

/* What earlier parts have got of a thread's wait that has not been counted yet. */
struct credit {
	uint32_t thread;
	uint64_t hash, wait_ns, runq_ns;
	UT_hash_handle hh;
};

struct rotate {
	struct keep *keep;
	struct credit *credits;
	struct credit *fresh; /* of the cut that is made */
	struct buf times;     /* struct record_times: the threads' as of this cut */
	struct recording *recording;
};

struct rotate *rotate_new(void)
{
	struct rotate *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	buf_init(&r->times, TIMES_BYTES_MAX);
	r->keep = keep__new();
	if (!r->keep) {
		free(r);
		return NULL;
	}
	return r;
}

static void credits_free(struct credit **credits)
{
	struct credit *credit, *next;

	HASH_ITER (hh, *credits, credit, next) {
		HASH_DEL(*credits, credit);
		free(credit);
	}
}

void rotate_free(struct rotate *r)
{
	if (!r)
		return;
	credits_free(&r->credits);
	credits_free(&r->fresh);
	buf_done(&r->times);
	keep__free(r->keep);
	free(r);
}

struct keep *rotate_keep(struct rotate *r)
{
	return r->keep;
}

static struct credit *credit_find(struct credit *credits, const struct count_key *key)
{
	struct credit *credit;

	HASH_FIND(hh, credits, &key->thread, sizeof(key->thread), credit);
	return credit && credit->hash == key->hash ? credit : NULL;
}

/* Its time in the run queue may be known only now: so the sum is what is taken off. */
static void credit_use(const struct credit *credit, struct count_val *val)
{
	uint64_t given = credit->wait_ns + credit->runq_ns, part;

	part = given < val->wait_ns ? given : val->wait_ns;
	val->wait_ns -= part;
	given -= part;
	val->runq_ns -= given < val->runq_ns ? given : val->runq_ns;
}

void rotate_count(struct rotate *r, const struct count_key *key, struct count_val *val)
{
	struct credit *credit;

	if (!val->wait_ns && !val->runq_ns)
		return; /* samples */
	credit = credit_find(r->credits, key);
	if (!credit)
		return;
	credit_use(credit, val);
	HASH_DEL(r->credits, credit);
	free(credit);
}

/* A wait that goes on: this part's share of it. */
static int cut_wait(void *ctx, const struct count_key *key, const struct count_val *val)
{
	struct rotate *r = ctx;
	struct count_val share = *val;
	struct credit *credit;

	HASH_FIND(hh, r->fresh, &key->thread, sizeof(key->thread), credit);
	if (credit)
		return 0; /* the thread came twice */
	credit = credit_find(r->credits, key);
	if (credit)
		credit_use(credit, &share);
	credit = calloc(1, sizeof(*credit));
	if (!credit)
		return -ENOMEM;
	credit->thread = key->thread;
	credit->hash = key->hash;
	credit->wait_ns = val->wait_ns;
	credit->runq_ns = val->runq_ns;
	HASH_ADD(hh, r->fresh, thread, sizeof(credit->thread), credit);
	if (!credit->hh.tbl) {
		free(credit);
		return -ENOMEM;
	}
	share.count = 0;
	return recording_share(r->recording, key, &share);
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
		code = sampler__finish(sampler, cut_wait, cut_times, r);
	/* the other table: from here on it is the next part's */
	recording->cut_ns = recording_clock_ns(CLOCK_MONOTONIC);
	if (!code)
		code = recording_counts(recording);
	sampler__threads(sampler, hold, r->keep);
	credits_free(&r->credits);
	r->credits = r->fresh;
	r->fresh = NULL;
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
	return code ? code : times_put(r, RECORD_TIMES_BEFORE);
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
