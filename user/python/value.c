/* SPDX-License-Identifier: Apache-2.0 */
#include "python/value.h"

#include <errno.h>

#include "base/buf.h"
#include "base/text.h"
#include "python/mem.h"
#include "python/object.h"
#include "python/object_read.h"

#define MODULES_MAX 65536 /* entries of sys.modules, of a module's namespace */

/* PyLongObject (LP64): digits of 30 bits, least significant first.
 * 3.8 - 3.11 Include/cpython/longintrepr.h: ob_size is their count, negative for a negative number;
 * 3.12+: lv_tag is count << 3 | sign (0 positive, 1 zero, 2 negative), 3.14+ with bit 2 for what
 * lives for ever (Include/internal/pycore_long.h). */
#define LONG_DIGIT_BITS 30
#define LONG_DIGITS_MAX 3 /* that 64 bits need */

int value_long(struct mem *mem, const struct py_abi *abi, uint64_t addr, uint64_t *ret_value)
{
	uint32_t digits[LONG_DIGITS_MAX];
	uint64_t flags, tag, cnt, value = 0;
	int err;

	err = object_type_flags(mem, abi, addr, &flags);
	if (err)
		return err;
	if (!(flags & TYPE_LONG_SUBCLASS))
		return 0;
	err = mem_u64(mem, addr + abi->live.long_tag, &tag);
	if (err)
		return err;
	cnt = tag;
	if (abi->major > 3 || abi->minor >= 12) {
		if (tag & 3)
			return 0; /* zero or negative; no thread's ident */
		cnt = tag >> 3;
	}
	/* a negative count of 3.8 - 3.11 is a large one here */
	if (cnt < 1 || cnt > LONG_DIGITS_MAX)
		return 0;
	err = mem_read(mem, addr + abi->live.long_digits, digits, cnt * sizeof(digits[0]));
	if (err)
		return err;
	while (cnt--) {
		if (digits[cnt] >> LONG_DIGIT_BITS || value >> (64 - LONG_DIGIT_BITS))
			return 0;
		value = value << LONG_DIGIT_BITS | digits[cnt];
	}
	*ret_value = value;
	return 1;
}

int value_is(struct mem *mem, const struct py_abi *abi, uint64_t object, uint64_t type_flag)
{
	uint64_t flags;
	int err;

	err = object_type_flags(mem, abi, object, &flags);
	if (err)
		return err;
	return flags & type_flag ? 0 : -ENOENT;
}

/* The object must be a dict: dict[name]. */
static int dict_get(struct mem *mem, const struct py_abi *abi, uint64_t dict, const char *name,
		    uint64_t *ret_value)
{
	int err;

	if (!dict)
		return -ENOENT;
	err = value_is(mem, abi, dict, TYPE_DICT_SUBCLASS);
	return err ? err : object_dict_get(mem, abi, dict, MODULES_MAX, name, ret_value);
}

int value_in_module(struct mem *mem, const struct py_abi *abi, uint64_t interp, const char *module,
		    const char *name, uint64_t *ret_value)
{
	uint64_t modules, object, dict;
	int err;

	err = mem_u64(mem, interp + abi->off.interp_modules, &modules);
	if (!err)
		err = dict_get(mem, abi, modules, module, &object);
	if (!err)
		err = mem_u64(mem, object + abi->off.module_dict, &dict);
	return err ? err : dict_get(mem, abi, dict, name, ret_value);
}

int value_text(struct mem *mem, const struct py_abi *abi, uint64_t object, size_t max,
	       struct buf *out)
{
	/* the longest raw str whose text may be wanted: four bytes a character, and the header */
	size_t raw_max = max * 4 + 256;
	struct buf raw, text;
	bool cut;
	int err;

	buf_init(&raw, raw_max);
	/* decoded, it is at most three times as long */
	buf_init(&text, 3 * raw_max);
	err = value_is(mem, abi, object, TYPE_STR_SUBCLASS);
	if (!err)
		err = object_read_str(mem, abi, object, raw_max, &raw);
	if (!err)
		err = object_str(abi, (struct bytes){ (const uint8_t *)raw.data, raw.len }, &text,
				 &cut);
	if (!err)
		err = buf_add(out, text.data, text_cut(text.data, text.len, max));
	buf_done(&text);
	buf_done(&raw);
	return err;
}
