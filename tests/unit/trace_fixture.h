/* SPDX-License-Identifier: Apache-2.0 */
/* Records of a trace, made by hand: of one process, 42, image 1, whose threads are 42 (serial 1), 43 (2). */
#ifndef UNCOIL_TESTS_TRACE_FIXTURE_H
#define UNCOIL_TESTS_TRACE_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "model/record.h"

#define START   1000000000ULL /* of the trace */
#define NO_LINE EV_LASTI_NONE

struct tape {
	/* 0; anything else ends the test */
	int (*put)(void *ctx, enum record_type type, const void *data, size_t len);
	void *ctx;
};

static inline void tape_put(struct tape *t, enum record_type type, const void *data, size_t len)
{
	if (t->put(t->ctx, type, data, len))
		abort();
}

/* A record that is a struct and strings. */
static inline void tape_strings(struct tape *t, enum record_type type, const void *head,
				size_t head_len, const char *const *texts, int cnt)
{
	static _Alignas(8) uint8_t bytes[65536];
	size_t at = head_len;
	uint32_t len;

	memcpy(bytes, head, head_len);
	for (int i = 0; i < cnt; i++) {
		len = strlen(texts[i]);
		memcpy(bytes + at, &len, sizeof(len));
		memcpy(bytes + at + sizeof(len), texts[i], len);
		at += sizeof(len) + len;
	}
	tape_put(t, type, bytes, at);
}

static inline void tape_meta(struct tape *t, uint32_t mode)
{
	struct record_meta meta = { .format = RECORD_FORMAT,
				    .mode = mode,
				    .start_unix_ns = 1700000000000000000,
				    .start_ns = START };
	const char *text = "exact calls";

	tape_strings(t, RECORD_META, &meta, sizeof(meta), &text, 1);
}

/* Where what of a code object is in the facts that tape_func() makes: a layout of our own. */
static inline struct record_image tape_image(void)
{
	return (struct record_image){
		.image = 1,
		.pid = 42,
		.flags = RECORD_IMAGE_PYTHON | RECORD_IMAGE_ROOT,
		.hex = 0x030b02f0,
		.lines = PY_LINES_DELTAS,
		.str_kind_shift = 2,
		.off = { .code_size = 48,
			 .code_firstlineno = 0,
			 .code_filename = 8,
			 .code_name = 16,
			 .code_qualname = 24,
			 .code_linetable = 32,
			 .str_length = 0,
			 .str_hash = 8,
			 .str_state = 16,
			 .str_ascii_size = 24,
			 .str_compact_size = 40,
			 .bytes_size = 0,
			 .bytes_data = 8 },
	};
}

static inline struct ev_hdr tape_hdr(uint16_t kind, size_t size, uint64_t ts_ns, uint32_t thread)
{
	return (struct ev_hdr){ .kind = kind,
				.size = size,
				.ts_ns = ts_ns,
				.image = 1,
				.tgid = 42,
				.tid = 41 + thread,
				.thread = thread };
}

static inline void tape_thread(struct tape *t, uint32_t serial, const char *name)
{
	struct ev_thread ev = { .hdr = tape_hdr(EV_THREAD, sizeof(ev), START, serial) };
	struct record_thread named = { .thread = serial };

	memcpy(ev.comm, "python3", 8);
	tape_put(t, RECORD_RING, &ev, sizeof(ev));
	tape_strings(t, RECORD_THREAD_NAME, &named, sizeof(named), &name, 1);
}

static inline size_t tape_str(uint8_t *at, const char *text)
{
	uint64_t len = strlen(text);
	uint32_t state = 1 << 2 | 1 << 5 | 1 << 6; /* one byte a character, compact, ASCII */

	memset(at, 0, 24);
	memcpy(at, &len, sizeof(len));
	memcpy(at + 16, &state, sizeof(state));
	memcpy(at + 24, text, len);
	return 24 + len;
}

/* The function, its code object and its module. Its lines: 50 instructions each (lasti counts them in
 * this layout), from the one behind its first. */
