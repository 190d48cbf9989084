/* SPDX-License-Identifier: Apache-2.0 */
/* A set of breakpoints in one process, each with a BPF program: put in together, or not at all. */
#ifndef UNCOIL_PROBE_UPROBES_H
#define UNCOIL_PROBE_UPROBES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

#define UPROBES_MAX 64

struct uprobe_point {
	int prog_fd;     /* BPF_PROG_TYPE_KPROBE, loaded with uprobes_attach_type() as expected */
	uint64_t offset; /* of the instruction, bytes into the file */
	uint64_t semaphore; /* USDT: offset in the file of the counter to raise; 0 = none */
	uint64_t cookie;    /* what bpf_get_attach_cookie() says there */
};

struct uprobes {
	int fds[UPROBES_MAX]; /* they hold the breakpoints: closed, also by uncoil's end, they are gone */
	int cnt;
	bool multi;         /* to be set before: the programs were loaded for uprobe_multi */
	bool cookies;       /* points have theirs; false only before Linux 5.15, all are 0 */
	uint64_t attach_ns; /* what the last attaching took, and the last detaching */
	uint64_t detach_ns;
};

/* Is FEAT_UPROBE_MULTI there? To be asked before programs are loaded: one that is loaded for the one way can't
 * be attached in the other. */
bool uprobes_multi(void);

/* enum bpf_attach_type to load programs with: BPF_TRACE_UPROBE_MULTI or 0. */
int uprobes_attach_type(bool multi);

/*
 * Puts a breakpoint at each point of a file into one process, all its threads, and into no other that runs
 * the same file. `u` is { .multi = … } or detached. `path` may be one of /proc/PID/map_files. The bytes there must have been looked at
 * (sites_verify()): the kernel only checks that it can step over what it finds. A point that an
 * offset shares with another, of the same program or another one, is a probe of its own.
 *
 * 0, and *u is to be detached. Or -errno with a sentence, nothing is attached, and u->cnt is 0: -ESRCH, the process
 * has ended; -E2BIG, more than UPROBES_MAX; -EOWNERDEAD, its main thread has ended while others run: the
 * kernel knows a process's memory by that thread, and would put in nothing and say that all is well; or what the kernel said
 * to one point, which the sentence names.
 *
 * Children that the process forks meanwhile get the breakpoints with the copied memory. They don't run the
 * program, but pay for the hits: see uprobes_sweep().
 */
int uprobes_attach(struct uprobes *u, pid_t pid, const char *path,
		   const struct uprobe_point *points, int cnt, struct err *err);

/*
 * Takes the breakpoints out of children that were forked meanwhile and have not been attached to. perf-style the
 * kernel does that itself, at the first hit, and this does nothing; with uprobe_multi they stay as long as the link,
 * and each hit costs the child what it costs the parent. What is attached stays so, and hits are not missed.
 * Takes 50 to 100 ms, of which the target sees nothing. 0 or -errno, with a sentence.
 */
int uprobes_sweep(const struct uprobes *u, const char *path, const struct uprobe_point *points,
		  int cnt, struct err *err);

/* Takes all out: none is in the process's memory any more when it returns, which can take the kernel 100 ms
 * each without uprobe_multi. May be called again. */
void uprobes_detach(struct uprobes *u);

#endif
