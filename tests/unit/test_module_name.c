/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module's name out of globals dicts painted by hand, right and wrong ones. That real interpreters
 * paint them the same way is test_live_python's business.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/buf.h"
#include "python/module_name.h"
#include "unit/image.h"

#define HASH 0x9e3779b97f4a7c15ULL

enum { GENERAL, UNICODE, SPLIT };

/* A process with one dict at a time; reads are counted, and something may happen before one. */
struct world {
	struct mem mem; /* counts, then asks the image */
	struct image im;
	struct py_abi abi;
	struct module_key key;
	uint64_t t_dict, t_str, name; /* types, the str "__name__" */
	uint64_t dict, keys, index;   /* painted last */
	unsigned int reads;
	void (*before)(struct world *w);
};

static int counted_read(struct mem *mem, uint64_t addr, void *ret_data, size_t len)
{
	struct world *w = (struct world *)mem;

	w->reads++;
	if (w->before)
		w->before(w);
	return image_read(&w->im.mem, addr, ret_data, len);
}

static uint64_t paint_type(struct world *w, uint64_t flags)
{
	uint64_t type = image_new(&w->im, 1024);

	image_u64(&w->im, type + w->abi.off.type_flags, flags);
	return type;
}

static uint64_t paint_str(struct world *w, const char *text, uint64_t hash)
{
	uint64_t addr = image_ascii(&w->im, &w->abi, text);

	image_u64(&w->im, addr + w->abi.live.object_type, w->t_str);
	image_u64(&w->im, addr + w->abi.off.str_hash, hash);
	return addr;
}

static void world_init(struct world *w, uint16_t minor)
{
	*w = (struct world){ .mem = { counted_read }, .abi = image_abi(minor) };
	image_init(&w->im);
	w->t_dict = paint_type(w, 1ULL << 29);
	w->t_str = paint_type(w, 1ULL << 28);
	w->name = paint_str(w, "__name__", HASH);
}

/* A dict with 2^log2 slots, empty but for `used` entries that are some other str each. */
static void paint_dict(struct world *w, int kind, unsigned int log2, uint64_t used, uint64_t other)
{
	bool old = w->abi.minor < 11, general = old || kind == GENERAL;
	unsigned int width = log2 < 8 ? 0 : log2 < 16 ? 1 : 2, entry = general ? 24 : 16;
	const uint8_t head[3] = { log2, log2 + width, kind };
	uint64_t i, values, size = 1ULL << log2, at;
	uint8_t ff[4096];

	memset(ff, 0xff, sizeof(ff));
	w->keys = image_new(&w->im, (old ? 40 : 32) + (size << width) + entry * size);
	w->index = w->keys + (old ? 40 : 32);
	if (old)
		image_u64(&w->im, w->keys + 8, size);
	else
		image_put(&w->im, w->keys + 8, head, sizeof(head));
	image_u64(&w->im, w->keys + (old ? 32 : 24), used);
	for (i = 0; i < size << width; i += sizeof(ff))
		image_put(&w->im, w->index + i, ff,
			  (size << width) - i < sizeof(ff) ? (size << width) - i : sizeof(ff));
	w->dict = image_new(&w->im, 64);
	image_u64(&w->im, w->dict + w->abi.live.object_type, w->t_dict);
	image_u64(&w->im, w->dict + w->abi.off.dict_keys, w->keys);
	values = kind == SPLIT ? image_new(&w->im, 8 + 8 * size) : 0;
	image_u64(&w->im, w->dict + w->abi.off.dict_values, values);
	if (values && w->abi.minor >= 13)
		image_u64(&w->im, values, 1 << 24 | 1 << 16 | used << 8 | used);
	for (i = 0; i < used; i++) {
		at = w->index + (size << width) + (i + 1) * entry;
		image_u64(&w->im, at - 16, other);
		image_u64(&w->im, at - 8, values ? 0 : other);
		if (values)
			image_u64(&w->im, values + (w->abi.minor >= 13 ? 8 : 0) + 8 * i, other);
	}
}

/* Entry `ix` becomes { key, value }, at the n-th place where the interpreter looks for HASH; in
 * those before it `before` stands. */
