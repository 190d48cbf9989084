/* SPDX-License-Identifier: Apache-2.0 */
#include "os/elf.h"

#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"

#define ELF_TABLE_MAX (64u << 20)
#define PAGE_MASK     4095ULL

#if defined(__x86_64__)
#define ELF_MACHINE  EM_X86_64
#define ELF_RELATIVE R_X86_64_RELATIVE
#elif defined(__aarch64__)
#define ELF_MACHINE  EM_AARCH64
#define ELF_RELATIVE R_AARCH64_RELATIVE
#endif

struct elf {
	int fd;
	Elf *handle;
	GElf_Ehdr ehdr;
};

/* More sections than a header can tell are counted elsewhere, and libelf believes any number. */
static bool head_fits(int fd)
{
	Elf64_Ehdr head;

	return pread(fd, &head, sizeof(head), 0) == sizeof(head) &&
	       !memcmp(head.e_ident, ELFMAG, SELFMAG) && head.e_ident[EI_CLASS] == ELFCLASS64 &&
	       head.e_shnum;
}

struct elf *elf__open(int fd, struct err *err)
{
	struct elf *elf;

	elf_version(EV_CURRENT);
	elf = calloc(1, sizeof(*elf));
	if (!elf) {
		close(fd);
		err_set(err, -ENOMEM, "out of memory");
		errno = ENOMEM;
		return NULL;
	}
	elf->fd = fd;
	/* ELF_C_READ, not _MMAP: a truncated mapping would be a SIGBUS */
	elf->handle = head_fits(fd) ? elf_begin(fd, ELF_C_READ, NULL) : NULL;
	if (!elf->handle || elf_kind(elf->handle) != ELF_K_ELF ||
	    !gelf_getehdr(elf->handle, &elf->ehdr) || gelf_getclass(elf->handle) != ELFCLASS64 ||
	    elf->ehdr.e_machine != ELF_MACHINE) {
		elf__close(elf);
		err_set(err, -ENOEXEC, "it is not a 64-bit ELF file of this machine");
		errno = ENOEXEC;
		return NULL;
	}
	return elf;
}

void elf__close(struct elf *elf)
{
	if (!elf)
		return;
	if (elf->handle)
		elf_end(elf->handle);
	close(elf->fd);
	free(elf);
}

/* elf_strptr() reads the whole table, whatever size it claims. */
static bool strings_fit(struct elf *elf, size_t index)
{
	GElf_Shdr shdr;

	return gelf_getshdr(elf_getscn(elf->handle, index), &shdr) && shdr.sh_size <= ELF_TABLE_MAX;
}

static int symbols_scan(struct elf *elf, Elf_Scn *scn, const GElf_Shdr *shdr,
			struct elf_symbol *symbols, int cnt)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	const char *name;
	size_t i, entries;
	GElf_Sym sym;
	int k, found = 0;

	if (!data || !shdr->sh_entsize)
		return 0;
	entries = data->d_size / shdr->sh_entsize;
	for (i = 0; i < entries; i++) {
		if (!gelf_getsym(data, i, &sym) || sym.st_shndx == SHN_UNDEF || !sym.st_value)
			continue;
		name = elf_strptr(elf->handle, shdr->sh_link, sym.st_name);
		/* all names that are ever asked for begin with one of these */
		if (!name || (name[0] != '_' && name[0] != 'P'))
			continue;
		for (k = 0; k < cnt; k++) {
			if (symbols[k].value || strcmp(symbols[k].name, name) != 0)
				continue;
			symbols[k].value = sym.st_value;
			symbols[k].size = sym.st_size;
			found++;
		}
	}
	return found;
}

int elf__symbols(struct elf *elf, struct elf_symbol *symbols, int cnt)
{
	static const uint32_t types[] = { SHT_DYNSYM, SHT_SYMTAB };
	Elf_Scn *scn;
	GElf_Shdr shdr;
	int found = 0;
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]) && found < cnt; i++) {
		scn = NULL;
		while ((scn = elf_nextscn(elf->handle, scn))) {
			if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != types[i])
				continue;
			if (shdr.sh_size > ELF_TABLE_MAX || !strings_fit(elf, shdr.sh_link))
				return -E2BIG;
			found += symbols_scan(elf, scn, &shdr, symbols, cnt);
			break; /* there is one of each type, or the file is none of a linker's */
		}
		/* .symtab holds all that .dynsym does: look there only for what is missing at all */
		if (found)
			break;
	}
	return found;
}

int elf__segments(struct elf *elf, struct elf_load *segments, int max)
{
	GElf_Phdr phdr;
	size_t i, cnt = 0;
	int found = 0;

	if (elf_getphdrnum(elf->handle, &cnt))
		return -EINVAL;
	for (i = 0; i < cnt; i++) {
		if (!gelf_getphdr(elf->handle, i, &phdr) || phdr.p_type != PT_LOAD)
			continue;
		if (found == max)
			return -E2BIG;
		segments[found++] = (struct elf_load){ phdr.p_offset, phdr.p_filesz, phdr.p_vaddr };
	}
	return found;
}

