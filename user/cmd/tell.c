/* SPDX-License-Identifier: Apache-2.0 */
/* The last step of record and replay: outputs written, and one line about each on the terminal. */
#include "cmd/tell.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "model/report.h"
#include "sink/about.h"
#include "sink/sink.h"

int outputs_write(struct options *o, const struct report *report, struct err *err)
{
	static int (*const steps[])(struct output *, struct err *) = { output_flush, output_link,
								       output_name };
	size_t step;
	int i, code = 0;

	for (i = 0; i < o->output_cnt && !code; i++)
		code = output_render(&o->outputs[i], report, err);
	for (step = 0; step < sizeof(steps) / sizeof(steps[0]); step++)
		for (i = 0; i < o->output_cnt && !code; i++)
			code = steps[step](&o->outputs[i], err);
	return code;
}

void unmatched_tell(const struct report *report, FILE *out, const char *begin)
{
	uint32_t i;

	for (i = 0; i < report->unmatched_cnt; i++) {
		fprintf(out, "%sno thread matches '", begin);
		cmd_show(out, report->unmatched[i]);
		fputs("'\n", out);
	}
}

bool report_tell(const struct report *report, const struct options *o)
{
	struct buf text;
	bool lost = false;
	uint32_t i;

	for (i = 0; i < report->remark_cnt; i++) {
		lost = lost || report->remarks[i].is_loss;
		if (o->quiet)
			continue;
		fprintf(stderr, "%" PRIu64 " ", report->remarks[i].count);
		cmd_show(stderr, report->remarks[i].text);
		fputc('\n', stderr);
	}
	if (o->quiet)
		return lost;
	unmatched_tell(report, stderr, "");
	/* a terminal has no line for what says nothing; the outputs have all of it */
	if (about_has_share(report)) {
		buf_init(&text, 65536);
		about_overhead(report, &text);
		fprintf(stderr, "overhead: %s\n", buf_text(&text));
		buf_done(&text);
	}
	if (!report->samples && !report->remark_cnt)
		fputs("no samples: the processes did nothing that this mode records meanwhile\n",
		      stderr);
	for (i = 0; i < (uint32_t)o->output_cnt; i++) {
		if (!strcmp(o->outputs[i].path, "-"))
			continue;
		cmd_show(stderr, o->outputs[i].path);
		fprintf(stderr, ": %s of ",
			o->outputs[i].sink ? o->outputs[i].sink->name : "journal");
		if (report->unit == REPORT_NS)
			fprintf(stderr, "%" PRIu64 " waits and ", report->waits);
		fprintf(stderr, "%" PRIu64 " samples in %.1f s\n", report->ticks,
			report->duration_ns / 1e9);
	}
	return lost;
}
