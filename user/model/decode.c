/* SPDX-License-Identifier: Apache-2.0 */
#include "model/decode.h"

#include <errno.h>
#include <string.h>

#include "model/record.h"

/* What is no code object must be a task, behind all frames, or the collector, and said to be there. */
static bool frames_hold(const struct ev_stack *ev)
{
	uint32_t i, lasti;

	for (i = 0; i < ev->frame_cnt; i++) {
		lasti = ev->frames[i].lasti;
		if (lasti >= EV_TASK_NAMED && lasti < EV_TASK_ENTRY_END && i == ev->frame_cnt - 1)
			continue;
		if (!ev->frames[i].code && (!(ev->flags & EV_STACK_GC) || !ev->frames[i].check ||
					    ev->frames[i].check > EV_CHECK_GC_DURING))
			return false;
	}
	return true;
}

static int stack_decode(const void *data, size_t len, struct event *ev)
{
	const size_t head = sizeof(struct ev_stack) - sizeof(((struct ev_stack *)0)->frames);

	ev->stack = data;
	if (len < head || ev->stack->frame_cnt > EV_ENTRIES_MAX ||
	    len != head + ev->stack->frame_cnt * sizeof(struct py_frame) ||
	    (ev->stack->flags & ~EV_STACK_ALL) || (ev->stack->wait.flags & ~WAIT_ALL) ||
	    !frames_hold(ev->stack))
		return -EINVAL;
	return 0;
}

/* Takes the next `len` bytes off the front of `rest`. */
static int part_take(struct bytes *rest, uint32_t len, struct bytes *ret_part)
{
	if (len > rest->len)
		return -EINVAL;
	ret_part->data = rest->data;
	ret_part->len = len;
	rest->data += len;
	rest->len -= len;
	return 0;
}

static int code_event_decode(const void *data, size_t len, size_t max, struct event *ev)
{
	const size_t head = sizeof(struct ev_code) - EV_CODE_DATA_MAX;
	struct bytes rest;

	ev->code = data;
	if (len < head || len > max)
		return -EINVAL;
	rest.data = (const uint8_t *)data + head;
	rest.len = len - head;
	if (part_take(&rest, ev->code->facts_len, &ev->raw.facts) ||
	    part_take(&rest, ev->code->name_len, &ev->raw.name) ||
	    part_take(&rest, ev->code->qualname_len, &ev->raw.qualname) ||
	    part_take(&rest, ev->code->filename_len, &ev->raw.filename) ||
	    part_take(&rest, ev->code->linetable_len, &ev->raw.linetable))
		return -EINVAL;
	return rest.len ? -EINVAL : 0;
}

static int task_decode(const void *data, size_t len, struct event *ev)
{
	const size_t head = sizeof(struct ev_task) - EV_TASK_NAME_MAX;

	ev->task = data;
	return len >= head && ev->task->name_len <= EV_TASK_NAME_MAX &&
			       len == head + ev->task->name_len
		       ? 0
		       : -EINVAL;
}

static int fixed(size_t len, size_t want)
{
	return len == want ? 0 : -EINVAL;
}

static int wait_decode(const void *data, size_t len, struct event *ev)
{
	uint64_t longest = INT64_MAX; /* nothing that is added up below wraps */

	ev->wait = data;
	if (len != sizeof(*ev->wait) || (ev->wait->flags & ~EV_WAIT_ALL) ||
	    ev->wait->start_ns > longest / 2 || ev->wait->wait_ns > longest / 4 ||
	    ev->wait->runq_ns > longest / 4)
		return -EINVAL;
	return 0;
}

static int func_decode(const void *data, size_t len, struct event *ev)
{
	ev->func = data;
	return len == sizeof(*ev->func) && ev->func->func && ev->func->kind < EV_FUNC_KIND_MAX
		       ? 0
		       : -EINVAL;
}

static int call_decode(const void *data, size_t len, struct event *ev)
{
	const struct ev_call *call = data;

	ev->call = call;
	/* times are kept as int64_t, and nothing that is added to them wraps */
	if (len != sizeof(*call) || !call->func || (call->flags & ~EV_CALL_ALL) ||
	    EV_CALL_BEGAN(call->flags) >= EV_BEGAN_MAX ||
	    EV_CALL_ENDED(call->flags) >= EV_ENDED_MAX || call->start_ns > call->hdr.ts_ns ||
	    call->hdr.ts_ns > INT64_MAX / 2)
		return -EINVAL;
	return 0;
}

static int raise_decode(const void *data, size_t len, struct event *ev)
{
	const size_t head = sizeof(struct ev_raise) - EV_TYPE_NAME_MAX;

	ev->raise = data;
	return len >= head && len <= sizeof(*ev->raise) && ev->raise->name_len <= len - head
		       ? 0
		       : -EINVAL;
}

int event_decode(const void *data, size_t len, struct event *ret_event)
{
	struct event ev = { .hdr = data };
	int err = -EINVAL;

	if (len < sizeof(struct ev_hdr) || ev.hdr->size != len || !ev.hdr->image)
		return -EINVAL;
	switch (ev.hdr->kind) {
	case EV_STACK:
		err = stack_decode(data, len, &ev);
		break;
	case EV_CODE:
		err = code_event_decode(data, len, sizeof(struct ev_code), &ev);
		break;
	case EV_THREAD:
		ev.thread = data;
		err = fixed(len, sizeof(*ev.thread));
		break;
	case EV_FORK:
		ev.fork = data;
		err = fixed(len, sizeof(*ev.fork));
		break;
	case EV_EXEC:
		ev.exec = data;
		err = fixed(len, sizeof(*ev.exec));
		break;
	case EV_EXIT:
		ev.exit = data;
		err = fixed(len, sizeof(*ev.exit));
		break;
	case EV_TIMES:
		ev.times = data;
		err = fixed(len, sizeof(*ev.times));
		break;
	case EV_TICK:
		ev.tick = data;
		err = fixed(len, sizeof(*ev.tick));
		break;
	case EV_WAIT:
		err = wait_decode(data, len, &ev);
		break;
	case EV_TASK:
		err = task_decode(data, len, &ev);
		break;
	case EV_FUNC:
		err = func_decode(data, len, &ev);
		break;
	case EV_CALL:
		err = call_decode(data, len, &ev);
		break;
	case EV_RAISE:
		err = raise_decode(data, len, &ev);
		break;
	}
	if (!err)
		*ret_event = ev;
	return err;
}

int code_record_decode(const void *data, size_t len, struct event *ret_event)
{
	struct event ev = { .hdr = data };
	int err;

	if (len < sizeof(struct ev_hdr) || ev.hdr->size != len || !ev.hdr->image ||
	    ev.hdr->kind != EV_CODE)
		return -EINVAL;
	err = code_event_decode(data, len, RECORD_LEN_MAX, &ev);
	if (!err)
		*ret_event = ev;
	return err;
}
