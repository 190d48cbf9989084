/* SPDX-License-Identifier: Apache-2.0 */
#include "python/find.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "os/elf.h"
#include "os/proc.h"
#include "python/mem.h"

#define CANDIDATES_MAX 8
#define RODATA_MAX     (64u << 20)

/* Files of a process that may be the interpreter: its program, and whatever is called libpython or
 * python (a program that was started through ld.so is not the first mapping). */
struct candidate {
	struct proc_map map;
	char *path;
	bool is_library;
};

struct candidates {
	struct candidate list[CANDIDATES_MAX];
	int cnt;
	int maps_seen;
};

const char *python_version(uint32_t hex, char text[static 24])
{
	static const char *const levels[] = { [0xa] = "a", [0xb] = "b", [0xc] = "rc" };
	uint32_t level = (hex >> 4) & 0xf;

	if (level == 0xf || level < 0xa || level > 0xc)
		snprintf(text, 24, "%u.%u.%u", hex >> 24, (hex >> 16) & 0xff, (hex >> 8) & 0xff);
	else
		snprintf(text, 24, "%u.%u.%u%s%u", hex >> 24, (hex >> 16) & 0xff, (hex >> 8) & 0xff,
			 levels[level], hex & 0xf);
	return text;
}

/* The first mapping of the program, and of each libpython. The program comes first in maps: it is
 * the first file-backed mapping of an ordinary process, and the one that /proc/PID/exe names. */
static int candidate_see(void *ctx, const struct proc_map *map)
{
	struct candidates *all = ctx;
	const char *base = strrchr(map->path, '/');
	bool is_library = base && !strncmp(base + 1, "libpython", 9);
	bool is_python = is_library || (base && !strncmp(base + 1, "python", 6));
	struct candidate *new, *old;
	int i;

	if (!map->inode || !base)
		return 0;
	all->maps_seen++;
	if (all->maps_seen > 1 && !is_python)
		return 0;
	for (i = 0; i < all->cnt; i++) {
		old = &all->list[i];
		if (old->map.inode != map->inode || old->map.dev != map->dev)
			continue;
		/* a program may map its libpython as a mere file too, even below it: the loader's
		 * mappings are those of which one is executable */
		if (map->is_exec && !old->map.is_exec) {
			old->map = *map;
			old->map.path = old->path;
		}
		return 0;
	}
	if (all->cnt == CANDIDATES_MAX)
		return 0;
	new = &all->list[all->cnt];
	new->path = strdup(map->path);
	if (!new->path)
		return -ENOMEM;
	new->map = *map;
	new->map.path = new->path;
	new->is_library = is_library;
	all->cnt++;
	return 0;
}

/* Number of 1 to 3 digits; NULL if there is none. */
static const char *number(const char *at, uint32_t *ret_value)
{
	char *end;

	if (!isdigit((unsigned char)*at))
		return NULL;
	*ret_value = strtoul(at, &end, 10);
	return end - at <= 3 ? end : NULL;
}

/* A whole string "3.9.18" or "3.10.0rc2" or "3.8.18+" to PY_VERSION_HEX; 0 if it is none. */
static uint32_t version_parse(const char *at)
{
	uint32_t major, minor, micro, level = 0xf, serial = 0;

	at = number(at, &major);
	if (!at || *at != '.' || !(at = number(at + 1, &minor)) || *at != '.' ||
	    !(at = number(at + 1, &micro)))
		return 0;
	if (*at == 'a' || *at == 'b') {
		level = *at == 'a' ? 0xa : 0xb;
		at = number(at + 1, &serial);
	} else if (*at == 'r' && at[1] == 'c') {
		level = 0xc;
		at = number(at + 2, &serial);
	}
	if (!at || (*at && strcmp(at, "+") != 0))
		return 0;
	return major << 24 | minor << 16 | micro << 8 | level << 4 | (serial & 0xf);
}

/* Before 3.11 nothing exported tells the version but text: PY_VERSION is a string in .rodata, or,
 * since linkers merge strings that end alike, the end of one ("/usr/lib/3.9.18"). A string of its
 * own is believed; an end only if the file's name says the same X.Y. */
