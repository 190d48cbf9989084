/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --thread, live. A thread that is not asked for is to cost its trap and a look-up, so the kernel side must
 * know of it. Who is there already is looked at before probes go in. A new thread is known to threading only
 * some time after its first call: until then it is traced, and its calls wait here; then they are told, or
 * dropped with all that is to come. In sums they stay: how many threads that is about, is told.
 */
#ifndef UNCOIL_CMD_TRACING_THREADS_H
#define UNCOIL_CMD_TRACING_THREADS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "events.h"

struct tracing;
struct tracing_threads;

struct tracing_threads *tracing_threads_new(void); /* NULL: out of memory */
void tracing_threads_free(struct tracing_threads *all);

/* Leaves those of a process that are there and have other names. */
int tracing_threads_look(struct tracing *t, uint32_t image, pid_t pid);

/* An event: is it to be put now? Else it waits, or is dropped. 0 or -ENOMEM. */
int tracing_threads_event(struct tracing *t, const struct ev_hdr *hdr, bool *ret_now);

/* Decides on threads whose names have come; `last`: on all. Puts what waited for that. */
int tracing_threads_decide(struct tracing *t, bool last);

uint64_t tracing_threads_late(const struct tracing *t);

/* Has any thread fitted the n'th pattern? */
bool tracing_threads_fitted(const struct tracing *t, uint32_t n);

#endif
