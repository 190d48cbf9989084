/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long the outputs of a million samples take: formats JOURNAL STACKS
 *
 * Takes the process, threads and code objects of a real journal, puts STACKS different stacks of
 * their frames on top (10 to 50 deep, growing out of each other as calls do), or as many as a profile
 * holds, and a million samples, each with its time. Then makes the report and writes every format, five times each, and prints
 *
 *	stacks NUMBER
 *	report MILLISECONDS SAMPLES
 *	NAME MILLISECONDS BYTES
 *
 * the quickest of the five, in CPU time: what others do on the machine is not the format's cost.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "events.h"
#include "model/journal.h"
#include "model/profile.h"
#include "model/report.h"
#include "sink/sink.h"

#define SAMPLES  1000000u
#define POOL_MAX 4096
#define TIMES    5
#define DEPTH    50

struct bench {
	struct profile *profile;
	struct py_frame pool[POOL_MAX]; /* frames that occur */
	uint32_t pool_cnt;
	struct ev_hdr hdrs[64]; /* of stacks that occur: threads */
	uint32_t hdr_cnt;
	uint64_t seed;
	struct err err;
};

/* xorshift64: the same stacks in every run. */
static uint32_t pick(struct bench *b, uint32_t below)
{
	b->seed ^= b->seed << 13;
	b->seed ^= b->seed >> 7;
	b->seed ^= b->seed << 17;
	return (b->seed >> 16) % below;
}

static void die(struct bench *b, const char *what)
{
	fprintf(stderr, "formats: %s: %s\n", what, b->err.msg);
	exit(1);
}

static void apply(struct bench *b, enum record_type type, const void *data, size_t len)
{
	if (profile__apply(b->profile, type, data, len, &b->err))
		die(b, "a record was refused");
}

static int take(void *ctx, enum record_type type, const void *data, size_t len)
{
	const struct ev_stack *ev = data;
	struct bench *b = ctx;
	uint32_t i;

	if (type == RECORD_COUNTS || type == RECORD_STATS || type == RECORD_END)
		return 0; /* these are made here */
	if (type == RECORD_RING && ev->hdr.kind == EV_TICK)
		return 0;
	apply(b, type, data, len);
	if (type != RECORD_RING || ev->hdr.kind != EV_STACK || !ev->frame_cnt)
		return 0;
	for (i = 0; i < ev->frame_cnt && b->pool_cnt < POOL_MAX; i++)
		b->pool[b->pool_cnt++] = ev->frames[i];
	if (b->hdr_cnt < 64)
		b->hdrs[b->hdr_cnt++] = ev->hdr;
	return 0;
}

/* Stack `number` is the root end of the one before, and a new leaf end. */
static void stack_next(struct bench *b, struct ev_stack *ev, uint32_t number)
{
	struct py_frame frames[DEPTH]; /* root first */
	uint32_t keep = ev->frame_cnt, i;

	for (i = 0; i < ev->frame_cnt; i++)
		frames[i] = ev->frames[ev->frame_cnt - 1 - i];
	keep = keep ? pick(b, keep + 1) : 0;
	ev->frame_cnt = 10 + pick(b, DEPTH - 10 + 1);
	if (keep > ev->frame_cnt)
		keep = ev->frame_cnt;
	for (i = keep; i < ev->frame_cnt; i++)
		frames[i] = b->pool[pick(b, b->pool_cnt)];
	for (i = 0; i < ev->frame_cnt; i++)
		ev->frames[i] = frames[ev->frame_cnt - 1 - i];
	ev->hdr = b->hdrs[pick(b, b->hdr_cnt)];
	ev->hdr.kind = EV_STACK;
	ev->hdr.size = offsetof(struct ev_stack, frames) + ev->frame_cnt * sizeof(struct py_frame);
	ev->flags = 0;
	ev->hash = 1 + number; /* the journal's own are random 64-bit numbers */
	apply(b, RECORD_RING, ev, ev->hdr.size);
}

