/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debug offsets and interpreter state as a hostile target would make them: whatever layout_fill()
 * accepts lies inside its structs, what layout_cfg() accepts BPF can use, and layout_verify() comes
 * to an end on any memory.
 */
#include <stdint.h>
#include <unistd.h>

#include "base/err.h"
#include "python/layout.h"

#include "fuzz_mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t versions[] = { 0x030800f0, 0x030b02f0, 0x030c01f0, 0x030d00f0,
					     0x030e00f0, 0x030f00f0, 0x031000f0 };
	struct fuzz_mem m = { .mem.read = fuzz_read, .data = data, .size = size };
	struct py_found found = { .runtime = FUZZ_BASE,
				  .code_type = FUZZ_BASE + 64,
				  .str_type = FUZZ_BASE + 128 };
	struct layout_proof proof;
	struct py_layout layout;
	struct py_cfg cfg;
	struct err err;

	if (!size)
		return 0;
	found.hex = versions[(data[0] & 0x3f) % 7];
	found.is_debug = data[0] & 0x40;
	found.debug_offsets = data[0] & 0x80;
	if (layout_fill(&found, &m.mem, &layout, &err))
		return 0;
#define X(field, group, what)                  \
	if (layout.abi.off.field > (1u << 20)) \
		abort();
	PY_OFFSETS(X)
#undef X
	if (!layout_cfg(&found, &layout, &cfg) &&
	    (cfg.frame_read > PY_FRAME_READ_MAX || cfg.code_read > PY_CODE_READ_MAX))
		abort();
	layout_verify(&found, &layout, getpid(), &m.mem, &proof, &err);
	return 0;
}
