/* SPDX-License-Identifier: Apache-2.0 */
#include "model/wait.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "os/syscall.h"
#include "os/task.h"

/* include/linux/sched.h */
#define TASK_STOPPED 0x0004
#define TASK_TRACED  0x0008

static const char *verb(enum syscall_does does)
{
	switch (does) {
	case DOES_READ:
		return "read";
	case DOES_WRITE:
		return "write";
	case DOES_ACCEPT:
		return "accept";
	case DOES_CONNECT:
		return "connect";
	case DOES_SYNC:
		return "sync";
	default:
		return "wait";
	}
}

int wait_peer_text(const struct wait *wait, struct buf *out)
{
	char addr[INET6_ADDRSTRLEN] = "";

	if (!wait->port)
		return buf_fmt(out, ":%u", wait->local_port);
	inet_ntop(wait->family, wait->addr, addr, sizeof(addr));
	return buf_fmt(out, wait->family == AF_INET ? "%s:%u" : "[%s]:%u", addr, wait->port);
}

static int socket_text(const struct wait *wait, const char *does, struct buf *out)
{
	if (wait->family == AF_UNIX)
		return buf_fmt(out, "[unix socket %s]", does);
	if (wait->family != AF_INET && wait->family != AF_INET6)
		return buf_fmt(out, "[socket %s]", does);
	buf_fmt(out, "[socket %s ", does);
	wait_peer_text(wait, out);
	return buf_str(out, "]");
}

static int file_text(const struct wait *wait, enum syscall_does does, struct buf *out)
{
	if (wait->flags & WAIT_SOCKET)
		return socket_text(wait, verb(does), out);
	switch (wait->mode & S_IFMT) {
	case S_IFSOCK: /* seen from outside, and its peer could not be asked for */
		return buf_fmt(out, "[socket %s]", verb(does));
	case S_IFIFO:
		return buf_fmt(out, "[pipe %s]", verb(does));
	case S_IFCHR:
		return buf_fmt(out, "[device %s]", verb(does));
	case S_IFREG:
	case S_IFDIR:
	case S_IFBLK:
		return buf_fmt(out, "[disk %s]", verb(does));
	}
	return buf_fmt(out, "[file %s]", verb(does)); /* an eventfd, a timerfd … */
}

static int events_text(const struct wait *wait, struct buf *out)
{
	enum syscall_kind kind = syscall_kind(wait->syscall);

	if (kind == SYSCALL_OTHER)
		return buf_str(out, "[epoll]");
	if (!wait->cnt)
		return buf_str(out, "[sleep]");
	if (wait->flags & WAIT_FILE)
		return file_text(wait, DOES_EVENTS, out);
	return buf_str(out, kind == SYSCALL_POLL ? "[poll]" : "[select]");
}

int wait_text(const struct wait *wait, struct buf *out)
{
	enum syscall_does does = syscall_does(wait->syscall);
	const char *name = syscall_name(wait->syscall);

	if (!wait->state)
		return buf_str(out, WAIT_RUNQ_TEXT);
	if (wait->state & (TASK_STOPPED | TASK_TRACED))
		return buf_str(out, "[stopped]");
	if (wait->syscall < 0)
		return buf_str(out, "[page fault]");
	switch (does) {
	case DOES_FUTEX:
		return buf_str(out, wait->flags & WAIT_GIL ? "[GIL]" : "[lock]");
	case DOES_SLEEP:
		return buf_str(out, "[sleep]");
	case DOES_EVENTS:
		return events_text(wait, out);
	case DOES_CHILD:
		return buf_str(out, "[child process]");
	case DOES_SIGNAL:
		return buf_str(out, "[signal wait]");
	default:
		break;
	}
	if (wait->flags & WAIT_FILE)
		return file_text(wait, does, out);
	if (name)
		return buf_fmt(out, "[system call %s]", name);
	return buf_fmt(out, "[system call %d]", wait->syscall);
}

bool wait_is_idle(const struct wait *wait)
{
	enum syscall_does does = syscall_does(wait->syscall);

	if (!wait->state || (wait->state & (TASK_STOPPED | TASK_TRACED)))
		return false;
	if (does == DOES_EVENTS) /* of a single descriptor: a socket with a timeout, not a loop */
		return syscall_kind(wait->syscall) == SYSCALL_OTHER || wait->cnt > 1;
	return does == DOES_ACCEPT || does == DOES_SIGNAL;
}
