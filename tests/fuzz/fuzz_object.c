/* SPDX-License-Identifier: Apache-2.0 */
/* str objects from any bytes; dicts, attributes, thread and module names over a memory of any bytes. */
#include "base/buf.h"
#include "fuzz_mem.h"
#include "python/module_name.h"
#include "python/object.h"
#include "python/threads.h"

#define ENTRIES_MAX 4096
#define THREAD_ID   0x7f3aa8ffe6c0ULL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count(void *ctx, uint64_t key, uint64_t value)
{
	uint32_t *cnt = ctx;

	if (!key || !value || ++*cnt > ENTRIES_MAX)
		abort();
	return 0;
}

static void fuzz_str(const struct py_abi *abi, const uint8_t *data, size_t size)
{
	struct bytes raw = { data, size };
	size_t whole = object_str_size(abi, raw);
	struct buf out;
	bool cut = false;

	/* too small for some texts on purpose */
	buf_init(&out, 2 * size);
	if (object_str(abi, raw, &out, &cut) == 0 && whole && cut != (size < whole))
		abort();
	fuzz_check_text(buf_text(&out), out.len);
	buf_done(&out);
}

static void fuzz_module(struct fuzz_mem *m, const struct py_abi *abi, uint64_t addr)
{
	struct module_key key = { 0 };
	struct mem_limited mem;
	struct buf out;
	int i;

	/* as the first, and with a key that is believed if one is there */
	for (i = 0; i < 3; i++) {
		buf_init(&out, 1024);
		m->total = 0;
		/* its own bounds are larger than a fuzzer's patience */
		mem_limited_init(&mem, &m->mem, 8192);
		if (module_name(&mem.mem, abi, &key, addr, &out) == 0 && out.len > MODULE_NAME_MAX)
			abort();
		fuzz_check_text(buf_text(&out), out.len);
		buf_done(&out);
		if (i == 1 && !key.addr)
			key = (struct module_key){ addr, (uint64_t)-1 };
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_mem m = { { fuzz_read } };
	uint64_t addr, value;
	struct py_abi abi;
	struct buf out;
	uint32_t cnt = 0;

	if (size < 9)
		return 0;
	abi = fuzz_abi(data[0]);
	memcpy(&addr, data + 1, sizeof(addr));
	m.data = data + 9;
	m.size = size - 9;
	fuzz_str(&abi, m.data, m.size);

	object_dict_each(&m.mem, &abi, addr, ENTRIES_MAX, count, &cnt);
	m.total = 0;
	object_attr(&m.mem, &abi, addr, "_name", &value);
	fuzz_module(&m, &abi, addr);
	m.total = 0;
	buf_init(&out, 1024);
	/* offsets of the interpreter's struct reach further than an input does */
	abi.off.interp_modules = 0;
	if (threads_name(&m.mem, &abi, addr, THREAD_ID, &out) == 0 && out.len > 256)
		abort();
	fuzz_check_text(buf_text(&out), out.len);
	buf_done(&out);
	return 0;
}
