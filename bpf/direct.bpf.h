/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The target's memory, read without a call.
 *
 * bpf_probe_read_user() costs what its calls and returns cost, 78 ns on a processor that needs each return
 * to be made safe (spec_rstack_overflow), and hardly anything of it is the read.
 * A stack of 21 functions takes 45 of them. But all memory is in the kernel's own map, and a program may
 * load from any kernel address: where that is not mapped it gets 0 (bpf_rdonly_cast(), Linux 6.2). So the page tables are followed as the processor does it, and the words are loaded from there.
 *
 * Is that the same memory? It is where the thread is stopped with interrupts off, as in a tick and in a
 * switch: page tables are not freed meanwhile, which gup_fast relies on too (mm/gup.c). A page can
 * be taken away, where the hypervisor has taken this CPU away and others go on without it. So the page's
 * entry is looked at again after the words were loaded (direct_holds): if it is still the same, they are
 * of that page.
 *
 * What is not simply there (a page of 1 GiB, one that is not the user's, a device's) is left to
 * bpf_probe_read_user(). So is everything on kernels before 6.10, and where memory is encrypted: whether
 * it works is tried once, on uncoil's own memory (walk.bpf.c, direct_find).
 *
 * bpftool's linker (7.1, libbpf 1.1) stumbles over an extern function that two objects mention: only
 * walk.bpf.c is compiled with DIRECT.
 */
#ifndef UNCOIL_DIRECT_BPF_H
#define UNCOIL_DIRECT_BPF_H

#include "arch.bpf.h"
#include "emit.bpf.h"

#ifndef EINVAL
#define EINVAL 22
#define EFAULT 14
#endif

static __always_inline int user_u64(__u64 *ret, __u64 addr)
{
	return bpf_probe_read_user(ret, sizeof(*ret), (void *)addr);
}

/* A page of the target's. */
struct page {
	__u64 entry_at; /* kernel address of its entry in the page table; 0 = it is not known */
	__u64 entry;
	__u64 start; /* its kernel address */
};

#ifdef DIRECT
#define PAGE_SIZE 4096ULL

/* The verifier's own list of functions. The cast is there since 6.2, this one since 6.10: earlier kernels
 * could not be tried, and a program that is refused costs the whole recording. */
enum special_kfunc_type {
	KF_bpf_preempt_disable,
};

struct mm_struct___pgd {
	void *pgd;
} __attribute__((preserve_access_index));

struct task_struct___mm {
	struct mm_struct___pgd *mm;
} __attribute__((preserve_access_index));

extern void *bpf_rdonly_cast(void *obj, __u32 btf_id) __ksym __weak;

static __always_inline bool can_cast(void)
{
	return bpf_core_enum_value_exists(enum special_kfunc_type, KF_bpf_preempt_disable);
}

/* The word at a kernel address; 0 where there is none. pt_regs is a struct that begins with a word. */
static __always_inline __u64 kernel_u64(__u64 addr)
{
	const struct pt_regs *words =
		bpf_rdonly_cast((void *)addr, bpf_core_type_id_kernel(struct pt_regs));

	return words->r15;
}

/* Once for each tick and switch: whose page tables these are. */
static __always_inline void direct_begin(struct scratch *s)
{
	struct task_struct___mm *task;

	if (!can_cast() || !direct_base)
		return;
	task = (void *)bpf_get_current_task_btf();
	s->pgd = (__u64)task->mm->pgd;
	barrier(); /* read back it is a number to the verifier, which lets no pointer be added to */
	/* of five levels the first has one entry for all addresses below PAGE_ADDR_BITS */
	if (direct_five)
		s->pgd = page_table(direct_base, kernel_u64(s->pgd));
	s->middle_of = ~0ULL;
}

/* The page that this address of the target's is in. */
static __always_inline void page_find(struct scratch *s, struct page *ret, __u64 addr)
{
	__u64 base = direct_base, table = s->middle;

	ret->entry_at = ret->start = 0;
	if (!can_cast() || !base || addr >> PAGE_ADDR_BITS)
		return;
	if (addr >> PAGE_MIDDLE_SHIFT != s->middle_of) {
		table = page_table(base, kernel_u64(s->pgd + page_index(addr, 3)));
		if (table)
			table = page_table(base, kernel_u64(table + page_index(addr, 2)));
		s->middle_of = addr >> PAGE_MIDDLE_SHIFT;
		s->middle = table;
	}
	if (!table)
		return;
	table += page_index(addr, 1);
	ret->entry = kernel_u64(table);
	if (ret->entry & PAGE_LARGE) {
		ret->start = page_start_large(base, ret->entry, addr);
	} else {
		table = page_table(base, ret->entry);
		if (!table)
			return;
		table += page_index(addr, 0);
		ret->entry = kernel_u64(table);
		ret->start = page_start(base, ret->entry);
	}
	if (ret->start)
		ret->entry_at = table;
}

/* Was it that page until now? Asked after the words were loaded. */
static __always_inline bool direct_holds(const struct page *page)
{
	return kernel_u64(page->entry_at) == page->entry;
}

/* The word at this address of the page's; `addr` is of the target's. */
static __always_inline __u64 page_u64(const struct page *page, __u64 addr)
{
	return kernel_u64(page->start + (addr & (PAGE_SIZE - 1)));
}

/* Are these bytes of the target's in that one page? */
static __always_inline bool page_has(__u64 addr, __u32 size)
{
	return (addr & (PAGE_SIZE - 1)) <= PAGE_SIZE - size;
}

/* The `cnt` words at this address, 1 or 2; 0 or -EFAULT. */
static __always_inline int target_words(struct scratch *s, __u64 *ret, __u64 addr, const int cnt)
{
	struct page page;

	page_find(s, &page, addr);
	if (page.entry_at && page_has(addr, cnt * 8)) {
		ret[0] = page_u64(&page, addr);
		if (cnt == 2)
			ret[1] = page_u64(&page, addr + 8);
		if (direct_holds(&page))
			return 0;
	}
	return bpf_probe_read_user(ret, cnt * 8, (void *)addr);
}

#else

static __always_inline void direct_begin(struct scratch *s)
{
}

static __always_inline int target_words(struct scratch *s, __u64 *ret, __u64 addr, const int cnt)
{
	return bpf_probe_read_user(ret, cnt * 8, (void *)addr);
}

#endif

/* The word at a kernel address; 0 where there is none. */
SHARED __u64 kernel_word(__u64 addr)
{
	__u64 word = 0;

#ifdef DIRECT
	if (can_cast())
		return kernel_u64(addr);
#endif
	bpf_probe_read_kernel(&word, sizeof(word), (void *)addr);
	return word;
}

#endif
