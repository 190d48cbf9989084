/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timer PID HZ SECONDS: puts an empty BPF program on a timer of the process's main thread, opened
 * and attached just as user/probe/sampler.c does it; says "ready" once it ticks, and waits.
 * timer switch 0 SECONDS: the same for an empty program on sched_switch.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "timer.skel.h"

static int fail(const char *what, int code)
{
	fprintf(stderr, "timer: %s: %s\n", what, strerror(code));
	return 1;
}

static int timer_open(pid_t pid, unsigned long hz)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = 1000000000ULL / hz,
		.disabled = 1,
		.inherit = 1,
		.inherit_thread = 1,
	};
	int fd = syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0 && errno == EINVAL) {
		attr.inherit_thread = 0; /* before Linux 5.13 */
		fd = syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	}
	return fd;
}

static int ready(double seconds)
{
	struct timespec pause;

	printf("ready\n");
	fflush(stdout);
	pause.tv_sec = (time_t)seconds;
	pause.tv_nsec = (long)((seconds - (double)pause.tv_sec) * 1e9);
	nanosleep(&pause, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	LIBBPF_OPTS(bpf_perf_event_opts, opts, .bpf_cookie = 0);
	struct timer_bpf *skel;
	unsigned long hz;
	double seconds;
	pid_t pid;
	int fd;

	if (argc != 4) {
		fprintf(stderr, "usage: timer PID HZ SECONDS\n");
		return 2;
	}
	pid = strtol(argv[1], NULL, 10);
	hz = strtoul(argv[2], NULL, 10);
	seconds = strtod(argv[3], NULL);
	if (strcmp(argv[1], "switch") && (pid <= 0 || !hz))
		return fail("PID or HZ", EINVAL);
	skel = timer_bpf__open_and_load();
	if (!skel)
		return fail("load", errno);
	if (!strcmp(argv[1], "switch")) {
		if (!bpf_program__attach_trace(skel->progs.on_switch))
			return fail("attach", errno);
		return ready(seconds);
	}
	fd = timer_open(pid, hz);
	if (fd < 0)
		return fail("perf_event_open", errno);
	opts.bpf_cookie = pid;
	if (!bpf_program__attach_perf_event_opts(skel->progs.on_tick, fd, &opts)) {
		opts.bpf_cookie = 0; /* before Linux 5.15 */
		if (!bpf_program__attach_perf_event_opts(skel->progs.on_tick, fd, &opts))
			return fail("attach", errno);
	}
	if (ioctl(fd, PERF_EVENT_IOC_ENABLE, 0))
		return fail("enable", errno);
	return ready(seconds);
}
