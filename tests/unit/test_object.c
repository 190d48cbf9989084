/* SPDX-License-Identifier: Apache-2.0 */
/*
 * str and dict objects painted by hand, right and wrong ones. That real interpreters paint them the
 * same way is test_live_python's business.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "python/object.h"
#include "python/threads.h"
#include "unit/image.h"

static const uint16_t minors[] = { 8, 9, 10, 11, 12, 13, 14, 15 };
#define MINOR_CNT (sizeof(minors) / sizeof(minors[0]))

#define REP "\xef\xbf\xbd" /* U+FFFD */

/* --- str --- */

static void check_str(const struct py_abi *abi, const uint8_t *raw, size_t len, const char *want,
		      bool want_cut)
{
	struct buf out;
	bool cut = !want_cut;
	uint8_t *copy = malloc(len + 1);

	/* to the byte, so that a sanitizer sees a read past the end */
	assert_non_null(copy);
	copy = realloc(copy, len ? len : 1);
	memcpy(copy, raw, len);
	buf_init(&out, 65536);
	assert_int_equal(object_str(abi, (struct bytes){ copy, len }, &out, &cut), 0);
	assert_string_equal(buf_text(&out), want);
	assert_int_equal(cut, want_cut);
	buf_done(&out);
	free(copy);
}

static void test_str_kinds(void **state)
{
	const uint16_t ucs2[] = { 'a', 0x4e2d, 0xd83d, 0xdc0d, 0, 0x7ff, 0x800 };
	const uint32_t ucs4[] = { 0x1f40d, 0x10ffff, 0x110000, 0xffffffff, 0xd800, 'z' };
	uint8_t raw[4096];
	struct py_abi abi;
	size_t i, n;

	for (i = 0; i < MINOR_CNT; i++) {
		abi = image_abi(minors[i]);
		n = image_str_raw(&abi, raw, 0, "spam\0eggs", 9);
		check_str(&abi, raw, n,
			  "spam\xe2\x90\x80"
			  "eggs",
			  false);
		assert_int_equal(object_str_size(&abi, (struct bytes){ raw, n }), n);
		n = image_str_raw(&abi, raw, 0, "", 0);
		check_str(&abi, raw, n, "", false);
		n = image_str_raw(&abi, raw, 1, "a\xe9\xff", 3);
		check_str(&abi, raw, n, "a\xc3\xa9\xc3\xbf", false);
		n = image_str_raw(&abi, raw, 2, ucs2, 7);
		check_str(&abi, raw, n, "a\xe4\xb8\xad" REP REP "\xe2\x90\x80\xdf\xbf\xe0\xa0\x80",
			  false);
		n = image_str_raw(&abi, raw, 4, ucs4, 6);
		check_str(&abi, raw, n, "\xf0\x9f\x90\x8d\xf4\x8f\xbf\xbf" REP REP REP "z", false);
		assert_int_equal(object_str_size(&abi, (struct bytes){ raw, n }), n);
		/* says it is ASCII, and is not */
		n = image_str_raw(&abi, raw, 0, "a\xff", 2);
		check_str(&abi, raw, n, "a" REP, false);
	}
}

static void test_str_cut(void **state)
{
	const uint16_t ucs2[] = { 'a', 0x4e2d, 'b' };
	struct py_abi abi = image_abi(12);
	uint8_t raw[4096];
	struct buf out;
	size_t n, k;
	bool cut;

	n = image_str_raw(&abi, raw, 0, "spam", 4);
	check_str(&abi, raw, n - 1, "spa", true);
	check_str(&abi, raw, n - 4, "", true);
	n = image_str_raw(&abi, raw, 2, ucs2, 3);
	check_str(&abi, raw, n - 1, "a\xe4\xb8\xad", true);
	check_str(&abi, raw, n - 3, "a", true);
	/* a header that is cut is no str */
	buf_init(&out, 64);
	for (k = 0; k < abi.off.str_compact_size; k++)
		assert_int_equal(object_str(&abi, (struct bytes){ raw, k }, &out, &cut), -EINVAL);
	assert_int_equal(object_str(&abi, (struct bytes){ NULL, 0 }, &out, &cut), -EINVAL);
	assert_int_equal(object_str_size(&abi, (struct bytes){ NULL, 0 }), 0);
	buf_done(&out);
}