static uint32_t version_search(struct elf *elf, const char *path)
{
	const char *dot = strstr(path, "python3.");
	uint32_t hint = dot ? strtoul(dot + 8, NULL, 10) : 0, hex, found = 0;
	struct buf data;
	const char *at, *end;

	buf_init(&data, RODATA_MAX);
	if (elf__section(elf, ".rodata", &data)) {
		buf_done(&data);
		return 0;
	}
	end = data.data + data.len;
	for (at = data.data; at && at + 5 < end; at++) {
		if (at[0] != '3' || at[1] != '.' ||
		    (at > data.data && (isdigit((unsigned char)at[-1]) || at[-1] == '.')))
			continue;
		hex = version_parse(at);
		if (!hex || (hint && ((hex >> 16) & 0xff) != hint))
			continue;
		if (at == data.data || !at[-1]) {
			found = hex;
			break;
		}
		if (hint && !found)
			found = hex;
	}
	buf_done(&data);
	return found;
}

static int version_read(pid_t pid, const struct py_image *image, struct py_found *found)
{
	struct mem_process mem;
	uint64_t value;
	int err;

	if (!image->symbols[PY_SYM_VERSION]) {
		found->hex = image->hex;
		found->hex_from_text = true;
		return found->hex ? 0 : -ENOTSUP;
	}
	mem_process_init(&mem, pid);
	err = mem_u64(&mem.mem, image->symbols[PY_SYM_VERSION] + found->bias, &value);
	if (err)
		return err;
	found->hex = value;
	return 0;
}

/* --- files that are known --- */

static bool file_key(int fd, struct py_file *ret_file)
{
	struct stat st;

	if (fstat(fd, &st))
		return false;
	ret_file->dev = st.st_dev;
	ret_file->inode = st.st_ino;
	ret_file->ctime_ns = st.st_ctim.tv_sec * 1000000000ULL + st.st_ctim.tv_nsec;
	return true;
}

/* The file's slot, or the free one where it belongs. */
static struct py_file *file_slot(struct py_files *files, const struct py_file *file)
{
	uint64_t at = (file->inode ^ file->dev) * 0x9e3779b97f4a7c15ULL >> 32;
	struct py_file *slot;

	for (;; at++) { /* it is never more than half full */
		slot = &files->slots[at % PY_FILES_MAX];
		if (!slot->inode || (slot->inode == file->inode && slot->dev == file->dev &&
				     slot->ctime_ns == file->ctime_ns))
			return slot;
	}
}

/* image NULL: it is no interpreter's. */
static void file_remember(struct py_files *files, struct py_file *file,
			  const struct py_image *image)
{
	if (!file->inode)
		return;
	if (files->cnt >= PY_FILES_MAX / 2 || (image && files->image_cnt == PY_IMAGES_MAX))
		memset(files, 0, sizeof(*files));
	if (image) {
		files->images[files->image_cnt++] = *image;
		file->image = files->image_cnt;
	}
	*file_slot(files, file) = *file;
	files->cnt++;
}

/* --- one file --- */

/* 1 = this is an interpreter, 0 = it is not, or -errno. Takes over fd. */
static int image_read(int fd, const char *path, struct py_image *ret_image, struct err *err)
{
	struct elf_symbol symbols[PY_SYM_MAX] = {
		[PY_SYM_RUNTIME] = { "_PyRuntime" },
		[PY_SYM_CODE_TYPE] = { "PyCode_Type" },
		[PY_SYM_STR_TYPE] = { "PyUnicode_Type" },
		[PY_SYM_VERSION] = { "Py_Version" },
		[PY_SYM_DEBUG] = { "_Py_NegativeRefcount" },
		[PY_SYM_CORO_TYPE] = { "PyCoro_Type" },
		[PY_SYM_GEN_TYPE] = { "PyGen_Type" },
		[PY_SYM_ASYNC_GEN_TYPE] = { "PyAsyncGen_Type" },
	};
	struct py_image image = {};
	struct elf *elf = elf__open(fd, err);
	int i, code;

	if (!elf)
		return -errno;
	code = elf__symbols(elf, symbols, PY_SYM_MAX);
	if (code < 0)
		goto out;
	code = 0;
	if (!symbols[PY_SYM_RUNTIME].value || !symbols[PY_SYM_CODE_TYPE].value)
		goto out;
	for (i = 0; i < PY_SYM_MAX; i++)
		image.symbols[i] = symbols[i].value;
	image.segment_cnt = code = elf__segments(elf, image.segments, PY_SEGMENTS_MAX);
	if (code < 0)
		goto out;
	if (!image.symbols[PY_SYM_VERSION])
		image.hex = version_search(elf, path);
	*ret_image = image;
	code = 1;
out:
	elf__close(elf);
	return code;
}

/* Where it is in the process, and what that says of it. */
static int image_locate(pid_t pid, const struct candidate *c, const struct py_image *image,
			struct py_found *found, struct err *err)
{
	struct mem_process mem;
	char cookie[8] = "";
	int code;

