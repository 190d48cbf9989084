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

/* Page tables of four levels (arch/x86/include/asm/pgtable_types.h): a table has 512 entries of 8 bytes. */
#define PAGE_ADDR_BITS 47 /* of the user's addresses */
#define PAGE_MIDDLE_SHIFT \
	30 /* address bits below those that say which table of the last level but one */
#define PAGE_PRESENT     (1ULL << 0)
#define PAGE_USER        (1ULL << 2)
#define PAGE_LARGE       (1ULL << 7) /* not in the last level, where it means something else */
#define PAGE_SPECIAL     (1ULL << 9) /* not memory: a device's */
#define PAGE_FRAME       0x000ffffffffff000ULL
#define PAGE_FRAME_LARGE 0x000fffffffe00000ULL

/* Where an address's entry is in its table of this level, in bytes; 0 is the last level. */
static __always_inline __u64 page_index(__u64 addr, const int level)
{
	return (addr >> (12 + 9 * level) & 511) * 8;
}

/* The next level's table by the entry that names it, `base` being where the kernel maps all memory; 0: there is
 * none. */
static __always_inline __u64 page_table(__u64 base, __u64 entry)
{
	if ((entry & (PAGE_PRESENT | PAGE_USER | PAGE_LARGE)) != (PAGE_PRESENT | PAGE_USER))
		return 0;
	return base + (entry & PAGE_FRAME);
}

static __always_inline bool page_is_memory(__u64 entry)
{
	return (entry & (PAGE_PRESENT | PAGE_USER | PAGE_SPECIAL)) == (PAGE_PRESENT | PAGE_USER);
}

/* Likewise the page by its entry in the last level. */
static __always_inline __u64 page_start(__u64 base, __u64 entry)
{
	return page_is_memory(entry) ? base + (entry & PAGE_FRAME) : 0;
}

/* Likewise the address's 4096 bytes of a page of 2 MiB, by its entry in the last level but one. */
static __always_inline __u64 page_start_large(__u64 base, __u64 entry, __u64 addr)
{
	return page_is_memory(entry) ? base + (entry & PAGE_FRAME_LARGE) +
					       (addr & ~(PAGE_FRAME_LARGE | 4095) & PAGE_FRAME)
				     : 0;
}

struct syscall_regs {
	int nr; /* -1: it entered the kernel by an exception or an interrupt */
	__u64 arg[2];
};

/* What a thread entered the kernel with. -1 is what the entry code itself leaves in orig_ax for
 * whatever is no system call (arch/x86/entry/entry_64.S, idtentry_body). The registers are at the end of
 * its kernel stack. Since 5.15 the kernel tells (commit dd6e10fbd9fb ("bpf: Add bpf_task_pt_regs()
 * helper")); no earlier one leaves room behind them (TOP_OF_KERNEL_STACK_PADDING, v5.10
 * arch/x86/include/asm/thread_info.h). */
static __always_inline void regs_read(struct task_struct *task, struct syscall_regs *ret)
{
	const struct pt_regs *regs;
	struct pt_regs copy = {};

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
		regs = (void *)bpf_task_pt_regs(task);
	} else {
		regs = (struct pt_regs *)(BPF_CORE_READ(task, stack) + KERNEL_STACK_SIZE) - 1;
		bpf_probe_read_kernel(&copy, sizeof(copy), regs);
		regs = &copy;
	}
	ret->nr = (int)regs->orig_rax;
	ret->arg[0] = regs->rdi;
	ret->arg[1] = regs->rsi;
}

#endif
