/* SPDX-License-Identifier: GPL-2.0-only */
/* The one place that knows the architecture. */
#ifndef UNCOIL_ARCH_BPF_H
#define UNCOIL_ARCH_BPF_H

#include <asm/ptrace.h>
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include <vmlinux.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#if !defined(__TARGET_ARCH_x86)
#error "thread identity and system call registers are not known for this architecture"
#endif

/* pthread_self() of a thread. */
static __always_inline __u64 task_thread_id(struct task_struct *task)
{
	return BPF_CORE_READ(task, thread.fsbase);
}

static __always_inline __u64 current_thread_id(void)
{
	return task_thread_id((void *)bpf_get_current_task());
}

/* The stack pointer of a thread that a tick found in user mode; false: it was in the kernel. */
static __always_inline bool user_sp(const struct bpf_perf_event_data *ctx, __u64 *ret_sp)
{
	*ret_sp = ctx->regs.rsp;
	return (ctx->regs.cs & 3) == 3;
}

/* THREAD_SIZE of v5.10 arch/x86/include/asm/page_64_types.h, without KASAN */
#define KERNEL_STACK_SIZE 16384

/* The registers that a thread entered the kernel with: at the end of its kernel stack. Since 5.15
 * the kernel tells (commit dd6e10fbd9fb ("bpf: Add bpf_task_pt_regs() helper")); no earlier one
 * leaves room behind them (TOP_OF_KERNEL_STACK_PADDING, v5.10 arch/x86/include/asm/thread_info.h). */
static __always_inline const struct pt_regs *task_regs(struct task_struct *task)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return (void *)bpf_task_pt_regs(task);
	return (struct pt_regs *)(BPF_CORE_READ(task, stack) + KERNEL_STACK_SIZE) - 1;
}

struct syscall_regs {
	int nr; /* -1: it entered the kernel by an exception or an interrupt */
	__u64 arg[2];
};

/* What a thread entered the kernel with. -1 is what the entry code itself leaves in orig_ax for
 * whatever is no system call (arch/x86/entry/entry_64.S, idtentry_body). */
static __always_inline void regs_read(struct task_struct *task, struct syscall_regs *ret)
{
	const struct pt_regs *regs = task_regs(task);
	__u64 si_di_orig[3] = {};

	/* the registers' order at the entry is the user-space interface's */
	_Static_assert(offsetof(struct pt_regs, orig_rax) - offsetof(struct pt_regs, rsi) == 16,
		       "ABI");
	bpf_probe_read_kernel(si_di_orig, sizeof(si_di_orig), &regs->rsi);
	ret->nr = (int)si_di_orig[2];
	ret->arg[0] = si_di_orig[1];
	ret->arg[1] = si_di_orig[0];
}

#endif
