/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A code object is five objects: itself (numbers and pointers), its name, its qualified name
 * (3.11+), its file's name and its line table. They arrive as raw bytes, each possibly cut or
 * missing, from the ring buffer or from a live target, and are decoded here the same way. What is
 * missing is said to be missing; nothing is made up for it but a "?".
 *
 * A code object's address is no name: it is freed, and the address is given to another one, within
 * one recording. code_check() is the rest of its name.
 */
#include "python/code.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "check.h"
#include "events.h"
#include "python/mem.h"
#include "python/object.h"
#include "python/object_read.h"

/* What code_read() takes of a line table. The longest in the standard library is under 100 KiB;
 * the kernel side takes less (EV_CODE_LINETABLE_MAX), and what it cut is read again with this. */
#define CODE_LINETABLE_MAX (1 << 20)

#define ELLIPSIS "\xe2\x80\xa6" /* U+2026 */

/* The biggest growth of text by decoding: a byte that is no UTF-8 becomes U+FFFD, three bytes. */
#define TEXT_GROWTH 3

static bool fact(struct bytes raw, uint32_t off, void *ret_value, size_t size)
{
	if (raw.len < size || off > raw.len - size)
		return false;
	memcpy(ret_value, raw.data + off, size);
	return true;
}

/* --- identity --- */

uint32_t code_check(const struct py_abi *abi, struct bytes facts, struct bytes name)
{
	const struct py_offsets *off = &abi->off;
	uint64_t filename, code_name, qualname, linetable, hash = 0;
	uint32_t firstlineno, version;
	__u64 h = CHECK_SEED;

	if (!fact(facts, off->code_firstlineno, &firstlineno, sizeof(firstlineno)) ||
	    !fact(facts, off->code_filename, &filename, sizeof(filename)) ||
	    !fact(facts, off->code_name, &code_name, sizeof(code_name)) ||
	    !fact(facts, off->code_linetable, &linetable, sizeof(linetable)))
		return 0;
	h = check_mix(h, firstlineno);
	h = check_mix(h, filename);
	h = check_mix(h, code_name);
	if (off->code_qualname) {
		if (!fact(facts, off->code_qualname, &qualname, sizeof(qualname)))
			return 0;
		h = check_mix(h, qualname);
	}
	h = check_mix(h, linetable);
	if (off->code_version) {
		if (!fact(facts, off->code_version, &version, sizeof(version)))
			return 0;
		return check_end(check_mix(h, version));
	}
	fact(name, off->str_hash, &hash, sizeof(hash));
	return check_end(check_mix(h, hash));
}

/* --- raw bytes to text --- */

/* -EINVAL if the bytes are no str: the caller decides what stands in for it. */
static int decode_text(const struct py_abi *abi, struct bytes raw, char **ret_text, bool *ret_cut)
{
	struct buf text;
	int err;

	if (!raw.len)
		return -EINVAL;
	if (raw.len > SIZE_MAX / TEXT_GROWTH - sizeof(ELLIPSIS))
		return -E2BIG;
	buf_init(&text, raw.len * TEXT_GROWTH + sizeof(ELLIPSIS));
	err = object_str(abi, raw, &text, ret_cut);
	if (!err && *ret_cut)
		err = buf_str(&text, ELLIPSIS);
	if (!err) {
		*ret_text = strdup(buf_text(&text));
		if (!*ret_text)
			err = -ENOMEM;
	}
	buf_done(&text);
	return err;
}

static int decode_text_or_missing(const struct py_abi *abi, struct bytes raw, char **ret_text,
				  bool *ret_cut, bool *ret_missing)
{
	int err;

	*ret_missing = false;
	err = decode_text(abi, raw, ret_text, ret_cut);
	if (err != -EINVAL)
		return err;
	*ret_missing = true;
	*ret_cut = false;
	*ret_text = strdup("?");
	return *ret_text ? 0 : -ENOMEM;
}

static int decode_name(const struct py_abi *abi, const struct code_raw *raw, struct py_code *code)
{
	int err;

	if (abi->off.code_qualname) {
		err = decode_text(abi, raw->qualname, &code->name, &code->name_cut);
		if (err != -EINVAL)
			return err;
		/* the plain name is less, and better than none */
	}
	return decode_text_or_missing(abi, raw->name, &code->name, &code->name_cut,
				      &code->name_missing);
}

