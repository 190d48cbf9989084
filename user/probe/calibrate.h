/* SPDX-License-Identifier: Apache-2.0 */
/* What the timer's interrupt costs on this machine now, measured on this process. */
#ifndef UNCOIL_PROBE_CALIBRATE_H
#define UNCOIL_PROBE_CALIBRATE_H

#include <stdint.h>

struct calibration {
	uint32_t tick_ns;   /* what one tick takes of the thread that it interrupts; the median */
	uint32_t low, high; /* of nine ticks in ten: between these */
	uint32_t cnt;       /* of ticks */
	uint32_t took_ns;   /* how long it took */
};

/* Takes 1 ms of CPU time. -errno: there is no such timer; -ETIME: no ticks were seen. */
int calibrate_tick(struct calibration *ret);

#endif
