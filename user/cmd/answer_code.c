/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/answer_code.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "events.h"
#include "model/profile.h"
#include "model/record.h"
#include "python/code.h"
#include "python/mem.h"

static void part_add(struct buf *data, struct bytes part, size_t max, uint32_t *ret_len)
{
	*ret_len = part.len < max ? part.len : max;
	buf_add(data, part.data, *ret_len);
}

int code_record(struct mem *mem, const struct py_abi *abi, const struct want *want, struct buf *out)
{
	const size_t head = offsetof(struct ev_code, data);
	struct code_raw raw;
	struct ev_code *ev;
	struct buf store;
	int err = -ESTALE;

	ev = calloc(1, sizeof(*ev));
	if (!ev)
		return out->err = -ENOMEM;
	buf_init(&store, 4u << 20);
	if (code_read(mem, abi, want->code, &store, &raw) ||
	    code_check(abi, raw.facts, raw.name) != want->check)
		goto out;
	buf_add(out, ev, head);
	part_add(out, raw.facts, EV_CODE_FACTS_MAX, &ev->facts_len);
	part_add(out, raw.name, EV_CODE_NAME_MAX, &ev->name_len);
	part_add(out, raw.qualname, EV_CODE_QUALNAME_MAX, &ev->qualname_len);
	part_add(out, raw.filename, EV_CODE_FILENAME_MAX, &ev->filename_len);
	part_add(out, raw.linetable, RECORD_LEN_MAX - out->len, &ev->linetable_len);
	ev->code = want->code;
	ev->check = want->check;
	ev->hdr = (struct ev_hdr){
		.kind = EV_CODE, .size = out->len, .image = want->image, .tgid = want->pid
	};
	err = out->err;
	if (!err)
		memcpy(out->data, ev, head);
out:
	buf_done(&store);
	free(ev);
	return err;
}