static void fill(struct bench *b, uint32_t stacks)
{
	struct record_stats stats = { .duration_ns = 30000000000, .stat[STAT_SAMPLES] = SAMPLES };
	struct record_count *counts = calloc(stacks, sizeof(*counts));
	struct ev_stack *ev = calloc(1, sizeof(*ev));
	struct ev_hdr *hdrs = calloc(stacks, sizeof(*hdrs));
	struct ev_tick tick;
	uint32_t i, n;

	if (!counts || !ev || !hdrs)
		die(b, "out of memory");
	for (i = 0; i < stacks; i++) {
		n = profile__stacks(b->profile);
		stack_next(b, ev, i);
		if (profile__stacks(b->profile) == n) {
			stacks = i; /* it is full */
			break;
		}
		hdrs[i] = ev->hdr;
		counts[i].key = (struct count_key){ .thread = ev->hdr.thread,
						    .image = ev->hdr.image,
						    .hash = ev->hash };
	}
	for (i = 0; i < SAMPLES; i++) {
		/* a few stacks have most of the samples, as in programs */
		n = pick(b, 1 + pick(b, stacks));
		counts[n].count++;
		tick.hdr = hdrs[n];
		tick.hdr.kind = EV_TICK;
		tick.hdr.size = sizeof(tick);
		tick.hdr.ts_ns = hdrs[0].ts_ns + i * 30000ULL;
		tick.hash = counts[n].key.hash;
		apply(b, RECORD_RING, &tick, sizeof(tick));
	}
	for (i = 0; i < stacks; i++)
		apply(b, RECORD_COUNTS, &counts[i], sizeof(counts[i]));
	apply(b, RECORD_STATS, &stats, sizeof(stats));
	apply(b, RECORD_END, NULL, 0);
	printf("stacks %" PRIu32 "\n", stacks);
	free(counts);
	free(hdrs);
	free(ev);
}

static double cpu_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * 1e3 + ts.tv_nsec / 1e6;
}

static struct report *measure_report(struct bench *b, bool timeline)
{
	struct report_options options = { .timeline = timeline };
	struct report *report = NULL;
	double best = 0, start;
	int i;

	for (i = 0; i < TIMES; i++) {
		report_free(report);
		start = cpu_ms();
		report = report_new(b->profile, &options);
		if (!report)
			die(b, "out of memory");
		start = cpu_ms() - start;
		best = !i || start < best ? start : best;
	}
	printf("report%s %.1f %" PRIu64 "\n", timeline ? "-timeline" : "", best, report->samples);
	return report;
}

static void measure_sink(struct bench *b, const struct sink *sink, const struct report *report)
{
	double best = 0, start;
	FILE *out = tmpfile();
	long len = 0;
	int i;

	if (!out)
		die(b, "no temporary file");
	setvbuf(out, NULL, _IOFBF, 256 << 10);
	for (i = 0; i < TIMES; i++) {
		rewind(out);
		start = cpu_ms();
		if (sink->write(report, out) || fflush(out))
			die(b, sink->name);
		start = cpu_ms() - start;
		best = !i || start < best ? start : best;
		len = ftell(out);
	}
	printf("%s %.1f %ld\n", sink->name, best, len);
	fclose(out);
}

int main(int argc, char **argv)
{
	struct bench b = { .profile = profile__new(), .seed = 88172645463325252u };
	uint32_t stacks = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	struct report *plain, *timed;
	FILE *in;
	int i;

	if (!stacks || !b.profile) {
		fprintf(stderr, "usage: formats JOURNAL STACKS\n");
		return 2;
	}
	in = fopen(argv[1], "r");
	if (!in || journal_read(in, take, &b, &b.err) || !b.pool_cnt)
		die(&b, argv[1]);
	fclose(in);
	fill(&b, stacks);
	plain = measure_report(&b, false);
	timed = measure_report(&b, true);
	for (i = 0; sinks[i]; i++)
		measure_sink(&b, sinks[i], sinks[i]->timeline ? timed : plain);
	report_free(plain);
	report_free(timed);
	profile__free(b.profile);
	return 0;
}