int code_task_name(const struct py_abi *abi, struct bytes raw, struct py_code *ret_code)
{
	struct py_code code = {};
	int err;

	err = decode_text(abi, raw, &code.name, &code.name_cut);
	if (err)
		return err;
	code.filename = strdup("");
	if (!code.filename) {
		free(code.name);
		return -ENOMEM;
	}
	*ret_code = code;
	return 0;
}

static int decode_lines(const struct py_abi *abi, struct bytes raw, struct py_code *code)
{
	uint32_t start = abi->off.bytes_data;
	size_t len;
	int64_t size;

	if (!fact(raw, abi->off.bytes_size, &size, sizeof(size)) || size < 0 || raw.len < start) {
		code->lines_missing = true;
		return 0;
	}
	len = raw.len - start;
	if ((uint64_t)size > len)
		code->lines_cut = true;
	else
		len = size;
	if (!len)
		return 0;
	code->lines = malloc(len);
	if (!code->lines)
		return -ENOMEM;
	memcpy(code->lines, raw.data + start, len);
	code->lines_len = len;
	return 0;
}

int code_decode(const struct py_abi *abi, const struct code_raw *raw, struct py_code *ret_code)
{
	struct py_code code = { 0 };
	uint64_t pointer;
	int err;

	if (!fact(raw->facts, abi->off.code_firstlineno, &code.firstlineno,
		  sizeof(code.firstlineno)) ||
	    !fact(raw->facts, abi->off.code_filename, &pointer, sizeof(pointer)) ||
	    !fact(raw->facts, abi->off.code_name, &pointer, sizeof(pointer)) ||
	    !fact(raw->facts, abi->off.code_linetable, &pointer, sizeof(pointer)))
		return -EINVAL;
	err = decode_name(abi, raw, &code);
	if (!err)
		err = decode_text_or_missing(abi, raw->filename, &code.filename, &code.filename_cut,
					     &code.filename_missing);
	if (!err)
		err = decode_lines(abi, raw->linetable, &code);
	if (err) {
		code_done(&code);
		return err;
	}
	*ret_code = code;
	return 0;
}

void code_done(struct py_code *code)
{
	free(code->name);
	free(code->filename);
	free(code->lines);
	*code = (struct py_code){ 0 };
}

bool code_partial(const struct py_code *code)
{
	return code->name_missing || code->filename_missing || code->lines_missing ||
	       code->lines_cut;
}

bool code_is_shim(const struct py_code *code)
{
	return !strcmp(code->name, "__init__") && !strcmp(code->filename, "__init__");
}

#define SWAP(a, b)                       \
	do {                             \
		__typeof__(a) swap_ = a; \
		a = b;                   \
		b = swap_;               \
	} while (0)

void code_merge(struct py_code *code, struct py_code *fresh)
{
	if (code->name_missing || (code->name_cut && !fresh->name_missing && !fresh->name_cut)) {
		SWAP(code->name, fresh->name);
		SWAP(code->name_missing, fresh->name_missing);
		SWAP(code->name_cut, fresh->name_cut);
	}
	if (code->filename_missing ||
	    (code->filename_cut && !fresh->filename_missing && !fresh->filename_cut)) {
		SWAP(code->filename, fresh->filename);
		SWAP(code->filename_missing, fresh->filename_missing);
		SWAP(code->filename_cut, fresh->filename_cut);
	}
	if (code->lines_missing || fresh->lines_len > code->lines_len) {
		SWAP(code->lines, fresh->lines);
		SWAP(code->lines_len, fresh->lines_len);
		SWAP(code->lines_missing, fresh->lines_missing);
		SWAP(code->lines_cut, fresh->lines_cut);
	}
}

/* --- from a live target --- */

/* A part as a place in the store, whose memory moves while it grows. */
struct part {
	size_t start, len;
};

static struct bytes part_bytes(const struct buf *store, struct part part)
{
	if (!part.len)
		return (struct bytes){ 0 };
	return (struct bytes){ (const uint8_t *)store->data + part.start, part.len };
}

