/* SPDX-License-Identifier: Apache-2.0 */
#include "python/trace_layout.h"

#include <errno.h>
#include <stdbool.h>

#include "python/find.h"
#include "python/layout.h"
#include "python/sites.h"

/* Tags of a PyStackRef (python/layout.c). */
#define STACKREF_TAGS 3

static bool has(const struct sites *sites, enum site_kind kind)
{
	int i;

	for (i = 0; i < sites->cnt; i++)
		if (sites->list[i].kind == kind)
			return true;
	return false;
}

bool trace_wants(const struct sites *sites, enum site_kind kind)
{
	bool clear = has(sites, SITE_CLEAR);

	switch (kind) {
	case SITE_RAISE:
	case SITE_FREE:
		return true;
	case SITE_USDT_BEGIN:
	case SITE_USDT_END:
		return sites->method == SITES_USDT;
	case SITE_ENTER: /* 3.11 on: only throw() and close() */
		return sites->method == SITES_HANDLERS;
	case SITE_LEAVE:
		return sites->method == SITES_HANDLERS && sites->minor < 11;
	case SITE_BEGIN:
	case SITE_YIELD:
		return sites->minor >= 11;
	case SITE_RETURN:
		return sites->minor >= 11 && !clear;
	case SITE_CLEAR:
		return clear;
	default:
		return false; /* delegate, make, init: what they say is seen from the frame */
	}
}

int trace_layout(const struct py_found *found, const struct py_layout *layout,
		 const struct sites *sites, struct trace_cfg *ret_cfg)
{
	const struct py_offsets *off = &layout->abi.off;
	const struct py_live *live = &layout->abi.live;
	struct trace_cfg cfg = {
		.runtime = found->runtime,
		.code_type = found->code_type,
		.runtime_tstate_current = live->runtime_tstate_current,
		.runtime_interpreters_head = off->runtime_interpreters_head,
		.interp_next = off->interp_next,
		.interp_threads_head = off->interp_threads_head,
		.tstate_next = off->tstate_next,
		.tstate_thread_id = off->tstate_thread_id,
		.tstate_frame = off->tstate_frame,
		.cframe_current_frame = off->cframe_current_frame,
		.tstate_exception = live->tstate_exception,
		.tstate_chunk = live->tstate_chunk,
		.frame_previous = off->frame_previous,
		.frame_code = off->frame_code,
		.frame_globals = live->frame_globals,
		.frame_instr = off->frame_instr,
		.frame_owner = off->frame_owner,
		.frame_tlbc = live->frame_tlbc,
		.frame_object = live->frameobject_frame,
		.object_type = live->object_type,
		.type_name = live->type_name,
		.code_flags = live->code_flags,
		.code_firsttraceable = live->code_firsttraceable,
		.code_firstlineno = off->code_firstlineno,
		.code_version = off->code_version,
		.code_filename = off->code_filename,
		.code_name = off->code_name,
		.code_qualname = off->code_qualname,
		.code_linetable = off->code_linetable,
		.code_start = off->code_start,
		.code_tlbc = live->code_tlbc,
		.str_length = off->str_length,
		.str_hash = off->str_hash,
		.str_state = off->str_state,
		.str_kind_shift = layout->abi.str_kind_shift,
		.str_data_max = off->str_compact_size,
		.bytes_size = off->bytes_size,
		.bytes_data = off->bytes_data,
	};
	uint32_t minor = layout->abi.minor;
	struct py_cfg sampled;

	if (layout_cfg(found, layout, &sampled))
		return -EINVAL;
	cfg.code_read = sampled.code_read;
	if (layout->source.cframe_current_frame != PY_SOURCE_NONE)
		cfg.flags |= TRACE_CFRAME;
	if (minor < 11 || has(sites, SITE_CLEAR))
		cfg.flags |= TRACE_SEES_RAISE;
	if (!has(sites, SITE_FREE))
		cfg.flags |= TRACE_FREE_UNSEEN;
	if (minor < 12)
		cfg.flags |= TRACE_EXC_IS_TYPE;
	if (minor >= 15)
		cfg.flags |= TRACE_RESUME_7;
	if (minor == 8)
		cfg.flags |= TRACE_FRAME_FIRST;
	if (off->code_start)
		cfg.flags |= TRACE_INSTR_IS_PTR;
	if (minor >= 14)
		cfg.frame_code_tags = STACKREF_TAGS;
	/* f_state says FRAME_SUSPENDED; before 3.10 f_stacktop is NULL but while suspended */
	if (minor == 10) {
		cfg.frame_state = live->gen_state;
		cfg.frame_suspended = live->gen_suspended;
	} else if (minor < 10) {
		cfg.frame_state = live->frame_stacktop;
	}
	cfg.frame_from =
		off->frame_previous < off->frame_code ? off->frame_previous : off->frame_code;
	cfg.read_previous = off->frame_previous - cfg.frame_from;
	cfg.read_code = off->frame_code - cfg.frame_from;
	cfg.frame_read =
		8 + (cfg.read_previous > cfg.read_code ? cfg.read_previous : cfg.read_code);
	if (cfg.frame_read > TRACE_FRAME_READ)
		return -EINVAL;
	*ret_cfg = cfg;
	return 0;
}
