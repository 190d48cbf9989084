/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace's sums as cProfile would have them, for `python3 -m pstats`, snakeviz and the like: one marshalled
 * dict (Lib/cProfile.py, Profile.snapshot_stats(); Lib/pstats.py, Stats.load_stats()):
 *
 *	{(file, line, name): (primitive calls, calls, self, total, {caller: (calls, primitive, self, total)})}
 *
 * Times are seconds, calls are activations: a generator that is resumed counts again, as with cProfile. Only
 * a caller's calls are begins: its resumptions are not told apart by who resumed it.
 *
 * Marshal (Python/marshal.c, w_object() without references, version 2, which all Pythons read) is a tree of
 * type letters, little-endian:
 *
 *	{ key value … 0	    dict		( u32 n items	tuple
 *	i s32		    int			l s32 n, u16 digits of 15 bits	int, larger
 *	g 8 bytes	    float		u u32 n bytes	str, UTF-8
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "model/calls_table.h"
#include "sink/trace.h"

#define TEXT_MAX_BYTES (8u << 20)

struct writer {
	FILE *out;
	struct calls *calls;
	struct trace_look look;
	struct buf text;
	int err;
};

static void put_u32(struct writer *w, uint32_t value)
{
	uint8_t bytes[4] = { value, value >> 8, value >> 16, value >> 24 };

	fwrite(bytes, 1, sizeof(bytes), w->out);
}

static void put_int(struct writer *w, uint64_t value)
{
	uint8_t digit[2];
	uint64_t left;
	int cnt = 0;

	if (value <= INT32_MAX) {
		fputc('i', w->out);
		put_u32(w, value);
		return;
	}
	for (left = value; left; left >>= 15)
		cnt++;
	fputc('l', w->out);
	put_u32(w, cnt);
	for (left = value; left; left >>= 15) {
		digit[0] = left & 0xff;
		digit[1] = left >> 8 & 0x7f;
		fwrite(digit, 1, sizeof(digit), w->out);
	}
}

static void put_seconds(struct writer *w, uint64_t ns)
{
	double value = ns / 1e9;
	uint8_t bytes[8];
	uint64_t bits;
	int i;

	memcpy(&bits, &value, sizeof(bits));
	for (i = 0; i < 8; i++)
		bytes[i] = bits >> 8 * i;
	fputc('g', w->out);
	fwrite(bytes, 1, sizeof(bytes), w->out);
}

static void put_str(struct writer *w, const char *text)
{
	buf_clear(&w->text);
	text_clean(&w->text, text, strlen(text));
	if (w->text.err)
		w->err = -ENOMEM;
	fputc('u', w->out);
	put_u32(w, w->text.len);
	fwrite(buf_text(&w->text), 1, w->text.len, w->out);
}

static void put_tuple(struct writer *w, uint32_t cnt)
{
	fputc('(', w->out);
	put_u32(w, cnt);
}

static void put_key(struct writer *w, const struct call_row *row)
{
	put_tuple(w, 3);
	put_str(w, row->path[0] ? row->path : "~"); /* as of functions that have no file */
	put_int(w, row->line > 0 ? row->line : 0);
	put_str(w, row->name);
}

static void put_row(struct writer *w, const struct call_row *row)
{
	uint32_t i;

	put_key(w, row);
	put_tuple(w, 5);
	put_int(w, row->primitive);
	put_int(w, row->calls);
	put_seconds(w, row->self_ns);
	put_seconds(w, row->total_ns);
	fputc('{', w->out);
	for (i = 0; i < row->caller_cnt; i++) {
		const struct call_caller *caller = &row->callers[i];

		if (!caller->row)
			continue; /* cProfile has none either for the first function of a stack */
		put_key(w, caller->row);
		put_tuple(w, 4);
		put_int(w, caller->calls);
		put_int(w, caller->primitive);
		put_seconds(w, caller->self_ns);
		put_seconds(w, caller->total_ns);
	}
	fputc('0', w->out);
}

static void *pstats_begin(FILE *out, struct calls *calls, const struct trace_look *look)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->out = out;
	w->calls = calls;
	w->look = *look;
	buf_init(&w->text, TEXT_MAX_BYTES);
	return w;
}

static int pstats_end(void *writer)
{
	struct writer *w = writer;
	struct call_table_options options = { .compensate = w->look.compensate };
	struct call_table *table = call_table_new(w->calls, &options);
	uint32_t i;

	if (!table)
		return -ENOMEM;
	fputc('{', w->out);
	for (i = 0; i < table->row_cnt; i++)
		put_row(w, table->rows[i]);
	fputc('0', w->out);
	call_table_free(table);
	return w->err ? w->err : ferror(w->out) ? -EIO : 0;
}

static void pstats_free(void *writer)
{
	struct writer *w = writer;

	buf_done(&w->text);
	free(w);
}

const struct trace_sink trace_pstats = {
	.name = "pstats",
	.suffixes = ".pstats .prof",
	.what = "sums, for python3 -m pstats, snakeviz",
	.callers = true,
	.begin = pstats_begin,
	.end = pstats_end,
	.free = pstats_free,
};
