/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uncoil replay: the records of a journal instead of a kernel's, and the same way from there. The first
 * record tells which way: a profile's outputs are written when all is read, a trace's as it is read.
 */
#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/load.h"
#include "cmd/options.h"
#include "cmd/tell.h"
#include "cmd/trace_out.h"
#include "model/profile.h"
#include "model/report.h"

struct replaying {
	struct options options;
	struct profile *profile; /* one of the two, from the first record on */
	struct trace_out *trace;
	struct err why;
	bool output_failed; /* `why` is about an output, not the journal */
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

static int begin(struct replaying *r, bool is_trace)
{
	struct options *o = &r->options;
	struct trace_ask ask;
	int code;

	code = is_trace ? options_replay_trace(o, &ask) : options_replay_profile(o);
	if (code)
		return code;
	if (!is_trace) {
		r->profile = profile__new();
		return r->profile ? 0 : err_set(&r->why, -ENOMEM, "out of memory");
	}
	r->trace = trace_out_new(o->outputs, o->output_cnt, &ask, NULL, &r->why);
	r->output_failed = !r->trace;
	return r->trace ? 0 : -EIO;
}

static int take_record(void *ctx, enum record_type type, const void *data, size_t len)
{
	const struct record_meta *meta = data;
	struct replaying *r = ctx;
	int code;

	if (!r->profile && !r->trace) {
		code = begin(r, type == RECORD_META && len >= sizeof(*meta) &&
					meta->mode == RECORD_CALLS);
		if (code)
			return code;
	}
	if (r->trace)
		return trace_out_apply(r->trace, type, data, len, &r->output_failed, &r->why);
	return profile__apply(r->profile, type, data, len, &r->why);
}

static int replay_profile(struct replaying *r, struct err *err)
{
	struct report *report = NULL;
	int code = 0, i;
	bool lost = false;

	if (r->options.report.timeline && !profile__has_timeline(r->profile))
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
	return code ? code : lost ? EXIT_LOST : EXIT_DONE;
}

static int replay(struct replaying *r, struct err *err)
{
	int code = journal_each(r->options.journal, "replay", take_record, r, &r->why, err);

	if (code < 0 && r->output_failed)
		*err = r->why;
	if (code)
		return code;
	if (r->profile)
		return replay_profile(r, err);
	code = trace_out_finish(r->trace, err);
	return code ? code : trace_out_tell(r->trace);
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
	trace_out_free(r.trace);
	for (i = 0; i < r.options.output_cnt; i++)
		output_done(&r.options.outputs[i]);
	profile__free(r.profile);
	return code < 0 ? cmd_fail("replay", &err) : code;
}
