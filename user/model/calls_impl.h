/* SPDX-License-Identifier: Apache-2.0 */
/* The trace's structs, for the files calls*.c. */
#ifndef UNCOIL_MODEL_CALLS_IMPL_H
#define UNCOIL_MODEL_CALLS_IMPL_H

#include "model/calls.h"
#include "model/lanes.h"
#include "model/profile_impl.h"

#define CALL_FUNCS_MAX   (1u << 20)
#define CALL_GENS_MAX    (1u << 18) /* generators and coroutines that are suspended at once */
#define CALL_RAISED_MAX  (1u << 16) /* activations with an exception in them at once */
#define CALL_PENDING_MAX 4096       /* of a thread: see struct pending */

#define LINE_CACHE 32

struct func {
	struct call_func pub;
	uint32_t image;
	uint64_t code_at, globals;
	const struct code *code;           /* NULL: did not arrive yet */
	const struct image *of;            /* likewise */
	const char *from_name, *from_path; /* the code's own text that the copies are of */
	char *name, *path, *module;        /* copies; NULL: not known */
	bool module_told;                  /* RECORD_MODULE came */
	bool decided, kept;
	struct line_known {
		uint32_t lasti;
		int32_t line; /* -1: not looked up */
	} * lines;
};

/* A generator or coroutine that has begun and not ended. */
struct gen_id {
	uint64_t frame;
	uint32_t image;
	uint32_t pad;
};

struct gen {
	struct gen_id id;
	struct func *func;
	uint32_t thread; /* of its last activation */
	uint32_t task;   /* 0: not known yet */
	uint32_t depth;
	bool root, before;
	enum ev_call_ended ended; /* of its last activation */
	uint64_t start_ns, last_ns;
	uint64_t active_ns, activations;
	uint64_t flow; /* from its last await; 0: none */
	UT_hash_handle hh;
};

/*
 * An activation of an awaited coroutine is over before that of the task's outermost one, which awaits
 * it, and whose it is is not known until then. Until then it waits here. If it is over for good, its
 * span waits too; if it is suspended, all that is to be done is to write the task's number into it.
 */
struct pending {
	struct gen gen; /* a copy */
	uint64_t start_ns;
	bool done;
	char *exception;
};

struct call_thread_state {
	struct call_thread pub;
	const struct thread *of;
	struct lanes lanes;
	uint64_t
		left_type; /* of an exception that left a function just now, and may be on its way */
	struct pending *pending;
	uint32_t pending_cnt, pending_cap;
	uint32_t serial;
	UT_hash_handle hh;
};

/* An exception in an activation that has not ended. */
struct raised {
	struct gen_id id;
	uint64_t ts_ns, type;
	char *name;
	UT_hash_handle hh;
};

struct task_state {
	uint32_t number;
	const struct func *func; /* its outermost coroutine's; NULL: not known */
	struct lanes lanes;
	UT_hash_handle hh;
};

struct queue {
	uint32_t *numbers; /* of functions */
	uint32_t cnt, cap, next;
};

struct calls {
	struct profile *profile;
	struct call_told told;
	struct record_trace trace;
	struct record_trace_stats stats;
	struct record_trace_account account;
	char *let_go;    /* NULL: it was not */
	char **unfitted; /* patterns of --thread that no thread fits */
	uint32_t unfitted_cnt;
	bool has_trace, has_stats, has_account, ended;
	struct func **funcs; /* by number - 1; NULL: none */
	uint32_t func_cap, func_cnt;
	struct call_thread_state *threads;
	struct gen *gens;
	struct raised *raised;
	struct task_state *tasks;
	uint32_t task_cnt;
	uint64_t flow_cnt;
	struct record_sum *sums;
	struct record_edge *edges;
	size_t sum_cnt, edge_cnt;
	struct queue wants, decisions;
	uint64_t told_cnt;                   /* activations */
	uint64_t before, open, unseen, late; /* of them */
	uint64_t orphans, threads_full, gens_full, raised_full, sums_orphan, refused;
};

/* A function by its number; NULL: it was not told. (calls_func.c) */
struct func *calls_func(struct calls *c, uint32_t number);
int calls_func_add(struct calls *c, const struct ev_func *ev);
int calls_module(struct calls *c, const void *data, size_t len);
void calls_funcs_free(struct calls *c);

/* Brings its name up to date; is it kept? -ENOMEM. */
int calls_func_known(struct calls *c, struct func *f);
bool calls_kept(struct calls *c, struct func *f);

/* A code object came: decides on its function, if it can. */
int calls_code_came(struct calls *c, uint32_t image, uint64_t code, uint32_t check);

/* The line where the function stood; 0: not known. */
int32_t calls_line(struct func *f, uint32_t lasti);

/* A thread's state, made if there is none; NULL with 0 in *ret_err: there are too many. (calls.c) */
struct call_thread_state *calls_thread(struct calls *c, const struct ev_hdr *hdr, int *ret_err);

/* Generators and coroutines: keeps count of the activation, fills in the flows, tells what is over.
 * (calls_gen.c) */
int calls_gen(struct calls *c, struct call_thread_state *t, struct func *f,
	      const struct ev_call *ev, const struct func *caller, struct call *call);
int calls_gens_end(struct calls *c);
void calls_gens_free(struct calls *c);
void calls_pending_free(struct call_thread_state *t);

/* Exceptions. The one that is in this activation, taken out (to be freed with calls_raised_free());
 * NULL: none. (calls_raise.c) */
int calls_raise(struct calls *c, const struct ev_raise *ev);
struct raised *calls_raised_take(struct calls *c, uint32_t image, uint64_t frame);
void calls_raised_free(struct raised *raised);
int calls_mark(struct calls *c, struct call_thread_state *t, struct func *f,
	       const struct raised *raised, enum call_mark_kind kind);

#endif
