/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers to what the profile wants to know (model/profile.h), from the live processes: which
 * Python an image runs, what a thread is called, a code object that did not come along. Each answer
 * is a record, given to `put`, and so goes into the profile and the journal alike.
 *
 * A process that has just exec'ed has no interpreter yet: its libraries are mapped within a
 * millisecond or two, its interpreter runs its first function a few later. Until one is found it is
 * looked for again and again, quickly first (answers__wait_ms).
 */
#ifndef UNCOIL_CMD_ANSWER_H
#define UNCOIL_CMD_ANSWER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/profile.h"
#include "python/layout.h"

struct err;
struct sampler;

typedef int (*record_put_fn)(void *ctx, enum record_type type, const void *data, size_t len);

struct answers;

/* NULL: out of memory. The sampler, if there is one, is told of each interpreter that is found, and with `tasks` of its
 * asyncio. need_gil: one that runs without a GIL is refused. */
struct answers *answers__new(struct sampler *sampler, struct profile *profile, bool tasks,
			     bool need_gil, record_put_fn put, void *ctx);
void answers__free(struct answers *a);

/* From now on the answers are of this profile, which has been told of all images that are alive; what
 * is known of others is forgotten. */
void answers__profile(struct answers *a, struct profile *profile);

/* Announces a root: follows it in the sampler. With `must`, it must be a Python now: -ENOENT,
 * -ENOTSUP … with a sentence. */
int answers__root(struct answers *a, uint32_t image, pid_t pid, bool must, struct err *err);

/* Announces a process that a followed one forked before it was followed, whatever it runs. 0, or what
 * put() failed with, or -ENOMEM. */
int answers__child(struct answers *a, uint32_t image, pid_t pid);

/* Announces what a followed process forked, after its EV_FORK: it has its parent's interpreter. 0 or
 * -ENOMEM. */
int answers__forked(struct answers *a, uint32_t image, pid_t pid);

/* Gives each thread that runs Python to fn, with the program's own name for it, NULL if that is not known,
 * until it returns non-zero (returned). */
int answers__names(struct answers *a, uint32_t image, pid_t pid,
		   int (*fn)(void *ctx, pid_t tid, const char *name), void *ctx);

/* Tells of the image's threads that wait already (cmd/asleep.h). Before the sampler is started. */
int answers__asleep(struct answers *a, uint32_t image);

/* Answers what is wanted now, as far as 50 ms go; the rest waits for the next call. Once the profile
 * is ending, 1 s, and the rest is given up. 0, or what put() failed with. */
int answers__give(struct answers *a);

/* Looks again at processes whose interpreter was not found yet, where it is time to. */
int answers__retry(struct answers *a);

/* Looks again for the asyncio of processes, where it is time to. 0, or what put() failed with. */
int answers__tasks(struct answers *a);

/* How long may be waited until the two above, at most max_ms. */
int answers__wait_ms(const struct answers *a, int max_ms);

/* The Python of an image, valid until answers__free(); false: none is known. */
bool answers__python(struct answers *a, uint32_t image, const struct py_found **ret_found,
		     const struct py_layout **ret_layout);

/* Was any interpreter found? If not, the last sentence why not. */
bool answers__any_python(const struct answers *a, struct err *ret_why);

#endif
