/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace's records, as in fuzz_journal.c: each takes a type byte, a two-byte length and that many bytes.
 * What is accepted goes through every format, and what they were told must hold: no call ends before
 * it begins, and none is longer than the time it is drawn in.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "model/calls.h"
#include "model/profile.h"
#include "sink/trace.h"

#define SINKS_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct writers {
	void *writers[SINKS_MAX];
};

static int tell_call(void *ctx, const struct call *call)
{
	struct writers *w = ctx;
	int i, err = 0;

	if (call->end_ns < call->start_ns || call->self_ns > call->end_ns - call->start_ns ||
	    call->draw_ns > call->start_ns)
		abort();
	for (i = 0; trace_sinks[i] && !err; i++)
		if (w->writers[i] && trace_sinks[i]->call)
			err = trace_sinks[i]->call(w->writers[i], call);
	return err;
}

static int tell_mark(void *ctx, const struct call_mark *mark)
{
	struct writers *w = ctx;
	int i, err = 0;

	for (i = 0; trace_sinks[i] && !err; i++)
		if (w->writers[i] && trace_sinks[i]->mark)
			err = trace_sinks[i]->mark(w->writers[i], mark);
	return err;
}

static int tell_span(void *ctx, const struct call_span *span)
{
	struct writers *w = ctx;
	int i, err = 0;

	if (span->end_ns < span->start_ns || span->draw_ns > span->start_ns)
		abort();
	for (i = 0; trace_sinks[i] && !err; i++)
		if (w->writers[i] && trace_sinks[i]->span)
			err = trace_sinks[i]->span(w->writers[i], span);
	return err;
}

static void records(struct calls *c, const uint8_t *data, size_t size)
{
	size_t at = 1, len;
	uint64_t *aligned;
	struct err err;

	while (at + 3 <= size) {
		len = data[at + 1] | data[at + 2] << 8;
		if (len > size - at - 3)
			len = size - at - 3;
		aligned = malloc(len + 1);
		if (!aligned)
			break;
		memcpy(aligned, data + at + 3, len);
		calls__apply(c, data[at], aligned, len, &err);
		free(aligned);
		at += 3 + len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct {
		struct record_meta meta;
		uint32_t len;
		char mode[4];
	} first = { .meta = { .format = RECORD_FORMAT, .mode = RECORD_CALLS },
		    .len = 4,
		    .mode = "fuzz" };
	struct trace_look look = { .compensate = size && (data[0] & 1),
				   .callers = size && (data[0] & 2) };
	struct writers w = {};
	struct call_told told = {
		.call = tell_call, .mark = tell_mark, .span = tell_span, .ctx = &w
	};
	FILE *out = fopen("/dev/null", "w");
	struct calls *c = calls__new(&told);
	struct call_want want;
	struct err err;
	int i;

	if (!c || !out)
		abort();
	calls__apply(c, RECORD_META, &first, sizeof(first.meta) + 8, &err);
	for (i = 0; trace_sinks[i]; i++)
		w.writers[i] = trace_sinks[i]->begin(out, c, &look);
	records(c, data, size);
	while (calls__want_module(c, &want))
		;
	for (i = 0; trace_sinks[i]; i++) {
		if (!w.writers[i])
			continue;
		trace_sinks[i]->end(w.writers[i]);
		trace_sinks[i]->free(w.writers[i]);
	}
	calls__free(c);
	fclose(out);
	return 0;
}
