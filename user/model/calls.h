/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace: from records to calls with names. Nothing of a call is kept once it is told: a trace of half
 * a minute may have fifteen million. What comes in goes straight out, in the order of ends, which is the
 * order of the records; callees come before their callers. What is kept is functions, threads, and
 * one entry for each generator and coroutine that is suspended.
 *
 *	record -> calls__apply() -> call_told.call()    each activation: one run from a begin to an end
 *				    call_told.span()    each generator or coroutine, first begin to end
 *				    call_told.mark()    each exception: where it arose, who caught it
 *
 * Times are CLOCK_MONOTONIC in ns. Text is clean UTF-8, otherwise as hostile as the target made it. Functions
 * and threads stay where they are as long as the trace; all other pointers, and text, are valid
 * during the call alone, and after RECORD_END.
 *
 * calls__apply() is the only way in, live and in replay. Live, what calls__profile() and
 * calls__want_module() ask is answered before the next record is applied, so that a function has its
 * name before its first call is told; what comes later has it from then on.
 */
#ifndef UNCOIL_MODEL_CALLS_H
#define UNCOIL_MODEL_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/record.h"

struct calls;
struct err;
struct profile;

/* A function: a code object of one process. */
struct call_func {
	uint32_t number; /* from 1, unique in the trace */
	int32_t pid;
	const char *name;   /* qualname, where the version has one; "[name not read]" */
	const char *module; /* "": not known */
	const char *file;   /* as shown (model/files.h); "": not known, */
	const char *path;   /* and co_filename */
	int32_t line;       /* its first; 0: not known */
	enum ev_func_kind kind;
};

struct call_thread {
	uint32_t serial; /* unique in the trace */
	int32_t pid, tid;
	const char *name; /* the program's own, else the kernel's; "?" */
};

/* Where something is drawn. On one track nothing overlaps, or it nests. */
enum call_track_kind {
	CALL_TRACK_THREAD,   /* `id`: the thread's serial; activations, as they ran */
	CALL_TRACK_GREENLET, /* the same, and those whose thread ran another greenlet meanwhile */
	CALL_TRACK_TASK,     /* `id`: an asynchronous task's number, from 1; spans of coroutines */
};

struct call_track {
	enum call_track_kind kind;
	uint32_t id;
	uint32_t lane; /* from 0: what would overlap on one is on another */
	bool fresh;    /* nothing was told of it before */
};

struct call {
	const struct call_func *func;
	const struct call_thread *thread;
	const struct call_func *caller; /* NULL: none that is traced, */
	int32_t caller_line;            /* and where in it; 0: not known */
	uint64_t start_ns, end_ns;
	uint64_t self_ns; /* without what it called and is traced */
	uint64_t frame;   /* address; a generator's stays the same */
	uint32_t depth;
	enum ev_call_began began;
	enum ev_call_ended ended;
	bool late;             /* its end was noticed at the next event of its thread */
	const char *exception; /* the type, if it ended by one and that is known; NULL */
	struct call_track track;
	/* of a task's outermost coroutine: a number that leads from the activation that suspends to
	 * the one that goes on; 0: none */
	uint64_t flow_in, flow_out;
	uint64_t draw_ns; /* start_ns, or a little before it, so that it begins before what it
			   * called does (those that were open at the begin have the same start) */
};

enum call_mark_kind {
	CALL_RAISE, /* it arose here */
	CALL_CATCH, /* it came here, and was handled */
};

/* An exception, at a moment. */
struct call_mark {
	enum call_mark_kind kind;
	uint64_t ts_ns;
	const struct call_func *func;
	const struct call_thread *thread;
	uint64_t frame;
	const char *exception;
};

/* A generator or coroutine from its first begin to its end. */
struct call_span {
	const struct call_func *func;
	const struct call_thread *thread; /* of its last activation */
	uint64_t start_ns, end_ns;
	uint64_t active_ns; /* in its activations: without the time it was suspended */
	uint64_t activations;
	uint64_t frame;
	bool before; /* it had begun before it was first seen: start_ns is that moment */
	enum ev_call_ended ended; /* RETURN, RAISE; YIELD: it was still suspended at the trace's
				   * end; OPEN: it ran then; UNSEEN: it ended, not seen how */
	const char *exception;
	uint32_t task;                     /* whose it is; 0: a generator's, of none */
	const struct call_func *task_func; /* the task's outermost coroutine; NULL: not known */
	bool root;                         /* it is the task's outermost */
	struct call_track track;           /* of coroutines and asynchronous generators of a task */
	uint64_t draw_ns;                  /* as in struct call */
};

