/* SPDX-License-Identifier: GPL-2.0-only */
/* Loops that the verifier follows once, and functions that it verifies once. */
#ifndef UNCOIL_LOOP_BPF_H
#define UNCOIL_LOOP_BPF_H

/* A function that is verified once, by itself; of several objects' copies the linker keeps one. */
#ifndef SHARED
#define SHARED __weak __noinline
#endif

/* Calls step(i, data) for i from 0 until it returns non-zero, max times at the most. The verifier
 * follows a plain loop turn by turn, bpf_loop()'s body once. So each loop is the only thing in a SHARED
 * function: else all turns are followed anew for each way that leads to it (on_switch: 460,000
 * instructions and 2 s to load instead of 40,000 and 0.1 s). Kernels before 5.13 refuse an object that so
 * much as mentions a callback: all is compiled twice. */
#ifndef PLAIN_LOOPS
#define TURN                       static __always_inline /* what a loop does in a turn */
#define loop_each(max, step, data) bpf_loop(max, step, data, 0)
#else
#define TURN SHARED
#define loop_each(max, step, data)                                 \
	do {                                                       \
		for (__u32 loop_i = 0; loop_i < (max); loop_i++) { \
			if (step(loop_i, data))                    \
				break;                             \
		}                                                  \
	} while (0)
#endif

#endif
