/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls of the architecture that uncoil is built for, by number: names, and what a thread
 * that sleeps in one waits for.
 */
#ifndef UNCOIL_OS_SYSCALL_H
#define UNCOIL_OS_SYSCALL_H

#include <stdbool.h>
#include <stdint.h>

#include "shared.h"

/* "futex"; NULL: no such number when this was built. */
const char *syscall_name(int nr);

/* What its arguments say of what it waits on (for the kernel side's table). */
enum syscall_kind syscall_kind(int nr);

/* Its first argument is a descriptor: of SYSCALL_FD, and of calls that wait for something else by means
 * of one (an epoll, a file that is locked), which recordings do not look at. */
bool syscall_has_fd(int nr);

/* What it does, where that matters for the reason of a wait. */
enum syscall_does {
	DOES_OTHER,
	DOES_READ,
	DOES_WRITE,
	DOES_ACCEPT,
	DOES_CONNECT,
	DOES_SYNC,
	DOES_SLEEP,
	DOES_EVENTS, /* waits for any of several descriptors */
	DOES_FUTEX,
	DOES_CHILD,
	DOES_SIGNAL,
};

enum syscall_does syscall_does(int nr);

#endif
