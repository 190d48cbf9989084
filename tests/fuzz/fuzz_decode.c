/* SPDX-License-Identifier: Apache-2.0 */
/* The first door: whatever event_decode() accepts can be read to its last byte. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sink;

static void touch(struct bytes part)
{
	size_t i;

	for (i = 0; i < part.len; i++)
		sink += part.data[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t *aligned = malloc(size); /* to the byte: what reads beyond it is caught */
	struct event ev;
	uint32_t i;

	if (!aligned)
		return 0;
	if (size)
		memcpy(aligned, data, size);
	if (!event_decode(aligned, size, &ev)) {
		if (ev.hdr->kind == EV_STACK)
			for (i = 0; i < ev.stack->frame_cnt; i++)
				sink += ev.stack->frames[i].code + ev.stack->frames[i].check;
		if (ev.hdr->kind == EV_TICK)
			sink += ev.tick->hash;
		if (ev.hdr->kind == EV_WAIT)
			sink += ev.wait->start_ns + ev.wait->wait_ns + ev.wait->runq_ns;
		if (ev.hdr->kind == EV_FUNC)
			sink += ev.func->globals + ev.func->kind;
		if (ev.hdr->kind == EV_CALL)
			sink += ev.call->start_ns + ev.call->child_ns + ev.call->lasti;
		if (ev.hdr->kind == EV_RAISE)
			touch((struct bytes){ ev.raise->name, ev.raise->name_len });
		if (ev.hdr->kind == EV_CODE) {
			touch(ev.raw.facts);
			touch(ev.raw.name);
			touch(ev.raw.qualname);
			touch(ev.raw.filename);
			touch(ev.raw.linetable);
		}
	}
	free(aligned);
	return 0;
}