static inline void tape_func(struct tape *t, uint32_t number, uint32_t kind, const char *name,
			     const char *file, int32_t line)
{
	struct ev_func func = { .hdr = tape_hdr(EV_FUNC, sizeof(func), START, 1),
				.code = 0x1000 * number,
				.globals = 0x9000,
				.func = number,
				.kind = kind };
	static struct ev_code code;
	uint8_t *at = code.data;
	uint64_t table_len = 8;
	struct record_module module = { 1, number };
	const char *text = "shop";

	memset(&code, 0, sizeof(code));
	code.code = func.code;
	code.check = number;
	memcpy(at, &line, sizeof(line));
	at += code.facts_len = 48;
	at += code.name_len = tape_str(at, name);
	at += code.qualname_len = tape_str(at, name);
	at += code.filename_len = tape_str(at, file);
	memcpy(at, &table_len, sizeof(table_len));
	memcpy(at + 8, "\x64\1\x64\1\x64\1\x64\1", 8);
	at += code.linetable_len = 16;
	code.hdr = tape_hdr(EV_CODE, offsetof(struct ev_code, data) + (at - code.data), START, 1);
	tape_put(t, RECORD_RING, &func, sizeof(func));
	tape_put(t, RECORD_RING, &code, code.hdr.size);
	tape_strings(t, RECORD_MODULE, &module, sizeof(module), &text, 1);
}

struct tape_call {
	uint32_t thread, func, caller, depth, lasti;
	uint64_t frame, start, end, child; /* us since START; child: us */
	enum ev_call_began began;
	enum ev_call_ended ended;
	uint32_t flags;
};

static inline void tape_call(struct tape *t, struct tape_call c)
{
	struct ev_call ev = { .hdr = tape_hdr(EV_CALL, sizeof(ev), START + c.end * 1000, c.thread),
			      .start_ns = START + c.start * 1000,
			      .frame = c.frame,
			      .child_ns = c.child * 1000,
			      .func = c.func,
			      .depth = c.depth,
			      .flags = EV_CALL_FLAGS(c.began, c.ended) | c.flags,
			      .caller = c.caller,
			      .lasti = c.lasti };

	tape_put(t, RECORD_RING, &ev, sizeof(ev));
}

static inline void tape_raise(struct tape *t, uint32_t thread, uint64_t us, uint64_t frame,
			      uint32_t func, const char *name)
{
	struct ev_raise ev = { .frame = frame, .type = 0x77 + strlen(name), .func = func };
	size_t size = sizeof(ev) - EV_TYPE_NAME_MAX + strlen(name);

	ev.hdr = tape_hdr(EV_RAISE, size, START + us * 1000, thread);
	ev.name_len = strlen(name);
	memcpy(ev.name, name, ev.name_len);
	tape_put(t, RECORD_RING, &ev, size);
}

static inline void tape_begin(struct tape *t, uint32_t flags, const char *const *patterns, int cnt)
{
	static const char *const texts[] = { "python3 app.py", "python3", "/srv",
					     "CPython 3.11.2" };
	struct record_trace trace = { .flags = flags };
	struct record_image image = tape_image();

	tape_meta(t, RECORD_CALLS);
	tape_strings(t, RECORD_TRACE, &trace, sizeof(trace), patterns, cnt);
	tape_strings(t, RECORD_IMAGE, &image, sizeof(image), texts, 4);
	tape_thread(t, 1, "MainThread");
	tape_thread(t, 2, "worker");
}

static inline void tape_end(struct tape *t, struct record_trace_stats stats)
{
	if (!stats.duration_ns)
		stats.duration_ns = 10000000;
	if (!stats.traced_ns)
		stats.traced_ns = stats.duration_ns;
	tape_put(t, RECORD_TRACE_STATS, &stats, sizeof(stats));
	tape_put(t, RECORD_END, NULL, 0);
}

/*
 * A whole one, 10 ms: main was open before; handle calls parse, which is left by a ValueError that handle
 * catches; a generator gives two numbers and ends, another one is left alone; a hostile name. The
 * worker runs a task: serve awaits fetch, which awaits something for 5 ms.
 */
