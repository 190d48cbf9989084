/* SPDX-License-Identifier: Apache-2.0 */
#include "python/layout.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "os/proc.h"
#include "python/mem.h"
#include "python/object.h"
#include "python/table.h"

#define STRUCT_MAX     (1u << 20) /* no struct of an interpreter is larger */
#define TSTATES_MAX    4096
#define FRAMES_MAX     64   /* enough to prove a layout */
#define TRIES_MAX      1024 /* frames looked at for that: a hostile target may have none that holds */
#define VERSIONS_KNOWN "3.8 to 3.13"

/* _Py_DebugOffsets of CPython 3.13 (v3.13.0 Include/internal/pycore_runtime.h), in 64-bit words
 * behind the 8-byte cookie. The struct is stable within a minor version, and differs in the next. */
enum debug_313 {
	D_VERSION,
	D_FREE_THREADED,
	D_RUNTIME_SIZE,
	D_RUNTIME_FINALIZING,
	D_RUNTIME_INTERPRETERS_HEAD,
	D_INTERP_SIZE,
	D_INTERP_ID,
	D_INTERP_NEXT,
	D_INTERP_THREADS_HEAD,
	D_INTERP_GC,
	D_INTERP_MODULES,
	D_INTERP_SYSDICT,
	D_INTERP_BUILTINS,
	D_INTERP_CEVAL_GIL,
	D_INTERP_GIL_STATE,
	D_INTERP_GIL_ENABLED,
	D_INTERP_GIL_LOCKED,
	D_INTERP_GIL_HOLDER,
	D_TSTATE_SIZE,
	D_TSTATE_PREV,
	D_TSTATE_NEXT,
	D_TSTATE_INTERP,
	D_TSTATE_CURRENT_FRAME,
	D_TSTATE_THREAD_ID,
	D_TSTATE_NATIVE_THREAD_ID,
	D_TSTATE_DATASTACK_CHUNK,
	D_TSTATE_STATUS,
	D_FRAME_SIZE,
	D_FRAME_PREVIOUS,
	D_FRAME_EXECUTABLE,
	D_FRAME_INSTR_PTR,
	D_FRAME_LOCALSPLUS,
	D_FRAME_OWNER,
	D_CODE_SIZE,
	D_CODE_FILENAME,
	D_CODE_NAME,
	D_CODE_QUALNAME,
	D_CODE_LINETABLE,
	D_CODE_FIRSTLINENO,
	D_CODE_ARGCOUNT,
	D_CODE_LOCALSPLUSNAMES,
	D_CODE_LOCALSPLUSKINDS,
	D_CODE_CO_CODE_ADAPTIVE,
	D_OBJECT_SIZE,
	D_OBJECT_OB_TYPE,
	D_TYPE_SIZE,
	D_TYPE_NAME,
	D_TYPE_REPR,
	D_TYPE_FLAGS,
	D_TUPLE_SIZE,
	D_TUPLE_OB_ITEM,
	D_TUPLE_OB_SIZE,
	D_LIST_SIZE,
	D_LIST_OB_ITEM,
	D_LIST_OB_SIZE,
	D_DICT_SIZE,
	D_DICT_KEYS,
	D_DICT_VALUES,
	D_FLOAT_SIZE,
	D_FLOAT_OB_FVAL,
	D_LONG_SIZE,
	D_LONG_LV_TAG,
	D_LONG_OB_DIGIT,
	D_BYTES_SIZE,
	D_BYTES_OB_SIZE,
	D_BYTES_OB_SVAL,
	D_UNICODE_SIZE,
	D_UNICODE_STATE,
	D_UNICODE_LENGTH,
	D_UNICODE_ASCIIOBJECT_SIZE,
	D_GC_SIZE,
	D_GC_COLLECTING,
	D_MAX
};