static void paint_entry(struct world *w, int kind, unsigned int log2, uint32_t ix, uint64_t key,
			uint64_t value, unsigned int nth, int32_t before)
{
	bool old = w->abi.minor < 11, general = old || kind == GENERAL;
	unsigned int width = log2 < 8 ? 0 : log2 < 16 ? 1 : 2, i;
	uint64_t mask = (1ULL << log2) - 1, perturb = HASH, slot = HASH & mask, at, values = 0;

	for (i = 0; i < nth; i++) {
		image_put(&w->im, w->index + (slot << width), &before, 1u << width);
		perturb >>= 5;
		slot = (slot * 5 + perturb + 1) & mask;
	}
	image_put(&w->im, w->index + (slot << width), &ix, 1u << width);
	at = w->index + ((mask + 1) << width) + (ix + 1) * (general ? 24 : 16);
	image_u64(&w->im, at - 16, key);
	image_u64(&w->im, at - 8, kind == SPLIT ? 0 : value);
	if (kind == SPLIT) {
		image_read(&w->im.mem, w->dict + w->abi.off.dict_values, &values, 8);
		image_u64(&w->im, values + (w->abi.minor >= 13 ? 8 : 0) + 8 * ix, value);
	}
}

static void expect(struct world *w, int want, const char *text)
{
	struct buf out;
	int err;

	buf_init(&out, 4096);
	w->reads = 0;
	err = module_name(&w->mem, &w->abi, &w->key, w->dict, &out);
	if (err != want || strcmp(buf_text(&out), text) != 0)
		fail_msg("3.%d: %d '%s'", w->abi.minor, err, buf_text(&out));
	buf_done(&out);
}

static void each_version(void (*fn)(struct world *w))
{
	struct world w;
	uint16_t minor;

	for (minor = 8; minor <= 15; minor++) {
		world_init(&w, minor);
		fn(&w);
		image_done(&w.im);
	}
}

static void every_table_of(struct world *w)
{
	static const unsigned int logs[] = { 3, 7, 8, 10, 14 };
	uint64_t other = paint_str(w, "other", 1), value = paint_str(w, "shop.views", 2), used;
	unsigned int i;
	int kind;

	for (kind = w->abi.minor < 11 ? SPLIT : GENERAL; kind <= SPLIT; kind++)
		for (i = 0; i < (kind == SPLIT ? 1 : 5); i++) {
			w->im.next = value + 128; /* the one before is not needed any more */
			used = (1u << logs[i]) * 5 / 8;
			paint_dict(w, kind, logs[i], used, other);
			w->key = (struct module_key){ 0 };
			expect(w, -ENOENT, "");
			assert_int_equal(w->key.addr, 0);
			/* the last entry, and several steps from its place */
			paint_entry(w, kind, logs[i], used - 1, w->name, value, 3, -2);
			expect(w, 0, "shop.views");
			assert_int_equal(w->key.addr, w->name);
			assert_int_equal(w->key.hash, HASH);
			assert_true(w->reads > used);
			expect(w, 0, "shop.views");
			assert_in_range(w->reads, 5, 25);
			/* others at its places */
			paint_entry(w, kind, logs[i], used - 1, w->name, value, 3, 0);
			expect(w, 0, "shop.views");
			assert_in_range(w->reads, 5, 35);
			/* as deleted: the slot says so */
			paint_entry(w, kind, logs[i], used - 1, 0, 0, 3, -2);
			expect(w, -ENOENT, "");
			assert_in_range(w->reads, 5, 25);
		}
}

static void every_table(void **state)
{
	each_version(every_table_of);
}

static void keys_and_values_of(struct world *w)
{
	uint64_t other = paint_str(w, "other", 1), twin = paint_str(w, "__name__", HASH);
	uint64_t value = paint_str(w, "a", 2), number = paint_str(w, "x", 2), fresh;

	paint_dict(w, UNICODE, 3, 2, other);
	paint_entry(w, UNICODE, 3, 1, w->name, value, 0, 0);
	expect(w, 0, "a");
	/* another object of the same text */
	paint_entry(w, UNICODE, 3, 1, twin, value, 0, 0);
	expect(w, 0, "a");
	assert_int_equal(w->key.addr, w->name);
	/* the known one went away: what is there now is not believed, and another one is learned */
	image_u64(&w->im, w->name + w->abi.off.str_hash, HASH + 1);
	expect(w, 0, "a");
	assert_int_equal(w->key.addr, twin);
	w->key.addr = 0x1000; /* not mapped */
	expect(w, 0, "a");
	assert_int_equal(w->key.addr, twin);
	/* a str whose hash was not computed teaches nothing */
	fresh = paint_str(w, "__name__", UINT64_MAX);
	paint_entry(w, UNICODE, 3, 1, fresh, value, 0, 0);
	w->key.addr = 0;
	expect(w, 0, "a");
	assert_int_equal(w->key.addr, 0);
	paint_entry(w, UNICODE, 3, 1, twin, value, 0, 0);
	expect(w, 0, "a");
	/* __name__ = 7 */
	image_u64(&w->im, number + w->abi.live.object_type, paint_type(w, 1ULL << 24));
	paint_entry(w, UNICODE, 3, 1, twin, number, 0, 0);
	expect(w, -ENOENT, "");
	/* what is no dict */
	image_u64(&w->im, w->dict + w->abi.live.object_type, w->t_str);
	expect(w, -ENOENT, "");
	w->dict = 0x1000;
	expect(w, -EFAULT, "");
	w->dict = UINT64_MAX - 7;
	expect(w, -EFAULT, "");
}

