/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What uncoil needs to know of a CPython's memory layout: two lists, from which the structs, the
 * columns of the generated table, the validator's bounds and doctor's printout are made. The first
 * travels in a recording (record_image), the second is needed only while the process lives.
 *
 * X(field, group, what): byte offset of a member inside the group's struct, unless `what` says
 * otherwise. 0 also stands for "this version has no such member" where `what` says "or none".
 *
 * Where a value comes from, best first: _Py_DebugOffsets in the target (CPython >= 3.13,
 * Include/internal/pycore_runtime.h or pycore_debug_offsets.h), else the row of
 * user/python/table.h for the target's X.Y (scripts/gen-offsets). Never a guess.
 */
#ifndef UNCOIL_PYTHON_OFFSETS_H
#define UNCOIL_PYTHON_OFFSETS_H

#include <stdint.h>

#define PY_OFFSETS(X)                                                                              \
	X(runtime_interpreters_head, runtime, "_PyRuntimeState.interpreters.head")                 \
	X(runtime_gil, runtime, "_PyRuntimeState.ceval.gil (before 3.12), or none")                \
	X(gil_size, gil, "sizeof(struct _gil_runtime_state)")                                      \
	X(gil_holder, gil, "_gil_runtime_state.last_holder")                                       \
	X(gil_locked, gil, "_gil_runtime_state.locked")                                            \
	X(interp_next, interp, "PyInterpreterState.next")                                          \
	X(interp_threads_head, interp, "PyInterpreterState.threads.head, tstate_head before 3.11") \
	X(interp_gil, interp, "PyInterpreterState.ceval.gil (3.12+), or none")                     \
	X(interp_modules, interp, "PyInterpreterState.imports.modules, modules before 3.12")       \
	X(tstate_next, tstate, "PyThreadState.next")                                               \
	X(tstate_interp, tstate, "PyThreadState.interp")                                           \
	X(tstate_thread_id, tstate, "PyThreadState.thread_id")                                     \
	X(tstate_native_thread_id, tstate, "PyThreadState.native_thread_id (3.11+), or none")      \
	X(tstate_frame, tstate, "PyThreadState.current_frame (3.13+), cframe (3.11-3.12), frame")  \
	X(cframe_current_frame, cframe, "_PyCFrame.current_frame (3.11-3.12), or none")            \
	X(frame_size, frame, "size of _PyInterpreterFrame or PyFrameObject, without its tail")     \
	X(frame_previous, frame, "_PyInterpreterFrame.previous, f_back before 3.11")               \
	X(frame_code, frame, "_PyInterpreterFrame.f_executable (3.13+), f_code")                   \
	X(frame_instr, frame, "instr_ptr (3.13+), prev_instr (3.11-3.12), f_lasti")                \
	X(frame_owner, frame, "_PyInterpreterFrame.owner (3.11+), or none")                        \
	X(code_size, code, "size of PyCodeObject up to its bytecode")                              \
	X(code_firstlineno, code, "PyCodeObject.co_firstlineno")                                   \
	X(code_filename, code, "PyCodeObject.co_filename")                                         \
	X(code_name, code, "PyCodeObject.co_name")                                                 \
	X(code_qualname, code, "PyCodeObject.co_qualname (3.11+), or none")                        \
	X(code_linetable, code, "PyCodeObject.co_linetable (3.10+), co_lnotab")                    \
	X(code_version, code, "PyCodeObject.co_version (3.12+), or none")                          \
	X(code_start, code, "PyCodeObject.co_code_adaptive (3.11+), or none")                      \
	X(str_length, str, "PyASCIIObject.length")                                                 \
	X(str_hash, str, "PyASCIIObject.hash")                                                     \
	X(str_state, str, "PyASCIIObject.state")                                                   \
	X(str_ascii_size, str,                                                                     \
	  "sizeof(PyASCIIObject): where a compact ASCII string's text begins")                     \
	X(str_compact_size, str,                                                                   \
	  "sizeof(PyCompactUnicodeObject): where other compact text begins")                       \
	X(bytes_size, bytes, "PyBytesObject.ob_base.ob_size")                                      \
	X(bytes_data, bytes, "PyBytesObject.ob_sval")                                              \
	X(type_basicsize, type, "PyTypeObject.tp_basicsize")                                       \
	X(type_flags, type, "PyTypeObject.tp_flags")                                               \
	X(type_dictoffset, type, "PyTypeObject.tp_dictoffset")                                     \
	X(type_cached_keys, type, "PyHeapTypeObject.ht_cached_keys")                               \
	X(dict_keys, dict, "PyDictObject.ma_keys")                                                 \
	X(dict_values, dict, "PyDictObject.ma_values")                                             \
	X(module_dict, module, "PyModuleObject.md_dict")

