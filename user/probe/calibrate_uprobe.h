/* SPDX-License-Identifier: Apache-2.0 */
/* What a breakpoint with an empty BPF program costs on this machine now, measured on a child of uncoil. */
#ifndef UNCOIL_PROBE_CALIBRATE_UPROBE_H
#define UNCOIL_PROBE_CALIBRATE_UPROBE_H

#include <stdbool.h>
#include <stdint.h>

struct err;

struct uprobe_calibration {
	uint32_t
		emulated_ns; /* of the thread's time, a hit of an instruction that the kernel emulates, */
	uint32_t stepped_ns; /* and of one that the thread steps out of line; medians */
	uint32_t rounds;     /* that they are medians of */
	uint32_t took_ns;    /* all of it */
	uint64_t attach_ns;  /* two points of one program */
	uint64_t detach_ns;
};

/* Attached in the same way as what it is for (uprobes_multi()). Takes 60 to 100 ms, without uprobe_multi 200; 10 of
 * them CPU time. 0, or -errno with a sentence: what the kernel said; -ENOTSUP: not known for this processor; -ETIME: the
 * child did not get to it within two seconds; -EIO: nothing was hit. */
int calibrate_uprobe(bool multi, struct uprobe_calibration *ret, struct err *err);

#endif
