/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The wire: what the kernel side writes into the ring buffer, and nothing else.
 *
 * Both compilers include this file; no struct in it is mirrored anywhere. Every record starts with
 * struct ev_hdr; `size` is the whole record, header included. Records with a tail submit only the
 * part they used. Frames travel as facts - an address, an offset, a check value - and text travels
 * once per code object, as the raw bytes of the target's own objects (EV_CODE). Who may conclude
 * what from them: user/model/.
 *
 * Adding a kind is a line in EV_KINDS, a struct, one emitter in bpf/, one case in
 * user/model/decode.c and one golden journal.
 */
#ifndef UNCOIL_EVENTS_H
#define UNCOIL_EVENTS_H

#include <linux/types.h>

#define EV_KINDS(X)          \
	X(STACK, ev_stack)   \
	X(CODE, ev_code)     \
	X(THREAD, ev_thread) \
	X(FORK, ev_fork)     \
	X(EXEC, ev_exec)     \
	X(EXIT, ev_exit)     \
	X(TIMES, ev_times)   \
	X(TICK, ev_tick)     \
	X(WAIT, ev_wait)     \
	X(TASK, ev_task)     \
	X(FUNC, ev_func)     \
	X(CALL, ev_call)     \
	X(RAISE, ev_raise)

enum ev_kind {
	EV_NONE,
#define X(name, type) EV_##name,
	EV_KINDS(X)
#undef X
		EV_MAX
};

/* Frames kept of one stack, leaf first, and how many of them may be of another function than the frame
 * before: that is what costs. Together they bound the walk in the timer interrupt: a recursion to
 * about 20 us, a stack of ever other functions to less than 100 us (`make bench` prints both). What is
 * deeper is cut at the root end and marked EV_STACK_TRUNCATED. */
#define EV_FRAMES_MAX  512
#define EV_CHANGES_MAX 400
#define EV_ENTRIES_MAX (EV_FRAMES_MAX + 1) /* and the task (enum ev_task_entry) */

/* How much of each of a code object's strings is copied at first sight, in bytes of the target's
 * object, its header included. What is longer is cut; user space reads the rest if it still can. */
#define EV_CODE_FACTS_MAX     256
#define EV_CODE_NAME_MAX      512
#define EV_CODE_QUALNAME_MAX  1024
#define EV_CODE_FILENAME_MAX  2048
#define EV_CODE_LINETABLE_MAX 16384
#define EV_CODE_DATA_MAX                                                                      \
	(EV_CODE_FACTS_MAX + EV_CODE_NAME_MAX + EV_CODE_QUALNAME_MAX + EV_CODE_FILENAME_MAX + \
	 EV_CODE_LINETABLE_MAX)

#define EV_COMM_LEN 16

/* Likewise of a task's name. */
#define EV_TASK_NAME_MAX 512

struct ev_hdr {
	__u16 kind;  /* enum ev_kind */
	__u16 table; /* EV_TICK, EV_WAIT: which of the two tables counted it; others: 0 */
	__u32 size;  /* whole record in bytes, this header included */
	__u64 ts_ns; /* CLOCK_MONOTONIC */
	__u32 image; /* process image: one process between two execs; unique in a recording, never 0 */
	__u32 tgid; /* process, as in the initial pid namespace */
	__u32 tid;  /* thread, likewise */
	__u32 thread; /* thread's serial: unique in a recording, so a reused tid is another thread; 0 = none */
};
_Static_assert(sizeof(struct ev_hdr) == 32, "wire");

/* One Python frame: facts, no text. */
struct py_frame {
	__u64 code;  /* address of the code object */
	__u32 lasti; /* 3.11+: instruction pointer minus the start of the bytecode, in bytes;
		      * before: f_lasti as it stands. EV_LASTI_NONE: before the first instruction */
	__u32 check; /* sum over the code object's identity (bpf/walk.bpf.h): an address that is
		      * reused for another code object gets another check */
};
_Static_assert(sizeof(struct py_frame) == 16, "wire");

#define EV_LASTI_NONE 0xffffffffU

/* No frame, but the cyclic garbage collector (EV_STACK_GC): code and lasti are 0, and this is the check.
 * GC: it runs here, in this thread, above the frame that started it, below what Python code it calls.
 * GC_DURING: the thread has the GIL while the collector runs, and where that is is not known. At the leaf. */
