/* SPDX-License-Identifier: Apache-2.0 */
#include "python/gil.h"

#include "python/code.h"
#include "python/mem.h"

/* struct _gil_runtime_state.enabled, int, its first member in a free-threaded build (v3.13, v3.14
 * Include/internal/pycore_gil.h): 0 = it is not used; otherwise for how many imports that go on, or
 * INT_MAX */
#define GIL_ENABLED          0
#define GIL_ENABLED_FOR_GOOD 0x7fffffff

bool gil_read(struct mem *mem, const struct py_abi *abi, uint64_t runtime, uint64_t interp,
	      struct gil *ret_gil)
{
	const struct py_offsets *off = &abi->off;
	struct gil gil = { .size = off->gil_size };
	uint32_t locked, enabled = GIL_ENABLED_FOR_GOOD;

	if (off->runtime_gil)
		gil.addr = runtime + off->runtime_gil;
	else if (!off->interp_gil || mem_u64(mem, interp + off->interp_gil, &gil.addr))
		return false;
	if (!gil.addr || mem_u64(mem, gil.addr + off->gil_holder, &gil.holder) ||
	    mem_u32(mem, gil.addr + off->gil_locked, &locked) || locked > 1)
		return false;
	if (abi->build == PY_BUILD_FREE_THREADED && mem_u32(mem, gil.addr + GIL_ENABLED, &enabled))
		return false;
	gil.locked = locked;
	gil.off = enabled != GIL_ENABLED_FOR_GOOD;
	*ret_gil = gil;
	return true;
}

bool gil_has_futex(const struct gil *gil, uint64_t futex)
{
	return gil->addr && futex >= gil->addr && futex - gil->addr < gil->size;
}
