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
	X(TICK, ev_tick)

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

struct ev_hdr {
	__u16 kind;  /* enum ev_kind */
	__u16 pad;   /* 0 */
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

/* Why a stack is not the whole stack. 0 = it is. A stack without frames has exactly one of the
 * reasons from EV_STACK_NO_IMAGE on. */
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
	EV_STACK_ALL = (1 << 8) - 1,
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
	__u32 frame_cnt; /* <= EV_FRAMES_MAX */
	struct wait wait;
	struct py_frame frames[EV_FRAMES_MAX]; /* leaf first; only frame_cnt are submitted */
};
_Static_assert(sizeof(struct ev_stack) == 88 + EV_FRAMES_MAX * 16, "wire");

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

#endif /* UNCOIL_EVENTS_H */
