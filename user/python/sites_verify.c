/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "os/elf.h"
#include "os/proc.h"
#include "python/find.h"
#include "python/mem.h"
#include "python/sites.h"

#define BREAKPOINT   0xcc /* int3 */
#define MAPPINGS_MAX 64   /* of one file in one process; more are refused */

struct mappings {
	uint64_t dev, inode;
	struct proc_map list[MAPPINGS_MAX]; /* without their paths */
	int cnt;
};

/* Those in which the kernel puts breakpoints: private, and not writable (valid_vma() of
 * kernel/events/uprobes.c); executable or not. */
static int on_map(void *ctx, const struct proc_map *map)
{
	struct mappings *all = ctx;

	if (map->inode != all->inode || map->dev != all->dev || !map->is_private || map->is_write)
		return 0;
	if (all->cnt == MAPPINGS_MAX)
		return -E2BIG;
	all->list[all->cnt] = *map;
	all->list[all->cnt++].path = NULL;
	return 0;
}

/* A debugger can be attached to any one thread. */
static int tracer_of(pid_t pid)
{
	pid_t *tids = NULL;
	char line[64];
	int i, cnt, tracer = 0;

	cnt = proc_threads(pid, &tids);
	if (cnt < 0)
		return cnt;
	for (i = 0; i < cnt && !tracer; i++)
		if (!proc_status_line(tids[i], "TracerPid", line, sizeof(line)))
			tracer = strtol(line, NULL, 10);
	free(tids);
	return tracer;
}

/* 0, 1 if another uprobe is there already, or -errno. */
static int site_verify(struct mem *mem, const struct site *site, const struct proc_map *map,
		       struct err *err)
{
	uint64_t addr = map->start + (site->offset - map->offset);
	uint8_t bytes[INSN_LEN_MAX];
	int code;

	code = mem_read(mem, addr, bytes, site->insn.len);
	if (code)
		return err_set(err, code, "cannot read the code of %s at %#llx: %s", site->name,
			       (unsigned long long)addr, err_str(code));
	if (!memcmp(bytes, site->bytes, site->insn.len))
		return 0;
	if (bytes[0] == BREAKPOINT && !memcmp(bytes + 1, site->bytes + 1, site->insn.len - 1))
		return 1;
	return err_set(err, -ESTALE,
		       "the code of %s at %#llx in the process is not that of its file: something "
		       "has changed it; no breakpoint may be put there",
		       site->name, (unsigned long long)addr);
}

int sites_verify(pid_t pid, const struct sites *sites, struct sites_state *ret_state,
		 struct err *err)
{
	struct mappings all = { .dev = sites->dev, .inode = sites->inode };
	struct sites_state state = {};
	struct mem_process mem;
	bool shared, seen;
	int i, k, code;

	code = tracer_of(pid);
	if (code < 0)
		return err_set(err, code, "cannot look at the threads of process %d: %s", pid,
			       err_str(code));
	if (code)
		return err_set(err, -EBUSY,
			       "a debugger (process %d) is attached to process %d: its breakpoints "
			       "and a probe's are not to be told apart",
			       code, pid);
	code = proc_maps_each(pid, on_map, &all);
	if (code)
		return err_set(err, code, "cannot read the mappings of process %d: %s", pid,
			       err_str(code));
	mem_process_init(&mem, pid);
	for (i = 0; i < sites->cnt; i++) {
		shared = seen = false;
		for (k = 0; k < all.cnt; k++) {
			if (sites->list[i].offset < all.list[k].offset ||
			    sites->list[i].offset - all.list[k].offset + sites->list[i].insn.len >
				    all.list[k].end - all.list[k].start)
				continue;
			code = site_verify(&mem.mem, &sites->list[i], &all.list[k], err);
			if (code < 0)
				return code;
			shared |= code;
			seen |= all.list[k].is_exec;
			state.mappings += i == 0;
		}
		if (!seen)
			return err_set(err, -ESTALE,
				       "process %d no longer has the code of %s mapped", pid,
				       sites->list[i].name);
		state.shared += shared;
	}
	*ret_state = state;
	return 0;
}

