/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86-64 instructions: lengths, jumps, and what the kernel makes of a uprobe on each.
 *
 *	[prefixes] [REX] opcode [ModRM [SIB] [displacement]] [immediate]
 *	[prefixes] VEX or EVEX, which name the opcode map, opcode ModRM … [imm8]
 *
 * A length depends on the prefixes 66 and REX.W, on whether the opcode has a ModRM byte, and on the
 * size of its immediate: three tables of bits per opcode map (Intel SDM volume 2, appendix A).
 * Debian has no static library of a decoder, and a whole one would be a quarter of the program; that this
 * one measures as Zydis does, on all code of the interpreters at hand and on random bytes, is a test.
 *
 * What the kernel does: arch/x86/kernel/uprobes.c, branch_setup_xol_ops() (relative call, jmp, jcc, nop) and
 * push_setup_xol_ops() emulate; what else good_insns_64[] has is stepped; is_prefix_bad() is refused.
 * Less is claimed here than the kernel can: only plain encodings are emulated or stepped.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "python/insn.h"

#if defined(__x86_64__)

/* Bit n: does opcode row*16+n have it? */
#define BIT(map, op) ((map)[(op) >> 4] >> ((op)&15) & 1)

static const uint16_t one_modrm[16] = {
	0x0f0f, 0x0f0f, 0x0f0f, 0x0f0f, 0, 0, 0x0a08, 0, 0xffff, 0, 0, 0, 0x00c3, 0xff0f, 0, 0xc0c0,
};
/* invalid in 64-bit mode, prefixes and escapes (which are gone by then) included */
static const uint16_t one_invalid[16] = {
	0xc0c0, 0xc0c0, 0xc0c0, 0xc0c0, 0xffff, 0,      0x00f7, 0,
	0x0004, 0x0400, 0,      0,      0x4030, 0x0070, 0x0400, 0x000d,
};
static const uint16_t one_imm8[16] = {
	0x1010, 0x1010, 0x1010, 0x1010, 0,      0, 0x0c00, 0xffff,
	0x0009, 0,      0x0100, 0x00ff, 0x2043, 0, 0x08ff, 0,
};
static const uint16_t one_imm32[16] = {
	/* 16 bits with prefix 66, but for call and jmp */
	0x2020, 0x2020, 0x2020, 0x2020, 0,      0, 0x0300, 0,
	0x0002, 0,      0x0200, 0xff00, 0x0080, 0, 0x0300, 0,
};
static const uint16_t two_modrm[16] = {
	0xa00f, 0xffff, 0xff00, 0,      0xffff, 0xffff, 0xffff, 0xff7f,
	0,      0xffff, 0xf838, 0xffff, 0x00ff, 0xffff, 0xffff, 0xffff,
};
static const uint16_t two_invalid[16] = {
	0x1410, 0, 0x00f0, 0xff40, 0, 0, 0, 0, 0, 0, 0x00c0, 0, 0, 0, 0, 0,
};
static const uint16_t two_imm8[16] = { 0, 0, 0,      0,      0,      0, 0, 0x000f,
				       0, 0, 0x1010, 0x0400, 0x0074, 0, 0, 0 };

/* Plain moves, arithmetic, push and pop: what compilers begin a block with. */
static const uint16_t one_steppable[16] = {
	0x3f3f, 0x3f3f, 0x3f3f, 0x3f3f, 0,      0xffff, 0x0a08, 0,
	0x2ffb, 0,      0x0300, 0xffff, 0x00c3, 0x000f, 0,      0x00c0,
};
static const uint16_t two_steppable[16] = {
	0, 0x8303, 0x0300, 0,      0xffff, 0x0080, 0xc040, 0xc000,
	0, 0xffff, 0x8000, 0xc0c0, 0,      0x0040, 0,      0,
};

struct decode {
	const uint8_t *at;
	size_t size, pos; /* pos: of the next byte */
	bool op16, addr32, rep, repne, bad_prefix, any_prefix;
	uint8_t rex;
	uint8_t modrm;
};

static int prefixes(struct decode *d)
{
	uint8_t byte;

	for (; d->pos < d->size; d->pos++) {
		byte = d->at[d->pos];
		switch (byte) {
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0xf0:
			d->bad_prefix = true;
			break;
		case 0x64:
		case 0x65:
			break;
		case 0x66:
			d->op16 = true;
			break;
		case 0x67:
			d->addr32 = true;
			break;
		case 0xf2:
			d->repne = true;
			break;
		case 0xf3:
			d->rep = true;
			break;
		default:
			if ((byte & 0xf0) != 0x40)
				return 0;
			/* REX counts only right before the opcode */
			d->rex = byte;
			continue;
		}
		d->any_prefix = true;
		d->rex = 0;
	}
	return -EINVAL;
}

