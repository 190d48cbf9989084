/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The functions of the walk as they are linked: strong here, weak in every other object that includes
 * them, and these lose. So only this object loads the target's memory directly (direct.bpf.h).
 */
#define SHARED __noinline
#ifndef PLAIN_LOOPS
#define DIRECT
#endif
#include "walk.bpf.h"

#include <bpf/bpf_tracing.h>

/* The kernel's variable that says where it maps all memory, and where that is unless it chooses another place
 * at its start (Documentation/arch/x86/x86_64/mm.rst, 5level-paging.rst). Not a text in the code: that would
 * be one map more than the plain object has. */
const char base_name[] = "page_offset_base";
const __u64 base_default[2] = { 0xffff888000000000ULL, 0xff11000000000000ULL };

#ifdef DIRECT
/* Are the words of uncoil's own memory found in this way? */
static __always_inline bool direct_try(struct scratch *s, __u64 base, __u32 five)
{
	__u64 at = direct_probe[0];
	struct page page;

	direct_base = base;
	direct_five = five;
	direct_begin(s);
	page_find(s, &page, at);
	return page.entry_at && page_u64(&page, at) == direct_probe[1] &&
	       page_u64(&page, at + 8) == direct_probe[2];
}
#endif

/* Run by user space once: finds direct_base, or leaves it 0. */
SEC("syscall")
int direct_find(void *ctx)
{
#ifdef DIRECT
	struct scratch *s = scratch_here();
	__u64 at = 0, base = 0;

	if (!can_cast() || !s)
		return 0;
	if (!bpf_kallsyms_lookup_name(base_name, sizeof(base_name), 0, &at))
		base = kernel_u64(at);
	if (!direct_try(s, base ?: base_default[0], 0) &&
	    !direct_try(s, base ?: base_default[1], 1))
		direct_base = 0;
#endif
	return 0;
}
