/* SPDX-License-Identifier: Apache-2.0 */
#include "os/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"

/* A path under /proc/PID; the longest is map_files with two 64-bit addresses. */
#define PROC_PATH_MAX 128

static int proc_open(pid_t pid, const char *name, int flags)
{
	char path[PROC_PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int proc_slurp(pid_t pid, const char *name, struct buf *out)
{
	char chunk[4096];
	ssize_t len;
	int fd, err = 0;

	fd = proc_open(pid, name, O_RDONLY);
	if (fd < 0)
		return fd;
	for (;;) {
		len = read(fd, chunk, sizeof(chunk));
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			err = -errno;
		if (len <= 0)
			break;
		err = buf_add(out, chunk, len);
		if (err)
			break;
	}
	close(fd);
	return err;
}

/* Value of "Name:\t123" in a status file, -1 if it is not there. */
static long status_number(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	return line ? strtol(line + strlen(name), NULL, 10) : -1;
}

int proc_stat_read(pid_t pid, struct proc_stat *ret_stat)
{
	struct buf text;
	const char *state, *name;
	size_t len;
	int err;

	buf_init(&text, 65536);
	err = proc_slurp(pid, "status", &text);
	if (err)
		goto out;
	/* the name comes first and is escaped by the kernel: no line of it can pose as another */
	state = strstr(buf_text(&text), "\nState:\t");
	name = strchr(buf_text(&text), '\t');
	if (!state || !name) {
		err = -EINVAL;
		goto out;
	}
	name++;
	len = strcspn(name, "\n");
	if (len >= sizeof(ret_stat->comm))
		len = sizeof(ret_stat->comm) - 1;
	memcpy(ret_stat->comm, name, len);
	ret_stat->comm[len] = '\0';
	ret_stat->state = state[8];
	ret_stat->tgid = status_number(buf_text(&text), "\nTgid:\t");
out:
	buf_done(&text);
	return err == -ENOENT ? -ESRCH : err;
}

int proc_status_line(pid_t tid, const char *name, char *ret_text, size_t size)
{
	const char *line;
	char key[64];
	struct buf text;
	int err;

	snprintf(key, sizeof(key), "\n%s:\t", name);
	buf_init(&text, 65536);
	err = proc_slurp(tid, "status", &text);
	line = err ? NULL : strstr(buf_text(&text), key);
	if (line) {
		line += strlen(key);
		snprintf(ret_text, size, "%.*s", (int)strcspn(line, "\n"), line);
	} else if (!err) {
		err = -ENOENT;
	}
	buf_done(&text);
	return err;
}

bool proc_alive(pid_t pid)
{
	struct proc_stat stat;
	pid_t *tids = NULL;
	int cnt;

	cnt = proc_stat_read(pid, &stat);
	if (cnt == -ESRCH)
		return false;
	if (cnt) /* not /proc's to say now: out of descriptors, or the like */
		return !kill(pid, 0) || errno == EPERM;
	if (stat.state != 'Z' && stat.state != 'X')
		return true;
	cnt = proc_threads(pid, &tids); /* itself, and those that still run */
	if (cnt >= 0)
		free(tids);
	return cnt > 1;
}

/* PF_KTHREAD (include/linux/sched.h) in the flags of /proc/PID/stat: the seventh field behind the
 * name, which ends with the last ')'. */
static bool is_kernel_thread(pid_t pid)
{
	unsigned long flags = 0;
	const char *at;
	struct buf text;

	buf_init(&text, 65536);
	if (!proc_slurp(pid, "stat", &text)) {
		at = strrchr(buf_text(&text), ')');
		if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %lu", &flags) != 1)
			flags = 0;
	}
	buf_done(&text);
	return flags & 0x00200000;
}

int proc_require(pid_t pid, struct err *err)
{
	struct proc_stat stat;
	struct buf exe;
	int code;

	code = proc_stat_read(pid, &stat);
	if (code == -ESRCH)
		return err_set(err, code, "there is no process %d; is it still running?", pid);
	if (code)
		return err_set(err, code, "cannot read /proc/%d/status: %s", pid, err_str(code));
	if (stat.tgid != pid)
		return err_set(err, -EINVAL, "%d is a thread of process %d; use -p %d", pid,
			       stat.tgid, stat.tgid);
	if ((stat.state == 'Z' || stat.state == 'X') && proc_alive(pid))
		return err_set(err, -ENOTSUP,
			       "process %d's main thread has ended while others run; uncoil cannot "
			       "read it",
			       pid);
	if (stat.state == 'Z' || stat.state == 'X')
		return err_set(err, -ESRCH,
			       "process %d is a zombie: it has ended and waits for its parent",
			       pid);
	buf_init(&exe, PATH_MAX);
	code = proc_link(pid, "exe", &exe);
	buf_done(&exe);
	if (code != -ENOENT)
		return 0;
	/* no program: a kernel thread, or a process that is just ending */
	if (is_kernel_thread(pid))
		return err_set(err, -EINVAL, "process %d is a kernel thread, it runs no Python",
			       pid);
	return err_set(err, -ESRCH, "process %d has just ended", pid);
}

int proc_cmdline(pid_t pid, struct buf *out)
{
	int err = proc_slurp(pid, "cmdline", out);

	if (err != -E2BIG)
		return err;
	out->err = 0; /* a longer one is cut at the buffer's maximum */
	return 0;
}

/* "55d0c0000000-55d0c0001000 r-xp 00001000 fd:00 1234   /usr/bin/x": fields, then the path, in
 * which the kernel escapes newlines only. */
static int map_parse(char *line, struct proc_map *ret_map)
{
	unsigned int major, minor;
	char perms[5];
	int at = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n",
		   &ret_map->start, &ret_map->end, perms, &ret_map->offset, &major, &minor,
		   &ret_map->inode, &at) < 7 ||
	    !at)
		return -EINVAL;
	ret_map->dev = makedev(major, minor);
	ret_map->is_write = perms[1] == 'w';
	ret_map->is_exec = perms[2] == 'x';
	ret_map->is_private = perms[3] == 'p';
	ret_map->path = line + at;
	return 0;
}

