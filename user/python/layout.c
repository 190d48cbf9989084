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
#define VERSIONS_KNOWN "3.8 to 3.15"

/* The first numbers of _Py_DebugOffsets, behind the 8-byte cookie. These two are where they are in
 * every version; the others move from minor to minor (py_row.debug). */
enum {
	DEBUG_VERSION,
	DEBUG_FREE_THREADED,
	DEBUG_WORDS_MAX = 1024,
};

/* PyStackRef's tags (3.14+, Include/internal/pycore_stackref.h): objects are aligned to more. */
#define STACKREF_TAGS 3

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

static const struct py_row *row_find(uint32_t hex, enum py_build build)
{
	size_t i;

	for (i = 0; i < sizeof(py_rows) / sizeof(py_rows[0]); i++)
		if (py_rows[i].major == hex >> 24 && py_rows[i].minor == ((hex >> 16) & 0xff) &&
		    py_rows[i].build == build)
			return &py_rows[i];
	return NULL;
}

static void row_use(struct py_layout *layout, const struct py_row *row)
{
	layout->abi.major = row->major;
	layout->abi.minor = row->minor;
	layout->abi.build = row->build;
	layout->abi.off = row->off;
	layout->abi.live = row->live;
	layout->abi.lines = row->lines;
	layout->abi.str_kind_shift = row->str_kind_shift;
	layout->row_from = row->made_from;
#define X(field, group, what) \
	layout->source.field = row->off.field ? PY_SOURCE_ROW : PY_SOURCE_NONE;
	PY_OFFSETS(X)
#undef X
#define X(field, group, what) \
	layout->source.field = row->live.field ? PY_SOURCE_ROW : PY_SOURCE_NONE;
	PY_LIVE(X)
#undef X
	/* 0 is an offset for these: first members of their structs */
	layout->source.interp_next = PY_SOURCE_ROW;
	layout->source.frame_code = PY_SOURCE_ROW;
	if (row->minor == 11 || row->minor == 12)
		layout->source.cframe_current_frame = PY_SOURCE_ROW;
}

/* Puts a number where its field is. */
static void field_set(struct py_layout *layout, enum py_field field, uint32_t value)
{
	uint32_t *at = field < PY_FIELD_LIVE
			       ? (uint32_t *)&layout->abi.off + field
			       : (uint32_t *)&layout->abi.live + (field - PY_FIELD_LIVE);

	/* a build with a GIL tells 0 for what it does not have */
	if (!value && !*at && ((enum py_source *)&layout->source)[field] == PY_SOURCE_NONE)
		return;
	*at = value;
	((enum py_source *)&layout->source)[field] = PY_SOURCE_DEBUG_OFFSETS;
}

/* What the interpreter says of itself: is it free-threaded? */
static int debug_build(const struct py_found *found, struct mem *mem, bool *ret_free_threaded,
		       struct err *err)
{
	uint64_t words[2];
	int code;

	code = mem_read(mem, found->runtime + 8, words, sizeof(words));
	if (code)
		return err_set(err, code, "cannot read the debug offsets at %#llx: %s",
			       (unsigned long long)found->runtime, err_str(code));
	if (words[DEBUG_VERSION] != found->hex)
		return err_set(err, -ENOTSUP,
			       "its debug offsets are for version %#llx, but it is version %#x",
			       (unsigned long long)words[DEBUG_VERSION], found->hex);
	*ret_free_threaded = words[DEBUG_FREE_THREADED];
	return 0;
}

static int debug_offsets_read(const struct py_found *found, const struct py_row *row,
			      struct mem *mem, struct py_layout *layout, struct err *err)
{
	uint64_t words[DEBUG_WORDS_MAX], size, value;
	const struct py_debug_word *w;
	int code;

