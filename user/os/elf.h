/* SPDX-License-Identifier: Apache-2.0 */
/* ELF files, read with libelf: symbols, sections, and where a mapping of one lies. */
#ifndef UNCOIL_OS_ELF_H
#define UNCOIL_OS_ELF_H

#include <stdbool.h>
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
struct elf_load {
	uint64_t offset, filesz, vaddr;
};

/* The loadable segments; how many, at most max, or -E2BIG, -EINVAL. */
int elf__segments(struct elf *elf, struct elf_load *segments, int max);

/* What to add to a virtual address of the file, given that its byte `offset` is mapped at `start`.
 * -EINVAL if no loadable segment holds that byte. */
int elf_bias(const struct elf_load *segments, int cnt, uint64_t start, uint64_t offset,
	     uint64_t *ret_bias);

/* Contents of the named section, appended; -ENOENT, or -E2BIG beyond the buffer's maximum. */
int elf__section(struct elf *elf, const char *name, struct buf *out);

/* The named section's virtual address; -ENOENT. */
int elf__section_addr(struct elf *elf, const char *name, uint64_t *ret_addr);

/* What a file's loadable segments hold, as the file has it (relocations are not applied). */
#define ELF_SEGMENTS_MAX 16

struct elf_segment {
	uint64_t vaddr, offset, size; /* addresses and bytes of the file; no more than it has */
	bool is_exec;
	uint8_t *data;
};

struct elf_image {
	struct elf_segment list[ELF_SEGMENTS_MAX];
	int cnt;
};

/* -E2BIG: more than `max` bytes, or too many segments; -EINVAL: the headers contradict the file.
 * elf_image_done() in any case. */
int elf__load(struct elf *elf, uint64_t max, struct elf_image *ret_image);
void elf_image_done(struct elf_image *image);

/* The segment in which the address lies, NULL if none. */
const struct elf_segment *elf_image_find(const struct elf_image *image, uint64_t vaddr);

/* Calls fn for each relocation that only adds the load address (R_X86_64_RELATIVE and the like);
 * stops when it returns non-zero and returns that; 0 at the end, or -errno. */
int elf__relative_each(struct elf *elf, int (*fn)(void *ctx, uint64_t place, uint64_t addend),
		       void *ctx);

#endif
