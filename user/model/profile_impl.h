/* SPDX-License-Identifier: Apache-2.0 */
/* The profile's structs, for profile.c, which fills them, and report.c, which reads them. */
#ifndef UNCOIL_MODEL_PROFILE_IMPL_H
#define UNCOIL_MODEL_PROFILE_IMPL_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "events.h"
#include "model/profile.h"

struct image {
	uint32_t id;
	int32_t pid;
	uint32_t flags; /* enum record_image_flag */
	uint32_t hex;
	uint32_t parent; /* forked from; 0 = none known */
	bool known;      /* a RECORD_IMAGE came, or the parent's was inherited */
	bool gone;       /* exec'ed away or exited */
	bool asked;      /* where its interpreter is, after its parent's was taken for its own */
	bool tasks_told, tasks_refused;
	uint64_t start_ns;      /* CLOCK_MONOTONIC */
	uint64_t tasks_late_ns; /* of it, before its tasks were told */
	uint32_t replaced_by;   /* image that it exec'ed into; 0 = none */
	struct py_abi abi;
	char *command, *comm, *cwd, *python; /* NULL until known */
	UT_hash_handle hh;
};

struct thread {
	uint32_t serial;
	uint32_t image;
	int32_t tgid, tid;
	uint64_t thread_id;
	char *comm;    /* the kernel's name, clean */
	char *name;    /* the program's own, NULL = not known */
	bool not_read; /* there was no time to read its name */
	bool ended;    /* and its thread_id may be another's */
	uint64_t samples;
	uint64_t waits_ns;  /* of its waits whose stacks are known, run queue included */
	uint64_t hidden_ns; /* of those that came without a stack, and their time with them */
	struct thread_times times;
	struct thread_times before; /* what of it was before this part of the recording */
	bool has_times;
	UT_hash_handle hh;
};

struct code_id {
	uint64_t code;
	uint32_t image;
	uint32_t check;
};

/* Or, with a check of 0, a task's name: then `code` is its hash, and all there is is py.name. */
struct code {
	struct code_id id;
	bool decoded;
	bool failed; /* came, and was no code object */
	bool asked;  /* handed out as a question */
	struct py_code py;
	void *raw; /* an EV_CODE that came before its image was known */
	size_t raw_len;
	UT_hash_handle hh;
};

/* One frame below another; `up` is NULL at the root end, `code` where the collector is. The outermost may
 * be a task (lasti is an enum ev_task_entry). */
struct node_id {
	struct node *up;
	struct code *code;
	uint64_t lasti; /* without code: enum ev_check */
};

struct node {
	struct node_id id;
	UT_hash_handle hh;
};

struct stack_id {
	uint64_t hash;
	uint32_t thread;
	uint32_t image;
};

struct stack {
	struct stack_id id;
	uint32_t flags;    /* enum ev_stack_flag */
	uint32_t number;   /* from 0, in order of arrival */
	struct node *leaf; /* NULL: a stack without frames */
	struct wait wait;  /* EV_STACK_WAIT */
	uint64_t count;
	uint64_t wait_ns, runq_ns;
	UT_hash_handle hh;
};

/* When a sample was taken. */
struct tick {
	uint64_t ts_ns; /* CLOCK_MONOTONIC */
	const struct stack *stack;
};

/* When a wait was. Its thread may be known where its stack is not (NULL). */
struct wait_time {
	uint64_t start_ns; /* CLOCK_MONOTONIC */
	uint64_t wait_ns, runq_ns;
	const struct stack *stack;
	uint32_t thread; /* serial */
	uint32_t flags;  /* enum ev_wait_flag */
};

/* Names of threads have a queue of their own: thousands of them must not stand before an image. */
enum { WANT_QUEUE_FIRST, WANT_QUEUE_NAMES, WANT_QUEUES };

struct want_queue {
	struct want *wants;
	uint32_t cnt, cap, next;
};

struct profile {
	struct record_meta meta;
	char *mode;
	struct record_stats stats;
	struct record_overhead overhead;
	bool has_meta, has_stats, has_overhead;
	struct image *images;
	struct thread *threads;
	struct code *codes;
	struct node *nodes;
	struct stack *stacks;
	uint64_t samples;         /* counted in stacks */
	uint64_t waits;           /* likewise */
	uint64_t waits_orphan;    /* waits whose stack never came, or was not kept */
	uint64_t samples_orphan;  /* counts whose stack never came */
	uint64_t samples_full;    /* counts whose stack was not kept: the profile is full */
	uint64_t images_full;     /* processes that were not kept */
	uint64_t events_refused;  /* ring records that did not hold */
	uint64_t answers_refused; /* answers that did not hold */
	bool async;               /* stacks say which task they are of */
	bool calls;               /* it is a trace's, which answers for the mode RECORD_CALLS */
	uint64_t first_ns;        /* when the first thread was seen */
	bool timeline;            /* ticks come */
	struct tick *ticks;       /* as they came: in time, but for what two CPUs did at once */
	uint32_t tick_cnt, tick_cap, tick_max;
	uint64_t ticks_full;   /* not kept: there were tick_max */
	uint64_t ticks_orphan; /* of a stack that is not there: samples lost, and told as such */
	struct wait_time *wait_times; /* likewise, of waits */
	uint32_t wait_time_cnt, wait_time_cap;
	uint64_t wait_times_came; /* of waits that are counted here, those included that are */
	uint64_t wait_times_full; /* not kept, for want of room */
	size_t bytes, bytes_max;
	bool full, ending;
	struct want_queue wants[WANT_QUEUES];
};

/* Is there room for `bytes` more? If not, the profile is full from now on. What counts is sizes of
 * structs and of what was received, so that a replay is full at the same record. */
bool profile_room(struct profile *p, size_t bytes);

/* Of any entry, for its place in a hash and the allocator's header. */
#define ENTRY_COST 32

/* The entry with this key, made if there is none; NULL: out of memory. (profile_store.c) */
struct image *profile_image(struct profile *p, uint32_t id, int32_t pid);
struct thread *profile_thread(struct profile *p, const struct ev_hdr *hdr);
struct code *profile_code(struct profile *p, struct code_id id);
struct node *profile_node(struct profile *p, struct node *up, struct code *code, uint32_t lasti);

/* A task's name; an image's tasks are told from here on. (profile_task.c) */
int profile_task(struct profile *p, const struct ev_task *ev);
int profile_tasks_told(struct profile *p, const struct record_tasks *r);

/* Adds what was counted to stacks and threads. 0. (profile_count.c) */
int profile_counts(struct profile *p, const struct record_count *counts, size_t cnt);
int profile_times(struct profile *p, uint32_t thread, const struct thread_times *times);
int profile_times_list(struct profile *p, const struct record_times *times, size_t cnt);
int profile_times_before(struct profile *p, const struct record_times *times, size_t cnt);

/* Keep the time of a sample, of a wait. (profile_time.c) */
int profile_tick(struct profile *p, const struct ev_tick *ev);
int profile_wait_time(struct profile *p, const struct ev_wait *ev);

static inline bool node_is_task(const struct node *node)
{
	return !node->id.up && node->id.lasti >= EV_TASK_NAMED &&
	       node->id.lasti < EV_TASK_ENTRY_END;
}

/* Puts a question; dropped when too many wait (profile__want_again() asks once more). */
void profile_ask(struct profile *p, struct want want);

#endif
