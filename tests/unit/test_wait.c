/* SPDX-License-Identifier: Apache-2.0 */
/* From the facts of a wait to its name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "model/wait.h"

static void check(struct wait wait, const char *want, bool idle)
{
	struct buf text;

	buf_init(&text, 256);
	assert_int_equal(wait_text(&wait, &text), 0);
	assert_string_equal(buf_text(&text), want);
	assert_int_equal(wait_is_idle(&wait), idle);
	buf_done(&text);
}

static struct wait file(int syscall, int mode)
{
	return (struct wait){ .syscall = syscall, .state = 1, .flags = WAIT_FILE, .mode = mode };
}

static struct wait tcp4(int syscall, uint16_t port)
{
	struct wait wait = file(syscall, S_IFSOCK | 0777);

	wait.flags |= WAIT_SOCKET;
	wait.family = AF_INET;
	wait.type = SOCK_STREAM;
	wait.port = port;
	wait.local_port = 8000;
	memcpy(wait.addr, "\x0a\x00\x00\x07", 4);
	return wait;
}

static void sockets_name_their_peer(void **state)
{
	struct wait six = tcp4(SYS_recvfrom, 443);

	check(tcp4(SYS_recvfrom, 5432), "[socket read 10.0.0.7:5432]", false);
	check(tcp4(SYS_sendto, 5432), "[socket write 10.0.0.7:5432]", false);
	check(tcp4(SYS_connect, 80), "[socket connect 10.0.0.7:80]", false);
	check(tcp4(SYS_accept4, 0), "[socket accept :8000]", true);
	six.family = AF_INET6;
	memset(six.addr, 0, sizeof(six.addr));
	six.addr[15] = 1;
	check(six, "[socket read [::1]:443]", false);
	six.family = AF_UNIX;
	check(six, "[unix socket read]", false);
	six.family = AF_NETLINK;
	check(six, "[socket read]", false);
	/* read from outside, the family is not known */
	check(file(SYS_read, S_IFSOCK | 0777), "[socket read]", false);
}

static void files_by_what_they_are(void **state)
{
	check(file(SYS_read, S_IFIFO), "[pipe read]", false);
	check(file(SYS_write, S_IFIFO), "[pipe write]", false);
	check(file(SYS_read, S_IFCHR), "[device read]", false);
	check(file(SYS_pread64, S_IFREG), "[disk read]", false);
	check(file(SYS_fsync, S_IFREG), "[disk sync]", false);
	check(file(SYS_getdents64, S_IFDIR), "[disk read]", false);
	check(file(SYS_read, 0600), "[file read]", false);
}

static void polls_by_how_many(void **state)
{
	struct wait one = tcp4(SYS_poll, 6379);

	one.cnt = 1;
	check(one, "[socket wait 10.0.0.7:6379]", false);
	check((struct wait){ .syscall = SYS_poll, .state = 1, .cnt = 2 }, "[poll]", true);
	check((struct wait){ .syscall = SYS_poll, .state = 1 }, "[sleep]", false);
	check((struct wait){ .syscall = SYS_pselect6, .state = 1, .cnt = 2 }, "[select]", true);
	check((struct wait){ .syscall = SYS_select, .state = 1 }, "[sleep]", false);
	check((struct wait){ .syscall = SYS_epoll_wait, .state = 1 }, "[epoll]", true);
}

static void the_rest(void **state)
{
	check((struct wait){ .syscall = SYS_futex, .state = 1 }, "[lock]", false);
	check((struct wait){ .syscall = SYS_futex, .state = 1, .flags = WAIT_GIL }, "[GIL]", false);
	check((struct wait){ .syscall = SYS_clock_nanosleep, .state = 1 }, "[sleep]", false);
	check((struct wait){ .syscall = SYS_wait4, .state = 1 }, "[child process]", false);
	check((struct wait){ .syscall = SYS_rt_sigtimedwait, .state = 1 }, "[signal wait]", true);
	check((struct wait){ .syscall = -1, .state = 2 }, "[page fault]", false);
	check((struct wait){ .syscall = SYS_openat, .state = 2 }, "[system call openat]", false);
	check((struct wait){ .syscall = 511, .state = 2 }, "[system call 511]", false);
	/* it did not wait: the CPU was taken from it, wherever it was */
	check((struct wait){ .syscall = -1 }, "[run queue]", false);
	check((struct wait){ .syscall = SYS_epoll_wait, .state = 8 }, "[stopped]", false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sockets_name_their_peer),
		cmocka_unit_test(files_by_what_they_are),
		cmocka_unit_test(polls_by_how_many),
		cmocka_unit_test(the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