static void test_str_long(void **state)
{
	struct py_abi abi = image_abi(13);
	static uint8_t raw[65536], text[3000];
	struct buf out;
	size_t n;
	bool cut;

	memset(text, 0xe9, sizeof(text));
	n = image_str_raw(&abi, raw, 1, text, sizeof(text));
	buf_init(&out, 6000);
	assert_int_equal(object_str(&abi, (struct bytes){ raw, n }, &out, &cut), 0);
	assert_int_equal(out.len, 6000);
	buf_done(&out);
	buf_init(&out, 5999);
	assert_int_equal(object_str(&abi, (struct bytes){ raw, n }, &out, &cut), -E2BIG);
	buf_done(&out);
}

static void str_is_refused(const struct py_abi *abi, const uint8_t *raw, size_t n)
{
	struct buf out;
	bool cut;

	buf_init(&out, 64);
	assert_int_equal(object_str(abi, (struct bytes){ raw, n }, &out, &cut), -EINVAL);
	assert_int_equal(object_str_size(abi, (struct bytes){ raw, n }), 0);
	assert_int_equal(out.len, 0);
	buf_done(&out);
}

static void test_str_lies(void **state)
{
	static const uint64_t lengths[] = { UINT64_MAX, 1ULL << 63, INT64_MAX, INT64_MAX / 4 };
	struct py_abi abi = image_abi(11);
	uint8_t raw[256];
	uint32_t st, bits;
	size_t n, i;

	n = image_str_raw(&abi, raw, 4, "aaaabbbb", 2);
	for (i = 0; i < 4; i++) {
		memcpy(raw + abi.off.str_length, &lengths[i], 8);
		str_is_refused(&abi, raw, n);
	}
	n = image_str_raw(&abi, raw, 0, "spam", 4);
	for (bits = 0; bits < 32; bits++) {
		st = bits << abi.str_kind_shift;
		memcpy(raw + abi.off.str_state, &st, sizeof(st));
		if (bits != 25 && bits != 9 && bits != 10 && bits != 12)
			str_is_refused(&abi, raw, n);
	}
	abi.str_kind_shift = 32;
	str_is_refused(&abi, raw, n);
}

/* --- dict --- */

#define FLAG_MANAGED (1ULL << 4 | 1ULL << 9)

/* Keys with room for 8 of which `cnt` are used; values[i] goes into the entries unless NULL. */
static uint64_t paint_keys(struct image *im, const struct py_abi *abi, bool general, bool split,
			   const uint64_t *keys, const uint64_t *values, uint64_t cnt)
{
	bool old = abi->minor < 11;
	size_t head = old ? 40 : 32, entry = old || general ? 24 : 16, i;
	uint64_t addr = image_new(im, head + 8 + 8 * entry), at;
	const uint8_t kind[3] = { 3, 3, general ? 0 : split ? 2 : 1 };

	image_u64(im, addr, 1);
	if (old)
		image_u64(im, addr + 8, 8);
	else
		image_put(im, addr + 8, kind, sizeof(kind));
	image_u64(im, addr + (old ? 32 : 24), cnt);
	for (i = 0; i < cnt && i < 8; i++) {
		at = addr + head + 8 + (i + 1) * entry;
		image_u64(im, at - 16, keys[i]);
		image_u64(im, at - 8, values ? values[i] : 0);
	}
	return addr;
}

static uint64_t paint_values(struct image *im, const struct py_abi *abi, const uint64_t *values,
			     uint8_t cnt)
{
	const uint8_t head[8] = { cnt, cnt, 1, 1 };
	size_t start = abi->minor >= 13 ? 8 : 0;
	uint64_t addr = image_new(im, start + 8 * cnt);

	if (start)
		image_put(im, addr, head, sizeof(head));
	image_put(im, addr + start, values, 8 * cnt);
	return addr;
}

static uint64_t paint_dict(struct image *im, const struct py_abi *abi, uint64_t keys,
			   uint64_t values)
{
	uint64_t addr = image_new(im, 64);

	image_u64(im, addr + abi->off.dict_keys, keys);
	image_u64(im, addr + abi->off.dict_values, values);
	return addr;
}

struct seen {
	uint64_t keys[16], values[16];
	unsigned int cnt;
};

static int see(void *ctx, uint64_t key, uint64_t value)
{
	struct seen *s = ctx;

	if (s->cnt < 16) {
		s->keys[s->cnt] = key;
		s->values[s->cnt] = value;
	}
	s->cnt++;
	return 0;
}