#define PY_LIVE(X)                                                                               \
	X(object_type, object, "PyObject.ob_type")                                               \
	X(runtime_tstate_current, runtime, "_PyRuntimeState.gilstate.tstate_current (3.8-3.11)") \
	X(runtime_gc, runtime, "_PyRuntimeState.gc (3.8), or none")                              \
	X(interp_gc, interp, "PyInterpreterState.gc (3.9+), or none")                            \
	X(interp_stw_requester, interp, "stoptheworld.requester (free-threaded), or none")       \
	X(gc_collecting, gc, "_gc_runtime_state.collecting")                                     \
	X(gc_frame, gc, "_gc_runtime_state.frame (3.15+), or none")                              \
	X(tstate_status, tstate, "PyThreadState._status (3.12+), or none")                       \
	X(tstate_active, tstate, "mask of _status.active (3.12+), no offset")                    \
	X(tstate_cframe, tstate, "PyThreadState.cframe (3.10-3.12), on the C stack, or none")    \
	X(frame_tlbc, frame, "_PyInterpreterFrame.tlbc_index (free-threaded), or none")          \
	X(code_tlbc, code, "PyCodeObject.co_tlbc (free-threaded), or none")                      \
	X(long_tag, int, "PyLongObject.long_value.lv_tag (3.12+), ob_size")                      \
	X(long_digits, int, "PyLongObject.long_value.ob_digit (3.12+), ob_digit")                \
	X(gen_frame, gen, "PyGenObject.gi_iframe (3.11+), gi_frame")                             \
	X(gen_state, gen, "gi_frame_state (3.11+), PyFrameObject.f_state (3.10), gi_running")    \
	X(gen_created, gen, "FRAME_CREATED as a byte (3.10+), no offset")                        \
	X(gen_suspended, gen, "FRAME_SUSPENDED as a byte (3.10+), no offset")                    \
	X(gen_awaits, gen, "FRAME_SUSPENDED_YIELD_FROM as a byte (3.13+), no offset")            \
	X(gen_executing, gen, "FRAME_EXECUTING as a byte (3.10+), no offset")                    \
	X(frame_stack, frame, "localsplus (3.11-3.13), f_valuestack (3.10), or none")            \
	X(frame_stacktop, frame,                                                                 \
	  "stackpointer (3.14+), stacktop (3.11-3.13), f_stackdepth (3.10), f_stacktop")         \
	X(code_code, code, "PyCodeObject.co_code (before 3.11), or none")                        \
	X(type_name, type, "PyTypeObject.tp_name")                                               \
	X(type_base, type, "PyTypeObject.tp_base")                                               \
	X(set_mask, set, "PySetObject.mask")                                                     \
	X(set_table, set, "PySetObject.table")                                                   \
	X(list_items, list, "PyListObject.ob_item")                                              \
	X(tuple_items, tuple, "PyTupleObject.ob_item")                                           \
	X(weakref_object, weakref, "PyWeakReference.wr_object")                                  \
	X(cell_value, cell, "PyCellObject.ob_ref")                                               \
	X(function_closure, function, "PyFunctionObject.func_closure")                           \
	X(method_self, method, "PyMethodObject.im_self")                                         \
	X(tstate_exception, tstate, "PyThreadState.current_exception (3.12+), curexc_type")      \
	X(tstate_chunk, tstate, "PyThreadState.datastack_chunk (3.11+), or none")                \
	X(frame_globals, frame, "_PyInterpreterFrame.f_globals (3.11+), f_globals")              \
	X(frameobject_frame, frameobject, "PyFrameObject.f_frame (3.11+), or none")              \
	X(code_flags, code, "PyCodeObject.co_flags")                                             \
	X(code_firsttraceable, code, "PyCodeObject._co_firsttraceable (3.11+), or none")         \
	X(type_dealloc, type, "PyTypeObject.tp_dealloc")

struct py_offsets {
#define X(field, group, what) uint32_t field;
	PY_OFFSETS(X)
#undef X
};

struct py_live {
#define X(field, group, what) uint32_t field;
	PY_LIVE(X)
#undef X
};

/* The members of both, in their order. */
enum py_field {
#define X(field, group, what) PY_FIELD_##field,
	PY_OFFSETS(X) PY_LIVE(X)
#undef X
		PY_FIELD_MAX,
	PY_FIELD_LIVE = PY_FIELD_object_type, /* this one and all after it are in struct py_live */
};

enum py_build {
	PY_BUILD_RELEASE,       /* with a GIL */
	PY_BUILD_DEBUG,         /* --with-pydebug */
	PY_BUILD_FREE_THREADED, /* --disable-gil */
};

/* How co_linetable / co_lnotab is encoded. */
enum py_lines {
	PY_LINES_LNOTAB,  /* 3.8, 3.9: Objects/lnotab_notes.txt */
	PY_LINES_DELTAS,  /* 3.10: PEP 626, Objects/lnotab_notes.txt */
	PY_LINES_ENTRIES, /* 3.11+: Objects/locations.md, (3.14+: InternalDocs/code_objects.md) */
};

#endif
