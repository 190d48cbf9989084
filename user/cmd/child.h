/* SPDX-License-Identifier: Apache-2.0 */
/* A command that is started for a recording: forked now, exec'ed when all is attached. */
#ifndef UNCOIL_CMD_CHILD_H
#define UNCOIL_CMD_CHILD_H

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

struct err;

struct child {
	pid_t pid;     /* 0 = none */
	int go_fd;     /* write end: closing it lets the child exec */
	int failed_fd; /* read end: its errno, if the exec failed */
	/* in force when uncoil started: it raises its own, which are not the command's */
	struct rlimit files, locked;
	bool has_files, has_locked;
};

/* Before anything else: no child yet, and the limits it is to have. */
void child_init(struct child *c);

int child_start(struct child *c, char **argv, struct err *err);

/* Lets it exec; 0, or -errno with a sentence if it could not. */
int child_go(struct child *c, char **argv, struct err *err);

/* Has it ended by itself? Then it is waited for, with its wait status; asked once. */
bool child_ended(struct child *c, int *ret_status);

/* Ends a child that was not waited for: SIGTERM, and 2 s to obey. 0, or the pid of one that runs
 * on: it is left alone. */
pid_t child_end(struct child *c);

/* Says on standard error how it ended, if that was by itself and not well. */
void child_tell(struct child *c, bool quiet);

/* child_end(), and says so if it runs on. Only once the files are written: it may take its time. */
void child_stop(struct child *c);

#endif
