/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profile: what the records say so far. Images, threads, code objects, and a tree of stacks in
 * which equal beginnings are stored once, so that memory grows with what is new.
 *
 * profile__apply() is the only way in, live and in replay. What only a live process can answer -
 * which Python an image runs, what a thread is called, a code object that did not come along - is
 * asked for through profile__want(); the answer comes back as a record. A replay does not answer.
 */
#ifndef UNCOIL_MODEL_PROFILE_H
#define UNCOIL_MODEL_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/record.h"

struct err;
struct profile;
struct report;

struct profile *profile__new(void); /* NULL: out of memory */
void profile__free(struct profile *p);

/* How many bytes of stacks, code objects, threads and images it may hold (24 MiB by default, on the
 * target's account: a program can make a new stack with every sample). Beyond that nothing new is
 * kept, and what is lost is counted. Before the first record. */
void profile__limit(struct profile *p, size_t bytes_max);

/* How many times of samples it may hold (2 Mi by default: 32 MiB), and half as many of waits (40 MiB);
 * more are counted, not kept. */
void profile__limit_ticks(struct profile *p, uint32_t ticks_max);

/* 0, or -EINVAL with a sentence (the record does not hold; the profile is as before), -ENOMEM.
 * `data` must be aligned to 8. */
int profile__apply(struct profile *p, enum record_type type, const void *data, size_t len,
		   struct err *err);

enum want_type {
	WANT_IMAGE,       /* a process image appeared: answer RECORD_IMAGE */
	WANT_THREAD_NAME, /* RECORD_THREAD_NAME */
	WANT_CODE,        /* RECORD_CODE */
};

struct want {
	enum want_type type;
	uint32_t image;
	int32_t pid;
	uint32_t thread;    /* WANT_THREAD_NAME: serial, */
	int32_t tid;        /* its id, */
	uint64_t thread_id; /* and pthread_self() */
	uint64_t code;      /* WANT_CODE */
	uint32_t check;
};

/* Takes the next question; false = none left. Each is asked once; names of threads, of which there
 * may be many, come last. */
bool profile__want(struct profile *p, struct want *ret_want);

/* Asks again for what is still unknown: names of threads, code objects. Before the end. */
void profile__want_again(struct profile *p);

/* Is this the last time that it asks? */
bool profile__ending(const struct profile *p);

/* Is this image still the one its process runs? False after its exec or exit. */
bool profile__image_alive(const struct profile *p, uint32_t image);

/* Is any image alive, root or child? */
bool profile__any_alive(const struct profile *p);

/* Asks is_alive() about the process of each image that is not gone, and marks as gone those for
 * which it says no (their exit was not heard of). Returns how many are left. */
int profile__alive_each(struct profile *p, bool (*is_alive)(void *ctx, int32_t pid), void *ctx);

/* The image that this one was forked from; 0 = none, or not known. */
uint32_t profile__image_parent(const struct profile *p, uint32_t image);

/* Was it asked for (or is it what became of one that was), rather than a child? */
bool profile__image_is_root(const struct profile *p, uint32_t image);

/* Gives `put` the records that say of another profile's images what this one knows: of all that are
 * alive, and of the others for which `needed` says so. 0, or what put() returned. */
int profile__images_tell(const struct profile *p, bool (*needed)(void *ctx, uint32_t image),
			 int (*put)(void *ctx, enum record_type type, const void *data, size_t len),
			 void *ctx);

/* What has been counted: samples and waits, those whose stack is not known included. */
void profile__counted(const struct profile *p, uint64_t *ret_samples, uint64_t *ret_waits);

uint64_t profile__samples(const struct profile *p);

/* Does it have the times of samples and waits? */
bool profile__has_timeline(const struct profile *p);
uint32_t profile__stacks(const struct profile *p);

#define REPORT_ONLY_MAX 64

struct report_options {
	bool threads;                      /* -t: first frames for process and thread */
	bool functions;                    /* -F: no lines */
	bool columns;                      /* --columns: lines are told apart by column (3.11+) */
	bool idle;                         /* -i: waits for work too (model/wait.h) */
	bool timeline;                     /* make report.events */
	const char *only[REPORT_ONLY_MAX]; /* --thread: these threads alone (model/choice.h) */
	uint32_t only_cnt;                 /* 0: all threads */
};

/* Everything the profile says, to be freed with report_free(). NULL: out of memory. The profile
 * must outlive the report, unchanged. */
struct report *report_new(const struct profile *p, const struct report_options *options);
void report_free(struct report *report);

#endif
