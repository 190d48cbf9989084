/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The on-CPU sampler: the BPF programs, the timers on the targets' threads, the ring and the
 * counts. Its life, in this order:
 *
 *	sampler__new -> __load -> __follow (each process) -> __attach (each) -> __start
 *	-> __poll, (__flip, __poll, __drain) … -> __stop -> the same again -> __free
 *
 * Everything that it puts into the kernel hangs on file descriptors of this process: after a
 * kill -9 nothing is left. __free takes NULL and half-built samplers.
 */
#ifndef UNCOIL_PROBE_SAMPLER_H
#define UNCOIL_PROBE_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared.h"

struct cost_sum;
struct err;
struct rest_to;
struct sampler;

/* Images that user space numbers; those of forks and execs begin above. */
#define SAMPLER_ROOTS_MAX (IMAGES_USER - 1)

struct sampler_options {
	uint32_t rate_hz;    /* ticks per second of CPU time and thread; 0: none */
	bool switches;       /* what threads wait for, and where their time goes */
	bool holder_only;    /* only ticks of threads that hold the GIL */
	bool children;       /* follow forked processes too */
	bool timeline;       /* an event for each sample, with its time */
	bool tasks;          /* stacks say which asyncio task they are of */
	uint32_t ring_bytes; /* power of two, at least 4096 */
};

struct sampler *sampler__new(const struct sampler_options *options); /* NULL: out of memory */

/* Loads the BPF programs and attaches those that watch processes; nothing is sampled yet. */
int sampler__load(struct sampler *s, struct err *err);

/* Follows a process as `image`. cfg NULL: it is not known (yet) to run Python. With `replace`, only
 * if it is still that image; -ESTALE otherwise. */
int sampler__follow(struct sampler *s, pid_t pid, uint32_t image, const struct py_cfg *cfg,
		    bool replace);

/* Follows it no longer, if it is still that image: it had ended before it was followed, so that the
 * kernel side will not see its end, and its pid may become another's. */
void sampler__forget(struct sampler *s, pid_t pid, uint32_t image);

/* Is this process followed: by sampler__follow(), or because a followed one forked it? */
bool sampler__follows(const struct sampler *s, pid_t pid);

/* Puts a timer, not running yet, on each thread of the process. may_inherit: its threads may have one
 * already, from a process that was attached to before it was forked. -ESRCH: it has ended meanwhile. */
int sampler__attach(struct sampler *s, pid_t pid, bool may_inherit, struct err *err);

/* What is known before the start of a thread that sleeps: is_off, hash, exec_ns, run_delay and who it
 * is. 0, or -errno: it is seen already, or there is no room. */
int sampler__asleep(struct sampler *s, pid_t tid, const struct thread_seen *thread);

/* A serial for such a thread; 0: none is left. */
uint32_t sampler__serial(struct sampler *s);

int sampler__start(struct sampler *s);
void sampler__stop(struct sampler *s); /* timers off; what came before stays to be read */

/* Readable (poll(2)) when the kernel side wants to be read: a thread, a fork, an exec or an exit was
 * seen, or the ring is a quarter full. */
int sampler__fd(const struct sampler *s);

/* Gives every event that is in the ring now to fn (aligned to 8, unchecked) until it returns negative
 * (returned); what comes meanwhile, mostly next time. With patience_ns, not for longer than that.
 * 0, also when a signal came; 1: there is more. */
int sampler__consume(struct sampler *s, uint64_t patience_ns,
		     int (*fn)(void *ctx, void *data, size_t len), void *ctx);

/* Makes the kernel side count into the other of its two tables, and waits until the ticks that may
 * still use this one are over. Every stack counted so far is in the ring then: read that before
 * sampler__drain(). */
void sampler__flip(struct sampler *s);

/* Which table that is: 0 or 1. */
uint32_t sampler__table(const struct sampler *s);

/* Takes the counts out of the table that is not in use: fn gets each (thread, stack) with its
 * count, once, until it returns non-zero (returned). */
int sampler__drain(struct sampler *s,
		   int (*fn)(void *ctx, const struct count_key *key, const struct count_val *val),
		   void *ctx);

/* Should they be taken out now, because their table fills up? */
bool sampler__drain_due(const struct sampler *s);

/* After sampler__stop() and the drains: gives what is still to be counted of threads that live
 * (probe/rest.h), until it is not taken (returned). Before sampler__stop(): the same as if it ended
 * now; nothing is changed, and a thread may come twice. */
int sampler__finish(struct sampler *s, const struct rest_to *to);

/* Gives what the kernel side remembers of each thread to fn, until it returns non-zero (returned).
 * While it runs a thread may come twice. */
int sampler__threads(const struct sampler *s,
		     int (*fn)(void *ctx, pid_t tid, struct thread_seen *thread), void *ctx);

/* Makes the kernel side send a code object anew when it is next met. */
void sampler__code_forget(const struct sampler *s, const struct code_key *key);

/* Sums of the kernel side's counters over all CPUs. */
int sampler__stats(const struct sampler *s, uint64_t ret_stats[STAT_MAX]);

/* What the targets paid up to now. exact: asks each timer what CPU time it saw (each costs a system
 * call, and its thread, if it runs, an interrupt); otherwise that is concluded from the ticks. */
int sampler__cost(const struct sampler *s, bool exact, struct cost_sum *ret_cost);

/* How many ticks the targets' CPU time was worth, until sampler__stop() or now, and how many of these
 * may be rounding. */
void sampler__ticks(const struct sampler *s, uint64_t *ret_expected, uint64_t *ret_slack);

void sampler__free(struct sampler *s);

#endif
