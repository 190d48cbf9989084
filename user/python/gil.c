/* SPDX-License-Identifier: Apache-2.0 */
#include "python/gil.h"

#include <stddef.h>

#include "python/code.h"
#include "python/mem.h"

/* offsetof() and sizeof() of each version's headers, release builds on x86_64. The struct itself is
 * the same in all of them. */
#define GIL_SIZE   208 /* sizeof(struct _gil_runtime_state) */
#define GIL_HOLDER 8   /* last_holder */
#define GIL_LOCKED 16  /* locked: -1 before the first thread, then 0 or 1 */

static const struct {
	uint16_t minor;
	uint32_t runtime_gil; /* _PyRuntimeState.ceval.gil, before 3.12 */
	uint32_t interp_gil;  /* PyInterpreterState.ceval.gil, a pointer */
} rows[] = {
	{ 8, 1152, 0 }, { 9, 352, 0 },  { 10, 352, 0 },
	{ 11, 360, 0 }, { 12, 0, 384 }, { 13, 0, 16 },
};

bool gil_read(struct mem *mem, const struct py_abi *abi, uint64_t runtime, uint64_t interp,
	      struct gil *ret_gil)
{
	struct gil gil = { .size = GIL_SIZE };
	uint32_t locked;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (abi->major != 3 || abi->minor != rows[i].minor)
			continue;
		if (!rows[i].interp_gil)
			gil.addr = runtime + rows[i].runtime_gil;
		else if (mem_u64(mem, interp + rows[i].interp_gil, &gil.addr))
			gil.addr = 0;
	}
	if (!gil.addr || mem_u64(mem, gil.addr + GIL_HOLDER, &gil.holder) ||
	    mem_u32(mem, gil.addr + GIL_LOCKED, &locked) || locked > 1)
		return false;
	gil.locked = locked;
	*ret_gil = gil;
	return true;
}

bool gil_has_futex(const struct gil *gil, uint64_t futex)
{
	return gil->addr && futex >= gil->addr && futex - gil->addr < gil->size;
}
