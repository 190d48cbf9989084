/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A target's memory made of the fuzzer's bytes: the low 16 bits of an address choose the place, so
 * that any pointer leads somewhere, and every object can be every other, cycles included. One
 * address in sixteen is not mapped. It begins where tests/unit/image.h does, so that an image of
 * the unit tests is an input.
 */
#ifndef UNCOIL_FUZZ_MEM_H
#define UNCOIL_FUZZ_MEM_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "python/code.h"
#include "python/mem.h"
#include "python/table.h"

#define FUZZ_BASE 0x7f0000001000ULL

/* No reader may ask for more bytes than this of one object graph: it would be no bound. */
#define FUZZ_READ_MAX (64ULL << 20)

struct fuzz_mem {
	struct mem mem;
	const uint8_t *data;
	size_t size;
	uint64_t total;
};

static inline int fuzz_read(struct mem *mem, uint64_t addr, void *ret_data, size_t len)
{
	struct fuzz_mem *m = (struct fuzz_mem *)mem;
	size_t i, place;

	m->total += len;
	if (m->total > FUZZ_READ_MAX)
		abort();
	if (!m->size || (addr & 0xf00000) == 0xf00000)
		return -EFAULT;
	place = ((addr - FUZZ_BASE) & 0xffff) % m->size;
	for (i = 0; i < len; i++) {
		((uint8_t *)ret_data)[i] = m->data[place];
		if (++place == m->size)
			place = 0;
	}
	return 0;
}

static inline struct py_abi fuzz_abi(uint8_t choice)
{
	const struct py_row *r = &py_rows[choice % (sizeof(py_rows) / sizeof(py_rows[0]))];

	return (struct py_abi){ r->major,          r->minor, r->off,  r->lines,
				r->str_kind_shift, r->live,  r->build };
}

/* What every text that leaves user/python/ must be: UTF-8 by Unicode 15, table 3-7, without NUL. */
static inline void fuzz_check_text(const char *text, size_t len)
{
	const uint8_t *s = (const uint8_t *)text;
	size_t i = 0, n, k;

	while (i < len) {
		if (!s[i])
			abort();
		n = s[i] < 0x80   ? 1
		    : s[i] < 0xc2 ? 0
		    : s[i] < 0xe0 ? 2
		    : s[i] < 0xf0 ? 3
		    : s[i] < 0xf5 ? 4
				  : 0;
		if (!n || i + n > len)
			abort();
		for (k = 1; k < n; k++)
			if ((s[i + k] & 0xc0) != 0x80)
				abort();
		if ((s[i] == 0xe0 && s[i + 1] < 0xa0) || (s[i] == 0xed && s[i + 1] > 0x9f) ||
		    (s[i] == 0xf0 && s[i + 1] < 0x90) || (s[i] == 0xf4 && s[i + 1] > 0x8f))
			abort();
		i += n;
	}
}

#endif
