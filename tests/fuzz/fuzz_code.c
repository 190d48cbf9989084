/* SPDX-License-Identifier: Apache-2.0 */
/* Code objects: as raw parts from the ring, and read from a memory of any bytes. */
#include "base/buf.h"
#include "fuzz_mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct py_abi *abi, const struct code_raw *raw, uint32_t lasti)
{
	struct py_code code;

	code_check(abi, raw->facts, raw->name);
	if (code_decode(abi, raw, &code))
		return;
	fuzz_check_text(code.name, strlen(code.name));
	fuzz_check_text(code.filename, strlen(code.filename));
	if ((code.name_missing && code.name_cut) || (code.lines_missing && code.lines) ||
	    (!code.lines && code.lines_len))
		abort();
	if (code_line(abi, &code, lasti) < 0 || code_line(abi, &code, lasti & 0xff) < 0)
		abort();
	code_done(&code);
}

static struct bytes take(const uint8_t **data, size_t *size, size_t len)
{
	struct bytes part = { *data, len < *size ? len : *size };

	*data += part.len;
	*size -= part.len;
	return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_mem m = { { fuzz_read } };
	const uint8_t *lens, *rest;
	struct code_raw raw = { 0 };
	struct py_abi abi;
	struct buf store;
	uint32_t lasti;
	size_t left;
	uint64_t addr;

	if (size < 18)
		return 0;
	abi = fuzz_abi(data[0]);
	memcpy(&lasti, data + 1, sizeof(lasti));
	memcpy(&addr, data + 5, sizeof(addr));
	lens = data + 13;
	rest = data + 18;
	left = size - 18;

	raw.facts = take(&rest, &left, lens[0]);
	raw.name = take(&rest, &left, lens[1]);
	raw.qualname = take(&rest, &left, lens[2]);
	raw.filename = take(&rest, &left, lens[3]);
	raw.linetable = take(&rest, &left, lens[4] * 4);
	use(&abi, &raw, lasti);

	m.data = data + 18;
	m.size = size - 18;
	buf_init(&store, data[13] & 1 ? 1024 : 1 << 16);
	if (code_read(&m.mem, &abi, addr, &store, &raw) == 0)
		use(&abi, &raw, lasti);
	buf_done(&store);
	return 0;
}
