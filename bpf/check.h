/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The sum that names a code object along with its address (py_frame.check): one text for the kernel
 * side and for code_check(), so that they cannot disagree.
 *
 * It is no cryptographic hash and need not be: it must only differ when an address is given to
 * another code object, and a target that wants to fool its own profile may.
 */
#ifndef UNCOIL_CHECK_H
#define UNCOIL_CHECK_H

#include <linux/types.h>

/* First 64 bits of pi's fraction: not zero, and nobody chose it. */
#define CHECK_SEED 0x243F6A8885A308D3ULL

/* 2^64 divided by the golden ratio, odd: spreads each word over the high bits; the shift brings
 * them back down before the next word. */
#define CHECK_MUL 0x9E3779B97F4A7C15ULL

static inline __u64 check_mix(__u64 h, __u64 word)
{
	h = (h ^ word) * CHECK_MUL;
	return h ^ (h >> 32);
}

/* 0 is left for "could not be read". */
static inline __u32 check_end(__u64 h)
{
	__u32 sum = (__u32)(h ^ (h >> 32));

	return sum ? sum : 1;
}

#endif /* UNCOIL_CHECK_H */
