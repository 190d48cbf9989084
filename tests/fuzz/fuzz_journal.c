/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal's records, without their checksums (a fuzzer would never get past them): each takes a
 * type byte, a two-byte length and that many bytes. What the profile accepts is rendered by every
 * sink, so hostile names reach the outputs too.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "model/profile.h"
#include "model/report.h"
#include "sink/sink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void render(const struct profile *p, uint8_t how)
{
	const struct report_options options = { .threads = how & 1,
						.functions = how & 2,
						.timeline = true,
						.only = { "?", "*a*", "8" },
						.only_cnt = how & 4 ? 3 : 0 };
	struct report *report = report_new(p, &options);
	FILE *out = fopen("/dev/null", "w");
	size_t i;

	for (i = 0; report && out && sinks[i]; i++)
		sinks[i]->write(report, out);
	if (out)
		fclose(out);
	report_free(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct {
		struct record_meta meta;
		uint32_t len;
		char mode[4];
	} first = { .meta = { .format = RECORD_FORMAT, .rate_hz = 99 }, .len = 4, .mode = "fuzz" };
	struct profile *p = profile__new();
	uint64_t *aligned;
	struct want want;
	struct err err;
	size_t at = 1, len;

	if (!p)
		return 0;
	profile__apply(p, RECORD_META, &first, sizeof(first.meta) + 8, &err);
	while (at + 3 <= size) {
		len = data[at + 1] | data[at + 2] << 8;
		if (len > size - at - 3)
			len = size - at - 3;
		aligned = malloc(len + 1);
		if (!aligned)
			break;
		memcpy(aligned, data + at + 3, len);
		profile__apply(p, data[at], aligned, len, &err);
		free(aligned);
		at += 3 + len;
	}
	profile__want_again(p);
	while (profile__want(p, &want))
		;
	render(p, size ? data[0] : 0);
	profile__free(p);
	return 0;
}
