/* SPDX-License-Identifier: Apache-2.0 */
/* A picture of a target's memory, for tests: objects are painted into it and read through mem. */
#ifndef UNCOIL_TESTS_IMAGE_H
#define UNCOIL_TESTS_IMAGE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "python/code.h"
#include "python/mem.h"
#include "python/table.h"

#define IMAGE_BASE 0x7f0000001000ULL
#define IMAGE_SIZE (1 << 21)

struct image {
	struct mem mem;
	uint64_t next; /* where the next object goes */
	uint8_t *data;
};

static inline int image_read(struct mem *mem, uint64_t addr, void *ret_data, size_t len)
{
	struct image *im = (struct image *)mem;

	if (addr < IMAGE_BASE || len > IMAGE_SIZE || addr - IMAGE_BASE > IMAGE_SIZE - len)
		return -EFAULT;
	memcpy(ret_data, im->data + (addr - IMAGE_BASE), len);
	return 0;
}

static inline void image_init(struct image *im)
{
	im->mem.read = image_read;
	im->next = IMAGE_BASE;
	im->data = calloc(1, IMAGE_SIZE);
	if (!im->data)
		abort();
}

static inline void image_done(struct image *im)
{
	free(im->data);
}

static inline void image_put(struct image *im, uint64_t addr, const void *data, size_t len)
{
	if (addr < IMAGE_BASE || addr - IMAGE_BASE > IMAGE_SIZE - len)
		abort();
	memcpy(im->data + (addr - IMAGE_BASE), data, len);
}

static inline void image_u64(struct image *im, uint64_t addr, uint64_t value)
{
	image_put(im, addr, &value, sizeof(value));
}

static inline uint64_t image_new(struct image *im, size_t size)
{
	uint64_t addr = im->next;

	im->next += (size + 15) & ~15ULL;
	if (im->next - IMAGE_BASE > IMAGE_SIZE)
		abort();
	return addr;
}

static inline struct py_abi image_abi(uint16_t minor)
{
	const struct py_row *r;
	size_t i;

	for (i = 0; i < sizeof(py_rows) / sizeof(py_rows[0]); i++) {
		r = &py_rows[i];
		if (r->major == 3 && r->minor == minor && r->build == PY_BUILD_RELEASE)
			return (struct py_abi){
				3, minor, r->off, r->lines, r->str_kind_shift, r->live, r->build
			};
	}
	abort();
}

/* A str object as its raw bytes; `kind` 0 is compact ASCII. Returns their number. */
static inline size_t image_str_raw(const struct py_abi *abi, uint8_t *raw, unsigned int kind,
				   const void *text, size_t chars)
{
	uint32_t state = (kind ? kind | 8 : 1 | 8 | 16) << abi->str_kind_shift;
	size_t start = kind ? abi->off.str_compact_size : abi->off.str_ascii_size;
	uint64_t length = chars;

	memset(raw, 0, start);
	memcpy(raw + abi->off.str_length, &length, sizeof(length));
	memcpy(raw + abi->off.str_state, &state, sizeof(state));
	memcpy(raw + start, text, chars * (kind ? kind : 1));
	return start + chars * (kind ? kind : 1);
}

static inline uint64_t image_ascii(struct image *im, const struct py_abi *abi, const char *text)
{
	uint8_t raw[4096];
	size_t size = image_str_raw(abi, raw, 0, text, strlen(text));
	uint64_t addr = image_new(im, size);

	image_put(im, addr, raw, size);
	return addr;
}

#endif