int elf_bias(const struct elf_load *segments, int cnt, uint64_t start, uint64_t offset,
	     uint64_t *ret_bias)
{
	const struct elf_load *s;
	bool found = false;

	for (s = segments; s < segments + cnt; s++) {
		if (offset < (s->offset & ~PAGE_MASK) || offset >= s->offset + s->filesz)
			continue;
		/* a page of the file may belong to the end of one segment and the beginning of the
		 * next: a mapping begins where its segment does */
		if (found && offset != (s->offset & ~PAGE_MASK))
			continue;
		*ret_bias = start - (s->vaddr + (offset - s->offset));
		found = true;
	}
	return found ? 0 : -EINVAL;
}

static Elf_Scn *section_find(struct elf *elf, const char *name, GElf_Shdr *ret_shdr)
{
	size_t names;
	const char *text;
	Elf_Scn *scn = NULL;

	if (elf_getshdrstrndx(elf->handle, &names) || !strings_fit(elf, names))
		return NULL;
	while ((scn = elf_nextscn(elf->handle, scn))) {
		if (!gelf_getshdr(scn, ret_shdr) || ret_shdr->sh_type == SHT_NOBITS)
			continue;
		text = elf_strptr(elf->handle, names, ret_shdr->sh_name);
		if (text && !strcmp(text, name))
			return scn;
	}
	return NULL;
}

int elf__section(struct elf *elf, const char *name, struct buf *out)
{
	GElf_Shdr shdr;
	Elf_Scn *scn = section_find(elf, name, &shdr);
	Elf_Data *data;

	if (!scn)
		return -ENOENT;
	if (shdr.sh_size > out->max)
		return -E2BIG;
	data = elf_getdata(scn, NULL);
	return data && data->d_buf ? buf_add(out, data->d_buf, data->d_size) : -EINVAL;
}

int elf__section_addr(struct elf *elf, const char *name, uint64_t *ret_addr)
{
	GElf_Shdr shdr;

	if (!section_find(elf, name, &shdr))
		return -ENOENT;
	*ret_addr = shdr.sh_addr;
	return 0;
}

static int segment_read(struct elf *elf, const GElf_Phdr *phdr, struct elf_segment *segment)
{
	size_t got = 0;
	ssize_t len;

	segment->data = malloc(phdr->p_filesz);
	if (!segment->data)
		return -ENOMEM;
	while (got < phdr->p_filesz) {
		len = pread(elf->fd, segment->data + got, phdr->p_filesz - got,
			    phdr->p_offset + got);
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return -errno;
		if (len == 0)
			return -EINVAL;
		got += len;
	}
	*segment = (struct elf_segment){ phdr->p_vaddr, phdr->p_offset, phdr->p_filesz,
					 phdr->p_flags & PF_X, segment->data };
	return 0;
}

int elf__load(struct elf *elf, uint64_t max, struct elf_image *ret_image)
{
	GElf_Phdr phdr;
	size_t i, cnt = 0;
	int err;

	*ret_image = (struct elf_image){};
	if (elf_getphdrnum(elf->handle, &cnt))
		return -EINVAL;
	for (i = 0; i < cnt; i++) {
		if (!gelf_getphdr(elf->handle, i, &phdr))
			return -EINVAL;
		if (phdr.p_type != PT_LOAD || !phdr.p_filesz)
			continue;
		if (ret_image->cnt == ELF_SEGMENTS_MAX || phdr.p_filesz > max)
			return -E2BIG;
		/* neither the addresses nor the offsets may wrap: whoever reads them adds */
		if (phdr.p_vaddr > UINT64_MAX / 2 || phdr.p_offset > INT64_MAX / 2)
			return -EINVAL;
		max -= phdr.p_filesz;
		err = segment_read(elf, &phdr, &ret_image->list[ret_image->cnt++]);
		if (err)
			return err;
	}
	return 0;
}

void elf_image_done(struct elf_image *image)
{
	int i;

	for (i = 0; i < image->cnt; i++)
		free(image->list[i].data);
	image->cnt = 0;
}

const struct elf_segment *elf_image_find(const struct elf_image *image, uint64_t vaddr)
{
	const struct elf_segment *segment;
	int i;

	for (i = 0; i < image->cnt; i++) {
		segment = &image->list[i];
		if (vaddr >= segment->vaddr && vaddr - segment->vaddr < segment->size)
			return segment;
	}
	return NULL;
}

int elf__relative_each(struct elf *elf, int (*fn)(void *ctx, uint64_t place, uint64_t addend),
		       void *ctx)
{
	Elf_Scn *scn = NULL;
	Elf_Data *data;
	GElf_Shdr shdr;
	GElf_Rela rela;
	size_t i;
	int err = 0;

	while (!err && (scn = elf_nextscn(elf->handle, scn))) {
		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_RELA)
			continue;
		if (shdr.sh_size > ELF_TABLE_MAX)
			return -E2BIG;
		data = elf_getdata(scn, NULL);
		for (i = 0; data && !err && i < data->d_size / sizeof(Elf64_Rela); i++)
			if (gelf_getrela(data, i, &rela) &&
			    GELF_R_TYPE(rela.r_info) == ELF_RELATIVE)
				err = fn(ctx, rela.r_offset, rela.r_addend);
	}
	return err;
}
