/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the functions of a Python begin and end: the instructions to put a breakpoint on.
 *
 * Every Python function begins with the opcode RESUME and ends with RETURN_VALUE or one of its kin; a
 * generator suspends with YIELD_VALUE. So a breakpoint in those opcodes' handlers sees each begin and each
 * end (3.11 on; before, RESUME is not there, but a function's begin and its end are the evaluation
 * loop's own). Which instruction of a handler?
 *
 *	- one that each path through it passes, and passes once, before it leaves for the next opcode;
 *	- one that nothing else leads to: compilers merge the tails of handlers that end alike;
 *	- one that the kernel emulates, if there is any: on others it lets the target step a copy,
 *	  two traps instead of one, twenty times as dear.
 *
 * Handlers of one meaning (RESUME and what it is specialised to) count together: of all instructions that
 * will do, those are taken that see each execution of the group exactly once, as cheaply as that can be had.
 * Where that cannot be proved, there is no site and `missing` says for what.
 *
 * A hit is an execution of the opcode, and not always a call, which who reads the hits must know:
 *
 *	- RESUME's argument says which it is: & 3 (3.15: & 7) is 0 for a call, 1 to 3 for a resumption, and, 3.15,
 *	  4 in a generator expression that is only being made: not a begin;
 *	- where a code object has to be instrumented first (sys.monitoring, sys.settrace; 3.12 on), RESUME is
 *	  executed twice for one call: same frame, same instruction, nothing in between;
 *	- a specialised call of a class (3.13 on) runs __init__ above a frame of the interpreter's own, that never
 *	  begins and returns: INIT is hit right before;
 *	- throw(), close() and a generator that is freed enter a frame without RESUME: ENTER is hit, with a third
 *	  argument that is not zero. (Other hits of ENTER are calls from C.)
 *
 * At a YIELD, and at a RETURN that is a call instruction, the interpreter may have made the caller's frame the
 * current one already; `behind_call` says that the frame may even be gone.
 */
#ifndef UNCOIL_PYTHON_SITES_H
#define UNCOIL_PYTHON_SITES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "python/insn.h"
#include "python/opcode_table.h"

struct elf;
struct err;
struct py_found;

#define SITES_MAX     40
#define SITE_NAME_MAX 128

/* X(kind, word, what a hit is) */
#define SITE_KINDS(X)                                                                          \
	X(BEGIN, "begin", "a function begins, or a generator or coroutine resumes")            \
	X(RETURN, "return", "a function returns")                                              \
	X(YIELD, "yield", "a generator or coroutine suspends")                                 \
	X(DELEGATE, "delegate", "yield from or await: suspends, or goes on when done")         \
	X(MAKE, "make", "a generator or coroutine is made, not begun")                         \
	X(INIT, "init", "a class's instance is initialised: the next return is no function's") \
	X(ENTER, "enter", "the evaluation loop is entered")                                    \
	X(LEAVE, "leave", "the evaluation loop is left")                                       \
	X(CLEAR, "clear", "a frame ends, by return or by exception")                           \
	X(RAISE, "raise", "an exception arises in a frame, or passes it")                      \
	X(FREE, "free", "a code object is freed: its address may be another's")                \
	X(USDT_BEGIN, "begin", "a function begins, or a generator or coroutine resumes")       \
	X(USDT_END, "end", "a function returns, suspends or is left by an exception")

enum site_kind {
#define X(kind, word, what) SITE_##kind,
	SITE_KINDS(X)
#undef X
		SITE_KIND_MAX
};

enum sites_method {
	SITES_NONE,     /* sampling only */
	SITES_HANDLERS, /* opcode handlers */
	SITES_USDT,     /* function__entry and function__return are there and fire */
};

struct site {
	enum site_kind kind;
	char name[SITE_NAME_MAX]; /* "RESUME, RESUME_QUICK"; a function's or a point's name */
	uint32_t opcodes;         /* bit n: enum opcode n; 0 = none of its own */
	uint64_t vaddr;           /* of the instruction, as the file has it, */
	uint64_t offset;          /* and its place in the file: what a uprobe is told */
	uint64_t semaphore;       /* USDT: offset in the file of the counter to raise, or 0 */
	uint32_t number;          /* how many instructions into the handler, from 1; 0 = unknown */
	bool behind_call; /* a call may come before it: the frame may be unlinked or freed */
	struct insn insn;
	uint8_t bytes[INSN_LEN_MAX]; /* insn.len of them */
};

struct sites {
	enum sites_method method;
	uint64_t dev, inode; /* the file that these are offsets of, as mappings name it */
	uint16_t minor;
	uint64_t table;    /* address of the opcode table, as the file has it; 0 = none */
	uint32_t handlers; /* different handlers in it */
	struct site list[SITES_MAX];
	int cnt;
	uint64_t missing; /* bit n: nothing found for enum site_kind n that should be there */
	char why[256];    /* of SITES_NONE, and of what is missing: a sentence, or "" */
};

/* Fills in the sites of CPython 3.`minor` in this file. `no_calls`: a relative call may not be
 * chosen (the target has a shadow stack, which not every kernel keeps when it emulates one).
 * 0 even if there are none: method and why say so. -ENOMEM, or -errno with a sentence. */
int sites_find(struct elf *elf, uint16_t minor, bool no_calls, struct sites *ret_sites,
	       struct err *err);

/* The same for the Python in a process: through the file that it has mapped, whatever stands at its path
 * today; and where its code objects are freed. type_dealloc: of struct py_live. */
int sites_find_process(pid_t pid, const struct py_found *found, uint32_t type_dealloc,
		       struct sites *ret_sites, struct err *err);

/* Is it far enough for that? A program that has just exec'ed may not have relocated its data yet, and does not
 * say where code objects are freed: without that, one at a reused address is taken for the one before. */
bool sites_settled(pid_t pid, const struct py_found *found, uint32_t type_dealloc);

/* That file: a descriptor, or -errno with a sentence. */
int sites_open(pid_t pid, const struct py_found *found, struct err *err);

struct sites_state {
	uint32_t mappings; /* in which the kernel will write breakpoints */
	uint32_t shared;   /* sites on which another uprobe sits already */
};

/*
 * May breakpoints be put there, now? A breakpoint amid an instruction kills the target. So in every
 * private mapping of the file that the process has, the bytes at every site must be the file's, or, with no
 * debugger about, a breakpoint where the file has the expected byte: another uprobe's, which is shared.
 * Anything else is refused: -EBUSY (a debugger is attached), -ESTALE (the code was changed, or is mapped
 * nowhere any more), -EFAULT (it cannot be read), -ESRCH; with a sentence.
 */
int sites_verify(pid_t pid, const struct sites *sites, struct sites_state *ret_state,
		 struct err *err);

const char *site_kind_text(enum site_kind kind); /* "begin" */
const char *site_kind_what(enum site_kind kind); /* "a function begins, or …" */

#endif