static void test_dict_each(void **state)
{
	const uint64_t keys[] = { 0x100, 0x200, 0, 0x400 }, values[] = { 1, 2, 3, 4 };
	const uint64_t some[] = { 11, 0, 13, 14 };
	uint64_t dict, k;
	struct py_abi abi;
	struct image im;
	size_t i;

	for (i = 0; i < MINOR_CNT; i++) {
		struct seen s = { 0 }, t = { 0 }, u = { 0 };

		abi = image_abi(minors[i]);
		image_init(&im);
		k = paint_keys(&im, &abi, true, false, keys, values, 4);
		dict = paint_dict(&im, &abi, k, 0);
		assert_int_equal(object_dict_each(&im.mem, &abi, dict, 4, see, &s), 0);
		assert_int_equal(s.cnt, 3);
		assert_int_equal(s.keys[2], 0x400);
		assert_int_equal(s.values[2], 4);
		assert_int_equal(object_dict_each(&im.mem, &abi, dict, 3, see, &s), -E2BIG);

		k = paint_keys(&im, &abi, false, false, keys, values, 4);
		dict = paint_dict(&im, &abi, k, 0);
		assert_int_equal(object_dict_each(&im.mem, &abi, dict, 4, see, &t), 0);
		assert_int_equal(t.cnt, 3);
		assert_int_equal(t.values[1], 2);

		k = paint_keys(&im, &abi, false, true, keys, NULL, 4);
		dict = paint_dict(&im, &abi, k, paint_values(&im, &abi, some, 4));
		assert_int_equal(object_dict_each(&im.mem, &abi, dict, 4, see, &u), 0);
		assert_int_equal(u.cnt, 2);
		assert_int_equal(u.keys[1], 0x400);
		assert_int_equal(u.values[1], 14);
		image_done(&im);
	}
}

static void test_dict_lies(void **state)
{
	const uint64_t keys[] = { 0x100 }, values[] = { 1 };
	static const uint64_t sizes[] = { 0, 3, 1ULL << 60, UINT64_MAX };
	struct seen s = { 0 };
	uint64_t dict, k;
	struct py_abi abi;
	struct image im;
	size_t i, n;

	for (i = 0; i < MINOR_CNT; i++) {
		abi = image_abi(minors[i]);
		image_init(&im);
		k = paint_keys(&im, &abi, true, false, keys, values, 1);
		image_u64(&im, k + (abi.minor < 11 ? 32 : 24), UINT64_MAX);
		dict = paint_dict(&im, &abi, k, 0);
		assert_int_equal(object_dict_each(&im.mem, &abi, dict, 9, see, &s), -EINVAL);
		k = paint_keys(&im, &abi, true, false, keys, values, 1);
		dict = paint_dict(&im, &abi, k, 0);
		for (n = 0; n < 4; n++) {
			if (abi.minor < 11)
				image_u64(&im, k + 8, sizes[n]);
			else
				image_u64(&im, k + 8, n == 0 ? 63 : n == 1 ? 255 << 8 : 3 << 16);
			assert_int_equal(object_dict_each(&im.mem, &abi, dict, 9, see, &s),
					 -EINVAL);
		}
		/* entries, or keys, that are not mapped */
		image_u64(&im, k + 8, abi.minor < 11 ? 1ULL << 40 : 40 | 40 << 8);
		assert_int_equal(object_dict_each(&im.mem, &abi, dict, 9, see, &s), -EFAULT);
		dict = paint_dict(&im, &abi, 0, 0);
		assert_int_equal(object_dict_each(&im.mem, &abi, dict, 9, see, &s), -EFAULT);
		assert_int_equal(object_dict_each(&im.mem, &abi, UINT64_MAX, 9, see, &s), -EFAULT);
		image_done(&im);
	}
	assert_int_equal(s.cnt, 0);
}

/* An array of values made before the class learned its last key (3.13 says how long it is). */
static void test_values_shorter_than_keys(void **state)
{
	const uint64_t keys[] = { 0x100, 0x200 }, values[] = { 7 };
	struct py_abi abi = image_abi(13);
	struct seen s = { 0 };
	struct image im;
	uint64_t dict;

	image_init(&im);
	dict = paint_dict(&im, &abi, paint_keys(&im, &abi, false, true, keys, NULL, 2),
			  paint_values(&im, &abi, values, 1));
	assert_int_equal(object_dict_each(&im.mem, &abi, dict, 9, see, &s), 0);
	assert_int_equal(s.cnt, 1);
	image_done(&im);
}

