/* SPDX-License-Identifier: Apache-2.0 */
/* uncoil replay: the records of a journal instead of a kernel's, and the same way from there. */
#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/load.h"
#include "cmd/options.h"
#include "cmd/tell.h"
#include "model/profile.h"
#include "model/report.h"

struct replaying {
	struct options options;
	struct profile *profile;
};

static int no_times(const char *journal, struct err *err)
{
	struct buf path;

	buf_init(&path, 65536);
	text_terminal(&path, journal);
	err_set(err, -EINVAL,
		"%s has no times of samples, which perfetto and chrome need: record with --timeline",
		buf_text(&path));
	buf_done(&path);
	return -EINVAL;
}

static int replay(struct replaying *r, struct err *err)
{
	struct report *report = NULL;
	int code, i;
	bool lost = false;

	code = journal_load(r->options.journal, "replay", &r->profile, err);
	if (!code && r->options.report.timeline && !profile__has_timeline(r->profile))
		code = no_times(r->options.journal, err);
	for (i = 0; !code && i < r->options.output_cnt; i++) {
		if (!r->options.outputs[i].sink)
			code = err_set(err, -EINVAL, "a replay writes no journal; it has one");
		else
			code = output_open(&r->options.outputs[i], err);
	}
	if (!code) {
		report = report_new(r->profile, &r->options.report);
		code = report ? outputs_write(&r->options, report, err)
			      : err_set(err, -ENOMEM, "out of memory");
	}
	if (!code)
		lost = report_tell(report, &r->options);
	report_free(report);
	return code ? code : lost;
}

int cmd_replay(int argc, char **argv)
{
	struct replaying r = {};
	struct err err = {};
	int code, i;

	code = options_replay(&r.options, argc, argv);
	if (code)
		return code;
	code = replay(&r, &err);
	for (i = 0; i < r.options.output_cnt; i++)
		output_done(&r.options.outputs[i]);
	profile__free(r.profile);
	if (code < 0)
		return cmd_fail("replay", &err);
	return code ? EXIT_LOST : EXIT_DONE;
}
