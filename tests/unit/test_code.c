/* SPDX-License-Identifier: Apache-2.0 */
/* Code objects from raw parts: whole, cut, missing; their check sum; lasti to line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "check.h"
#include "events.h"
#include "unit/image.h"

#define ELLIPSIS "\xe2\x80\xa6"

static const uint16_t minors[] = { 8, 9, 10, 11, 12, 13, 14, 15 };
#define MINOR_CNT (sizeof(minors) / sizeof(minors[0]))

/* The parts of one code object, each with its memory. */
struct parts {
	uint8_t facts[256], name[1024], qualname[1024], filename[1024], lines[256];
	struct code_raw raw;
};

static struct bytes paint_bytes(const struct py_abi *abi, uint8_t *raw, const void *data,
				size_t len)
{
	uint64_t size = len;

	memset(raw, 0, abi->off.bytes_data);
	memcpy(raw + abi->off.bytes_size, &size, sizeof(size));
	memcpy(raw + abi->off.bytes_data, data, len);
	return (struct bytes){ raw, abi->off.bytes_data + len };
}

static void put(struct parts *p, uint32_t off, uint64_t value, size_t size)
{
	memcpy(p->facts + off, &value, size);
}

/* Line tables that say the same in each encoding: four bytes of code in line 10, then line 12. */
static struct bytes paint_lines(const struct py_abi *abi, uint8_t *raw)
{
	static const uint8_t lnotab[] = { 4, 2, 20, 0 }, deltas[] = { 4, 0, 20, 2 };
	static const uint8_t entries[] = { 0x80 | 10 << 3 | 1, 0, 0, 0x80 | 12 << 3 | 7, 0, 0 };

	if (abi->lines == PY_LINES_LNOTAB)
		return paint_bytes(abi, raw, lnotab, sizeof(lnotab));
	if (abi->lines == PY_LINES_DELTAS)
		return paint_bytes(abi, raw, deltas, sizeof(deltas));
	return paint_bytes(abi, raw, entries, sizeof(entries));
}

static void paint(const struct py_abi *abi, struct parts *p)
{
	const struct py_offsets *off = &abi->off;

	memset(p, 0, sizeof(*p));
	put(p, off->code_firstlineno, 10, 4);
	put(p, off->code_filename, 0x7f0000000010, 8);
	put(p, off->code_name, 0x7f0000000020, 8);
	put(p, off->code_linetable, 0x7f0000000030, 8);
	if (off->code_qualname)
		put(p, off->code_qualname, 0x7f0000000040, 8);
	if (off->code_version)
		put(p, off->code_version, 77, 4);
	p->raw.facts = (struct bytes){ p->facts, off->code_size };
	p->raw.name = (struct bytes){ p->name, image_str_raw(abi, p->name, 0, "run", 3) };
	memcpy(p->name + off->str_hash, "\x11\x22\x33\x44\x55\x66\x77\x88", 8);
	p->raw.filename =
		(struct bytes){ p->filename, image_str_raw(abi, p->filename, 0, "/a.py", 5) };
	if (off->code_qualname)
		p->raw.qualname = (struct bytes){ p->qualname,
						  image_str_raw(abi, p->qualname, 0, "A.run", 5) };
	p->raw.linetable = paint_lines(abi, p->lines);
}

static void test_whole(void **state)
{
	struct py_code code;
	struct py_abi abi;
	struct parts p;
	size_t i;

	for (i = 0; i < MINOR_CNT; i++) {
		abi = image_abi(minors[i]);
		paint(&abi, &p);
		assert_int_equal(code_decode(&abi, &p.raw, &code), 0);
		assert_string_equal(code.name, abi.minor >= 11 ? "A.run" : "run");
		assert_string_equal(code.filename, "/a.py");
		assert_int_equal(code.firstlineno, 10);
		assert_false(code.name_missing || code.filename_missing || code.lines_missing);
		assert_false(code.name_cut || code.filename_cut || code.lines_cut);
		code_done(&code);
		assert_null(code.name);
		code_done(&code);
	}
}