struct wanted {
	pid_t pid;
	const struct py_found *found;
	int fd; /* of the file; -ENOENT: no such mapping */
	struct err *err;
};

static int on_wanted(void *ctx, const struct proc_map *map)
{
	struct wanted *wanted = ctx;

	if (map->inode != wanted->found->inode || map->dev != wanted->found->dev)
		return 0;
	wanted->fd = proc_open_map(wanted->pid, map, wanted->err);
	return 1;
}

int sites_open(pid_t pid, const struct py_found *found, struct err *err)
{
	struct wanted wanted = { pid, found, -ENOENT, err };
	int code;

	code = proc_maps_each(pid, on_wanted, &wanted);
	if (code < 0)
		return err_set(err, code, "cannot read the mappings of process %d: %s", pid,
			       err_str(code));
	if (wanted.fd == -ENOENT)
		return err_set(err, -ESTALE, "process %d no longer has its Python mapped", pid);
	return wanted.fd;
}

/* Where the type of code objects says that they are freed, as an address, and the mapping that it is in. */
static const struct proc_map *dealloc_find(pid_t pid, const struct py_found *found,
					   uint32_t type_dealloc, struct mappings *all,
					   uint64_t *ret_addr)
{
	struct mem_process mem;
	int k;

	*all = (struct mappings){ .dev = found->dev, .inode = found->inode };
	mem_process_init(&mem, pid);
	if (mem_u64(&mem.mem, found->code_type + type_dealloc, ret_addr) ||
	    proc_maps_each(pid, on_map, all) < 0)
		return NULL;
	for (k = 0; k < all->cnt; k++)
		if (all->list[k].is_exec && *ret_addr >= all->list[k].start &&
		    *ret_addr < all->list[k].end)
			return &all->list[k];
	return NULL;
}

bool sites_settled(pid_t pid, const struct py_found *found, uint32_t type_dealloc)
{
	struct mappings all;
	uint64_t addr;

	return dealloc_find(pid, found, type_dealloc, &all, &addr);
}

/* Where code objects are freed: their type says so, in the process's memory. No site if it cannot be told. */
static void free_add(pid_t pid, const struct py_found *found, uint32_t type_dealloc, int fd,
		     struct sites *sites)
{
	struct site site = { .kind = SITE_FREE, .name = "PyCode_Type.tp_dealloc" };
	const struct proc_map *in;
	struct mappings all;
	uint64_t addr;
	ssize_t len;

	if (sites->method == SITES_NONE || sites->cnt == SITES_MAX)
		return;
	in = dealloc_find(pid, found, type_dealloc, &all, &addr);
	if (!in)
		return;
	site.offset = addr - in->start + in->offset;
	site.vaddr = addr - found->bias;
	do {
		site.offset += site.insn.len;
		site.vaddr += site.insn.len;
		len = pread(fd, site.bytes, sizeof(site.bytes), site.offset);
		if (len <= 0 || insn_decode(site.bytes, len, site.vaddr, &site.insn))
			return;
	} while (site.insn.kind == INSN_ENDBR);
	if (site.insn.probe != INSN_REFUSED)
		sites->list[sites->cnt++] = site;
}

int sites_find_process(pid_t pid, const struct py_found *found, uint32_t type_dealloc,
		       struct sites *ret_sites, struct err *err)
{
	char features[256] = "";
	struct elf *elf;
	int code, fd = sites_open(pid, found, err), copy;

	if (fd < 0)
		return fd;
	copy = dup(fd);
	elf = elf__open(fd, err);
	if (!elf) {
		code = -errno;
		close(copy);
		return code;
	}
	proc_status_line(pid, "x86_Thread_features", features, sizeof(features));
	code = sites_find(elf, found->hex >> 16 & 0xff, strstr(features, "shstk") != NULL,
			  ret_sites, err);
	elf__close(elf);
	ret_sites->dev = found->dev;
	ret_sites->inode = found->inode;
	if (!code && copy >= 0)
		free_add(pid, found, type_dealloc, copy, ret_sites);
	close(copy);
	return code;
}
