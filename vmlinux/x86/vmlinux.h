/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Made by `make vmlinux` (scripts/gen-vmlinux) from a kernel's BTF; do not edit. Only the members
 * that bpf/ touches; their offsets are looked up on the running kernel at load time.
 * Include after <linux/bpf.h> and <linux/types.h>.
 */
#ifndef UNCOIL_VMLINUX_H
#define UNCOIL_VMLINUX_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct file;
struct files_struct;
struct seq_file;

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
};

struct thread_struct {
	unsigned long fsbase;
};

struct sched_info {
	unsigned long long run_delay;
};

struct sched_entity {
	unsigned long long sum_exec_runtime;
};

struct task_struct {
	unsigned int __state;
	void *stack;
	unsigned int flags;
	void *mm;
	int exit_code;
	struct thread_struct thread;
	int pid;
	int tgid;
	struct task_struct *group_leader;
	unsigned long long start_time;
	unsigned long long start_boottime;
	char comm[16];
	struct signal_struct *signal;
	struct files_struct *files;
	unsigned long nvcsw;
	unsigned long nivcsw;
	struct sched_info sched_info;
	struct sched_entity se;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
};

struct file {
	void *private_data;
	struct inode *f_inode;
};

struct in6_addr {
};

struct sock_common {
	unsigned int skc_daddr;
	unsigned short skc_dport;
	unsigned short skc_num;
	unsigned short skc_family;
	struct in6_addr skc_v6_daddr;
};

struct sock {
	struct sock_common __sk_common;
};

struct sockaddr_un {
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[0];
};

struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};

struct socket {
	short type;
	struct sock *sk;
};

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

#endif /* UNCOIL_VMLINUX_H */