static void test_missing(void **state)
{
	struct py_code code;
	struct py_abi abi;
	struct parts p;
	size_t i, k, need;

	for (i = 0; i < MINOR_CNT; i++) {
		abi = image_abi(minors[i]);
		paint(&abi, &p);
		p.raw.qualname.len = 0;
		assert_int_equal(code_decode(&abi, &p.raw, &code), 0);
		assert_string_equal(code.name, "run");
		assert_false(code.name_missing);
		code_done(&code);
		p.raw.name = p.raw.filename = p.raw.linetable = (struct bytes){ NULL, 0 };
		assert_int_equal(code_decode(&abi, &p.raw, &code), 0);
		assert_string_equal(code.name, "?");
		assert_string_equal(code.filename, "?");
		assert_null(code.lines);
		assert_true(code.name_missing && code.filename_missing && code.lines_missing);
		assert_false(code.name_cut || code.filename_cut || code.lines_cut);
		assert_int_equal(code_line(&abi, &code, 4), 10);
		code_done(&code);

		need = abi.off.code_filename + 8;
		if (need < abi.off.code_name + 8)
			need = abi.off.code_name + 8;
		if (need < abi.off.code_linetable + 8)
			need = abi.off.code_linetable + 8;
		for (k = 0; k <= need; k++) {
			p.raw.facts.len = k;
			if (k < need)
				assert_int_equal(code_decode(&abi, &p.raw, &code), -EINVAL);
			else
				assert_int_equal(code_decode(&abi, &p.raw, &code), 0);
		}
		code_done(&code);
	}
}

static void test_cut(void **state)
{
	struct py_abi abi = image_abi(9);
	struct py_code code;
	struct parts p;

	paint(&abi, &p);
	p.raw.name.len--;
	p.raw.filename.len -= 4;
	p.raw.linetable.len -= 2;
	assert_int_equal(code_decode(&abi, &p.raw, &code), 0);
	assert_string_equal(code.name, "ru" ELLIPSIS);
	assert_string_equal(code.filename, "/" ELLIPSIS);
	assert_true(code.name_cut && code.filename_cut && code.lines_cut);
	assert_int_equal(code.lines_len, 2);
	/* the pair that is left says where line 12 begins, not where it ends */
	assert_int_equal(code_line(&abi, &code, 2), 10);
	assert_int_equal(code_line(&abi, &code, 20), 0);
	code_done(&code);
	/* a table that says it is longer than memory, or shorter than nothing */
	paint(&abi, &p);
	memset(p.lines + abi.off.bytes_size, 0xff, 7);
	p.lines[abi.off.bytes_size + 7] = 0x7f;
	assert_int_equal(code_decode(&abi, &p.raw, &code), 0);
	assert_true(code.lines_cut);
	assert_int_equal(code.lines_len, 4);
	code_done(&code);
	p.lines[abi.off.bytes_size + 7] = 0xff;
	assert_int_equal(code_decode(&abi, &p.raw, &code), 0);
	assert_true(code.lines_missing);
	assert_null(code.lines);
	code_done(&code);
}

static void test_line(void **state)
{
	struct py_code code;
	struct py_abi abi;
	struct parts p;
	uint32_t unit;
	size_t i;

	for (i = 0; i < MINOR_CNT; i++) {
		abi = image_abi(minors[i]);
		unit = abi.minor == 10 ? 2 : 1; /* f_lasti counts instructions there */
		paint(&abi, &p);
		assert_int_equal(code_decode(&abi, &p.raw, &code), 0);
		assert_int_equal(code_line(&abi, &code, 0), 10);
		assert_int_equal(code_line(&abi, &code, 2 / unit), 10);
		assert_int_equal(code_line(&abi, &code, 4 / unit), 12);
		assert_int_equal(code_line(&abi, &code, 18 / unit), 12);
		/* after the end: a lnotab has none */
		assert_int_equal(code_line(&abi, &code, 1000), abi.minor < 10 ? 12 : 10);
		assert_int_equal(code_line(&abi, &code, EV_LASTI_NONE), 10);
		assert_int_equal(code_line(&abi, &code, (uint32_t)-2), 10);
		assert_int_equal(code_line(&abi, &code, 0x80000000), 10);
		assert_int_equal(code_line(&abi, &code, 0x7fffffff), abi.minor < 10 ? 12 : 10);
		code.firstlineno = -3;
		assert_int_equal(code_line(&abi, &code, EV_LASTI_NONE), 0);
		code_done(&code);
	}
}