int proc_maps_each(pid_t pid, int (*fn)(void *ctx, const struct proc_map *map), void *ctx)
{
	struct proc_map map;
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	FILE *file;
	int fd, err = 0;

	fd = proc_open(pid, "maps", O_RDONLY);
	if (fd < 0)
		return fd == -ENOENT ? -ESRCH : fd;
	file = fdopen(fd, "r");
	if (!file) {
		err = -errno;
		close(fd);
		return err;
	}
	while (!err && (len = getline(&line, &cap, file)) > 0) {
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (!map_parse(line, &map))
			err = fn(ctx, &map);
	}
	free(line);
	fclose(file);
	return err;
}

/* The same file as the mapping's, and a regular one? The device is compared loosely: on
 * filesystems with anonymous devices (btrfs, overlayfs) maps and stat(2) tell different ones. */
static int same_file(int fd, const struct proc_map *map)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOTSUP;
	return st.st_ino == map->inode ? 0 : -ESTALE;
}

int proc_open_map(pid_t pid, const struct proc_map *map, struct err *err)
{
	char name[64], path[PATH_MAX + 64];
	struct stat st;
	int fd, code;

	snprintf(name, sizeof(name), "map_files/%" PRIx64 "-%" PRIx64, map->start, map->end);
	/* O_NONBLOCK: it is an ordinary file, but nothing here may ever hang */
	fd = proc_open(pid, name, O_RDONLY | O_NONBLOCK);
	if (fd >= 0) {
		if (!fstat(fd, &st) && S_ISREG(st.st_mode))
			return fd;
		close(fd);
		return err_set(err, -ENOTSUP,
			       "the file mapped at %" PRIx64 " in process %d is not a regular file",
			       map->start, pid);
	}
	if (fd != -EPERM && fd != -EACCES)
		return err_set(err, fd, "cannot open /proc/%d/%s: %s", pid, name, err_str(fd));
	snprintf(path, sizeof(path), "/proc/%d/root%s", pid, map->path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0) {
		code = -errno;
		return err_set(err, code, "cannot open the interpreter's file in process %d: %s",
			       pid, err_str(code));
	}
	code = same_file(fd, map);
	if (!code)
		return fd;
	close(fd);
	return err_set(
		err, code,
		"the file at the interpreter's path is not the one that process %d has mapped "
		"(replaced?), and /proc/%d/map_files needs CAP_CHECKPOINT_RESTORE",
		pid, pid);
}

int proc_threads(pid_t pid, pid_t **ret_tids)
{
	char path[PROC_PATH_MAX];
	struct dirent *entry;
	pid_t *tids = NULL, *grown;
	int cnt = 0, cap = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	while ((entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		if (cnt == cap) {
			cap = cap ? cap * 2 : 16;
			grown = realloc(tids, cap * sizeof(*tids));
			if (!grown) {
				free(tids);
				closedir(dir);
				return -ENOMEM;
			}
			tids = grown;
		}
		tids[cnt++] = strtol(entry->d_name, NULL, 10);
	}
	closedir(dir);
	*ret_tids = tids;
	return cnt;
}

int proc_link(pid_t pid, const char *name, struct buf *out)
{
	char path[PROC_PATH_MAX], target[PATH_MAX];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	len = readlink(path, target, sizeof(target));
	if (len < 0)
		return -errno;
	return buf_add(out, target, len);
}