/* --- attributes --- */

struct painted {
	uint64_t type, object, keys, values;
};

/* An object whose class has the attributes "other", "attr"; 32 bytes are free before it. */
static struct painted paint_object(struct image *im, const struct py_abi *abi, uint64_t flags,
				   uint64_t dictoffset)
{
	const uint64_t values[] = { 0x111, 0x222 };
	uint64_t keys[2];
	struct painted p;

	keys[0] = image_ascii(im, abi, "other");
	keys[1] = image_ascii(im, abi, "attr");
	p.type = image_new(im, 1024);
	p.keys = paint_keys(im, abi, false, true, keys, NULL, 2);
	p.object = image_new(im, 32 + 32) + 32;
	p.values = paint_values(im, abi, values, 2);
	image_u64(im, p.object + 8, p.type);
	image_u64(im, p.type + abi->off.type_flags, flags);
	image_u64(im, p.type + abi->off.type_dictoffset, dictoffset);
	image_u64(im, p.type + abi->off.type_basicsize, p.values - p.object);
	image_u64(im, p.type + abi->off.type_cached_keys, p.keys);
	return p;
}

static void test_attr(void **state)
{
	uint64_t flags, dict, value;
	struct py_abi abi;
	struct painted p;
	struct image im;
	size_t i;

	for (i = 0; i < MINOR_CNT; i++) {
		abi = image_abi(minors[i]);
		image_init(&im);
		/* the dict's place is in the type */
		p = paint_object(&im, &abi, 0, 24);
		assert_int_equal(object_attr(&im.mem, &abi, p.object, "attr", &value), -ENOENT);
		dict = paint_dict(&im, &abi, p.keys, p.values);
		image_u64(&im, p.object + 24, dict);
		assert_int_equal(object_attr(&im.mem, &abi, p.object, "attr", &value), 0);
		assert_int_equal(value, 0x222);
		assert_int_equal(object_attr(&im.mem, &abi, p.object, "att", &value), -ENOENT);
		p = paint_object(&im, &abi, 0, (uint64_t)-8);
		assert_int_equal(object_attr(&im.mem, &abi, p.object, "attr", &value), -ENOENT);
		if (abi.minor < 11) {
			image_done(&im);
			continue;
		}
		/* the dict before the object */
		flags = FLAG_MANAGED | (abi.minor >= 13 ? 1ULL << 2 : 0);
		p = paint_object(&im, &abi, flags, (uint64_t)-1);
		dict = paint_dict(&im, &abi, p.keys, p.values);
		image_u64(&im, p.object - 24, dict);
		assert_int_equal(object_attr(&im.mem, &abi, p.object, "attr", &value), 0);
		assert_int_equal(value, 0x222);
		/* no dict: the values alone */
		image_u64(&im, p.object - 24, abi.minor == 12 ? p.values - 1 : 0);
		if (abi.minor == 11)
			image_u64(&im, p.object - 32, p.values);
		assert_int_equal(object_attr(&im.mem, &abi, p.object, "other", &value), 0);
		assert_int_equal(value, 0x111);
		/* neither */
		image_u64(&im, p.object - 24, 0);
		image_u64(&im, p.object - 32, 0);
		if (abi.minor >= 13)
			image_u64(&im, p.values, 2 | 2 << 8); /* not valid any more */
		assert_int_equal(object_attr(&im.mem, &abi, p.object, "attr", &value), -ENOENT);
		/* only a class made by Python has its attributes there */
		image_u64(&im, p.type + abi.off.type_flags, 1 << 4);
		assert_int_equal(object_attr(&im.mem, &abi, p.object, "attr", &value), -EINVAL);
		image_done(&im);
	}
}

/* A key that cannot be read may be the one: then it is not "no such attribute". */
static void test_attr_unreadable_key(void **state)
{
	struct py_abi abi = image_abi(9);
	const uint64_t keys[] = { 0x10 }, values[] = { 1 };
	struct painted p;
	struct image im;
	uint64_t value;

	image_init(&im);
	p = paint_object(&im, &abi, 0, 24);
	image_u64(&im, p.object + 24,
		  paint_dict(&im, &abi, paint_keys(&im, &abi, true, false, keys, values, 1), 0));
	assert_int_equal(object_attr(&im.mem, &abi, p.object, "attr", &value), -EFAULT);
	assert_int_equal(object_attr(&im.mem, &abi, 0, "attr", &value), -EFAULT);
	image_done(&im);
}

