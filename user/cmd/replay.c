/* SPDX-License-Identifier: Apache-2.0 */
/* uncoil replay: the records of a journal instead of a kernel's, and the same way from there. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/tell.h"
#include "model/journal.h"
#include "model/profile.h"
#include "model/report.h"

struct replaying {
	struct options options;
	struct profile *profile;
	struct err why;
};

static int take_record(void *ctx, enum record_type type, const void *data, size_t len)
{
	struct replaying *r = ctx;

	return profile__apply(r->profile, type, data, len, &r->why);
}

static int journal_open(const char *path, FILE **ret_file)
{
	struct stat st;
	int fd, err;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	err = fstat(fd, &st)         ? -errno
	      : S_ISDIR(st.st_mode)  ? -EISDIR
	      : !S_ISREG(st.st_mode) ? -EINVAL
				     : 0;
	*ret_file = err ? NULL : fdopen(fd, "r");
	if (!*ret_file) {
		close(fd);
		return err ? err : -ENOMEM;
	}
	return 0;
}

static int replay(struct replaying *r, struct err *err)
{
	struct report *report = NULL;
	struct err why = {};
	FILE *in = NULL;
	struct buf path;
	int code, i;
	bool lost = false;

	buf_init(&path, 65536);
	text_terminal(&path, r->options.journal);
	code = journal_open(r->options.journal, &in);
	if (code)
		err_set(&why, code, "%s", err_str(code));
	else
		code = journal_read(in, take_record, r, &why);
	if (code)
		err_set(err, code, "cannot replay %s: %s", buf_text(&path),
			why.msg[0] ? why.msg : r->why.msg);
	if (!code && r->options.report.timeline && !profile__has_timeline(r->profile))
		code = err_set(err, -EINVAL,
			       "%s has no times of samples, which perfetto and chrome need: record "
			       "with --timeline",
			       buf_text(&path));
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
	if (in)
		fclose(in);
	buf_done(&path);
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
	r.profile = profile__new();
	code = r.profile ? replay(&r, &err) : err_set(&err, -ENOMEM, "out of memory");
	for (i = 0; i < r.options.output_cnt; i++)
		output_done(&r.options.outputs[i]);
	profile__free(r.profile);
	if (code < 0)
		return cmd_fail("replay", &err);
	return code ? EXIT_LOST : EXIT_DONE;
}
