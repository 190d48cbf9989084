/* SPDX-License-Identifier: GPL-2.0-only */
/* What a thread's file descriptor is, and a socket's peer: read as the kernel has it, with no reference
 * taken, so nothing of the target's is kept open or waits for us. */
#ifndef UNCOIL_FILE_BPF_H
#define UNCOIL_FILE_BPF_H

#include "direct.bpf.h"
#include "events.h"

#define S_IFMT   0170000
#define S_IFSOCK 0140000
#define AF_UNIX  1
#define AF_INET  2
#define AF_INET6 10

/* fds: where the task's table of them is, fdtable.fd as a number. */
static __always_inline struct file *file_of(struct task_struct *task, __u64 fds, int fd)
{
	if (fd < 0 || (__u32)fd >= task->files->fdt->max_fds)
		return NULL;
	return (void *)kernel_word(fds + fd * sizeof(fds));
}

static __always_inline __u16 file_mode(struct file *file)
{
	__u64 inode = kernel_word((__u64)file + bpf_core_field_offset(struct file, f_inode));

	return kernel_word(inode + bpf_core_field_offset(struct inode, i_mode));
}

/* The socket that the file of this mode is; NULL: it is none. */
static __always_inline struct sock *file_sock(struct file *file, __u16 mode, __u16 *ret_type)
{
	struct socket *socket;

	if ((mode & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	*ret_type = BPF_CORE_READ(socket, type);
	return BPF_CORE_READ(socket, sk);
}

static __always_inline void socket_read(struct sock *sk, struct wait *wait)
{
	wait->flags |= WAIT_SOCKET;
	wait->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (wait->family == AF_INET)
		BPF_CORE_READ_INTO((__u32 *)wait->addr, sk, __sk_common.skc_daddr);
	else if (wait->family == AF_INET6)
		bpf_core_read(wait->addr, sizeof(wait->addr), &sk->__sk_common.skc_v6_daddr);
	else
		return;
	wait->port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	wait->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
}

/* The file's facts into wait. */
static __always_inline void file_read(struct file *file, struct wait *wait)
{
	struct sock *sk;
	__u16 type = 0;

	wait->flags |= WAIT_FILE;
	wait->mode = file_mode(file);
	sk = file_sock(file, wait->mode, &type);
	if (!sk)
		return;
	wait->type = type;
	socket_read(sk, wait);
}

#endif