	code = elf_bias(image->segments, image->segment_cnt, c->map.start, c->map.offset,
			&found->bias);
	if (code)
		return code;
	found->dev = c->map.dev;
	found->inode = c->map.inode;
	found->runtime = image->symbols[PY_SYM_RUNTIME] + found->bias;
	found->code_type = image->symbols[PY_SYM_CODE_TYPE] + found->bias;
	found->str_type = image->symbols[PY_SYM_STR_TYPE] + found->bias;
	found->coro_type = image->symbols[PY_SYM_CORO_TYPE] + found->bias;
	found->gen_type = image->symbols[PY_SYM_GEN_TYPE] + found->bias;
	found->async_gen_type = image->symbols[PY_SYM_ASYNC_GEN_TYPE] + found->bias;
	found->is_debug = image->symbols[PY_SYM_DEBUG] != 0;
	code = version_read(pid, image, found);
	if (code == -ENOTSUP)
		err_set(err, code, "the Python in process %d (%s) does not tell its version", pid,
			found->path);
	mem_process_init(&mem, pid);
	if (!code && !mem_read(&mem.mem, found->runtime, cookie, sizeof(cookie)))
		found->debug_offsets = !memcmp(cookie, "xdebugpy", sizeof(cookie));
	return code ? code : 1;
}

/* 1 = this is the interpreter, 0 = it is not, or -errno. */
static int candidate_try(pid_t pid, const struct candidate *c, struct py_files *known,
			 struct py_found *found, struct err *err)
{
	struct py_file file = {}, *slot;
	struct py_image image;
	struct buf path;
	int fd, code;

	fd = proc_open_map(pid, &c->map, err);
	if (fd < 0)
		return fd;
	*found = (struct py_found){ .is_shared = c->is_library };
	buf_init(&path, 65536);
	text_terminal(&path, c->path); /* it goes into sentences and onto doctor's screen */
	snprintf(found->path, sizeof(found->path), "%s", buf_text(&path));
	buf_done(&path);
	if (known && file_key(fd, &file)) {
		slot = file_slot(known, &file);
		if (slot->inode) {
			close(fd);
			return slot->image ? image_locate(pid, c, &known->images[slot->image - 1],
							  found, err)
					   : 0;
		}
	}
	code = image_read(fd, found->path, &image, err);
	if (code == -E2BIG)
		err_set(err, code, "the symbol tables of %s in process %d are too large to be read",
			found->path, pid);
	if (code < 0)
		return code;
	if (known)
		file_remember(known, &file, code ? &image : NULL);
	return code ? image_locate(pid, c, &image, found, err) : 0;
}

int python_find(pid_t pid, struct py_found *ret_found, struct err *err)
{
	return python_find_again(pid, NULL, ret_found, err);
}

int python_find_again(pid_t pid, struct py_files *known, struct py_found *ret_found,
		      struct err *err)
{
	struct candidates all = {};
	struct proc_stat stat;
	struct py_found found;
	struct err first = {};
	struct buf comm;
	int i, code, failed = 0;

	code = proc_maps_each(pid, candidate_see, &all);
	if (code) {
		err_set(err, code, "cannot read the mappings of process %d: %s", pid,
			err_str(code));
		goto out;
	}
	/* a library that is called libpython before a program that may only be its stub */
	for (i = all.cnt - 1; i >= 0 && code <= 0; i--) {
		code = candidate_try(pid, &all.list[i], known, &found, failed ? NULL : &first);
		if (code < 0 && code != -ENOEXEC && !failed)
			failed = code;
		if (!failed)
			first.msg[0] = '\0'; /* that of a file which is no ELF file: no failure */
	}
	if (code > 0) {
		*ret_found = found;
		code = 0;
	} else if (failed == -ESRCH) {
		code = err_set(err, failed, "process %d ended while uncoil was attaching", pid);
	} else if (failed) {
		code = first.msg[0] ? err_set(err, failed, "%s", first.msg)
				    : err_set(err, failed, "cannot look into process %d: %s", pid,
					      err_str(failed));
	} else {
		buf_init(&comm, 256);
		if (!proc_stat_read(pid, &stat))
			text_terminal(&comm, stat.comm);
		code = err_set(err, -ENOENT,
			       "process %d (%s) is not a Python process: neither its program nor a "
			       "libpython in it defines _PyRuntime",
			       pid, buf_text(&comm));
		buf_done(&comm);
	}
out:
	for (i = 0; i < all.cnt; i++)
		free(all.list[i].path);
	return code;
}