/* ModRM, SIB and displacement. */
static int operand(struct decode *d)
{
	uint8_t mod, rm;

	if (d->pos >= d->size)
		return -EINVAL;
	d->modrm = d->at[d->pos++];
	mod = d->modrm >> 6;
	rm = d->modrm & 7;
	if (mod == 3)
		return 0;
	if (rm == 4) {
		if (d->pos >= d->size)
			return -EINVAL;
		if (mod == 0 && (d->at[d->pos] & 7) == 5)
			d->pos += 4;
		d->pos++;
	} else if (mod == 0 && rm == 5) {
		d->pos += 4;
	}
	d->pos += mod == 1 ? 1 : mod == 2 ? 4 : 0;
	return 0;
}

/* VEX (c4, c5), EVEX (62), XOP (8f): none of them jumps. The kernel refuses some: none is probed. */
static int extended(struct decode *d, uint8_t first)
{
	uint8_t map, op;

	if (d->rex || d->op16 || d->rep || d->repne)
		return -EINVAL;
	if (d->pos + (first == 0xc5 ? 2 : first == 0x62 ? 4 : 3) > d->size)
		return -EINVAL;
	map = first == 0xc5 ? 1 : d->at[d->pos] & (first == 0x62 ? 7 : 31);
	d->pos += first == 0xc5 ? 1 : first == 0x62 ? 3 : 2;
	op = d->at[d->pos++];
	if (first == 0x8f) {
		if (map < 8 || map > 10 || operand(d))
			return -EINVAL;
		d->pos += map == 8 ? 1 : map == 10 ? 4 : 0;
		return 0;
	}
	if (map < 1 || map > 6 || map == 4 || (map > 3 && first != 0x62))
		return -EINVAL;
	if (map == 1 && op >= 0x80 && op <= 0x8f)
		return -EINVAL;
	if (map == 1 && op == 0x77 && first != 0x62)
		return 0; /* vzeroupper */
	if (operand(d))
		return -EINVAL;
	if (map == 3 || (map == 1 && BIT(two_imm8, op)))
		d->pos++;
	return 0;
}

static void relative(struct decode *d, uint64_t addr, size_t width, struct insn *insn)
{
	int32_t offset;

	if (d->pos > d->size)
		return;
	if (width == 1) {
		offset = (int8_t)d->at[d->pos - 1];
	} else {
		memcpy(&offset, d->at + d->pos - 4, sizeof(offset));
	}
	insn->target = addr + d->pos + (int64_t)offset;
}

static int two_byte(struct decode *d, uint64_t addr, struct insn *insn)
{
	bool plain = !d->any_prefix;
	uint8_t op;

	if (d->pos >= d->size)
		return -EINVAL;
	op = d->at[d->pos++];
	if (op == 0x38 || op == 0x3a) {
		if (d->pos++ >= d->size || operand(d))
			return -EINVAL;
		d->pos += op == 0x3a;
		return 0;
	}
	if (BIT(two_invalid, op))
		return -EINVAL;
	if (op >= 0x20 && op <= 0x23)
		d->pos++; /* control and debug registers: whatever ModRM says of memory */
	else if (BIT(two_modrm, op) && operand(d))
		return -EINVAL;
	if (op == 0x0f || BIT(two_imm8, op))
		d->pos++;
	if (op == 0x78 && (d->op16 || d->repne))
		d->pos += 2; /* extrq, insertq */
	if (op >= 0x80 && op <= 0x8f) {
		d->pos += 4;
		relative(d, addr, 4, insn);
		insn->flow = INSN_BRANCH;
		insn->kind = INSN_JCC;
		insn->probe = plain && !d->rex ? INSN_EMULATED : INSN_REFUSED;
	} else if (op == 0x0b || op == 0xb9 || op == 0xff) {
		insn->flow = INSN_TRAP;
	} else if (op == 0x1e && d->rep && d->modrm == 0xfa) {
		insn->kind = INSN_ENDBR;
	} else if (op == 0x1f) {
		insn->kind = INSN_NOP;
	} else if (BIT(two_steppable, op) && !d->bad_prefix) {
		insn->probe = INSN_STEPPED;
	}
	return 0;
}

static void immediate(struct decode *d, uint8_t op)
{
	uint8_t reg = d->modrm >> 3 & 7;

	if (BIT(one_imm8, op))
		d->pos++;
	else if (op >= 0xb8 && op <= 0xbf && d->rex & 8)
		d->pos += 8;
	else if (BIT(one_imm32, op))
		d->pos += d->op16 && !(d->rex & 8) && op != 0xe8 && op != 0xe9 ? 2 : 4;
	else if (op == 0xc2 || op == 0xca)
		d->pos += 2;
	else if (op == 0xc8)
		d->pos += 3;
	else if (op >= 0xa0 && op <= 0xa3)
		d->pos += d->addr32 ? 4 : 8;
	else if (op == 0xf6 && reg < 2)
		d->pos += 1;
	else if (op == 0xf7 && reg < 2)
		d->pos += d->op16 && !(d->rex & 8) ? 2 : 4;
}