static inline void tape_story(struct tape *t)
{
	static const char hostile[] = "</script>\x1b[31m\"\\<lambda>";

	tape_begin(t, RECORD_TRACE_EVENTS | RECORD_TRACE_EDGES, NULL, 0);
	tape_func(t, 1, EV_FUNC_PLAIN, "main", "/srv/app.py", 1);
	tape_func(t, 2, EV_FUNC_PLAIN, "handle", "/srv/shop/views.py", 10);
	tape_func(t, 3, EV_FUNC_PLAIN, "Parser.parse", "/srv/shop/parse.py", 20);
	tape_func(t, 4, EV_FUNC_GENERATOR, "numbers", "/srv/shop/views.py", 30);
	tape_func(t, 5, EV_FUNC_COROUTINE, "serve", "/srv/shop/web.py", 40);
	tape_func(t, 6, EV_FUNC_COROUTINE, "fetch", "/srv/shop/web.py", 50);
	tape_func(t, 7, EV_FUNC_PLAIN, hostile, "/srv/a b\n.py", 60);

	tape_raise(t, 1, 300, 0xc0, 3, "ValueError");
	tape_call(t, (struct tape_call){ 1, 3, 2, 2, 55, 0xc0, 200, 310, 0, EV_BEGAN_CALL,
					 EV_ENDED_RAISE, EV_CALL_LATE });
	tape_raise(t, 1, 311, 0xb0, 2, "ValueError");
	tape_call(t, (struct tape_call){ 2, 6, 5, 1, 10, 0xf0, 20, 320, 0, EV_BEGAN_CALL,
					 EV_ENDED_YIELD, 0 });
	tape_call(t, (struct tape_call){ 2, 5, 0, 0, NO_LINE, 0xe0, 10, 330, 300, EV_BEGAN_CALL,
					 EV_ENDED_YIELD, 0 });
	/* main and handle were open: both have been since the trace began */
	tape_call(t, (struct tape_call){ 1, 2, 1, 1, 10, 0xb0, 0, 400, 110, EV_BEGAN_BEFORE,
					 EV_ENDED_RETURN, 0 });
	tape_call(t, (struct tape_call){ 1, 4, 1, 1, 60, 0xd0, 500, 510, 0, EV_BEGAN_CALL,
					 EV_ENDED_YIELD, 0 });
	tape_call(t, (struct tape_call){ 1, 4, 1, 1, 60, 0xd8, 520, 530, 0, EV_BEGAN_CALL,
					 EV_ENDED_YIELD, 0 });
	tape_call(t, (struct tape_call){ 1, 4, 1, 1, 65, 0xd0, 600, 640, 0, EV_BEGAN_RESUME,
					 EV_ENDED_RETURN, 0 });
	tape_call(t, (struct tape_call){ 1, 7, 1, 1, 105, 0xb8, 700, 800, 0, EV_BEGAN_CALL,
					 EV_ENDED_RETURN, 0 });
	tape_call(t, (struct tape_call){ 2, 6, 5, 1, 10, 0xf0, 5320, 5420, 0, EV_BEGAN_RESUME,
					 EV_ENDED_RETURN, 0 });
	tape_call(t, (struct tape_call){ 2, 5, 0, 0, NO_LINE, 0xe0, 5310, 5430, 100,
					 EV_BEGAN_RESUME, EV_ENDED_RETURN, 0 });
	tape_call(t, (struct tape_call){ 1, 1, 0, 0, NO_LINE, 0xa0, 0, 10000, 560, EV_BEGAN_BEFORE,
					 EV_ENDED_OPEN, 0 });
}

/* Sums that fit the story, of two functions, and its end. */
static inline void tape_story_end(struct tape *t, struct record_trace_stats stats)
{
	struct record_sum sums[2] = { { .func = 2 }, { .func = 3 } };
	struct record_edge edges[2] = {
		{ .key = { 1, 2 },
		  .sum = { .calls = 1,
			   .primitive = 1,
			   .self_ns = 290000,
			   .total_ns = 400000,
			   .below = 1 } },
		{ .key = { 2, 3 },
		  .sum = { .calls = 1, .primitive = 1, .self_ns = 110000, .total_ns = 110000 } },
	};

	sums[0].sum = (struct trace_func){ .code = 0x2000,
					   .image = 1,
					   .began = { [EV_BEGAN_BEFORE] = 1 },
					   .ended = { [EV_ENDED_RETURN] = 1 },
					   .self_ns = 290000,
					   .total_ns = 400000,
					   .max_ns = 400000,
					   .primitive = 1,
					   .kids = 1,
					   .below = 1 };
	sums[0].sum.hist[trace_bucket(400000)] = 1;
	sums[1].sum = (struct trace_func){ .code = 0x3000,
					   .image = 1,
					   .began = { [EV_BEGAN_CALL] = 1 },
					   .ended = { [EV_ENDED_RAISE] = 1 },
					   .self_ns = 110000,
					   .total_ns = 110000,
					   .max_ns = 110000,
					   .primitive = 1 };
	sums[1].sum.hist[trace_bucket(110000)] = 1;
	tape_put(t, RECORD_SUMS, sums, sizeof(sums));
	tape_put(t, RECORD_EDGES, edges, sizeof(edges));
	tape_end(t, stats);
}

#endif
