/* SPDX-License-Identifier: Apache-2.0 */
#include "os/task.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads a file of /proc/PID/task/TID whole; its length, NUL-terminated, or -errno. */
static int task_read(pid_t pid, pid_t tid, const char *name, char *ret_text, size_t size)
{
	char path[64];
	size_t len = 0;
	ssize_t got;
	int fd, err = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	while (len < size - 1) {
		got = read(fd, ret_text + len, size - 1 - len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			err = -errno;
		if (got <= 0)
			break;
		len += got;
	}
	close(fd);
	ret_text[len] = '\0';
	if (err)
		return err;
	return len ? (int)len : -ESRCH;
}

int task_runs(pid_t pid, pid_t tid, uint64_t *ret_runs)
{
	uint64_t runs = 0;
	char text[128];
	int len;

	len = task_read(pid, tid, "schedstat", text, sizeof(text));
	if (len < 0)
		return len;
	if (sscanf(text, "%*u %*u %" SCNu64, &runs) != 1 || !runs)
		return -ENODATA;
	*ret_runs = runs;
	return 0;
}

int task_blocked(pid_t pid, pid_t tid, struct task_syscall *ret_syscall)
{
	struct task_syscall s = { .nr = -1 };
	uint64_t *a = s.args;
	char text[256];
	int len;

	len = task_read(pid, tid, "syscall", text, sizeof(text));
	if (len < 0)
		return len;
	if (!strncmp(text, "running", 7) || sscanf(text, "%d", &s.nr) != 1)
		return 0;
	if (s.nr >= 0 &&
	    sscanf(text, "%*d %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64,
		   &a[0], &a[1], &a[2], &a[3], &a[4], &a[5]) != TASK_ARGS)
		return 0;
	*ret_syscall = s;
	return 1;
}

int task_info(pid_t pid, pid_t tid, struct task_info *ret_info)
{
	struct task_info info = { .ns_tid = tid };
	const char *state, *name, *ns;
	char text[4096], *end;
	size_t len;
	int err;

	err = task_read(pid, tid, "status", text, sizeof(text));
	if (err < 0)
		return err;
	/* the name comes first and is escaped by the kernel: no line of it can pose as another */
	name = strchr(text, '\t');
	state = strstr(text, "\nState:\t");
	if (!name || !state)
		return -EINVAL;
	name++;
	len = strcspn(name, "\n");
	if (len >= sizeof(info.comm))
		len = sizeof(info.comm) - 1;
	memcpy(info.comm, name, len);
	info.state = state[8];
	/* one id for each namespace it is in, the innermost last */
	ns = strstr(text, "\nNSpid:");
	for (ns = ns ? ns + strlen("\nNSpid:") : ""; *ns == '\t'; ns = end)
		info.ns_tid = strtol(ns + 1, &end, 10);
	*ret_info = info;
	return 0;
}

/* /proc/TID/schedstat (Documentation/scheduler/sched-stats.rst): se.sum_exec_runtime and
 * sched_info.run_delay, as bpf/ reads them. */
bool task_times(pid_t tid, uint64_t *ret_exec_ns, uint64_t *ret_run_delay)
{
	unsigned long long exec = 0, delay = 0;
	char path[64];
	FILE *file;
	bool ok;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", tid);
	file = fopen(path, "re");
	if (!file)
		return false;
	ok = fscanf(file, "%llu %llu", &exec, &delay) == 2;
	fclose(file);
	*ret_exec_ns = exec;
	*ret_run_delay = delay;
	return ok;
}

bool task_exists(pid_t pid, pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d", pid, tid);
	return !access(path, F_OK);
}