	if (row->debug_words > DEBUG_WORDS_MAX)
		return -EINVAL;
	code = mem_read(mem, found->runtime + 8, words, row->debug_words * sizeof(words[0]));
	if (code)
		return err_set(err, code, "cannot read the debug offsets at %#llx: %s",
			       (unsigned long long)found->runtime, err_str(code));
	for (w = row->debug; w < row->debug + row->debug_cnt; w++) {
		size = words[w->size];
		value = words[w->word];
		/* the addition is no overflow: value is less than size then */
		if (size > STRUCT_MAX || value >= size || value + 4 > size)
			return err_set(
				err, -ENOTSUP,
				"its debug offsets contradict themselves (word %d is %llu in a "
				"struct of %llu bytes)",
				w->word, (unsigned long long)value, (unsigned long long)size);
		field_set(layout, w->field, value);
	}
	return 0;
}

int layout_fill(const struct py_found *found, struct mem *mem, struct py_layout *ret_layout,
		struct err *err)
{
	enum py_build build = PY_BUILD_RELEASE;
	struct py_layout layout = {};
	const struct py_row *row;
	bool free_threaded = false;
	struct err why = {};
	char version[24];
	int code;

	python_version(found->hex, version);
	if (!row_find(found->hex, PY_BUILD_RELEASE))
		return err_set(
			err, -ENOTSUP,
			"CPython %s is not supported: uncoil knows the layouts of " VERSIONS_KNOWN,
			version);
	if (found->debug_offsets) {
		code = debug_build(found, mem, &free_threaded, &why);
		if (code)
			return err_set(err, code, "CPython %s: %s", version, why.msg);
	}
	/* debug offsets tell all that --with-pydebug moves */
	if (free_threaded)
		build = PY_BUILD_FREE_THREADED;
	else if (found->is_debug && !found->debug_offsets)
		build = PY_BUILD_DEBUG;
	row = row_find(found->hex, build);
	if (!row && free_threaded)
		return err_set(err, -ENOTSUP,
			       "CPython %s is a free-threaded build, whose layout is not known: of "
			       "those, uncoil knows 3.14's",
			       version);
	if (!row)
		return err_set(
			err, -ENOTSUP,
			"CPython %s is a pydebug build, whose layout is not known: it needs a "
			"release build, 3.11, or 3.13 and later",
			version);
	row_use(&layout, row);
	if (found->debug_offsets) {
		code = debug_offsets_read(found, row, mem, &layout, &why);
		if (code)
			return err_set(err, code, "CPython %s: %s", version, why.msg);
	}
	*ret_layout = layout;
	return 0;
}

