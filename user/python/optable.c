/* SPDX-License-Identifier: Apache-2.0 */
#include "python/optable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "os/elf.h"

#define TABLE        256
#define SHARED_MAX   8 /* opcodes whose handler the compiler merged with that of unknown ones */
#define RELATIVE_MAX (4u << 20)
#define WINDOWS_MAX  65536 /* looked at closely: a file is not to keep us busy for minutes */

struct word {
	uint64_t place, value;
};

struct words {
	struct word *list;
	size_t cnt, cap;
};

static bool is_code(const struct elf_image *image, uint64_t addr)
{
	const struct elf_segment *segment = elf_image_find(image, addr);

	return segment && segment->is_exec;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool is_unused(const struct opcode_row *row, int op)
{
	return row->unused[op / 64] >> (op % 64) & 1;
}

bool optable_fits(const struct opcode_row *row, const uint64_t entry[static 256],
		  struct optable *ret_table)
{
	uint64_t sorted[TABLE], unknown = 0;
	uint32_t used = 0, shared = 0, distinct = 1;
	int op;

	for (op = 0; op < TABLE; op++) {
		if (!is_unused(row, op))
			continue;
		if (unknown && entry[op] != unknown)
			return false;
		unknown = entry[op];
	}
	for (op = 0; op < TABLE; op++) {
		used += !is_unused(row, op);
		shared += !is_unused(row, op) && entry[op] == unknown;
	}
	memcpy(sorted, entry, sizeof(sorted));
	qsort(sorted, TABLE, sizeof(*sorted), by_value);
	for (op = 1; op < TABLE; op++)
		distinct += sorted[op] != sorted[op - 1];
	/* some handlers are the same code, and compilers merge those */
	if (shared > SHARED_MAX || distinct > used + 1 || distinct < used - used / 4)
		return false;
	*ret_table = (struct optable){ .row = row, .unknown = unknown, .distinct = distinct };
	memcpy(ret_table->entry, entry, sizeof(ret_table->entry));
	return true;
}

static int on_relative(void *ctx, uint64_t place, uint64_t addend)
{
	struct words *words = ctx;
	struct word *grown;
	size_t cap;

	if (words->cnt == RELATIVE_MAX)
		return -E2BIG;
	if (words->cnt == words->cap) {
		cap = words->cap ? 2 * words->cap : 4096;
		grown = realloc(words->list, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		words->list = grown;
		words->cap = cap;
	}
	words->list[words->cnt++] = (struct word){ place, addend };
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct word *x = a, *y = b;

	return (x->place > y->place) - (x->place < y->place);
}

/* All windows of 256 words of a segment that hold addresses of code only. */
static int segment_search(const struct elf_image *image, const struct elf_segment *segment,
			  const struct words *relative, const struct opcode_row *row,
			  uint32_t *windows, struct optable *ret_table)
{
	uint64_t window[TABLE], place = (segment->vaddr + 7) & ~7ULL, value;
	size_t rel = 0, run = 0;
	int found = 0;

	while (rel < relative->cnt && relative->list[rel].place < place)
		rel++;
	for (; place + 8 <= segment->vaddr + segment->size; place += 8) {
		memcpy(&value, segment->data + (place - segment->vaddr), sizeof(value));
		while (rel < relative->cnt && relative->list[rel].place < place)
			rel++;
		if (rel < relative->cnt && relative->list[rel].place == place)
			value = relative->list[rel].value;
		if (!is_code(image, value)) {
			run = 0;
			continue;
		}
		if (run == TABLE) {
			memmove(window, window + 1, sizeof(window) - sizeof(*window));
			run--;
		}
		window[run++] = value;
		if (run == TABLE && ++*windows <= WINDOWS_MAX &&
		    optable_fits(row, window, ret_table)) {
			ret_table->at = place - 8 * (TABLE - 1);
			found++;
			run = 0;
		}
	}
	return found;
}

int optable_find(struct elf *elf, const struct elf_image *image, uint16_t minor,
		 struct optable *ret_table, struct err *err)
{
	const struct opcode_row *row = NULL;
	struct words relative = {};
	uint32_t windows = 0;
	int i, code, found = 0;

	for (i = 0; i < (int)(sizeof(opcode_rows) / sizeof(opcode_rows[0])); i++)
		if (opcode_rows[i].minor == minor)
			row = &opcode_rows[i];
	if (!row)
		return err_set(err, -ENOTSUP, "the opcodes of CPython 3.%u are not known", minor);
	code = elf__relative_each(elf, on_relative, &relative);
	if (code) {
		err_set(err, code, "its relocations cannot be read: %s", err_str(code));
		goto out;
	}
	if (relative.cnt)
		qsort(relative.list, relative.cnt, sizeof(*relative.list), by_place);
	/* executable segments too: not all linkers keep constants apart from code */
	for (i = 0; i < image->cnt; i++)
		found +=
			segment_search(image, &image->list[i], &relative, row, &windows, ret_table);
	if (found == 0)
		code = err_set(err, -ENOENT,
			       "no table of opcode handlers in it (built without computed gotos?)");
	else if (found > 1)
		code = err_set(err, -EEXIST, "%d tables in it look like that of opcode handlers",
			       found);
out:
	free(relative.list);
	return code;
}
