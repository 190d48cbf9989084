/* SPDX-License-Identifier: Apache-2.0 */
/* A ring that is read while it is filled: how the sampler's and the trace's events are taken out. */
#ifndef UNCOIL_PROBE_DRAIN_H
#define UNCOIL_PROBE_DRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring_buffer;

struct drain {
	struct ring_buffer *ring; /* NULL: not open */
	int (*fn)(void *ctx, void *data, size_t len);
	void *ctx;
	uint64_t begin_ns, end_at_ns;
	bool more;
};

/* Maps the ring buffer of this map; `d` must stay where it is. 0 or -errno. */
int drain_open(struct drain *d, int map_fd);
void drain_close(struct drain *d); /* takes one that is not open */

int drain_fd(const struct drain *d); /* for poll(2) */

/* Gives every event that is in the ring now to fn (aligned to 8, unchecked) until it returns negative
 * (returned); what comes meanwhile, mostly next time. With patience_ns, not for longer than that.
 * 0, also when a signal came; 1: there is more. */
int drain_consume(struct drain *d, uint64_t patience_ns,
		  int (*fn)(void *ctx, void *data, size_t len), void *ctx);

#endif