static void keys_and_values(void **state)
{
	each_version(keys_and_values_of);
}

static void long_names_of(struct world *w)
{
	uint8_t raw[4096];
	uint16_t text[1500];
	uint64_t value;
	struct buf out;
	size_t size, i;

	for (i = 0; i < 1500; i++)
		text[i] = 0x4e2d;
	size = image_str_raw(&w->abi, raw, 2, text, 1500);
	value = image_new(&w->im, size);
	image_put(&w->im, value, raw, size);
	image_u64(&w->im, value + w->abi.live.object_type, w->t_str);
	paint_dict(w, UNICODE, 3, 1, w->name);
	paint_entry(w, UNICODE, 3, 0, w->name, value, 0, 0);
	buf_init(&out, 4096);
	assert_int_equal(module_name(&w->mem, &w->abi, &w->key, w->dict, &out), 0);
	assert_int_equal(out.len, MODULE_NAME_MAX / 3 * 3);
	assert_memory_equal(out.data + out.len - 3, "\xe4\xb8\xad", 3);
	buf_done(&out);
}

static void long_names_are_cut(void **state)
{
	each_version(long_names_of);
}

static void lies_of(struct world *w)
{
	uint64_t value = paint_str(w, "m", 2), other = paint_str(w, "other", 1);
	bool old = w->abi.minor < 11;

	paint_dict(w, UNICODE, 3, 1, other);
	paint_entry(w, UNICODE, 3, 0, w->name, value, 0, 0);
	expect(w, 0, "m");
	/* no slot is empty, and none is the one: it must end */
	paint_entry(w, UNICODE, 3, 0, other, other, 8, 0);
	paint_entry(w, UNICODE, 3, 0, other, other, 40, 0);
	expect(w, -ELOOP, "");
	assert_true(w->reads < 10000);
	/* slots that lead out of the entries */
	paint_entry(w, UNICODE, 3, 7, other, other, 0, 0);
	expect(w, -ELOOP, "");
	/* more entries than slots; then so many that none could be */
	image_u64(&w->im, w->keys + (old ? 32 : 24), 9);
	expect(w, -EINVAL, "");
	image_u64(&w->im, w->keys + (old ? 32 : 24), UINT64_MAX);
	expect(w, -EINVAL, "");
	w->key.addr = 0;
	expect(w, -EINVAL, "");
	/* 2^40 slots, their index not mapped */
	image_u64(&w->im, w->keys + (old ? 32 : 24), 1);
	image_u64(&w->im, w->keys + 8, old ? 1ULL << 40 : 40 | 42 << 8);
	w->key = (struct module_key){ w->name, HASH };
	expect(w, -EFAULT, "");
	image_u64(&w->im, w->keys + (old ? 32 : 24), 65537);
	w->key.addr = 0;
	expect(w, -E2BIG, "");
}

static void lies(void **state)
{
	each_version(lies_of);
}

/* The dict is another one, each time it is looked at. */
static void grow(struct world *w)
{
	uint64_t cnt;

	image_read(&w->im.mem, w->keys + (w->abi.minor < 11 ? 32 : 24), &cnt, 8);
	image_u64(&w->im, w->keys + (w->abi.minor < 11 ? 32 : 24), cnt % 5 + 1);
}

/* It got its name while it was searched. */
static void gets_name(struct world *w)
{
	if (w->reads != 12)
		return;
	paint_entry(w, UNICODE, 3, 2, w->name, paint_str(w, "late", 3), 0, 0);
	image_u64(&w->im, w->keys + (w->abi.minor < 11 ? 32 : 24), 3);
}

static void dicts_that_change_of(struct world *w)
{
	uint64_t other = paint_str(w, "other", 1);

	paint_dict(w, UNICODE, 3, 5, other);
	w->before = grow;
	expect(w, -EAGAIN, "");
	w->key = (struct module_key){ w->name, HASH };
	expect(w, -EAGAIN, "");

	paint_dict(w, UNICODE, 3, 2, other);
	w->before = gets_name;
	expect(w, 0, "late");
	assert_true(w->reads > 12);
}

static void dicts_that_change(void **state)
{
	each_version(dicts_that_change_of);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_table),        cmocka_unit_test(keys_and_values),
		cmocka_unit_test(long_names_are_cut), cmocka_unit_test(lies),
		cmocka_unit_test(dicts_that_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