static void classify(struct decode *d, uint8_t op, uint64_t addr, struct insn *insn)
{
	bool plain = !d->any_prefix && !d->rex;
	uint8_t reg = d->modrm >> 3 & 7;

	if ((op >= 0x70 && op <= 0x7f) || (op >= 0xe0 && op <= 0xe3)) {
		relative(d, addr, 1, insn);
		insn->flow = INSN_BRANCH;
		insn->kind = op <= 0x7f ? INSN_JCC : INSN_OTHER;
		if (op <= 0x7f && plain)
			insn->probe = INSN_EMULATED;
	} else if (op == 0xe9 || op == 0xeb) {
		relative(d, addr, op == 0xeb ? 1 : 4, insn);
		insn->flow = INSN_JUMP;
		insn->kind = INSN_JMP;
		if (plain)
			insn->probe = INSN_EMULATED;
	} else if (op == 0xe8) {
		relative(d, addr, 4, insn);
		insn->kind = INSN_CALL;
		if (plain)
			insn->probe = INSN_EMULATED;
	} else if (op == 0xc3 || op == 0xc2 || op == 0xcb || op == 0xca || op == 0xcf) {
		insn->flow = INSN_RETURN;
	} else if (op == 0xcc || op == 0xf1 || op == 0xf4) {
		insn->flow = INSN_TRAP;
	} else if (op == 0xff && (reg == 4 || reg == 5)) {
		insn->flow = INSN_JUMP_UNKNOWN;
	} else if (op == 0x90 && !(d->rex & 1) && !d->rep) {
		insn->kind = INSN_NOP;
		if (plain)
			insn->probe = INSN_EMULATED;
	} else if (op >= 0x50 && op <= 0x57) {
		insn->kind = INSN_PUSH;
		/* push %rsp: nobody needs it */
		if (!d->any_prefix && (d->rex == 0 || d->rex == 0x41) && op != 0x54)
			insn->probe = INSN_EMULATED;
	} else if (BIT(one_steppable, op) && !d->bad_prefix) {
		insn->probe = INSN_STEPPED;
	}
}

bool insn_known(void)
{
	return true;
}

int insn_decode(const uint8_t *at, size_t size, uint64_t addr, struct insn *ret_insn)
{
	struct decode d = { .at = at, .size = size < INSN_LEN_MAX ? size : INSN_LEN_MAX };
	struct insn insn = { .flow = INSN_NEXT, .kind = INSN_OTHER, .probe = INSN_REFUSED };
	uint8_t op;
	int err;

	if (prefixes(&d))
		return -EINVAL;
	op = d.at[d.pos++];
	if (op == 0x0f) {
		err = two_byte(&d, addr, &insn);
	} else if (op == 0xc4 || op == 0xc5 || op == 0x62 ||
		   (op == 0x8f && d.pos < d.size && d.at[d.pos] & 0x38)) {
		err = extended(&d, op);
	} else if (BIT(one_invalid, op) || (BIT(one_modrm, op) && operand(&d))) {
		err = -EINVAL;
	} else {
		immediate(&d, op);
		classify(&d, op, addr, &insn);
		err = 0;
	}
	if (err || d.pos > d.size)
		return -EINVAL;
	insn.len = d.pos;
	*ret_insn = insn;
	return 0;
}

const char *insn_text(const uint8_t *at, const struct insn *insn, char text[static 48])
{
	static const char *const conditions[] = { "o", "no", "b", "ae", "e", "ne", "be", "a",
						  "s", "ns", "p", "np", "l", "ge", "le", "g" };
	static const char *const regs[] = { "ax", "cx", "dx", "bx", "sp", "bp", "si", "di" };
	uint8_t last = at[0] == 0x0f ? at[1] : at[0];
	size_t i, pos = 0;

	if (insn->probe == INSN_EMULATED && insn->kind == INSN_JCC) {
		snprintf(text, 48, "j%s %#" PRIx64, conditions[last & 15], insn->target);
	} else if (insn->probe == INSN_EMULATED &&
		   (insn->kind == INSN_JMP || insn->kind == INSN_CALL)) {
		snprintf(text, 48, "%s %#" PRIx64, insn->kind == INSN_JMP ? "jmp" : "call",
			 insn->target);
	} else if (insn->kind == INSN_PUSH && insn->probe == INSN_EMULATED) {
		if (insn->len == 1)
			snprintf(text, 48, "push %%r%s", regs[at[0] & 7]);
		else
			snprintf(text, 48, "push %%r%d", 8 + (at[1] & 7));
	} else if (insn->kind == INSN_NOP && insn->len == 1) {
		snprintf(text, 48, "nop");
	} else {
		text[0] = '\0';
		for (i = 0; i < insn->len; i++)
			pos += snprintf(text + pos, 48 - pos, "%s%02x", i ? " " : "", at[i]);
	}
	return text;
}

#else

bool insn_known(void)
{
	return false;
}

int insn_decode(const uint8_t *at, size_t size, uint64_t addr, struct insn *ret_insn)
{
	return -EINVAL;
}

const char *insn_text(const uint8_t *at, const struct insn *insn, char text[static 48])
{
	text[0] = '\0';
	return text;
}

#endif
