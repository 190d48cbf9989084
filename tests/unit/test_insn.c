/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths, jumps and targets of instructions, against Zydis: on the code of the interpreters at hand, and on
 * random bytes. And what is said to be emulated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <Zydis/Zydis.h>
#include <cmocka.h>
#include <elf.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "os/elf.h"
#include "python/insn.h"

#define RANDOM_CNT 400000
#define WHERE      0x400000

static ZydisDecoder decoder;

/* Instructions of processors that are gone, or for kernels: not known here, and no harm in that. */
static bool is_exotic(const ZydisDecodedInstruction *z)
{
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_JKZD:
	case ZYDIS_MNEMONIC_JKNZD:
	case ZYDIS_MNEMONIC_MONTMUL:
		return true;
	default:
		return z->meta.category == ZYDIS_CATEGORY_PADLOCK ||
		       z->meta.isa_ext == ZYDIS_ISA_EXT_KNCE ||
		       z->meta.isa_ext == ZYDIS_ISA_EXT_KNCV;
	}
}

static uint8_t flow_of(const ZydisDecodedInstruction *z)
{
	switch (z->meta.category) {
	case ZYDIS_CATEGORY_COND_BR:
		return z->mnemonic == ZYDIS_MNEMONIC_XBEGIN ? INSN_NEXT : INSN_BRANCH;
	case ZYDIS_CATEGORY_UNCOND_BR:
		if (z->mnemonic == ZYDIS_MNEMONIC_XABORT)
			return INSN_NEXT;
		return z->raw.imm[0].is_relative ? INSN_JUMP : INSN_JUMP_UNKNOWN;
	case ZYDIS_CATEGORY_RET:
		return INSN_RETURN;
	default:
		return INSN_NEXT;
	}
}

/* Returns its length. */
static size_t compare(const uint8_t *at, size_t size, const char *where)
{
	ZydisDecodedInstruction z;
	struct insn insn;
	bool bad;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, at, size, &z)))
		return 1;
	if (is_exotic(&z))
		return z.length;
	bad = insn_decode(at, size, WHERE, &insn) || insn.len != z.length;
	if (!bad && insn.flow != INSN_TRAP)
		bad = insn.flow != flow_of(&z);
	if (!bad && z.raw.imm[0].is_relative && z.mnemonic != ZYDIS_MNEMONIC_XBEGIN)
		bad = insn.target != WHERE + z.length + (uint64_t)z.raw.imm[0].value.s;
	if (bad)
		fail_msg(
			"%s: %s of %u bytes: %02x %02x %02x %02x %02x %02x; here %u bytes, flow %u",
			where, ZydisMnemonicGetString(z.mnemonic), z.length, at[0], at[1], at[2],
			at[3], at[4], at[5], insn.len, insn.flow);
	return z.length;
}

static void test_random(void **state)
{
	static const uint8_t prefixes[] = { 0x66, 0xf2, 0xf3, 0x48, 0x41, 0x0f, 0x0f,
					    0xc5, 0xc4, 0x62, 0x67, 0x2e, 0x4f };
	uint8_t bytes[INSN_LEN_MAX];
	uint64_t seed = 1;
	int i, k;

	for (i = 0; i < RANDOM_CNT; i++) {
		for (k = 0; k < INSN_LEN_MAX; k++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			bytes[k] = seed >> 56;
		}
		for (k = 0; k < (int)(seed >> 40 & 3); k++)
			bytes[k] = prefixes[bytes[k] % sizeof(prefixes)];
		compare(bytes, sizeof(bytes), "random");
	}
}

static uint64_t compare_file(const char *path)
{
	struct elf_image image;
	uint64_t pos, cnt = 0;
	struct err err;
	struct elf *elf;
	int i, fd;

	fd = open(path, O_RDONLY);
	elf = fd < 0 ? NULL : elf__open(fd, &err);
	if (!elf)
		return 0;
	assert_int_equal(elf__load(elf, 1 << 28, &image), 0);
	for (i = 0; i < image.cnt; i++)
		for (pos = 0; image.list[i].is_exec && pos < image.list[i].size; cnt++)
			pos += compare(image.list[i].data + pos, image.list[i].size - pos, path);
	elf_image_done(&image);
	elf__close(elf);
	return cnt;
}

