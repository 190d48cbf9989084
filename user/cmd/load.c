/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "model/journal.h"
#include "model/profile.h"

struct loading {
	struct profile *profile;
	struct err why;
};

static int take_record(void *ctx, enum record_type type, const void *data, size_t len)
{
	struct loading *l = ctx;

	return profile__apply(l->profile, type, data, len, &l->why);
}

static int journal_open(const char *path, FILE **ret_file)
{
	bool is_stream = !strcmp(path, "-") || !strcmp(path, "/dev/stdin");
	struct stat st;
	int fd, err;

	/* what comes through a pipe is asked for by name; any other file that is none might never end */
	fd = is_stream ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
		       : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	err = fstat(fd, &st)                       ? -errno
	      : S_ISDIR(st.st_mode)                ? -EISDIR
	      : !S_ISREG(st.st_mode) && !is_stream ? -EINVAL
						   : 0;
	*ret_file = err ? NULL : fdopen(fd, "r");
	if (!*ret_file) {
		close(fd);
		return err ? err : -ENOMEM;
	}
	return 0;
}

int journal_each(const char *path, const char *verb, journal_fn fn, void *ctx,
		 const struct err *fn_why, struct err *err)
{
	struct err why = {};
	struct buf shown;
	FILE *in = NULL;
	int code;

	code = journal_open(path, &in);
	if (code)
		err_set(&why, code, "%s", err_str(code));
	else
		code = journal_read(in, fn, ctx, &why);
	if (in)
		fclose(in);
	if (code >= 0)
		return code;
	buf_init(&shown, 65536);
	text_terminal(&shown, path);
	err_set(err, code, "cannot %s %s: %s", verb, buf_text(&shown),
		why.msg[0] ? why.msg : fn_why->msg);
	buf_done(&shown);
	return code;
}

int journal_load(const char *path, const char *verb, struct profile **ret_profile, struct err *err)
{
	struct loading l = { .profile = profile__new() };
	int code;

	if (!l.profile)
		return err_set(err, -ENOMEM, "out of memory");
	code = journal_each(path, verb, take_record, &l, &l.why, err);
	if (code)
		profile__free(l.profile);
	else
		*ret_profile = l.profile;
	return code;
}
