/* SPDX-License-Identifier: Apache-2.0 */
/* Probe sites of any bytes: of an ELF file, or of code and a table of handlers in it. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "os/elf.h"
#include "python/flow.h"
#include "python/handler.h"
#include "python/sites.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A site is an instruction of the file, whole, and one that may be probed. */
static void check(const struct sites *sites, const uint8_t *data, size_t size)
{
	const struct site *site;
	struct insn insn;
	char text[48];
	int i;

	if (sites->cnt > SITES_MAX)
		abort();
	for (i = 0; i < sites->cnt; i++) {
		site = &sites->list[i];
		if (site->offset > size || site->insn.len > size - site->offset ||
		    memcmp(data + site->offset, site->bytes, site->insn.len) != 0 ||
		    insn_decode(site->bytes, site->insn.len, site->vaddr, &insn) ||
		    insn.len != site->insn.len || insn.probe == INSN_REFUSED ||
		    !memchr(site->name, 0, sizeof(site->name)) || !site->name[0])
			abort();
		if (strlen(insn_text(site->bytes, &insn, text)) >= sizeof(text))
			abort();
	}
	if (sites->method == SITES_NONE && !sites->why[0])
		abort();
}

static void fuzz_file(uint8_t minor, const uint8_t *data, size_t size)
{
	struct sites sites;
	struct elf *elf;
	struct err err;
	int fd = memfd_create("fuzz", 0);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	elf = elf__open(fd, &err);
	if (!elf)
		return;
	if (!sites_find(elf, minor, minor & 1, &sites, &err))
		check(&sites, data, size);
	elf__close(elf);
}

/* Two bytes per entry: the first `cnt` are the group's, the others foreign; the rest is code. */
static void fuzz_code(const uint8_t *data, size_t size)
{
	struct elf_image image = { .cnt = 1 };
	struct choice choices[GROUP_MAX];
	uint64_t entries[16];
	struct group group = { .foreign = entries };
	struct insn insn;
	struct flow *flow;
	uint16_t at;
	uint8_t *code;
	int i, k, cnt;
	uint32_t covered = 0;

	if (size < 34)
		return;
	group.cnt = 1 + data[0] % 4;
	group.no_calls = data[0] & 64;
	group.is_called = data[0] & 128;
	for (i = 0; i < 16; i++) {
		memcpy(&at, data + 1 + 2 * i, 2);
		entries[i] = 0x1000 + at % (size - 33);
	}
	for (i = 0; i < group.cnt; i++) {
		group.entry[i] = entries[i];
		for (k = 0; k < i; k++)
			if (group.entry[k] == group.entry[i])
				return;
	}
	group.foreign = entries + group.cnt;
	group.foreign_cnt = data[0] >> 2 & 7;
	code = malloc(size - 33); /* to the byte, so that a sanitizer sees a read past the end */
	memcpy(code, data + 33, size - 33);
	image.list[0] = (struct elf_segment){ 0x1000, 0, size - 33, true, code };
	flow = flow__new(&image);
	if (!flow)
		abort();
	cnt = handler_choose(flow, &group, choices);
	if (cnt > group.cnt || cnt == 0)
		abort();
	for (i = 0; i < cnt; i++) {
		if (flow__insn(flow, choices[i].addr, &insn, NULL) || insn.probe == INSN_REFUSED ||
		    !flow__in_step(flow, choices[i].addr) || covered & choices[i].entries ||
		    (group.no_calls && insn.kind == INSN_CALL))
			abort();
		covered |= choices[i].entries;
	}
	if (cnt > 0 && covered != (1u << group.cnt) - 1)
		abort();
	handler_choose_exit(flow, entries, 16, 0x1000, size, group.no_calls, choices);
	flow__free(flow);
	free(code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	if (data[0] & 1)
		fuzz_code(data + 1, size - 1);
	else
		fuzz_file(7 + data[1] % 10, data + 2, size - 2);
	return 0;
}
