/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machine instructions, as far as a breakpoint needs to know them: how long one is, where it may
 * lead, and what the kernel does when a uprobe sits on it. The only file that knows an instruction
 * set is insn_x86.c; on other machines every instruction is unknown, and nothing can be probed.
 */
#ifndef UNCOIL_PYTHON_INSN_H
#define UNCOIL_PYTHON_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSN_LEN_MAX 15 /* bytes */

enum insn_flow {
	INSN_NEXT,         /* to the next one, calls included (what they call comes back) */
	INSN_BRANCH,       /* to the next one or to `target` */
	INSN_JUMP,         /* to `target` */
	INSN_JUMP_UNKNOWN, /* through a register or memory */
	INSN_RETURN,
	INSN_TRAP, /* nowhere: ud2, int3, hlt */
};

enum insn_kind {
	INSN_OTHER,
	INSN_NOP,   /* padding of any length */
	INSN_PUSH,  /* of a general register */
	INSN_JCC,   /* conditional, relative */
	INSN_JMP,   /* relative */
	INSN_CALL,  /* relative */
	INSN_ENDBR, /* where indirect jumps may land (CET) */
};

/* What a uprobe on it costs the target. */
enum insn_probe {
	INSN_REFUSED,  /* the kernel refuses it, or it is not proved that it does not */
	INSN_STEPPED,  /* executed out of line: two traps */
	INSN_EMULATED, /* done by the kernel in the first trap */
};

struct insn {
	uint8_t len; /* bytes */
	uint8_t flow, kind, probe;
	uint64_t target; /* of a relative jump, branch or call; else 0 */
};

/* Is this machine's instruction set known here? */
bool insn_known(void);

/* Decodes the instruction at `at`, of which `size` bytes may be read, as if it lay at `addr`.
 * -EINVAL: it is none, or it is longer than that. */
int insn_decode(const uint8_t *at, size_t size, uint64_t addr, struct insn *ret_insn);

/* The instruction for people: "jne 0x4a0d12", "push %rbx"; others as bytes, "48 8b 45 10". */
const char *insn_text(const uint8_t *at, const struct insn *insn, char text[static 48]);

#endif
