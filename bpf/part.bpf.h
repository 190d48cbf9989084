/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of a code object, as EV_CODE has them: raw objects, one behind the other. */
#ifndef UNCOIL_PART_BPF_H
#define UNCOIL_PART_BPF_H

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "events.h"

/* Copies one part of a code object behind the others; returns its length, 0 if it can't be read. */
static __always_inline __u32 part_copy(struct ev_code *ev, __u32 at, __u64 addr, __u64 len,
				       const __u32 max)
{
	if (!addr || !len || at > EV_CODE_DATA_MAX - max)
		return 0;
	if (len > max)
		len = max;
	if (bpf_probe_read_user(ev->data + at, (__u32)len, (void *)addr))
		return 0;
	return (__u32)len;
}

/* Size of the compact str object at `str`, header included; its text's width is 1, 2 or 4 bytes. `cfg`: struct
 * py_cfg or struct trace_cfg. */
#define str_size(cfg, str)                                                               \
	str_object_size(str, (cfg)->str_length, (cfg)->str_state, (cfg)->str_kind_shift, \
			(cfg)->str_data_max)

static __always_inline __u64 str_object_size(__u64 str, __u32 off_length, __u32 off_state,
					     __u32 kind_shift, __u32 data_max)
{
	__u64 length = 0;
	__u32 state = 0;

	if (!str || bpf_probe_read_user(&length, sizeof(length), (void *)(str + off_length)) ||
	    bpf_probe_read_user(&state, sizeof(state), (void *)(str + off_state)))
		return 0;
	if (length > EV_CODE_FILENAME_MAX)
		length = EV_CODE_FILENAME_MAX;
	return data_max + length * ((state >> kind_shift) & 7);
}

#endif