/* The code object that the frame at `frame` runs. */
static int frame_code(const struct py_layout *layout, struct mem *mem, uint64_t frame,
		      uint64_t *ret_code)
{
	int err = mem_u64(mem, frame + layout->abi.off.frame_code, ret_code);

	if (!err && layout->abi.minor >= 14)
		*ret_code &= ~(uint64_t)STACKREF_TAGS;
	return err;
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
	uint32_t i, proved = 0, ob_type = layout->abi.live.object_type;
	uint64_t frame, code, type, name;

	if (tstate_frame(layout, mem, tstate, &frame))
		return 0;
	for (i = 0; i < FRAMES_MAX && frame && *tries; i++, (*tries)--) {
		if (frame_code(layout, mem, frame, &code))
			break;
		if (!mem_u64(mem, code + ob_type, &type) && type == found->code_type &&
		    !mem_u64(mem, code + off->code_filename, &name) &&
		    !mem_u64(mem, name + ob_type, &type) && type == found->str_type)
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

/* The main interpreter, 0 = none yet. `main` follows `head`, which is the newest, and that one may have
 * no thread state at the moment (struct pyinterpreters, v3.8 to v3.15
 * Include/internal/pycore_runtime*.h). */
static int interp_main(const struct py_found *found, const struct py_layout *layout,
		       struct mem *mem, uint64_t *ret_interp)
{
	uint64_t head_main[2];
	int err;

	err = mem_read(mem, found->runtime + layout->abi.off.runtime_interpreters_head, head_main,
		       sizeof(head_main));
	if (!err)
		*ret_interp = head_main[0] && head_main[1] ? head_main[1] : head_main[0];
	return err;
}

int layout_verify(const struct py_found *found, const struct py_layout *layout, pid_t pid,
		  struct mem *mem, struct layout_proof *ret_proof, struct err *err)
{
	struct layout_proof proof = {};
	char version[24];
	int code;

	code = interp_main(found, layout, mem, &proof.interp);
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
	const struct py_live *live = &layout->abi.live;
	struct py_cfg cfg = {
		.runtime = found->runtime,
		.code_type = found->code_type,
		.runtime_interpreters_head = off->runtime_interpreters_head,
		.runtime_tstate_current = live->runtime_tstate_current,
		.interp_next = off->interp_next,
		.interp_threads_head = off->interp_threads_head,
		.tstate_next = off->tstate_next,
		.tstate_thread_id = off->tstate_thread_id,
		.tstate_frame = off->tstate_frame,
		.tstate_status = live->tstate_status,
		.tstate_active = live->tstate_active,
		.tstate_cframe = live->tstate_cframe,
		.cframe_current_frame = off->cframe_current_frame,
		.frame_previous = off->frame_previous,
		.frame_code = off->frame_code,
		.frame_instr = off->frame_instr,
		.frame_owner = off->frame_owner,
		.frame_tlbc = live->frame_tlbc,
		.code_firstlineno = off->code_firstlineno,
		.code_filename = off->code_filename,
		.code_name = off->code_name,
		.code_qualname = off->code_qualname,
		.code_linetable = off->code_linetable,
		.code_version = off->code_version,
		.code_start = off->code_start,
		.code_tlbc = live->code_tlbc,
		.object_type = live->object_type,
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
		.interp_stopper = live->interp_stw_requester,
	};

	if (live->runtime_gc)
		cfg.runtime_collecting = live->runtime_gc + live->gc_collecting;
	else if (live->interp_gc)
		cfg.interp_collecting = live->interp_gc + live->gc_collecting;
	if (live->gc_frame)
		cfg.collecting_frame = live->gc_frame - live->gc_collecting;

	if (layout->source.cframe_current_frame != PY_SOURCE_NONE)
		cfg.flags |= PY_CFG_CFRAME;
	/* the byte before `owner`, in 3.11 only: v3.11.0 Include/internal/pycore_frame.h */
	if (layout->abi.minor == 11)
		cfg.frame_is_entry = off->frame_owner - 1;
	if (off->code_start)
		cfg.flags |= PY_CFG_INSTR_IS_PTR | PY_CFG_FRAME_STACK;
	if (layout->abi.minor >= 12) {
		/* FRAME_OWNED_BY_CSTACK: v3.12.0 and v3.13.0 Include/internal/pycore_frame.h;
		 * FRAME_OWNED_BY_INTERPRETER (3.14 has both): pycore_interpframe_structs.h */
		cfg.flags |= PY_CFG_FRAME_OWNER;
		cfg.frame_owner_skip = 3;
	}
	if (layout->abi.minor >= 14)
		cfg.frame_code_tags = STACKREF_TAGS;
	cfg.tstate_read = 8 + max_u32(max_u32(off->tstate_thread_id, off->tstate_frame),
				      max_u32(max_u32(off->tstate_next, live->tstate_cframe),
					      max_u32(off->tstate_interp, live->tstate_status)));
	cfg.frame_read =
		8 + max_u32(max_u32(off->frame_previous, off->frame_code),
			    max_u32(max_u32(off->frame_instr, off->frame_owner), live->frame_tlbc));
	cfg.code_read = 8 + max_u32(max_u32(max_u32(off->code_firstlineno, off->code_filename),
					    max_u32(live->object_type, live->code_tlbc)),
				    max_u32(max_u32(off->code_name, off->code_qualname),
					    max_u32(off->code_linetable, off->code_version)));
	if (cfg.tstate_read > PY_TSTATE_READ_MAX || cfg.frame_read > PY_FRAME_READ_MAX ||
	    cfg.code_read > PY_CODE_READ_MAX ||
	    (cfg.collecting_frame && cfg.collecting_frame != PY_COLLECTING_READ - 8))
		return -EINVAL;
	*ret_cfg = cfg;
	return 0;
}