/* Who is told. Each returns 0, or -errno, which ends the trace. */
struct call_told {
	int (*call)(void *ctx, const struct call *call);
	int (*mark)(void *ctx, const struct call_mark *mark);
	int (*span)(void *ctx, const struct call_span *span);
	/* --match: is it followed? Asked once, when its name and module are known or cannot be. NULL:
	 * all are. */
	bool (*keep)(void *keep_ctx, const struct call_func *func);
	/* A pattern of --match that the trace was made with, before the first function. -EINVAL with a
	 * sentence, -ENOMEM. NULL: such a trace is refused, since it would show what was not asked for. */
	int (*pattern)(void *keep_ctx, const char *pattern, struct err *err);
	void *ctx, *keep_ctx;
};

/* NULL: out of memory. `told` is copied; its functions may be NULL. */
struct calls *calls__new(const struct call_told *told);
void calls__free(struct calls *c);

/* 0, or -EINVAL with a sentence (the record does not hold), -ENOMEM, or what one of `told` returned.
 * `data` must be aligned to 8. At RECORD_END what is suspended is told, and the rest below holds. */
int calls__apply(struct calls *c, enum record_type type, const void *data, size_t len,
		 struct err *err);

/* What the trace knows of images, threads and code objects, and what it wants to know of them
 * (profile__want()). Answers go through calls__apply(). */
struct profile *calls__profile(struct calls *c);

/* The next function whose module is not known: answered by RECORD_MODULE, "" if it cannot be read. */
struct call_want {
	uint32_t image;
	int32_t pid;
	uint32_t func;
	uint64_t globals; /* address of the dict; 0: there is no telling, answer "" */
};
bool calls__want_module(struct calls *c, struct call_want *ret_want);

/* The next decision of keep(), for the kernel side; false: none is left. */
struct call_decision {
	uint32_t image, func;
	bool kept;
};
bool calls__decided(struct calls *c, struct call_decision *ret_decision);

/* What a trace says of itself. Whole once RECORD_END was applied. Owned by the trace. */
struct call_remark {
	uint64_t count;
	const char *text;
	bool is_loss;
};

struct call_target {
	int32_t pid;
	const char *python;  /* "CPython 3.11.2" */
	const char *command; /* without its secrets */
};

struct call_stat {
	const char *text;
	uint64_t count;
};

struct call_about {
	const char *method; /* how: "exact calls" and by which places */
	uint64_t start_ns;
	int64_t start_unix_ns;
	uint64_t duration_ns;
	uint64_t traced_ns;                   /* of it, what was traced */
	uint64_t begin_ns, end_ns, inside_ns; /* struct record_trace_stats; 0: not known */
	bool each;                            /* each call is told, not sums alone */
	bool callers;                         /* sums by caller too */
	uint32_t depth;                       /* the filters, 0: all */
	uint64_t min_ns;
	uint64_t calls, funcs; /* activations and functions, told or summed up */
	uint64_t lost;         /* of all remarks that are losses */
	bool has_account;      /* the next five hold: */
	double slowdown,
		worst; /* of the processes, estimated; in the worst 5 s, 0 = not known. 0.01 is 1 % */
	double bound;          /* --max-overhead; 0: none */
	uint64_t windows;      /* in which it was traced */
	const char *let_go;    /* why it was ended before; NULL: it was not */
	char *const *unfitted; /* patterns of --thread that no thread fits */
	uint32_t unfitted_cnt;
	char kin_text[160];
	struct call_remark *remarks;
	uint32_t remark_cnt;
	struct call_target *targets;
	uint32_t target_cnt;
	struct call_stat *stats; /* the kernel side's counters that are not losses */
	uint32_t stat_cnt;
};

/* NULL: out of memory. To be freed with call_about_free(). */
struct call_about *calls__about(const struct calls *c);
void call_about_free(struct call_about *about);

/* The sums: each function's, and each pair's of caller (NULL: the first on its stack) and callee. */
int calls__sums_each(struct calls *c,
		     int (*fn)(void *ctx, const struct call_func *func,
			       const struct trace_func *sum),
		     void *ctx);
int calls__edges_each(struct calls *c,
		      int (*fn)(void *ctx, const struct call_func *caller,
				const struct call_func *callee, const struct trace_edge *sum),
		      void *ctx);

/* "call", "resume", "throw", "before"; "return", "yield", "raise", "open", "unseen"; "function",
 * "generator", "coroutine", "async generator". */
const char *call_began_text(enum ev_call_began began);
const char *call_ended_text(enum ev_call_ended ended);
const char *call_kind_text(enum ev_func_kind kind);

#endif
