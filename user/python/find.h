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

/* Files that were looked into and define no _PyRuntime, to be zeroed at first. When it is full it
 * is emptied: they are looked into once more. */
#define PY_FILES_MAX 1024 /* a power of two */
struct py_files {
	struct py_file {
		uint64_t dev, inode, ctime_ns; /* an inode may be written anew */
	} slots[PY_FILES_MAX];
	uint32_t cnt;
};

/* -ENOENT: not a Python process (or not yet). -ENOTSUP: a Python that is refused, by name. -ESRCH:
 * the process is gone. */
int python_find(pid_t pid, struct py_found *ret_found, struct err *err);

/* The same for one who looks often: does not look again into `no_python`, and adds to it. */
int python_find_again(pid_t pid, struct py_files *no_python, struct py_found *ret_found,
		      struct err *err);

/* "3.11.2", "3.13.0rc1". */
const char *python_version(uint32_t hex, char text[static 24]);

#endif
