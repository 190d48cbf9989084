/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/output.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "sink/sink.h"

#define STREAM_BUFFER (256u << 10)

bool output_is_journal(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && !strcmp(dot, ".uncoil");
}

/* The descriptor that this path is another word for; -1: none. What /dev/stdout and /dev/fd/N lead to must
 * not be renamed over. */
static int stream_of(const char *path)
{
	static const char *const folders[] = { "/dev/fd/", "/proc/self/fd/" };
	uint64_t fd;
	size_t i, len;

	if (!strcmp(path, "-") || !strcmp(path, "/dev/stdout"))
		return STDOUT_FILENO;
	if (!strcmp(path, "/dev/stderr"))
		return STDERR_FILENO;
	for (i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		len = strlen(folders[i]);
		if (!strncmp(path, folders[i], len) && cmd_number(path + len, 0, INT_MAX, &fd))
			return fd;
	}
	return -1;
}

bool output_is_same(const struct output *a, const struct output *b)
{
	int stream = stream_of(a->path);
	char folder_a[PATH_MAX], folder_b[PATH_MAX], *copy_a, *copy_b;
	bool same = !strcmp(a->path, b->path);

	if (same || stream >= 0 || stream_of(b->path) >= 0)
		return same || (stream >= 0 && stream == stream_of(b->path));
	copy_a = strdup(a->path);
	copy_b = strdup(b->path);
	/* what can't be resolved can't be written either, and says so then */
	same = copy_a && copy_b && !strcmp(basename(copy_a), basename(copy_b)) &&
	       realpath(dirname(copy_a), folder_a) && realpath(dirname(copy_b), folder_b) &&
	       !strcmp(folder_a, folder_b);
	free(copy_a);
	free(copy_b);
	return same;
}

bool output_choose(struct output *o, const char *format)
{
	o->sink = NULL;
	if (format && !strcmp(format, "raw"))
		return true;
	if (!format && output_is_journal(o->path))
		return true;
	o->sink = format ? sink_by_name(format) : sink_by_suffix(o->path);
	return o->sink != NULL;
}

int output_fail(const struct output *o, int code, const char *why, struct err *err)
{
	struct buf path;

	buf_init(&path, 4 * PATH_MAX);
	text_terminal(&path, o->path);
	err_set(err, code, "cannot write %s: %s", buf_text(&path), why ? why : err_str(code));
	buf_done(&path);
	return code;
}

static int temp_name(struct output *o)
{
	/* not the output's own name and more: that may become too long */
	const char *base = strrchr(o->path, '/');
	int folder_len = base ? base + 1 - o->path : 0;
	uint64_t number = 0;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return -errno;
	free(o->temp);
	if (asprintf(&o->temp, "%.*s.uncoil-%016llx.tmp", folder_len, o->path,
		     (unsigned long long)number) < 0) {
		o->temp = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* A file without a name in the output's folder, or with a temporary one. */
static int file_open(struct output *o, mode_t mode)
{
	char *folder = strdup(o->path);
	int fd, err;

	if (!folder)
		return -ENOMEM;
	fd = open(dirname(folder), O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
	free(folder);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd < 0 ? -errno : fd;
	err = temp_name(o);
	if (err)
		return err;
	fd = open(o->temp, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, mode);
	if (fd < 0) {
		err = -errno;
		free(o->temp);
		o->temp = NULL;
		return err;
	}
	return fd;
}

/* A FIFO or device, if what is opened is what was looked at: whoever may write into the folder can
 * put a file of somebody else's there in between. */
static int direct_open(struct output *o, const struct stat *before, struct err *err)
{
	struct stat st;
	int fd, code;

	fd = open(o->path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return output_fail(o, -errno, NULL, err);
	if (fstat(fd, &st))
		code = output_fail(o, -errno, NULL, err);
	else if (S_ISREG(st.st_mode) || st.st_dev != before->st_dev || st.st_ino != before->st_ino)
		code = output_fail(o, -EAGAIN, "it was replaced while uncoil opened it", err);
	else if (!o->sink && !o->trace && S_ISFIFO(st.st_mode) && st.st_uid != geteuid())
		code = output_fail(o, -EPERM,
				   "the FIFO belongs to another user, and a journal is private; "
				   "make one of your own",
				   err);
	else
		code = 0;
	if (code) {
		close(fd);
		return code;
	}
	o->direct = true;
	fcntl(fd, F_SETFL, O_WRONLY); /* non-blocking for the opening only */
	return fd;
}

int output_open(struct output *o, struct err *err)
{
	mode_t mode = o->sink || o->trace ? 0666 : 0600;
	struct stat st = {};
	int fd, code, stream = stream_of(o->path);

	code = stream >= 0 || !stat(o->path, &st) ? 0 : errno;
	if (stream >= 0) {
		o->direct = true;
		fd = fcntl(stream, F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			return output_fail(o, -errno, NULL, err);
	} else if (code == ENAMETOOLONG) {
		return output_fail(o, -code, NULL, err); /* not only once it gets its name */
	} else if (!code && S_ISDIR(st.st_mode)) {
		return output_fail(o, -EISDIR, NULL, err);
	} else if (!code && !S_ISREG(st.st_mode)) {
		fd = direct_open(o, &st, err);
		if (fd < 0)
			return fd;
	} else {
		fd = file_open(o, mode);
		if (fd < 0)
			return output_fail(o, fd, NULL, err);
	}
	o->file = fdopen(fd, "w");
	if (!o->file) {
		close(fd);
		return output_fail(o, -ENOMEM, NULL, err);
	}
	setvbuf(o->file, NULL, _IOFBF, STREAM_BUFFER);
	return 0;
}

int output_render(struct output *o, const struct report *report, struct err *err)
{
	int code;

	if (!o->sink)
		return 0; /* the journal was written all along */
	errno = 0;
	code = o->sink->write(report, o->file);
	if (code == -EIO && errno)
		code = -errno;
	return code ? output_fail(o, code, NULL, err) : 0;
}

int output_flush(struct output *o, struct err *err)
{
	int code = 0;

	errno = 0;
	if (ferror(o->file) || fflush(o->file))
		code = errno ? -errno : -EIO;
	/* a full disk may be found out only when the blocks are allocated */
	if (!code && !o->direct && fsync(fileno(o->file)))
		code = -errno;
	return code ? output_fail(o, code, NULL, err) : 0;
}

int output_link(struct output *o, struct err *err)
{
	char self[64];
	int code;

	if (o->direct || o->temp)
		return 0;
	code = temp_name(o);
	if (code)
		return output_fail(o, code, NULL, err);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fileno(o->file));
	if (linkat(AT_FDCWD, self, AT_FDCWD, o->temp, AT_SYMLINK_FOLLOW)) {
		code = -errno;
		free(o->temp);
		o->temp = NULL;
		return output_fail(o, code, NULL, err);
	}
	return 0;
}

int output_name(struct output *o, struct err *err)
{
	if (o->direct)
		return 0;
	if (rename(o->temp, o->path))
		return output_fail(o, -errno, NULL, err);
	free(o->temp);
	o->temp = NULL;
	return 0;
}

void output_done(struct output *o)
{
	if (o->file)
		fclose(o->file);
	o->file = NULL;
	if (o->temp) {
		unlink(o->temp);
		free(o->temp);
		o->temp = NULL;
	}
}
