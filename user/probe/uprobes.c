/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel has two ways to put BPF programs on instructions of a process, and neither is all good:
 *
 *	uprobe_multi	one link for all points of a program. Linux 6.6, and right since 6.10
 *	perf		one perf event and one link for each point. Any kernel
 *
 * Both tell processes apart by the memory of one task, the main thread: a point is for all threads, and for
 * no other process of the same file. Once that thread has ended it has no memory, and matches nothing; the
 * kernel does not call this an error, so it is looked at first.
 *
 * Never perf's `inherit`: at the target's fork() the kernel would read the path through uncoil's pointer in the
 * target's memory, and fork() fail with EFAULT.
 *
 * A perf event is left disabled: what it would be enabled for is a record in a buffer that nobody maps, and
 * the program runs before that is looked at (v5.10 and v6.18, kernel/trace/trace_uprobe.c,
 * __uprobe_perf_dispatcher's trace_call_bpf()). Enabled it would be put on and taken off a list at each
 * switch of the main thread.
 *
 * To take out costs more than to put in: the kernel waits until no CPU can be in a program any more, 30 to
 * 80 ms for links, 100 ms for each perf event, and meanwhile some are hit and some are gone. A trace that must end
 * at one moment is to be ended by its programs before.
 */
#include "probe/uprobes.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "os/feature.h"
#include "os/proc.h"
#include "os/uprobe_multi.h"

#define PMU_TYPE "/sys/bus/event_source/devices/uprobe/type"

/* PERF_UPROBE_REF_CTR_OFFSET_SHIFT, kernel/events/core.c, since 4.20 */
#define SEMAPHORE_SHIFT 32

/* The kernel's own, which strerror() does not know: include/linux/errno.h */
#define ENOTSUPP 524

struct target {
	pid_t pid;
	const char *path;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

bool uprobes_multi(void)
{
	return feature_has(FEAT_UPROBE_MULTI);
}

int uprobes_attach_type(bool multi)
{
	return multi ? UPROBE_MULTI_ATTACH_TYPE : 0;
}

/* The points from `first` on that have its program: one link. */
static int multi_link(const struct target *target, const struct uprobe_point *points, int cnt,
		      int first)
{
	uint64_t offsets[UPROBES_MAX], semaphores[UPROBES_MAX], cookies[UPROBES_MAX];
	struct uprobe_multi_attr attr = {
		.prog_fd = points[first].prog_fd,
		.attach_type = UPROBE_MULTI_ATTACH_TYPE,
		.path = (uintptr_t)target->path,
		.offsets = (uintptr_t)offsets,
		.semaphores = (uintptr_t)semaphores,
		.cookies = (uintptr_t)cookies,
		.pid = target->pid,
	};
	int i;

	for (i = first; i < cnt; i++) {
		if (points[i].prog_fd != points[first].prog_fd)
			continue;
		offsets[attr.cnt] = points[i].offset;
		semaphores[attr.cnt] = points[i].semaphore;
		cookies[attr.cnt++] = points[i].cookie;
	}
	return uprobe_multi_link(&attr);
}

static bool is_first_of_program(const struct uprobe_point *points, int at)
{
	int i;

	for (i = 0; i < at; i++)
		if (points[i].prog_fd == points[at].prog_fd)
			return false;
	return true;
}

static int pmu_type(void)
{
	FILE *file = fopen(PMU_TYPE, "re");
	int type = -1;

	if (!file)
		return -errno;
	if (fscanf(file, "%d", &type) != 1)
		type = -EINVAL;
	fclose(file);
	return type;
}

/* The descriptor that holds the breakpoint, or -errno. */
static int perf_link(const struct target *target, const struct uprobe_point *point, int type,
		     bool cookies)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .perf_event.bpf_cookie = point->cookie);
	struct perf_event_attr attr = {
		.type = type,
		.size = sizeof(attr),
		.config = point->semaphore << SEMAPHORE_SHIFT,
		.disabled = 1,
		.uprobe_path = (uintptr_t)target->path,
		.probe_offset = point->offset,
	};
	int event, fd;

	if (point->semaphore > UINT32_MAX)
		return -EOVERFLOW;
	event = syscall(SYS_perf_event_open, &attr, target->pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (event < 0)
		return -errno;
	if (cookies) {
		fd = bpf_link_create(point->prog_fd, event, BPF_PERF_EVENT, &opts);
		fd = fd < 0 ? -errno : fd;
		close(event); /* the link has it */
		return fd;
	}
	if (!ioctl(event, PERF_EVENT_IOC_SET_BPF, point->prog_fd))
		return event;
	fd = -errno;
	close(event);
	return fd;
}

/* 0, or -errno, what came before is attached still, and *ret_at is the point that it came from. */
static int attach_perf(struct uprobes *u, const struct target *target,
		       const struct uprobe_point *points, int cnt, int *ret_at)
{
	int type = pmu_type(), fd;

	*ret_at = 0;
	if (type < 0)
		return type;
	for (; *ret_at < cnt; ++*ret_at) {
		fd = perf_link(target, &points[*ret_at], type, u->cookies);
		if (fd < 0)
			return fd;
		u->fds[u->cnt++] = fd;
	}
	return 0;
}

/* Likewise; -1: it came from all together. */
static int attach_multi(struct uprobes *u, const struct target *target,
			const struct uprobe_point *points, int cnt, int *ret_at)
{
	int i, fd, err = 0;

	for (i = 0; i < cnt && !err; i++) {
		if (!is_first_of_program(points, i))
			continue;
		fd = multi_link(target, points, cnt, i);
		if (fd < 0)
			err = fd;
		else
			u->fds[u->cnt++] = fd;
	}
	if (!err)
		return 0;
	/* the kernel does not say which one it was: try them by themselves */
	for (*ret_at = 0; *ret_at < cnt; ++*ret_at) {
		fd = multi_link(target, &points[*ret_at], 1, 0);
		if (fd < 0)
			return fd;
		close(fd);
	}
	*ret_at = -1;
	return err;
}

static const char *why(int code)
{
	if (code == -ENOTSUPP)
		return "this kernel puts no breakpoint on such an instruction";
	if (code == -EOVERFLOW)
		return "its semaphore lies beyond the first 4 GiB of the file";
	return err_str(code);
}

static int refused(const struct target *target, const struct uprobe_point *points, int at, int code,
		   struct err *err)
{
	struct buf path;

	if (code == -ESRCH)
		return err_set(err, code, "process %d has ended", target->pid);
	buf_init(&path, 4096);
	text_terminal(&path, target->path);
	if (at < 0)
		err_set(err, code,
			"the kernel refuses the breakpoints in %s for process %d together, and "
			"none of them alone: %s",
			buf_text(&path), target->pid, why(code));
	else
		err_set(err, code,
			"the kernel refuses a breakpoint at %#" PRIx64 " of %s for process %d: %s",
			points[at].offset, buf_text(&path), target->pid, why(code));
	buf_done(&path);
	return code;
}

/* Is it there, and does its main thread have the memory that the kernel will know it by? */
static int target_check(pid_t pid, struct err *err)
{
	struct proc_stat stat;

	if (proc_stat_read(pid, &stat) || !proc_alive(pid))
		return err_set(err, -ESRCH, "process %d has ended", pid);
	if (stat.tgid != pid)
		return err_set(err, -ESRCH, "%d is a thread of process %d", pid, stat.tgid);
	if (stat.state == 'Z' || stat.state == 'X')
		return err_set(err, -EOWNERDEAD,
			       "the main thread of process %d has ended while others run: the "
			       "kernel cannot put breakpoints into such a process alone",
			       pid);
	return 0;
}

int uprobes_attach(struct uprobes *u, pid_t pid, const char *path,
		   const struct uprobe_point *points, int cnt, struct err *err)
{
	const struct target target = { .pid = pid, .path = path };
	uint64_t start;
	int at, code;

	u->cnt = 0;
	u->cookies = u->multi || feature_has(FEAT_PERF_LINK);
	start = now_ns();
	if (cnt > UPROBES_MAX)
		return err_set(err, -E2BIG, "%d breakpoints are more than %d", cnt, UPROBES_MAX);
	code = target_check(pid, err);
	if (code)
		return code;
	code = u->multi ? attach_multi(u, &target, points, cnt, &at)
			: attach_perf(u, &target, points, cnt, &at);
	u->attach_ns = now_ns() - start;
	if (!code)
		code = target_check(pid, err); /* while it was attached to */
	else
		code = refused(&target, points, at, code, err);
	if (code)
		uprobes_detach(u);
	return code;
}

/*
 * When any consumer of an uprobe unregisters, the kernel looks at all mappings of the file, and takes the
 * breakpoint out of each process that no consumer is left for (v6.6 and v6.18, kernel/events/uprobes.c,
 * register_for_each_vma()). So one comes and goes: for uncoil's own process, which has no Python mapped, so
 * that its program never runs.
 */
int uprobes_sweep(const struct uprobes *u, const char *path, const struct uprobe_point *points,
		  int cnt, struct err *err)
{
	struct uprobe_point same[UPROBES_MAX];
	struct uprobes other = { .multi = true };
	int i, code;

	if (!u->multi || !u->cnt)
		return 0;
	for (i = 0; i < cnt && i < UPROBES_MAX; i++) {
		same[i] = points[i];
		same[i].prog_fd = points[0].prog_fd; /* one link will do */
	}
	code = uprobes_attach(&other, getpid(), path, same, cnt, err);
	uprobes_detach(&other);
	return code;
}

static void *closer(void *fd)
{
	close(*(int *)fd);
	return NULL;
}

/*
 * Links go all at once, each in a thread of its own: 7 take 60 ms then, and 340 one after the other. Perf events
 * would wait for each other anyway (event_mutex).
 */
void uprobes_detach(struct uprobes *u)
{
	pthread_t threads[UPROBES_MAX];
	bool started[UPROBES_MAX];
	uint64_t start = now_ns();
	sigset_t all, before;
	int i;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all,
			&before); /* signals are for the thread that waits for them */
	for (i = 0; i < u->cnt; i++)
		started[i] = u->multi && i + 1 < u->cnt &&
			     !pthread_create(&threads[i], NULL, closer, &u->fds[i]);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	for (i = 0; i < u->cnt; i++)
		if (!started[i])
			close(u->fds[i]);
	for (i = 0; i < u->cnt; i++)
		if (started[i])
			pthread_join(threads[i], NULL);
	if (u->cnt)
		u->detach_ns = now_ns() - start;
	u->cnt = 0;
}
