/* SPDX-License-Identifier: Apache-2.0 */
/* What the profile is told of asyncio's tasks (record --async): their names, and since when. */
#include <errno.h>
#include <string.h>

#include "model/profile_impl.h"

int profile_task(struct profile *p, const struct ev_task *ev)
{
	struct code_id id = { .code = ev->hash, .image = ev->hdr.image };
	struct image *image;
	struct code *code;
	int err;

	HASH_FIND(hh, p->images, &id.image, sizeof(id.image), image);
	if (p->full || !image || !image->known || !profile_room(p, sizeof(*code) + ENTRY_COST))
		return 0; /* "[name not read]" */
	code = profile_code(p, id);
	if (!code)
		return -ENOMEM;
	if (code->decoded)
		return 0;
	err = code_task_name(&image->abi, (struct bytes){ ev->name, ev->name_len }, &code->py);
	code->decoded = !err;
	code->failed = err;
	if (!err)
		p->bytes += strlen(code->py.name) + 1;
	return err == -ENOMEM ? err : 0;
}

int profile_tasks_told(struct profile *p, const struct record_tasks *r)
{
	struct image *image;
	uint64_t since;

	if (r->flags & ~RECORD_TASKS_REFUSED)
		return -EINVAL;
	HASH_FIND(hh, p->images, &r->image, sizeof(r->image), image);
	if (!image)
		return 0; /* the profile was full when it came */
	image->tasks_refused = r->flags & RECORD_TASKS_REFUSED;
	/* before the first thread was seen nothing was missed */
	since = image->start_ns > p->first_ns ? image->start_ns : p->first_ns;
	if (!image->tasks_told && p->first_ns && r->told_ns > since)
		image->tasks_late_ns = r->told_ns - since;
	image->tasks_told = true;
	return 0;
}