static void test_no_line(void **state)
{
	static const uint8_t none[] = { 0x80 | 15 << 3 | 1 };
	struct py_abi abi = image_abi(12);
	struct py_code code;
	struct parts p;

	paint(&abi, &p);
	p.raw.linetable = paint_bytes(&abi, p.lines, none, sizeof(none));
	assert_int_equal(code_decode(&abi, &p.raw, &code), 0);
	assert_int_equal(code_line(&abi, &code, 2), 0);
	assert_int_equal(code_line(&abi, &code, 4), 10);
	code_done(&code);
}

/* The sum by the text of code.h, apart from code.c. */
static uint32_t sum_by_hand(const struct py_abi *abi)
{
	uint64_t h = CHECK_SEED;

	h = check_mix(h, 10);
	h = check_mix(h, 0x7f0000000010);
	h = check_mix(h, 0x7f0000000020);
	if (abi->minor >= 11)
		h = check_mix(h, 0x7f0000000040);
	h = check_mix(h, 0x7f0000000030);
	return check_end(check_mix(h, abi->minor >= 12 ? 77 : 0x8877665544332211));
}

static void test_check(void **state)
{
	uint32_t sum, other, offs[6];
	struct py_abi abi;
	struct parts p;
	size_t i, k;

	for (i = 0; i < MINOR_CNT; i++) {
		abi = image_abi(minors[i]);
		paint(&abi, &p);
		sum = code_check(&abi, p.raw.facts, p.raw.name);
		assert_int_equal(sum, sum_by_hand(&abi));
		/* every identity field counts, and nothing else of the code object */
		offs[0] = abi.off.code_firstlineno;
		offs[1] = abi.off.code_filename;
		offs[2] = abi.off.code_name;
		offs[3] = abi.off.code_linetable;
		offs[4] = abi.off.code_qualname;
		offs[5] = abi.off.code_version;
		for (k = 0; k < 6; k++) {
			if (!offs[k])
				continue;
			p.facts[offs[k]] ^= 1;
			other = code_check(&abi, p.raw.facts, p.raw.name);
			assert_int_not_equal(other, sum);
			p.facts[offs[k]] ^= 1;
		}
		p.facts[0] ^= 1; /* ob_refcnt */
		assert_int_equal(code_check(&abi, p.raw.facts, p.raw.name), sum);
		/* the name's hash stands in for co_version, and 0 for a name that was not read */
		other = code_check(&abi, p.raw.facts, (struct bytes){ NULL, 0 });
		if (abi.minor >= 12)
			assert_int_equal(other, sum);
		else
			assert_int_not_equal(other, sum);
		assert_int_equal(code_check(&abi, (struct bytes){ p.facts, 8 }, p.raw.name), 0);
	}
}

/* Values that bpf/ must arrive at as well. */
static void test_check_steps(void **state)
{
	uint64_t h = (0x243F6A8885A308D3ULL ^ 1) * 0x9E3779B97F4A7C15ULL;

	h ^= h >> 32;
	assert_true(check_mix(CHECK_SEED, 1) == h);
	assert_int_equal(check_end(0), 1);
	assert_int_equal(check_end(0x500000005ULL), 1);
	assert_int_equal(check_end(0x100000003ULL), 2);
}

/* --- code_read --- */

static uint64_t paint_part(struct image *im, struct bytes raw, size_t gap)
{
	uint64_t addr = image_new(im, raw.len + gap);

	image_put(im, addr, raw.data, raw.len);
	return addr;
}

static uint64_t paint_code(struct image *im, const struct py_abi *abi, struct parts *p)
{
	put(p, abi->off.code_name, paint_part(im, p->raw.name, 0), 8);
	put(p, abi->off.code_filename, paint_part(im, p->raw.filename, 0), 8);
	put(p, abi->off.code_linetable, paint_part(im, p->raw.linetable, 0), 8);
	if (abi->off.code_qualname)
		put(p, abi->off.code_qualname, paint_part(im, p->raw.qualname, 0), 8);
	return paint_part(im, p->raw.facts, 0);
}