/* The str object that the code object's member at `off` points to; no part if there is none. */
static struct part read_str(struct mem *mem, const struct py_abi *abi, uint64_t code, uint32_t off,
			    size_t max, struct buf *store)
{
	size_t start = store->len;
	uint64_t addr;

	if (mem_u64(mem, code + off, &addr) || !addr || object_read_str(mem, abi, addr, max, store))
		return (struct part){ 0 };
	return (struct part){ start, store->len - start };
}

static struct part read_linetable(struct mem *mem, const struct py_abi *abi, uint64_t code,
				  struct buf *store)
{
	size_t start = store->len, len;
	uint64_t addr, size;

	if (mem_u64(mem, code + abi->off.code_linetable, &addr) || !addr ||
	    mem_u64(mem, addr + abi->off.bytes_size, &size) || size >> 63)
		return (struct part){ 0 };
	len = abi->off.bytes_data;
	if (len > CODE_LINETABLE_MAX)
		return (struct part){ 0 };
	len = size < CODE_LINETABLE_MAX - len ? len + size : CODE_LINETABLE_MAX;
	if (object_read(mem, addr, len, store))
		return (struct part){ 0 };
	return (struct part){ start, len };
}

int code_read(struct mem *mem, const struct py_abi *abi, uint64_t code, struct buf *store,
	      struct code_raw *ret_raw)
{
	struct part facts = { store->len, abi->off.code_size };
	struct part name, qualname = { 0 }, filename, linetable;
	int err;

	if (facts.len > EV_CODE_FACTS_MAX)
		facts.len = EV_CODE_FACTS_MAX;
	err = object_read(mem, code, facts.len, store);
	if (err)
		return err;
	name = read_str(mem, abi, code, abi->off.code_name, EV_CODE_NAME_MAX, store);
	if (abi->off.code_qualname)
		qualname = read_str(mem, abi, code, abi->off.code_qualname, EV_CODE_QUALNAME_MAX,
				    store);
	filename = read_str(mem, abi, code, abi->off.code_filename, EV_CODE_FILENAME_MAX, store);
	linetable = read_linetable(mem, abi, code, store);

	ret_raw->facts = part_bytes(store, facts);
	ret_raw->name = part_bytes(store, name);
	ret_raw->qualname = part_bytes(store, qualname);
	ret_raw->filename = part_bytes(store, filename);
	ret_raw->linetable = part_bytes(store, linetable);
	return 0;
}

/* --- instruction to line --- */

/* An lnotab does not say where its last line ends. If only its beginning was read, it tells of no
 * address from the last pair's on. */
static bool lnotab_reaches(const struct py_code *code, uint32_t addr)
{
	uint64_t end = 0;
	size_t i;

	for (i = 0; i + 1 < code->lines_len; i += 2)
		end += code->lines[i];
	return addr < end;
}

struct line_place code_place(const struct py_abi *abi, const struct py_code *code, uint32_t lasti)
{
	/* what is no line in the table is none in the header either */
	int32_t first = code->firstlineno > 0 ? code->firstlineno : 0;
	struct line_place place = { .line = first };
	uint32_t addr = lasti;

	/* EV_LASTI_NONE, and anything else before the first instruction: f_lasti is -1 there (3.8 -
	 * 3.10), prev_instr one unit before the bytecode (3.11, 3.12: -2) */
	if (lasti >> 31 || !code->lines_len)
		return place;
	/* f_lasti counts code units in 3.10 only: Include/cpython/frameobject.h. The product fits:
	 * the top bit is clear. */
	if (abi->lines == PY_LINES_DELTAS)
		addr = lasti * 2;
	if (abi->lines == PY_LINES_LNOTAB && code->lines_cut && !lnotab_reaches(code, addr))
		return (struct line_place){};
	place = lines_place(abi->lines, code->lines, code->lines_len, code->firstlineno, addr);
	if (place.line == LINE_NONE)
		place.line = 0;
	/* behind the table's end: no line, if that is only where it was cut */
	if (place.line == LINE_OFF)
		place.line = code->lines_cut ? 0 : first;
	return place;
}

int32_t code_line(const struct py_abi *abi, const struct py_code *code, uint32_t lasti)
{
	return code_place(abi, code, lasti).line;
}
