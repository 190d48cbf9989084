/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"

#define END_STEP_MS 10
#define END_STEPS   200 /* 2 s: a command that does not end on SIGTERM must not hold uncoil */

void child_init(struct child *c)
{
	*c = (struct child){ .go_fd = -1, .failed_fd = -1 };
	c->has_files = !getrlimit(RLIMIT_NOFILE, &c->files);
	c->has_locked = !getrlimit(RLIMIT_MEMLOCK, &c->locked);
}

/* The child's side: waits to be let go, execs, and says why if that fails. */
static void child_run(const struct child *c, int go_fd, int failed_fd, char **argv)
{
	ssize_t len;
	char byte;
	int code;

	signal(SIGPIPE, SIG_DFL);
	do
		len = read(go_fd, &byte, 1);
	while (len < 0 && errno == EINTR);
	if (c->has_files)
		setrlimit(RLIMIT_NOFILE, &c->files);
	if (c->has_locked)
		setrlimit(RLIMIT_MEMLOCK, &c->locked);
	if (len == 1) { /* end of file without the byte: uncoil has failed or died before */
		execvp(argv[0], argv);
		code = errno;
		if (write(failed_fd, &code, sizeof(code)) != sizeof(code))
			_exit(126);
	}
	_exit(127);
}

int child_start(struct child *c, char **argv, struct err *err)
{
	int go[2], failed[2], code;

	if (pipe2(go, O_CLOEXEC))
		return err_set(err, -errno, "cannot make a pipe: %s", err_str(errno));
	if (pipe2(failed, O_CLOEXEC)) {
		code = -errno;
		close(go[0]);
		close(go[1]);
		return err_set(err, code, "cannot make a pipe: %s", err_str(code));
	}
	c->pid = fork();
	if (!c->pid) {
		close(go[1]);
		child_run(c, go[0], failed[1], argv);
	}
	code = c->pid < 0 ? -errno : 0;
	close(go[0]);
	close(failed[1]);
	c->go_fd = go[1];
	c->failed_fd = failed[0];
	if (code) {
		c->pid = 0;
		return err_set(err, code, "cannot fork: %s", err_str(code));
	}
	return 0;
}

int child_go(struct child *c, char **argv, struct err *err)
{
	struct buf name;
	int code = 0;
	ssize_t len;

	len = write(c->go_fd, "", 1);
	close(c->go_fd);
	c->go_fd = -1;
	if (len == 1)
		do
			len = read(c->failed_fd, &code, sizeof(code));
		while (len < 0 && errno == EINTR);
	close(c->failed_fd);
	c->failed_fd = -1;
	if (len != sizeof(code))
		return 0; /* the pipe closed on exec */
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	c->pid = 0; /* it ends at once; its status says nothing of the command */
	buf_init(&name, 4096);
	text_terminal(&name, argv[0]);
	err_set(err, -code, "cannot run %s: %s", buf_text(&name), err_str(code));
	buf_done(&name);
	return -code;
}

bool child_ended(struct child *c, int *ret_status)
{
	pid_t pid;

	if (!c->pid)
		return false;
	do
		pid = waitpid(c->pid, ret_status, WNOHANG);
	while (pid < 0 && errno == EINTR);
	if (!pid)
		return false;
	c->pid = 0;
	return pid > 0; /* with SIGCHLD ignored the kernel keeps no status */
}

pid_t child_end(struct child *c)
{
	struct timespec pause = { .tv_nsec = END_STEP_MS * 1000000 };
	pid_t pid = c->pid;
	int i, status;

	if (c->go_fd >= 0)
		close(c->go_fd);
	if (c->failed_fd >= 0)
		close(c->failed_fd);
	c->go_fd = c->failed_fd = -1;
	if (!pid)
		return 0;
	kill(pid, SIGTERM);
	for (i = 0; i < END_STEPS; i++) {
		child_ended(c, &status);
		if (!c->pid)
			return 0;
		nanosleep(&pause, NULL);
	}
	c->pid = 0;
	return pid;
}

void child_tell(struct child *c, bool quiet)
{
	int status;

	if (!child_ended(c, &status) || quiet)
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status))
		fprintf(stderr, "the command exited with status %d\n", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		fprintf(stderr, "the command was ended by signal %d (%s)\n", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
}

void child_stop(struct child *c)
{
	pid_t pid = child_end(c);

	if (pid)
		fprintf(stderr,
			"the command still runs (pid %d): it did not end on SIGTERM; "
			"`kill -9 %d` ends it\n",
			pid, pid);
}
