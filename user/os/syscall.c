/* SPDX-License-Identifier: Apache-2.0 */
#include "os/syscall.h"

#include <stddef.h>
#include <sys/syscall.h>

/* From the kernel's own header, made at build time: [0] = "read", ... */
static const char *const names[] = {
#include "syscalls.h"
};

struct known {
	int nr;
	enum syscall_kind kind;
	enum syscall_does does;
	bool has_fd; /* first, as in SYSCALL_FD, but what it waits for is something else */
};

static const struct known known[] = {
	{ SYS_read, SYSCALL_FD, DOES_READ },
	{ SYS_pread64, SYSCALL_FD, DOES_READ },
	{ SYS_readv, SYSCALL_FD, DOES_READ },
	{ SYS_preadv, SYSCALL_FD, DOES_READ },
	{ SYS_preadv2, SYSCALL_FD, DOES_READ },
	{ SYS_recvfrom, SYSCALL_FD, DOES_READ },
	{ SYS_recvmsg, SYSCALL_FD, DOES_READ },
	{ SYS_recvmmsg, SYSCALL_FD, DOES_READ },
	{ SYS_getdents64, SYSCALL_FD, DOES_READ },
	{ SYS_write, SYSCALL_FD, DOES_WRITE },
	{ SYS_pwrite64, SYSCALL_FD, DOES_WRITE },
	{ SYS_writev, SYSCALL_FD, DOES_WRITE },
	{ SYS_pwritev, SYSCALL_FD, DOES_WRITE },
	{ SYS_pwritev2, SYSCALL_FD, DOES_WRITE },
	{ SYS_sendto, SYSCALL_FD, DOES_WRITE },
	{ SYS_sendmsg, SYSCALL_FD, DOES_WRITE },
	{ SYS_sendmmsg, SYSCALL_FD, DOES_WRITE },
	{ SYS_sendfile, SYSCALL_FD, DOES_WRITE },
	{ SYS_fallocate, SYSCALL_FD, DOES_WRITE },
	{ SYS_ftruncate, SYSCALL_FD, DOES_WRITE },
	{ SYS_fsync, SYSCALL_FD, DOES_SYNC },
	{ SYS_fdatasync, SYSCALL_FD, DOES_SYNC },
	{ SYS_sync_file_range, SYSCALL_FD, DOES_SYNC },
	{ SYS_syncfs, SYSCALL_FD, DOES_SYNC },
	{ SYS_msync, SYSCALL_OTHER, DOES_SYNC },
	{ SYS_accept, SYSCALL_FD, DOES_ACCEPT },
	{ SYS_accept4, SYSCALL_FD, DOES_ACCEPT },
	{ SYS_connect, SYSCALL_FD, DOES_CONNECT },
	{ SYS_nanosleep, SYSCALL_OTHER, DOES_SLEEP },
	{ SYS_clock_nanosleep, SYSCALL_OTHER, DOES_SLEEP },
	{ SYS_epoll_pwait, SYSCALL_OTHER, DOES_EVENTS, true },
	{ SYS_epoll_pwait2, SYSCALL_OTHER, DOES_EVENTS, true },
	{ SYS_ppoll, SYSCALL_POLL, DOES_EVENTS },
	{ SYS_pselect6, SYSCALL_SELECT, DOES_EVENTS },
	{ SYS_futex, SYSCALL_FUTEX, DOES_FUTEX },
	{ SYS_wait4, SYSCALL_OTHER, DOES_CHILD },
	{ SYS_waitid, SYSCALL_OTHER, DOES_CHILD },
	{ SYS_rt_sigtimedwait, SYSCALL_OTHER, DOES_SIGNAL },
	{ SYS_rt_sigsuspend, SYSCALL_OTHER, DOES_SIGNAL },
	{ SYS_flock, SYSCALL_OTHER, DOES_OTHER, true },
	{ SYS_fcntl, SYSCALL_OTHER, DOES_OTHER, true },
	{ SYS_ioctl, SYSCALL_OTHER, DOES_OTHER, true },
/* older calls that newer architectures do not have */
#ifdef SYS_poll
	{ SYS_poll, SYSCALL_POLL, DOES_EVENTS },
	{ SYS_select, SYSCALL_SELECT, DOES_EVENTS },
	{ SYS_epoll_wait, SYSCALL_OTHER, DOES_EVENTS, true },
	{ SYS_pause, SYSCALL_OTHER, DOES_SIGNAL },
	{ SYS_vfork, SYSCALL_OTHER, DOES_CHILD },
#endif
};

static const struct known *known_of(int nr)
{
	static const struct known other = { .kind = SYSCALL_OTHER, .does = DOES_OTHER };
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].nr == nr)
			return &known[i];
	return &other;
}

enum syscall_kind syscall_kind(int nr)
{
	return known_of(nr)->kind;
}

enum syscall_does syscall_does(int nr)
{
	return known_of(nr)->does;
}

bool syscall_has_fd(int nr)
{
	return known_of(nr)->has_fd || known_of(nr)->kind == SYSCALL_FD;
}

const char *syscall_name(int nr)
{
	return nr >= 0 && (size_t)nr < sizeof(names) / sizeof(names[0]) ? names[nr] : NULL;
}
