/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Peers of sockets that threads wait on and that no switch told of: of a thread that slept before the
 * recording began, and for `dump`. /proc names a socket's inode, and from there to the peer there is
 * only a walk over all sockets of the host; from the descriptor there are three pointers.
 *
 * An object of its own: an iterator over tasks, which tells of those that `wanted` names, each time
 * that user space reads it.
 */
#include "file.bpf.h"
#include "peer_fact.h"

/* tid -> descriptor; written by user/probe/peers.c */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PEERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __s32);
} wanted SEC(".maps");

/* A UNIX socket's name, raw; its length. */
static __always_inline __u16 name_read(struct unix_sock *sk, char name[PEER_NAME_MAX])
{
	struct unix_address *addr = BPF_CORE_READ(sk, addr);
	const __u32 head = sizeof(__u16); /* sun_family */
	__u32 len;

	if (!addr)
		return 0;
	len = BPF_CORE_READ(addr, len) - head;
	if (!len || len > PEER_NAME_MAX)
		return 0;
	/* the rest is what lies behind it, or zeroes: user space takes `len` bytes */
	if (bpf_core_read(name, len, &addr->name[0].sun_path))
		return 0;
	return len;
}

SEC("iter/task")
int each_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct seq_file *seq = ctx->meta->seq;
	struct peer_fact fact = {};
	struct unix_sock *sk;
	struct file *file;
	__s32 *fd;

	if (!task)
		return 0;
	fact.tid = task->pid;
	fd = bpf_map_lookup_elem(&wanted, &fact.tid);
	if (!fd)
		return 0;
	fact.fd = *fd;
	file = file_of(task, (__u64)BPF_CORE_READ(task, files, fdt, fd), fact.fd);
	if (!file)
		return 0;
	fact.inode = BPF_CORE_READ(file, f_inode, i_ino);
	file_read(file, &fact.wait);
	if (!(fact.wait.flags & WAIT_SOCKET))
		return 0;
	if (fact.wait.family == AF_UNIX && bpf_core_type_exists(struct unix_sock)) {
		sk = (void *)file_sock(file, fact.wait.mode, &fact.wait.type);
		fact.path_len = name_read(sk, fact.path);
		sk = (void *)BPF_CORE_READ(sk, peer);
		fact.peer_len = sk ? name_read(sk, fact.peer) : 0;
	}
	bpf_seq_write(seq, &fact, sizeof(fact));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