enum ev_check {
	EV_CHECK_GC = 1,
	EV_CHECK_GC_DURING = 2,
};

/* With record --async a stack taken in an asyncio task has one entry more, behind its outermost frame.
 * It is no frame: it says whose the stack is, and `lasti` says in which way. (The values lie where no
 * instruction does.) A task that the program gave a name goes by its name, whatever task has it; one
 * that it did not goes by its coroutine's function: such tasks come by the thousand, and each one's
 * number would make another stack of it. */
enum ev_task_entry {
	EV_TASK_NAMED = 0xeffffff0, /* `code`: hash of its name (EV_TASK), `check` 0 */
	EV_TASK_OF,    /* `code`, `check`: its coroutine's code object; 0, 0: not a function's */
	EV_TASK_OTHER, /* 0, 0: a task of another class than asyncio's own: not looked into */
	EV_TASK_LOST,  /* 0, 0: there may be one: the stack was cut, or too many loops run */
	EV_TASK_ENTRY_END
};

/* Why a stack is not the whole stack. 0 = it is. A stack without frames, that of the collector aside,
 * has exactly one of the reasons from EV_STACK_NO_IMAGE on. */
enum ev_stack_flag {
	EV_STACK_TRUNCATED =
		1 << 0, /* deeper than EV_FRAMES_MAX, EV_CHANGES_MAX; the root end is missing */
	EV_STACK_UNREADABLE = 1 << 1, /* a frame could not be read; what lies above it is missing */
	EV_STACK_NO_IMAGE = 1 << 2,   /* no interpreter was known in this process at that moment */
	EV_STACK_NO_TSTATE =
		1 << 3,             /* the thread has no Python thread state: not Python's thread */
	EV_STACK_NO_FRAME = 1 << 4, /* it has one, and runs no Python function */
	EV_STACK_NOT_SEARCHED =
		1 << 5,         /* its thread state was not among those searched in this tick */
	EV_STACK_WAIT = 1 << 6, /* taken where the thread left the CPU: `wait` says why */
	EV_STACK_UNSETTLED =
		1
		<< 7, /* the interpreter was between two stores that change the stack (walk.bpf.h) */
	EV_STACK_GC = 1 << 8, /* whole or not: one of `frames` is where the collector is */
	EV_STACK_ALL = (1 << 9) - 1,
};

/* What a thread waits for, as the kernel knows it at the switch. Facts: user/model/wait.c says what
 * they mean. All 0 in a stack that is not EV_STACK_WAIT. */
enum wait_flag {
	WAIT_GIL = 1 << 0,    /* the futex lies in the interpreter's GIL */
	WAIT_FILE = 1 << 1,   /* `mode` holds: the system call waits on a file */
	WAIT_SOCKET = 1 << 2, /* family and what follows it hold too */
	WAIT_ALL = (1 << 3) - 1,
};

struct wait {
	__s16 syscall;    /* number on the target's architecture; -1: in none */
	__u16 state;      /* TASK_* of include/linux/sched.h, low bits; 0: it could have run on */
	__u16 flags;      /* enum wait_flag */
	__u16 mode;       /* i_mode of the file's inode */
	__u16 family;     /* AF_* */
	__u16 type;       /* SOCK_* */
	__u16 port;       /* the peer's, host order; 0: none */
	__u16 local_port; /* ours, where there is no peer */
	__u8 addr[16];    /* the peer's; IPv4 in the first four bytes */
	__u32 cnt;        /* poll, select: how many descriptors were asked for; more than 2 is 2 */
	__u32 pad;        /* 0 */
};
_Static_assert(sizeof(struct wait) == 40, "wire");

/* EV_STACK: a stack that this thread is seen with for the first time since the counts were last
 * drained. How often it is seen is counted in the kernel, under (hdr.thread, hash). */
struct ev_stack {
	struct ev_hdr hdr;
	__u64 hash;      /* names the stack; seeded anew for every recording */
	__u32 flags;     /* enum ev_stack_flag */
	__u32 frame_cnt; /* <= EV_ENTRIES_MAX */
	struct wait wait;
	struct py_frame frames[EV_ENTRIES_MAX]; /* leaf first; only frame_cnt are submitted */
};
_Static_assert(sizeof(struct ev_stack) == 88 + EV_ENTRIES_MAX * 16, "wire");