/* Which word fills which offset, and inside which struct it must lie. */
static const struct {
	size_t field; /* in struct py_offsets */
	size_t source;
	enum debug_313 word, size;
} debug_fields[] = {
#define F(field, word, size)                                                                  \
	{                                                                                     \
		offsetof(struct py_offsets, field), offsetof(struct py_layout, source.field), \
			word, size                                                            \
	}
	F(runtime_interpreters_head, D_RUNTIME_INTERPRETERS_HEAD, D_RUNTIME_SIZE),
	F(interp_next, D_INTERP_NEXT, D_INTERP_SIZE),
	F(interp_threads_head, D_INTERP_THREADS_HEAD, D_INTERP_SIZE),
	F(interp_modules, D_INTERP_MODULES, D_INTERP_SIZE),
	F(interp_gil, D_INTERP_CEVAL_GIL, D_INTERP_SIZE),
	F(tstate_next, D_TSTATE_NEXT, D_TSTATE_SIZE),
	F(tstate_interp, D_TSTATE_INTERP, D_TSTATE_SIZE),
	F(tstate_thread_id, D_TSTATE_THREAD_ID, D_TSTATE_SIZE),
	F(tstate_native_thread_id, D_TSTATE_NATIVE_THREAD_ID, D_TSTATE_SIZE),
	F(tstate_frame, D_TSTATE_CURRENT_FRAME, D_TSTATE_SIZE),
	F(frame_previous, D_FRAME_PREVIOUS, D_FRAME_SIZE),
	F(frame_code, D_FRAME_EXECUTABLE, D_FRAME_SIZE),
	F(frame_instr, D_FRAME_INSTR_PTR, D_FRAME_SIZE),
	F(frame_owner, D_FRAME_OWNER, D_FRAME_SIZE),
	F(code_firstlineno, D_CODE_FIRSTLINENO, D_CODE_SIZE),
	F(code_filename, D_CODE_FILENAME, D_CODE_SIZE),
	F(code_name, D_CODE_NAME, D_CODE_SIZE),
	F(code_qualname, D_CODE_QUALNAME, D_CODE_SIZE),
	F(code_linetable, D_CODE_LINETABLE, D_CODE_SIZE),
	F(code_start, D_CODE_CO_CODE_ADAPTIVE, D_CODE_SIZE),
	F(str_length, D_UNICODE_LENGTH, D_UNICODE_SIZE),
	F(str_state, D_UNICODE_STATE, D_UNICODE_SIZE),
	F(str_ascii_size, D_UNICODE_ASCIIOBJECT_SIZE, D_UNICODE_SIZE),
	F(bytes_size, D_BYTES_OB_SIZE, D_BYTES_SIZE),
	F(bytes_data, D_BYTES_OB_SVAL, D_BYTES_SIZE),
	F(type_flags, D_TYPE_FLAGS, D_TYPE_SIZE),
	F(dict_keys, D_DICT_KEYS, D_DICT_SIZE),
	F(dict_values, D_DICT_VALUES, D_DICT_SIZE),
#undef F
};

const char *layout_source_text(enum py_source source)
{
	switch (source) {
	case PY_SOURCE_DEBUG_OFFSETS:
		return "debug offsets";
	case PY_SOURCE_ROW:
		return "generated row";
	case PY_SOURCE_NONE:
		break;
	}
	return "none in this version";
}

static const struct py_row *row_find(uint32_t hex)
{
	size_t i;

	for (i = 0; i < sizeof(py_rows) / sizeof(py_rows[0]); i++)
		if (py_rows[i].major == hex >> 24 && py_rows[i].minor == ((hex >> 16) & 0xff))
			return &py_rows[i];
	return NULL;
}

static int debug_offsets_read(const struct py_found *found, struct mem *mem,
			      struct py_layout *layout, struct err *err)
{
	uint64_t words[D_MAX], size;
	uint32_t value;
	size_t i;
	int code;

	code = mem_read(mem, found->runtime + 8, words, sizeof(words));
	if (code)
		return err_set(err, code, "cannot read the debug offsets at %#llx: %s",
			       (unsigned long long)found->runtime, err_str(code));
	if (words[D_VERSION] != found->hex)
		return err_set(err, -ENOTSUP,
			       "its debug offsets are for version %#llx, but it is version %#x",
			       (unsigned long long)words[D_VERSION], found->hex);
	if (words[D_FREE_THREADED])
		return err_set(err, -ENOTSUP, "free-threaded builds are not supported yet");
	for (i = 0; i < sizeof(debug_fields) / sizeof(debug_fields[0]); i++) {
		size = words[debug_fields[i].size];
		if (size > STRUCT_MAX || words[debug_fields[i].word] + 4 > size)
			return err_set(
				err, -ENOTSUP,
				"its debug offsets contradict themselves (word %d is %llu in a "
				"struct of %llu bytes)",
				debug_fields[i].word,
				(unsigned long long)words[debug_fields[i].word],
				(unsigned long long)size);
		value = words[debug_fields[i].word];
		memcpy((char *)&layout->abi.off + debug_fields[i].field, &value, sizeof(value));
		*(enum py_source *)((char *)layout + debug_fields[i].source) =
			PY_SOURCE_DEBUG_OFFSETS;
	}
	return 0;
}

