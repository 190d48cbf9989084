/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/drain.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <time.h>

#include "events.h"

/* A tick sends a stack and then its code objects, and is over by then. Without these the process would be
 * asked for them, which runs on, and may have freed them. */
#define TICK_NS 2000000

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* libbpf goes on until the ring is empty, which it never is while events come faster than they are
 * taken. A negative return is its only end before; this event counts as taken even so (libbpf 1.1 to
 * 1.5, ringbuf_process_ring). */
static int on_event(void *ctx, void *data, size_t len)
{
	const struct ev_hdr *hdr = data;
	struct drain *d = ctx;
	int err = d->fn ? d->fn(d->ctx, data, len) : 0;

	if (err < 0)
		return err;
	d->more = hdr->ts_ns > d->begin_ns + TICK_NS || now_ns() > d->end_at_ns;
	return d->more ? -ECANCELED : 0;
}

int drain_open(struct drain *d, int map_fd)
{
	d->ring = ring_buffer__new(map_fd, on_event, d, NULL);
	return d->ring ? 0 : -errno;
}

void drain_close(struct drain *d)
{
	ring_buffer__free(d->ring);
	d->ring = NULL;
}

int drain_fd(const struct drain *d)
{
	return ring_buffer__epoll_fd(d->ring);
}

int drain_consume(struct drain *d, uint64_t patience_ns,
		  int (*fn)(void *ctx, void *data, size_t len), void *ctx)
{
	int err;

	d->fn = fn;
	d->ctx = ctx;
	d->begin_ns = now_ns();
	d->end_at_ns = patience_ns ? d->begin_ns + patience_ns : UINT64_MAX;
	d->more = false;
	/* takes back the wake-up, if there was one; most events come without: look in any case */
	err = ring_buffer__poll(d->ring, 0);
	if (err >= 0 || err == -EINTR)
		err = ring_buffer__consume(d->ring);
	if (d->more)
		return 1;
	return err < 0 ? err : 0;
}