static void test_read(void **state)
{
	struct code_raw raw;
	struct py_abi abi;
	struct image im;
	struct parts p;
	struct buf store;
	uint64_t addr;
	size_t i;

	for (i = 0; i < MINOR_CNT; i++) {
		abi = image_abi(minors[i]);
		image_init(&im);
		paint(&abi, &p);
		addr = paint_code(&im, &abi, &p);
		buf_init(&store, 65536);
		assert_int_equal(code_read(&im.mem, &abi, addr, &store, &raw), 0);
		assert_int_equal(raw.facts.len, abi.off.code_size);
		assert_int_equal(raw.name.len, p.raw.name.len);
		assert_memory_equal(raw.name.data, p.raw.name.data, raw.name.len);
		assert_int_equal(raw.qualname.len, p.raw.qualname.len);
		assert_int_equal(raw.filename.len, p.raw.filename.len);
		assert_int_equal(raw.linetable.len, p.raw.linetable.len);
		assert_memory_equal(raw.linetable.data, p.raw.linetable.data, raw.linetable.len);
		/* what cannot be read is left out, and only that */
		image_u64(&im, addr + abi.off.code_filename, 0x123);
		image_u64(&im, addr + abi.off.code_linetable, 0);
		buf_clear(&store);
		assert_int_equal(code_read(&im.mem, &abi, addr, &store, &raw), 0);
		assert_int_equal(raw.name.len, p.raw.name.len);
		assert_int_equal(raw.filename.len, 0);
		assert_int_equal(raw.linetable.len, 0);
		assert_int_equal(code_read(&im.mem, &abi, 64, &store, &raw), -EFAULT);
		buf_done(&store);
		image_done(&im);
	}
}

static void test_read_bounds(void **state)
{
	static uint8_t text[4000], name[8192];
	struct py_abi abi = image_abi(11);
	struct code_raw raw;
	struct image im;
	struct parts p;
	struct buf store;
	uint64_t addr, at, huge = 1ULL << 62;

	image_init(&im);
	paint(&abi, &p);
	memset(text, 'n', sizeof(text));
	p.raw.name = p.raw.qualname = p.raw.filename =
		(struct bytes){ name, image_str_raw(&abi, name, 0, text, sizeof(text)) };
	addr = paint_code(&im, &abi, &p);
	memcpy(&at, p.facts + abi.off.code_linetable, sizeof(at));
	image_u64(&im, at + abi.off.bytes_size, huge);
	buf_init(&store, 2 << 20);
	assert_int_equal(code_read(&im.mem, &abi, addr, &store, &raw), 0);
	assert_int_equal(raw.name.len, 512);
	assert_int_equal(raw.qualname.len, 1024);
	assert_int_equal(raw.filename.len, 2048);
	assert_int_equal(raw.linetable.len, 1 << 20);
	/* a negative size */
	image_u64(&im, at + abi.off.bytes_size, 1ULL << 63);
	buf_clear(&store);
	assert_int_equal(code_read(&im.mem, &abi, addr, &store, &raw), 0);
	assert_int_equal(raw.linetable.len, 0);
	buf_done(&store);
	/* a store that is too small loses parts, and says so */
	buf_init(&store, 1000);
	assert_int_equal(code_read(&im.mem, &abi, addr, &store, &raw), 0);
	assert_int_equal(raw.name.len, 512);
	assert_int_equal(raw.qualname.len, 0);
	assert_int_equal(store.err, -E2BIG);
	buf_done(&store);
	image_done(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),       cmocka_unit_test(test_missing),
		cmocka_unit_test(test_cut),         cmocka_unit_test(test_line),
		cmocka_unit_test(test_no_line),     cmocka_unit_test(test_check),
		cmocka_unit_test(test_check_steps), cmocka_unit_test(test_read),
		cmocka_unit_test(test_read_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
