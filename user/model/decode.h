/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first door: bytes from the ring, or from a journal, become an event or are refused. Pure;
 * fuzzed by tests/fuzz/fuzz_decode.c.
 */
#ifndef UNCOIL_MODEL_DECODE_H
#define UNCOIL_MODEL_DECODE_H

#include <stddef.h>

#include "events.h"
#include "python/code.h"

/* A checked event: pointers into the bytes given, which must be aligned to 8 and outlive it. */
struct event {
	const struct ev_hdr *hdr; /* kind and size hold */
	union {
		const struct ev_stack *stack; /* frame_cnt frames are there */
		const struct ev_code *code;   /* parts are in `raw` */
		const struct ev_thread *thread;
		const struct ev_fork *fork;
		const struct ev_exec *exec;
		const struct ev_exit *exit;
		const struct ev_times *times;
		const struct ev_tick *tick;
		const struct ev_wait *wait;
		const struct ev_task *task; /* name_len bytes are there */
		const struct ev_func *func; /* has a number, and a kind that there is */
		const struct ev_call *call; /* began and ended as can be, and not before it began */
		const struct ev_raise *raise; /* name_len bytes are there */
	};
	struct code_raw raw; /* EV_CODE only */
};

/* 0, or -EINVAL: size, kind, count or flags do not hold. */
int event_decode(const void *data, size_t len, struct event *ret_event);

/* The same for a RECORD_CODE, whose parts may be longer than the kernel side ever sends: only
 * RECORD_LEN_MAX bounds them. Takes an EV_CODE from the ring too. */
int code_record_decode(const void *data, size_t len, struct event *ret_event);

#endif