/* EV_CODE: a code object, copied where it was first seen. `data` holds the parts one after the
 * other in this order, each the raw bytes from the start of the target's object: the code object
 * itself, its name, qualname, filename (str objects) and line table (bytes object). A part of
 * length 0 could not be read, or does not exist in this version. */
struct ev_code {
	struct ev_hdr hdr;
	__u64 code;
	__u32 check;
	__u32 facts_len;
	__u32 name_len;
	__u32 qualname_len;
	__u32 filename_len;
	__u32 linetable_len;
	__u8 data[EV_CODE_DATA_MAX];
};
_Static_assert(sizeof(struct ev_code) == 64 + EV_CODE_DATA_MAX, "wire");

/* EV_THREAD: the first sample of a thread; once more when its thread_id turns out to be another
 * (the first tick of a program may come before its C library has set up the thread). */
struct ev_thread {
	struct ev_hdr hdr;
	__u64 thread_id;        /* pthread_self(): what Python calls threading.get_ident() */
	char comm[EV_COMM_LEN]; /* the kernel's name of the thread: any bytes, NUL-terminated */
};
_Static_assert(sizeof(struct ev_thread) == 56, "wire");

/* EV_FORK: hdr.image and hdr.tgid are the child's. */
struct ev_fork {
	struct ev_hdr hdr;
	__u64 start_ns; /* child's start, CLOCK_BOOTTIME */
	__u32 parent_image;
	__u32 parent_tgid;
};
_Static_assert(sizeof(struct ev_fork) == 48, "wire");

/* EV_EXEC: hdr.image is the new image. */
struct ev_exec {
	struct ev_hdr hdr;
	__u64 start_ns; /* process start (exec does not change it), CLOCK_BOOTTIME */
	__u32 old_image;
	__u32 pad;
	char comm[EV_COMM_LEN];
};
_Static_assert(sizeof(struct ev_exec) == 64, "wire");

/* EV_EXIT: the last thread of a process has ended. */
struct ev_exit {
	struct ev_hdr hdr;
	__u32 exit_code; /* as wait(2) would return it */
	__u32 pad;
};
_Static_assert(sizeof(struct ev_exit) == 40, "wire");

/* Where one thread's time went, from sched_switch. The three sum up to what there was of its life
 * within the recording. */
struct thread_times {
	__u64 cpu_ns;  /* on the CPU */
	__u64 wait_ns; /* off it, until it was woken */
	__u64 runq_ns; /* off it, and ready to run */
};

/* EV_TIMES: a thread ends, or execs; hdr.thread's times are final. */
struct ev_times {
	struct ev_hdr hdr;
	struct thread_times times;
};
_Static_assert(sizeof(struct ev_times) == 56, "wire");

/* EV_TICK: one sample and when it was taken (hdr.ts_ns), if times are recorded (timeline). Comes
 * after its stack and after it was counted: a tick that finds the ring full is a sample whose time is
 * missing, and user space knows how many these are from the counts. */
struct ev_tick {
	struct ev_hdr hdr;
	__u64 hash; /* of the stack: ev_stack.hash, under the same image and thread */
};
_Static_assert(sizeof(struct ev_tick) == 40, "wire");

/* EV_WAIT: one wait that is over, and when it was, if times are recorded. Like EV_TICK it comes after
 * its stack and after it was counted, and one that finds the ring full is known from the counts. Where
 * the stack is not known (hash 0) nothing was counted: the thread's times have it. User space closes
 * those that go on at the end. */
enum ev_wait_flag {
	EV_WAIT_OPEN = 1 << 0,  /* it goes on: this is what there was of it so far */
	EV_WAIT_SHARE = 1 << 1, /* not counted yet: that comes with the next part (--rotate) */
	EV_WAIT_ALL = (1 << 2) - 1,
};

struct ev_wait {
	struct ev_hdr hdr;
	__u64 hash;     /* of the stack it left the CPU with; 0: not known */
	__u64 start_ns; /* when that was; CLOCK_MONOTONIC */
	__u64 wait_ns;  /* from then until it was woken, */
	__u64 runq_ns;  /* and from then until it ran */
	__u32 flags;    /* enum ev_wait_flag */
	__u32 pad;      /* 0 */
};
_Static_assert(sizeof(struct ev_wait) == 72, "wire");

/* EV_TASK: a name that a task has, copied where it was first seen; before the stack that it is in. Of
 * the target's str object, from its start. */
