/* Made by `make offsets` (scripts/gen-opcodes >user/python/opcode_table.h); do not edit. */
/* SPDX-License-Identifier: Apache-2.0 */
/* Opcodes at which functions begin and end, per CPython minor version. */
#ifndef UNCOIL_PYTHON_OPCODE_TABLE_H
#define UNCOIL_PYTHON_OPCODE_TABLE_H

#include <stdint.h>

enum opcode {
	OP_RESUME,
	OP_RESUME_QUICK,
	OP_RESUME_CHECK,
	OP_RESUME_CHECK_JIT,
	OP_INSTRUMENTED_RESUME,
	OP_RETURN_VALUE,
	OP_RETURN_CONST,
	OP_INSTRUMENTED_RETURN_VALUE,
	OP_INSTRUMENTED_RETURN_CONST,
	OP_YIELD_VALUE,
	OP_INSTRUMENTED_YIELD_VALUE,
	OP_YIELD_FROM,
	OP_RETURN_GENERATOR,
	OP_EXIT_INIT_CHECK,
	OPCODE_MAX
};

static const char *const opcode_names[OPCODE_MAX] = {
	[OP_RESUME] = "RESUME",
	[OP_RESUME_QUICK] = "RESUME_QUICK",
	[OP_RESUME_CHECK] = "RESUME_CHECK",
	[OP_RESUME_CHECK_JIT] = "RESUME_CHECK_JIT",
	[OP_INSTRUMENTED_RESUME] = "INSTRUMENTED_RESUME",
	[OP_RETURN_VALUE] = "RETURN_VALUE",
	[OP_RETURN_CONST] = "RETURN_CONST",
	[OP_INSTRUMENTED_RETURN_VALUE] = "INSTRUMENTED_RETURN_VALUE",
	[OP_INSTRUMENTED_RETURN_CONST] = "INSTRUMENTED_RETURN_CONST",
	[OP_YIELD_VALUE] = "YIELD_VALUE",
	[OP_INSTRUMENTED_YIELD_VALUE] = "INSTRUMENTED_YIELD_VALUE",
	[OP_YIELD_FROM] = "YIELD_FROM",
	[OP_RETURN_GENERATOR] = "RETURN_GENERATOR",
	[OP_EXIT_INIT_CHECK] = "EXIT_INIT_CHECK",
};

struct opcode_row {
	uint16_t minor;
	uint8_t number[OPCODE_MAX]; /* 0 = this version does not have it */
	uint64_t unused[4];         /* bit n%64 of word n/64: this version has no opcode n */
	const char *made_from;      /* micro versions whose headers gave this row */
};

static const struct opcode_row opcode_rows[] = {
	{
		.minor = 8,
		.number[OP_RETURN_VALUE] = 83,
		.number[OP_YIELD_VALUE] = 86,
		.number[OP_YIELD_FROM] = 72,
		.unused = { 0x403ffffc0246181, 0x8be0000800010400, 0xfffffff080001843, 0xffffffffffffffff },
		.made_from = "3.8.18",
	},
	{
		.minor = 9,
		.number[OP_RETURN_VALUE] = 83,
		.number[OP_YIELD_VALUE] = 86,
		.number[OP_YIELD_FROM] = 72,
		.unused = { 0x420ffffc0246181, 0x8980000801030000, 0xffffffc0c3e01843, 0xffffffffffffffff },
		.made_from = "3.9.18",
	},
	{
		.minor = 10,
		.number[OP_RETURN_VALUE] = 83,
		.number[OP_YIELD_VALUE] = 86,
		.number[OP_YIELD_FROM] = 72,
		.unused = { 0x421fff800246181, 0x8900000001030000, 0xffffffc0c2e01841, 0xffffffffffffffff },
		.made_from = "3.10.13",
	},
	{
		.minor = 11,
		.number[OP_RESUME] = 151,
		.number[OP_RESUME_QUICK] = 150,
		.number[OP_RETURN_VALUE] = 83,
		.number[OP_YIELD_VALUE] = 86,
		.number[OP_RETURN_GENERATOR] = 75,
		.unused = { 0x0, 0x0, 0xffe0000000000000, 0x7fffffffffffffff },
		.made_from = "3.11.2, 3.11.7",
	},
	{
		.minor = 12,
		.number[OP_RESUME] = 151,
		.number[OP_INSTRUMENTED_RESUME] = 240,
		.number[OP_RETURN_VALUE] = 83,
		.number[OP_RETURN_CONST] = 121,
		.number[OP_INSTRUMENTED_RETURN_VALUE] = 242,
		.number[OP_INSTRUMENTED_RETURN_CONST] = 247,
		.number[OP_YIELD_VALUE] = 150,
		.number[OP_INSTRUMENTED_YIELD_VALUE] = 243,
		.number[OP_RETURN_GENERATOR] = 75,
		.unused = { 0x0, 0x0, 0xfffe060000000000, 0x80001fffffffffff },
		.made_from = "3.12.1",
	},
	{
		.minor = 13,
		.number[OP_RESUME] = 149,
		.number[OP_RESUME_CHECK] = 207,
		.number[OP_INSTRUMENTED_RESUME] = 236,
		.number[OP_RETURN_VALUE] = 36,
		.number[OP_RETURN_CONST] = 103,
		.number[OP_INSTRUMENTED_RETURN_VALUE] = 239,
		.number[OP_INSTRUMENTED_RETURN_CONST] = 240,
		.number[OP_YIELD_VALUE] = 118,
		.number[OP_INSTRUMENTED_YIELD_VALUE] = 241,
		.number[OP_RETURN_GENERATOR] = 35,
		.number[OP_EXIT_INIT_CHECK] = 13,
		.unused = { 0x0, 0xff80000000000000, 0x1fffff, 0x80000fff80000000 },
		.made_from = "3.13.0",
	},
	{
		.minor = 14,
		.number[OP_RESUME] = 128,
		.number[OP_RESUME_CHECK] = 196,
		.number[OP_INSTRUMENTED_RESUME] = 245,
		.number[OP_RETURN_VALUE] = 35,
		.number[OP_INSTRUMENTED_RETURN_VALUE] = 246,
		.number[OP_YIELD_VALUE] = 120,
		.number[OP_INSTRUMENTED_YIELD_VALUE] = 247,
		.number[OP_RETURN_GENERATOR] = 34,
		.number[OP_EXIT_INIT_CHECK] = 11,
		.unused = { 0x0, 0xfe00000000000000, 0x0, 0x3fffff00000 },
		.made_from = "3.14.10",
	},
	{
		.minor = 15,
		.number[OP_RESUME] = 128,
		.number[OP_RESUME_CHECK] = 200,
		.number[OP_RESUME_CHECK_JIT] = 201,
		.number[OP_INSTRUMENTED_RESUME] = 244,
		.number[OP_RETURN_VALUE] = 33,
		.number[OP_INSTRUMENTED_RETURN_VALUE] = 245,
		.number[OP_YIELD_VALUE] = 119,
		.number[OP_INSTRUMENTED_YIELD_VALUE] = 246,
		.number[OP_RETURN_GENERATOR] = 32,
		.number[OP_EXIT_INIT_CHECK] = 11,
		.unused = { 0x0, 0xff00000000000000, 0x0, 0x1fff8000000 },
		.made_from = "3.15.2",
	},
};

#endif
