/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does a tick of the timer cost the thread that it interrupts? By far the most of it is not
 * uncoil's program but the way into the interrupt and out of it, and setting the timer anew; in a
 * virtual machine each of these may be an exit to the hypervisor. 6 to 24 us were seen in
 * virtual machines; it has to be measured where it is paid.
 *
 * The estimator. One could let a thread do a fixed work with and without the timer, in turns, and
 * compare the work done per CPU time. That is a small difference of two large numbers: with a
 * thousand ticks in 200 ms it was good to 10 %, with forty in 4 ms it was anything from 2 to 18 us
 * where 6 was right. So the interrupts are looked at one by one instead. A thread that does nothing
 * but read the clock sees each as a gap between two readings, and the gap is the cost itself, with
 * no need of a run without the timer:
 *
 *	reading     29 ns, 29 ns, 29 ns, 6.0 us, 29 ns, 29 ns …
 *	                                 ^ a tick
 *
 * The median of 24 gaps, little more than 1 ms, is what is told. Of forty of them, with ten runnable
 * threads on two CPUs, the lowest was 5.5 us, the highest 7.2, and 36 lay between 6.3 and 6.9, because
 * what else makes gaps does not move a median: the scheduler's own tick (every 4 ms), other
 * interrupts, another thread that is given the CPU (milliseconds, one gap), a hypervisor that takes it
 * away. By work done per CPU time, over seconds, the same ticks cost 5.2 to 6.8 us. The clock is
 * CLOCK_MONOTONIC: kernels with CONFIG_IRQ_TIME_ACCOUNTING leave interrupts out of a thread's CPU
 * time, and the cost would be 0.
 *
 * What it does not see: a tick also pushes other things out of the caches, and finds its own gone if it
 * comes rarely. Both make a tick of a real program dearer than one of this loop. At 10 kHz the whole
 * estimate was 13.4 % where the target's speed, paired, said 14.9 (`make bench`, part `overhead`).
 *
 * The event is that of sampler.c, without a program on it (an empty one is 50 ns more).
 */
#include "probe/calibrate.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS  50000
#define GAPS       24
#define GAPS_MIN   8        /* a median of fewer is none */
#define ENOUGH_NS  20000000 /* by then GAPS_MIN will do: others want this CPU */
#define TIMEOUT_NS 200000000
#define TURNS      256 /* readings to learn from what is no gap */
#define GAP_MIN_NS 200

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static int order(const void *pa, const void *pb)
{
	const uint32_t *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

/* Between two readings when nothing comes between: their median. */
static uint32_t turn_ns(void)
{
	uint64_t before = now_ns(), now;
	uint32_t turns[TURNS];
	int i;

	for (i = 0; i < TURNS; i++) {
		now = now_ns();
		turns[i] = now - before;
		before = now;
	}
	qsort(turns, TURNS, sizeof(turns[0]), order);
	return turns[TURNS / 2];
}

/* The gaps, less what a reading takes; how many. */
static uint32_t gaps_see(uint32_t gaps[GAPS])
{
	uint32_t turn = turn_ns(), least = 4 * turn + GAP_MIN_NS, cnt = 0;
	uint64_t start = now_ns(), before = start, now;

	while (cnt < GAPS) {
		now = now_ns();
		if (now - start > TIMEOUT_NS || (cnt >= GAPS_MIN && now - start > ENOUGH_NS))
			break;
		if (now - before > least)
			gaps[cnt++] = now - before - turn;
		before = now;
	}
	return cnt;
}

int calibrate_tick(struct calibration *ret)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = PERIOD_NS,
		.disabled = 1,
	};
	uint64_t start = now_ns();
	uint32_t gaps[GAPS], cnt;
	int fd, err;

	memset(ret, 0, sizeof(*ret));
	fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = ioctl(fd, PERF_EVENT_IOC_ENABLE, 0) ? -errno : 0;
	cnt = err ? 0 : gaps_see(gaps);
	close(fd);
	ret->took_ns = now_ns() - start;
	if (!err && cnt < GAPS_MIN)
		err = -ETIME;
	if (err)
		return err;
	qsort(gaps, cnt, sizeof(gaps[0]), order);
	ret->cnt = cnt;
	ret->tick_ns = gaps[cnt / 2];
	ret->low = gaps[cnt / 20];
	ret->high = gaps[cnt - 1 - cnt / 20];
	return 0;
}