int layout_fill(const struct py_found *found, struct mem *mem, struct py_layout *ret_layout,
		struct err *err)
{
	const struct py_row *row = row_find(found->hex);
	struct py_layout layout = {};
	char version[24];
	struct err why = {};
	int code;

	python_version(found->hex, version);
	if (!row)
		return err_set(
			err, -ENOTSUP,
			"CPython %s is not supported: uncoil knows the layouts of " VERSIONS_KNOWN,
			version);
	layout.abi.major = row->major;
	layout.abi.minor = row->minor;
	layout.abi.off = row->off;
	layout.abi.lines = row->lines;
	layout.abi.str_kind_shift = row->str_kind_shift;
	layout.row_from = row->made_from;
#define X(field, group, what) layout.source.field = row->off.field ? PY_SOURCE_ROW : PY_SOURCE_NONE;
	PY_OFFSETS(X)
#undef X
	/* 0 is an offset for these: first members of their structs */
	layout.source.interp_next = PY_SOURCE_ROW;
	layout.source.frame_code = PY_SOURCE_ROW;
	if (row->minor == 11 || row->minor == 12)
		layout.source.cframe_current_frame = PY_SOURCE_ROW;
	if (found->debug_offsets) {
		code = debug_offsets_read(found, mem, &layout, &why);
		if (code)
			return err_set(err, code, "CPython %s: %s", version, why.msg);
	} else if (found->is_debug) {
		return err_set(
			err, -ENOTSUP,
			"CPython %s is a pydebug build, whose layout is not known: it needs a "
			"release build, or 3.13 and later",
			version);
	}
	*ret_layout = layout;
	return 0;
}

/* The current frame of a thread state; 0 = none. */
static int tstate_frame(const struct py_layout *layout, struct mem *mem, uint64_t tstate,
			uint64_t *ret_frame)
{
	const struct py_offsets *off = &layout->abi.off;
	int err = mem_u64(mem, tstate + off->tstate_frame, ret_frame);

	if (!err && *ret_frame && layout->source.cframe_current_frame != PY_SOURCE_NONE)
		err = mem_u64(mem, *ret_frame + off->cframe_current_frame, ret_frame);
	return err;
}

/* Frames of one thread that prove the layout: each has a code object whose type is PyCode_Type,
 * and whose file name's type is PyUnicode_Type. The thread runs meanwhile: a frame that fails
 * proves nothing. */
static uint32_t frames_prove(const struct py_found *found, const struct py_layout *layout,
			     struct mem *mem, uint64_t tstate, uint32_t *tries)
{
	const struct py_offsets *off = &layout->abi.off;
	uint64_t frame, code, type, name;
	uint32_t i, proved = 0;

	if (tstate_frame(layout, mem, tstate, &frame))
		return 0;
	for (i = 0; i < FRAMES_MAX && frame && *tries; i++, (*tries)--) {
		if (mem_u64(mem, frame + off->frame_code, &code))
			break;
		if (!mem_u64(mem, code + 8, &type) && type == found->code_type &&
		    !mem_u64(mem, code + off->code_filename, &name) &&
		    !mem_u64(mem, name + 8, &type) && type == found->str_type)
			proved++;
		if (mem_u64(mem, frame + off->frame_previous, &frame))
			break;
	}
	return proved;
}

static bool tid_known(const pid_t *tids, int cnt, uint64_t tid)
{
	int i;

	for (i = 0; i < cnt; i++)
		if ((uint64_t)tids[i] == tid)
			return true;
	return false;
}

/* Walks the interpreter's thread states; -EINVAL if one does not belong to it. */
static int tstates_prove(const struct py_found *found, const struct py_layout *layout, pid_t pid,
			 struct mem *mem, struct layout_proof *proof)
{
	const struct py_offsets *off = &layout->abi.off;
	uint32_t tries = TRIES_MAX;
	uint64_t tstate, interp, tid;
	pid_t *tids = NULL;
	int cnt, err;

