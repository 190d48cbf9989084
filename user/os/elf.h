/* SPDX-License-Identifier: Apache-2.0 */
/* ELF files, read with libelf: symbols, sections, and where a mapping of one lies. */
#ifndef UNCOIL_OS_ELF_H
#define UNCOIL_OS_ELF_H

#include <stdint.h>

struct buf;
struct elf;
struct err;

/* Takes over fd (closed by elf__close, or here on failure). NULL with a sentence if it is no 64-bit
 * ELF file of this machine. Reads headers only: a file of 100 GB costs no more than a small one. */
struct elf *elf__open(int fd, struct err *err);
void elf__close(struct elf *elf);

struct elf_symbol {
	const char *name;
	uint64_t value; /* virtual address as the file has it; 0 = not found */
	uint64_t size;
};

/* Fills the values of the symbols named, from .dynsym, then .symtab (bounded: tables over 64 MiB
 * are refused). Returns how many were found, or -errno. */
int elf__symbols(struct elf *elf, struct elf_symbol *symbols, int cnt);

/* A loadable segment: bytes of the file, and where they are to be. */
struct elf_segment {
	uint64_t offset, filesz, vaddr;
};

/* The loadable segments; how many, at most max, or -E2BIG, -EINVAL. */
int elf__segments(struct elf *elf, struct elf_segment *segments, int max);

/* What to add to a virtual address of the file, given that its byte `offset` is mapped at `start`.
 * -EINVAL if no loadable segment holds that byte. */
int elf_bias(const struct elf_segment *segments, int cnt, uint64_t start, uint64_t offset,
	     uint64_t *ret_bias);

/* Contents of the named section, appended; -ENOENT, or -E2BIG beyond the buffer's maximum. */
int elf__section(struct elf *elf, const char *name, struct buf *out);

#endif
