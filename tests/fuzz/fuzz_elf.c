/* SPDX-License-Identifier: Apache-2.0 */
/* An interpreter's file of any bytes: what the target's program, or a libpython in it, may be. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* for version_search(), which nobody else calls */
#include "python/find.c"

#define SECTION_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void symbols_read(struct elf *elf)
{
	struct elf_symbol symbols[] = { { "_PyRuntime" }, { "PyCode_Type" }, { "Py_Version" } };
	int i, cnt = sizeof(symbols) / sizeof(symbols[0]), found = elf__symbols(elf, symbols, cnt);

	for (i = 0; i < cnt && found >= 0; i++)
		found -= symbols[i].value != 0;
	if (found > 0)
		abort();
}

static void section_read(struct elf *elf, const char *name)
{
	struct buf out;

	buf_init(&out, SECTION_MAX);
	if (!elf__section(elf, name, &out) && out.len > SECTION_MAX)
		abort();
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t start = 0x7f0000000000ULL, offset = 0, bias;
	struct err err = {};
	struct elf *elf;
	struct elf_load segments[16];
	struct elf_image image;
	char text[24];
	int cnt;
	uint32_t hex;
	int fd;

	if (size < 2)
		return 0;
	/* a mapping's offset is of pages */
	offset = (uint64_t)(data[0] | data[1] << 8) << 12;
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data + 2, size - 2) != (ssize_t)(size - 2))
		abort();
	elf = elf__open(fd, &err); /* takes fd */
	if (!elf) {
		if (!err.msg[0])
			abort();
		return 0;
	}
	symbols_read(elf);
	cnt = elf__segments(elf, segments, sizeof(segments) / sizeof(segments[0]));
	if (cnt > 0)
		elf_bias(segments, cnt, start, offset, &bias);
	if (!elf__load(elf, 1u << 24, &image))
		elf_image_find(&image, start);
	elf_image_done(&image);
	section_read(elf, ".AsyncioDebug");
	hex = version_search(elf, data[0] & 1 ? "/usr/bin/python3.9" : "/usr/bin/program");
	python_version(hex, text);
	elf__close(elf);
	return 0;
}