/* --- threads --- */

/* A type that has nothing but flags. */
static uint64_t paint_type(struct image *im, const struct py_abi *abi, uint64_t flags)
{
	uint64_t type = image_new(im, 1024);

	image_u64(im, type + abi->off.type_flags, flags);
	image_u64(im, type + abi->off.type_dictoffset, 16);
	return type;
}

static uint64_t paint_dict1(struct image *im, const struct py_abi *abi, uint64_t type, uint64_t key,
			    uint64_t value)
{
	uint64_t dict = paint_dict(im, abi, paint_keys(im, abi, true, false, &key, &value, 1), 0);

	image_u64(im, dict + 8, type);
	return dict;
}

static void test_threads_name(void **state)
{
	const uint64_t ident = 0x7f3aa8ffe6c0ULL;
	const uint32_t digits[] = { ident & 0x3fffffff, (uint32_t)(ident >> 30) };
	uint64_t interp, t_dict, t_str, t_int, t_obj, name, key, thread, dict, modules;
	struct py_abi abi;
	struct image im;
	struct buf out;
	size_t i;

	for (i = 0; i < MINOR_CNT; i++) {
		abi = image_abi(minors[i]);
		image_init(&im);
		buf_init(&out, 1024);
		t_dict = paint_type(&im, &abi, 1ULL << 29);
		t_str = paint_type(&im, &abi, 1ULL << 28);
		t_int = paint_type(&im, &abi, 1ULL << 24);
		t_obj = paint_type(&im, &abi, 0);

		name = image_ascii(&im, &abi, "worker-1");
		image_u64(&im, name + 8, t_str);
		thread = image_new(&im, 32);
		image_u64(&im, thread + 8, t_obj);
		dict = paint_dict1(&im, &abi, t_dict, image_ascii(&im, &abi, "_name"), name);
		image_u64(&im, thread + 16, dict);
		key = image_new(&im, 32);
		image_u64(&im, key + 8, t_int);
		image_u64(&im, key + 16, abi.minor >= 12 ? 2 << 3 : 2);
		image_put(&im, key + 24, digits, sizeof(digits));
		dict = paint_dict1(&im, &abi, t_dict, key, thread);
		dict = paint_dict1(&im, &abi, t_dict, image_ascii(&im, &abi, "_active"), dict);
		thread = image_new(&im, 32); /* the module */
		image_u64(&im, thread + abi.off.module_dict, dict);
		modules =
			paint_dict1(&im, &abi, t_dict, image_ascii(&im, &abi, "threading"), thread);
		interp = image_new(&im, abi.off.interp_modules + 8);
		image_u64(&im, interp + abi.off.interp_modules, modules);

		assert_int_equal(threads_name(&im.mem, &abi, interp, ident, &out), 0);
		assert_string_equal(buf_text(&out), "worker-1");
		assert_int_equal(threads_name(&im.mem, &abi, interp, ident + 1, &out), -ENOENT);
		/* a negative number, or one too long, is no thread's */
		image_u64(&im, key + 16, abi.minor >= 12 ? 2 << 3 | 2 : (uint64_t)-2);
		assert_int_equal(threads_name(&im.mem, &abi, interp, ident, &out), -ENOENT);
		image_u64(&im, key + 16, UINT64_MAX & ~7ULL);
		assert_int_equal(threads_name(&im.mem, &abi, interp, ident, &out), -ENOENT);
		/* sys.modules["threading"] is something else */
		image_u64(&im, dict + 8, t_obj);
		assert_int_equal(threads_name(&im.mem, &abi, interp, ident, &out), -ENOENT);
		image_u64(&im, interp + abi.off.interp_modules, 0);
		assert_int_equal(threads_name(&im.mem, &abi, interp, ident, &out), -ENOENT);
		assert_string_equal(buf_text(&out), "worker-1");
		buf_done(&out);
		image_done(&im);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_str_kinds),
		cmocka_unit_test(test_str_cut),
		cmocka_unit_test(test_str_long),
		cmocka_unit_test(test_str_lies),
		cmocka_unit_test(test_dict_each),
		cmocka_unit_test(test_dict_lies),
		cmocka_unit_test(test_values_shorter_than_keys),
		cmocka_unit_test(test_attr),
		cmocka_unit_test(test_attr_unreadable_key),
		cmocka_unit_test(test_threads_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
