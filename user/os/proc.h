/* SPDX-License-Identifier: Apache-2.0 */
/* /proc readers. All of them take what is there at that moment: a process can end between two. */
#ifndef UNCOIL_OS_PROC_H
#define UNCOIL_OS_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;
struct err;

struct proc_stat {
	pid_t tgid; /* differs from the pid asked for when that is a thread's */
	char state; /* 'R', 'S', 'Z' … proc(5) */
	char comm[64];
};

/* The rest of the line "Name:\t..." in the status of a process or thread, cut to size; -ENOENT: no such
 * line. */
int proc_status_line(pid_t tid, const char *name, char *ret_text, size_t size);

/* -ESRCH: no such process. */
int proc_stat_read(pid_t pid, struct proc_stat *ret_stat);

/* Does any thread of the process still run? A main thread that has ended (state Z) is not the
 * process's end while others run. */
bool proc_alive(pid_t pid);

/* 0 if `pid` is a process that can be followed; otherwise one sentence: no such process, a zombie,
 * one whose main thread has ended, a thread of another process, a kernel thread. */
int proc_require(pid_t pid, struct err *err);

/* Appends the raw command line: NUL-separated, at most the buffer's maximum. */
int proc_cmdline(pid_t pid, struct buf *out);

struct proc_map {
	uint64_t start, end, offset; /* addresses; bytes into the file */
	uint64_t dev;                /* makedev() of the file's filesystem */
	uint64_t inode;              /* 0 = anonymous */
	bool is_exec, is_write, is_private;
	const char *path; /* as the kernel prints it, "" if none; valid during the call only */
};

/* Calls fn for each mapping until it returns non-zero; returns that, 0 at the end, or -errno. */
int proc_maps_each(pid_t pid, int (*fn)(void *ctx, const struct proc_map *map), void *ctx);

/* Opens the file behind a mapping, whatever stands at its path today: through
 * /proc/PID/map_files, which is the mapped inode itself, or, without the privilege for that,
 * through /proc/PID/root and only if it is the same regular file. Never blocks on a FIFO and never
 * follows a symlink. A file descriptor, or -errno with a sentence. */
int proc_open_map(pid_t pid, const struct proc_map *map, struct err *err);

/* Thread ids of a process, malloc'ed; the count, or -errno. */
int proc_threads(pid_t pid, pid_t **ret_tids);

/* Target of the symlink /proc/PID/NAME ("cwd", "exe"), appended; -errno if it can't be read. */
int proc_link(pid_t pid, const char *name, struct buf *out);

#endif
