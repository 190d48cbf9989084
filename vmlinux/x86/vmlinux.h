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

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
};

struct thread_struct {
	unsigned long fsbase;
};

struct task_struct {
	unsigned int flags;
	int exit_code;
	struct thread_struct thread;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	unsigned long long start_boottime;
	char comm[16];
	struct signal_struct *signal;
};

struct linux_binprm {
	struct file *file;
	const char *filename;
};

#pragma clang attribute pop

#endif /* UNCOIL_VMLINUX_H */