struct ev_task {
	struct ev_hdr hdr;
	__u64 hash; /* over the text; seeded anew for every recording */
	__u32 name_len;
	__u32 pad;                   /* 0 */
	__u8 name[EV_TASK_NAME_MAX]; /* only name_len are submitted */
};
_Static_assert(sizeof(struct ev_task) == 48 + EV_TASK_NAME_MAX, "wire");

/* What co_flags says of a code object's calls (CPython Include/cpython/code.h). */
enum ev_func_kind {
	EV_FUNC_PLAIN,
	EV_FUNC_GENERATOR, /* CO_GENERATOR, CO_ITERABLE_COROUTINE */
	EV_FUNC_COROUTINE, /* CO_COROUTINE */
	EV_FUNC_ASYNC_GEN, /* CO_ASYNC_GENERATOR */
	EV_FUNC_KIND_MAX
};

/* EV_FUNC: a function that trace sees begin for the first time. Its number names it in EV_CALL and
 * EV_RAISE, and is `check` in the EV_CODE that follows: a code object at a reused address is another
 * function. */
struct ev_func {
	struct ev_hdr hdr;
	__u64 code;    /* address of the code object */
	__u64 globals; /* address of the dict of its module's names; 0: not known */
	__u32 func;    /* its number, from 1, unique in a recording */
	__u32 kind;    /* enum ev_func_kind */
};
_Static_assert(sizeof(struct ev_func) == 56, "wire");

/* How an activation began, and how it ended: two numbers and two bits. An activation is one run of a
 * function from a begin to an end; that of a generator or coroutine has as many as it is resumed. */
enum ev_call_began {
	EV_BEGAN_CALL,
	EV_BEGAN_RESUME, /* a generator or coroutine goes on, */
	EV_BEGAN_THROW,  /* by throw(), close(), or because it is freed */
	EV_BEGAN_BEFORE, /* it was open when it was first looked at: start_ns is that moment */
	EV_BEGAN_MAX
};

enum ev_call_ended {
	EV_ENDED_RETURN,
	EV_ENDED_YIELD,  /* it suspends, by yield or by await */
	EV_ENDED_RAISE,  /* an exception left it */
	EV_ENDED_OPEN,   /* it had not ended when the trace, or this window of it, did */
	EV_ENDED_UNSEEN, /* it has ended, and nobody saw how and when: not after this */
	EV_ENDED_MAX
};

#define EV_CALL_BEGAN(flags)        ((flags)&7)
#define EV_CALL_ENDED(flags)        ((flags) >> 3 & 7)
#define EV_CALL_FLAGS(began, ended) ((began) | (ended) << 3)
enum ev_call_flag {
	EV_CALL_LATE =
		1 << 6, /* the end was noticed at the next event of its thread, not at once */
	EV_CALL_PARKED = 1 << 7, /* its thread ran another greenlet meanwhile */
	EV_CALL_ALL = (1 << 8) - 1,
};

/* EV_CALL: one activation that is over (hdr.ts_ns). Callees come before their callers. */
struct ev_call {
	struct ev_hdr hdr;
	__u64 start_ns; /* CLOCK_MONOTONIC */
	__u64 frame;    /* address of its frame: a generator's stays the same from its first
			 * activation to its last */
	__u64 child_ns; /* of its time, what was in functions that it called and that are traced */
	__u32 func;     /* EV_FUNC's number */
	__u32 depth;    /* traced activations below it on its stack */
	__u16 flags;    /* EV_CALL_FLAGS, enum ev_call_flag */
	__u16 caller;   /* EV_FUNC's number of the activation below it on its stack; 0 = none */
	__u32 lasti;    /* where its caller stood at the call (struct py_frame); EV_LASTI_NONE */
};
_Static_assert(sizeof(struct ev_call) == 72, "wire");

#define EV_TYPE_NAME_MAX 128

/* EV_RAISE: an exception arises in this activation, or passes into it from one that it called. */
struct ev_raise {
	struct ev_hdr hdr;
	__u64 frame; /* address */
	__u64 type;  /* address of the exception's type */
	__u32 func;  /* 0: of a function that is not traced */
	__u32 name_len;
	__u8 name[EV_TYPE_NAME_MAX]; /* tp_name, raw: name_len bytes, and whatever behind them */
};
_Static_assert(sizeof(struct ev_raise) == 56 + EV_TYPE_NAME_MAX, "wire");

#endif /* UNCOIL_EVENTS_H */
