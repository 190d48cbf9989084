/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The buckets of a histogram of durations (trace_func.hist): fourths of a power of two, so that a bound
 * is never more than a quarter above the one before it.
 *
 *	bucket	from ns, including		bucket	from
 *	0	0 (and the first fourth: < 20)	4	32
 *	1	20				5	40
 *	2	24				…
 *	3	28				159	2^43 * 7 / 4: 4.3 hours, and all above
 *
 * With e = floor(log2(ns)) >= 4 the bucket is 4 * (e - 4) + the two bits of ns below its highest one.
 * Both compilers include this file. BPF has no instruction that counts leading zeros, hence the steps:
 * comparisons that become numbers, and nothing to branch over.
 */
#ifndef UNCOIL_BUCKET_H
#define UNCOIL_BUCKET_H

#include <linux/types.h>

#define TRACE_HIST 160

static inline __attribute__((always_inline)) __u32 trace_bucket(__u64 ns)
{
	__u64 v = ns < 16 ? 16 : ns, x = v;
	__u32 log2, step;

	log2 = (__u32)(x > 0xffffffffULL) << 5;
	x >>= log2;
	step = (__u32)(x > 0xffff) << 4;
	x >>= step;
	log2 |= step;
	step = (__u32)(x > 0xff) << 3;
	x >>= step;
	log2 |= step;
	step = (__u32)(x > 0xf) << 2;
	x >>= step;
	log2 |= step;
	step = (__u32)(x > 3) << 1;
	x >>= step;
	log2 |= step;
	log2 |= (__u32)(x >> 1);
	step = 4 * (log2 - 4) + ((__u32)(v >> (log2 - 2)) & 3);
	return step < TRACE_HIST ? step : TRACE_HIST - 1;
}

/* The shortest duration in this bucket, in ns; bucket TRACE_HIST is the end of the last one. Of bucket 0
 * it is 16, which is said to be 0. */
static inline __attribute__((always_inline)) __u64 trace_bucket_from(__u32 bucket)
{
	return bucket ? (4ULL + bucket % 4) << (bucket / 4 + 2) : 0;
}

#endif
