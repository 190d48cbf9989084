/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk from outside: one thread's Python frames read from the memory of a running process, the
 * same frames, with the same check values, that bpf/walk.bpf.h finds from inside an interrupt.
 *
 * There the thread stands still. Here it does not, and what is read of a running thread may be put
 * together of two moments. So each stack says which it is: STACK_EXACT is proved (os/task.h: the
 * thread slept from before the first read to after the last), STACK_RUNNING is not.
 */
#ifndef UNCOIL_PYTHON_STACK_H
#define UNCOIL_PYTHON_STACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "events.h"
#include "os/task.h"
#include "python/code.h"
#include "shared.h"

struct buf;
struct mem;

#define STACK_FRAMES_MAX  100000
#define STACK_TSTATES_MAX 4096

/* How surely a thread state is the one that its thread uses, which may have one in each interpreter
 * (bpf/walk.bpf.h). */
enum stack_rank {
	STACK_RANK_IDLE,    /* it has no frames */
	STACK_RANK_FRAMES,  /* the thread will come back to it, unless to another one first */
	STACK_RANK_CURRENT, /* says so itself (3.12+), or holds the one GIL */
};

/* One thread of Python's. */
struct stack_thread {
	uint64_t tstate;    /* address of its PyThreadState */
	uint64_t interp;    /* address of the interpreter it belongs to */
	uint64_t thread_id; /* pthread_self() */
	pid_t ns_tid;       /* its id as it sees it itself, by the C library; 0: not known */
	pid_t native_tid;   /* the same, by CPython; 0: not known, or what ns_tid says */
	enum stack_rank rank;
};

#define STACK_THREADS_BYTES_MAX (STACK_TSTATES_MAX * sizeof(struct stack_thread))

/* Appends a struct stack_thread for each thread state of each interpreter, at most
 * STACK_TSTATES_MAX. The list changes while it is read: what is in it must be asked again before it
 * is believed, and stack_read() does. 0; -errno if even the first could not be read; -E2BIG: there
 * are more. */
int stack_threads(struct mem *mem, const struct py_abi *abi, const struct py_cfg *cfg,
		  struct buf *out);

/* Makes native_tid what ns_tid is, where that one is none of the process's threads: another C library
 * keeps something else at that place. */
void stack_threads_settle(struct buf *list, pid_t pid);

/* The thread in such a list whose own id is ns_tid, by the thread state that it uses; NULL: not
 * Python's. */
const struct stack_thread *stack_thread_of(const struct buf *list, pid_t ns_tid);

enum stack_truth {
	STACK_RUNNING, /* the thread ran while it was read: may be torn */
	STACK_EXACT,   /* the thread did not run from before the first read to after the last */
};

struct py_stack {
	struct py_frame *frames; /* leaf first, owned */
	uint32_t frame_cnt, cap;
	uint32_t flags; /* enum ev_stack_flag, as the kernel side sets them */
	enum stack_truth truth;
	bool alike;                 /* STACK_RUNNING: two readings one after the other agreed */
	struct task_syscall asleep; /* STACK_EXACT: where it slept */
	uint64_t seek;              /* the address of a frame that is looked for; 0: none */
	uint32_t seek_at;           /* which of `frames` it is; UINT32_MAX: not among them */
};

void stack_done(struct py_stack *stack);

/* Reads the frames of one thread state once, at most `frames_max` (a longer stack keeps its leaf
 * end and is EV_STACK_TRUNCATED), and replaces what was in `stack`. Sets frames and flags only. A
 * chain that comes back to itself is cut and EV_STACK_UNREADABLE. 0, or -ENOMEM. */
int stack_walk(struct mem *mem, const struct py_abi *abi, const struct py_cfg *cfg,
	       const struct stack_thread *thread, uint32_t frames_max, struct py_stack *stack);

/* Appends the one frame at `frame`: of a coroutine that is on no thread's stack. 0; -EINVAL: there is
 * none; -ENOMEM. */
int stack_frame(struct mem *mem, const struct py_abi *abi, const struct py_cfg *cfg, uint64_t frame,
		struct py_stack *stack);

/* The same with proof: reads again, up to about `patience_ns` long, until the thread is caught
 * asleep. 0 and the stack, whose truth says whether it was; -ESRCH: the thread is gone; -EPERM and
 * others: not to be read; -ENOMEM. `thread` NULL: no Python thread, only where it sleeps is
 * found. */
int stack_read(struct mem *mem, const struct py_abi *abi, const struct py_cfg *cfg, pid_t pid,
	       pid_t tid, const struct stack_thread *thread, uint32_t frames_max,
	       uint64_t patience_ns, struct py_stack *stack);

#endif
