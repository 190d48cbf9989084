/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which Python runs in a process, and where.
 *
 * An interpreter is a mapped file that defines _PyRuntime: a libpython, or the program itself when
 * it was linked statically. Not the name of the file but the symbol decides; the version is read
 * from the interpreter, not from a path.
 */
#ifndef UNCOIL_PYTHON_FIND_H
#define UNCOIL_PYTHON_FIND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "os/elf.h"

#define PY_SEGMENTS_MAX 16 /* loadable ones of an interpreter's file: there are four or five */

struct err;

struct py_found {
	uint32_t hex;       /* PY_VERSION_HEX: 0x030b02f0 is 3.11.2 */
	bool hex_from_text; /* before 3.11: from the version string in .rodata */
	bool is_shared;     /* in a libpython; else in the executable */
	bool is_debug;      /* --with-pydebug */
	bool debug_offsets; /* _PyRuntime begins with the debug offsets' cookie */
	uint64_t bias;      /* load address minus link address */
	uint64_t runtime;   /* addresses in the process: _PyRuntime, */
	uint64_t code_type; /* PyCode_Type, */
	uint64_t str_type;  /* PyUnicode_Type */
	uint64_t coro_type, gen_type, async_gen_type; /* PyCoro_Type, PyGen_Type, PyAsyncGen_Type */
	uint64_t dev, inode;                          /* identity of the file */
	char path[512]; /* as mapped, escaped for a terminal; for people only */
};

enum {
	PY_SYM_RUNTIME,
	PY_SYM_CODE_TYPE,
	PY_SYM_STR_TYPE,
	PY_SYM_CORO_TYPE,
	PY_SYM_GEN_TYPE,
	PY_SYM_ASYNC_GEN_TYPE,
	PY_SYM_VERSION,
	PY_SYM_DEBUG,
	PY_SYM_MAX,
};

/* What an interpreter's file says, whichever process has it mapped. */
struct py_image {
	uint64_t symbols[PY_SYM_MAX]; /* as linked; 0: it has none */
	uint32_t hex;                 /* of a file without Py_Version; 0: does not tell */
	int segment_cnt;
	struct elf_load segments[PY_SEGMENTS_MAX];
};

/* Files that were looked into, to be zeroed at first. When one of the two tables is full, both are
 * emptied: the files are looked into once more. */
#define PY_FILES_MAX  1024 /* a power of two */
#define PY_IMAGES_MAX 16
struct py_files {
	struct py_file {
		uint64_t dev, inode, ctime_ns; /* an inode may be written anew */
		uint32_t image;                /* images[image - 1]; 0: it defines no _PyRuntime */
	} slots[PY_FILES_MAX];
	struct py_image images[PY_IMAGES_MAX];
	uint32_t cnt, image_cnt;
};

/* -ENOENT: not a Python process (or not yet). -ENOTSUP: a Python that is refused, by name. -ESRCH:
 * the process is gone. */
int python_find(pid_t pid, struct py_found *ret_found, struct err *err);

/* The same for one who looks often: does not look again into files that are `known`, and adds to them.
 * What the process itself has to say is read from it each time. */
int python_find_again(pid_t pid, struct py_files *known, struct py_found *ret_found,
		      struct err *err);

/* "3.11.2", "3.13.0rc1". */
const char *python_version(uint32_t hex, char text[static 24]);

#endif
