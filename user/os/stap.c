/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A note is a header of three words (sizes of name and description, type), the name "stapsdt" padded to 8,
 * and the description, padded to four bytes:
 *
 *	pc, base, semaphore (8 bytes each), provider\0, name\0, arguments\0
 *
 * `base` is where .stapsdt.base was when the note was written: what it has moved since, all have moved.
 */
#include "os/stap.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "os/elf.h"

#define NOTES_MAX  (4u << 20)
#define STAP_TYPE  3
#define WORDS_SIZE 24 /* pc, base, semaphore */

/* The string at *at, and *at behind it; NULL if it does not end within. */
static const char *string(const char **at, const char *end)
{
	const char *text = *at, *nul = memchr(text, 0, end - text);

	if (!nul)
		return NULL;
	*at = nul + 1;
	return text;
}

static int note(const char *desc, size_t len, uint64_t base, struct stap_point *ret_point)
{
	const char *at = desc + WORDS_SIZE, *end = desc + len;
	uint64_t words[3];

	if (len < WORDS_SIZE)
		return -EINVAL;
	memcpy(words, desc, sizeof(words));
	*ret_point = (struct stap_point){ .pc = words[0] + (base ? base - words[1] : 0) };
	if (words[2])
		ret_point->semaphore = words[2] + (base ? base - words[1] : 0);
	ret_point->provider = string(&at, end);
	ret_point->name = ret_point->provider ? string(&at, end) : NULL;
	ret_point->args = ret_point->name ? string(&at, end) : NULL;
	return ret_point->args ? 0 : -EINVAL;
}

int stap_each(struct elf *elf, int (*fn)(void *ctx, const struct stap_point *point), void *ctx)
{
	struct stap_point point;
	uint64_t base = 0, name_sz, desc_sz;
	const char *at, *end;
	Elf64_Nhdr head;
	struct buf data;
	int err;

	buf_init(&data, NOTES_MAX);
	err = elf__section(elf, ".note.stapsdt", &data);
	if (err) {
		buf_done(&data);
		return err == -ENOENT ? 0 : err;
	}
	elf__section_addr(elf, ".stapsdt.base", &base);
	at = data.data;
	end = at + data.len;
	while (!err && at && (size_t)(end - at) >= sizeof(head)) {
		memcpy(&head, at, sizeof(head));
		at += sizeof(head);
		name_sz = ((uint64_t)head.n_namesz + 3) & ~3ULL;
		desc_sz = ((uint64_t)head.n_descsz + 3) & ~3ULL;
		if (name_sz > (uint64_t)(end - at) || desc_sz > (uint64_t)(end - at) - name_sz)
			break;
		if (head.n_type == STAP_TYPE && head.n_namesz == 8 && !memcmp(at, "stapsdt", 8) &&
		    !note(at + name_sz, head.n_descsz, base, &point))
			err = fn(ctx, &point);
		at += name_sz + desc_sz;
	}
	buf_done(&data);
	return err;
}
