/* SPDX-License-Identifier: Apache-2.0 */
/* The walk from outside, over a memory of any bytes. */
#include "base/buf.h"
#include "fuzz_mem.h"
#include "python/layout.h"
#include "python/stack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FRAMES_MAX 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_mem m = { { fuzz_read } };
	const struct stack_thread *threads;
	struct py_stack stack = {};
	struct py_layout layout = {};
	struct py_found found = { .runtime = FUZZ_BASE };
	struct py_cfg cfg;
	struct buf list;
	size_t i, cnt;

	if (size < 16)
		return 0;
	layout.abi = fuzz_abi(data[0]);
	if (layout.abi.minor == 11 || layout.abi.minor == 12)
		layout.source.cframe_current_frame = PY_SOURCE_ROW;
	/* what PyCode_Type's address is, is the picture's choice too */
	memcpy(&found.code_type, data + 1, sizeof(found.code_type));
	m.data = data + 9;
	m.size = size - 9;
	if (layout_cfg(&found, &layout, &cfg))
		abort();
	buf_init(&list, STACK_THREADS_BYTES_MAX);
	stack_threads(&m.mem, &layout.abi, &cfg, &list);
	threads = (const struct stack_thread *)list.data;
	cnt = list.len / sizeof(*threads);
	if (cnt > STACK_TSTATES_MAX)
		abort();
	for (i = 0; i < cnt && i < 4; i++) {
		if (stack_walk(&m.mem, &layout.abi, &cfg, &threads[i], FRAMES_MAX, &stack))
			abort();
		if (stack.frame_cnt > FRAMES_MAX || stack.flags & ~EV_STACK_ALL ||
		    (!stack.frame_cnt && !stack.flags))
			abort();
	}
	stack_done(&stack);
	buf_done(&list);
	return 0;
}