static void test_interpreters(void **state)
{
	const char *dir = getenv("UNCOIL_PYTHONS"), *home = getenv("HOME");
	uint64_t cnt = 0;
	char pattern[4096];
	glob_t found;
	size_t i;

	snprintf(pattern, sizeof(pattern), "%s/*/usr/bin/python3.*", dir ? dir : ".output/pythons");
	glob("/usr/bin/python3.1?", 0, NULL, &found);
	glob(pattern, GLOB_APPEND, NULL, &found);
	snprintf(pattern, sizeof(pattern), "%s/.pyenv/versions/*/lib/libpython3.*.so.1.0",
		 home ? home : "");
	glob(pattern, GLOB_APPEND, NULL, &found);
	for (i = 0; i < found.gl_pathc; i++)
		cnt += compare_file(found.gl_pathv[i]);
	print_message("%lu instructions of %zu files\n", (unsigned long)cnt, found.gl_pathc);
	globfree(&found);
	if (!cnt)
		skip();
}

static void test_probe(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
		enum insn_kind kind;
		enum insn_probe probe;
		const char *text;
	} cases[] = {
		{ "\x75\x10", 2, INSN_JCC, INSN_EMULATED, "jne 0x400012" },
		{ "\x0f\x8f\x00\x01\x00\x00", 6, INSN_JCC, INSN_EMULATED, "jg 0x400106" },
		{ "\xeb\xfe", 2, INSN_JMP, INSN_EMULATED, "jmp 0x400000" },
		{ "\xe9\xfb\xff\xff\xff", 5, INSN_JMP, INSN_EMULATED, "jmp 0x400000" },
		{ "\xe8\x00\x00\x00\x00", 5, INSN_CALL, INSN_EMULATED, "call 0x400005" },
		{ "\x53", 1, INSN_PUSH, INSN_EMULATED, "push %rbx" },
		{ "\x41\x57", 2, INSN_PUSH, INSN_EMULATED, "push %r15" },
		{ "\x90", 1, INSN_NOP, INSN_EMULATED, "nop" },
		/* the kernel refuses these prefixes, or takes another meaning for granted */
		{ "\x3e\x75\x10", 3, INSN_JCC, INSN_REFUSED, "3e 75 10" },
		{ "\x66\x90", 2, INSN_NOP, INSN_REFUSED, "66 90" },
		{ "\x41\x90", 2, INSN_OTHER, INSN_REFUSED, "41 90" },
		{ "\x54", 1, INSN_PUSH, INSN_REFUSED, "54" },
		{ "\xf3\x0f\x1e\xfa", 4, INSN_ENDBR, INSN_REFUSED, "f3 0f 1e fa" },
		{ "\x2e\x48\x89\xc3", 4, INSN_OTHER, INSN_REFUSED, "2e 48 89 c3" },
		{ "\xf0\x48\xff\x00", 4, INSN_OTHER, INSN_REFUSED, "f0 48 ff 00" },
		{ "\xc5\xf8\x77", 3, INSN_OTHER, INSN_REFUSED, "c5 f8 77" },
		{ "\xff\xe0", 2, INSN_OTHER, INSN_REFUSED, "ff e0" },
		{ "\xc3", 1, INSN_OTHER, INSN_REFUSED, "c3" },
		{ "\x0f\x05", 2, INSN_OTHER, INSN_REFUSED, "0f 05" },
		{ "\x48\x8b\x45\x10", 4, INSN_OTHER, INSN_STEPPED, "48 8b 45 10" },
		{ "\x48\x8d\x05\x00\x00\x00\x00", 7, INSN_OTHER, INSN_STEPPED,
		  "48 8d 05 00 00 00 00" },
	};
	uint8_t bytes[16];
	struct insn insn;
	char text[48];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memcpy(bytes, cases[i].bytes, cases[i].size);
		assert_int_equal(insn_decode(bytes, cases[i].size, WHERE, &insn), 0);
		assert_string_equal(insn_text(bytes, &insn, text), cases[i].text);
		assert_int_equal(insn.len, cases[i].size);
		assert_int_equal(insn.kind, cases[i].kind);
		assert_int_equal(insn.probe, cases[i].probe);
		/* cut short it is none */
		assert_int_not_equal(insn_decode(bytes, cases[i].size - 1, WHERE, &insn), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_interpreters),
		cmocka_unit_test(test_probe),
	};

	if (!insn_known())
		return 0;
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