	err = mem_u64(mem, proof->interp + off->interp_threads_head, &tstate);
	if (err)
		return err;
	cnt = proc_threads(pid, &tids);
	while (!err && tstate && proof->tstate_cnt < TSTATES_MAX) {
		err = mem_u64(mem, tstate + off->tstate_interp, &interp);
		if (err || interp != proof->interp) {
			/* one that is being freed may lie at the end; the first must hold */
			err = proof->tstate_cnt ? 0 : -EINVAL;
			break;
		}
		proof->tstate_cnt++;
		if (proof->frame_cnt < FRAMES_MAX)
			proof->frame_cnt += frames_prove(found, layout, mem, tstate, &tries);
		if (layout->source.tstate_native_thread_id != PY_SOURCE_NONE && cnt > 0 &&
		    !mem_u64(mem, tstate + off->tstate_native_thread_id, &tid) &&
		    tid_known(tids, cnt, tid))
			proof->threads_known = true;
		err = mem_u64(mem, tstate + off->tstate_next, &tstate);
	}
	free(tids);
	return err;
}

int layout_verify(const struct py_found *found, const struct py_layout *layout, pid_t pid,
		  struct mem *mem, struct layout_proof *ret_proof, struct err *err)
{
	struct layout_proof proof = {};
	char version[24];
	int code;

	code = mem_u64(mem, found->runtime + layout->abi.off.runtime_interpreters_head,
		       &proof.interp);
	if (!code && proof.interp)
		code = tstates_prove(found, layout, pid, mem, &proof);
	if (code == -ESRCH || code == -EPERM)
		return err_set(err, code, "cannot read the memory of process %d: %s", pid,
			       err_str(code));
	if (code)
		return err_set(err, -EINVAL,
			       "the layout of CPython %s does not fit process %d: its first thread "
			       "state is not where it should be (a patched interpreter?)",
			       python_version(found->hex, version), pid);
	*ret_proof = proof;
	return proof.tstate_cnt ? 0 : -EAGAIN;
}

static uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

int layout_cfg(const struct py_found *found, const struct py_layout *layout, struct py_cfg *ret_cfg)
{
	const struct py_offsets *off = &layout->abi.off;
	struct py_cfg cfg = {
		.runtime = found->runtime,
		.code_type = found->code_type,
		.runtime_interpreters_head = off->runtime_interpreters_head,
		.interp_next = off->interp_next,
		.interp_threads_head = off->interp_threads_head,
		.tstate_next = off->tstate_next,
		.tstate_thread_id = off->tstate_thread_id,
		.tstate_frame = off->tstate_frame,
		.cframe_current_frame = off->cframe_current_frame,
		.frame_previous = off->frame_previous,
		.frame_code = off->frame_code,
		.frame_instr = off->frame_instr,
		.frame_owner = off->frame_owner,
		.code_firstlineno = off->code_firstlineno,
		.code_filename = off->code_filename,
		.code_name = off->code_name,
		.code_qualname = off->code_qualname,
		.code_linetable = off->code_linetable,
		.code_version = off->code_version,
		.code_start = off->code_start,
		.str_length = off->str_length,
		.str_hash = off->str_hash,
		.str_state = off->str_state,
		.str_kind_shift = layout->abi.str_kind_shift,
		.str_data_max = off->str_compact_size,
		.bytes_size = off->bytes_size,
		.bytes_data = off->bytes_data,
		.tstate_interp = off->tstate_interp,
		.runtime_gil = off->runtime_gil,
		.interp_gil = off->interp_gil,
		.gil_size = off->gil_size,
		.gil_holder = off->gil_holder,
		.gil_locked = off->gil_locked,
	};

	if (layout->source.cframe_current_frame != PY_SOURCE_NONE)
		cfg.flags |= PY_CFG_CFRAME;
	/* the byte before `owner`, in 3.11 only: v3.11.0 Include/internal/pycore_frame.h */
	if (layout->abi.minor == 11)
		cfg.frame_is_entry = off->frame_owner - 1;
	if (off->code_start)
		cfg.flags |= PY_CFG_INSTR_IS_PTR | PY_CFG_FRAME_STACK;
	if (layout->abi.minor >= 12) {
		/* FRAME_OWNED_BY_CSTACK: v3.12.0 and v3.13.0 Include/internal/pycore_frame.h */
		cfg.flags |= PY_CFG_FRAME_OWNER;
		cfg.frame_owner_skip = 3;
	}
	cfg.frame_read = 8 + max_u32(max_u32(off->frame_previous, off->frame_code),
				     max_u32(off->frame_instr, off->frame_owner));
	cfg.code_read = 8 + max_u32(max_u32(off->code_firstlineno, off->code_filename),
				    max_u32(max_u32(off->code_name, off->code_qualname),
					    max_u32(off->code_linetable, off->code_version)));
	if (cfg.frame_read > PY_FRAME_READ_MAX || cfg.code_read > PY_CODE_READ_MAX)
		return -EINVAL;
	*ret_cfg = cfg;
	return 0;
}
