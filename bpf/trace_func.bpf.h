/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of functions. A function is a code object: at its first begin it gets a number, and its names
 * are copied and sent, since it may be gone before anybody could ask. That number is good until the
 * code object is freed, which a probe at its destructor tells (on_dealloc): so no begin needs to look
 * whether an address still means the same function. While the probes are out nobody hears of it: after a
 * pause the first begin of each function looks.
 */
#ifndef UNCOIL_TRACE_FUNC_BPF_H
#define UNCOIL_TRACE_FUNC_BPF_H

#include "check.h"
#include "loop.bpf.h"
#include "part.bpf.h"
#include "trace_maps.bpf.h"

/* co_flags, v3.8 to v3.15 Include/cpython/code.h */
#define CO_GENERATOR          0x20
#define CO_COROUTINE          0x80
#define CO_ITERABLE_COROUTINE 0x100
#define CO_ASYNC_GENERATOR    0x200

static __always_inline __u64 code_member(__u64 code, __u32 off)
{
	__u64 value = 0;

	if (off)
		user_u64(&value, code + off);
	return value;
}

static __always_inline int code_fill(struct ev_code *ev, const struct trace_cfg *cfg, __u64 code)
{
	__u64 name, size = 0;
	__u32 at;

	ev->code = code;
	ev->facts_len = part_copy(ev, 0, code, cfg->code_read, EV_CODE_FACTS_MAX);
	if (!ev->facts_len)
		return 0;
	at = ev->facts_len;
	name = code_member(code, cfg->code_name);
	ev->name_len = part_copy(ev, at, name, str_size(cfg, name), EV_CODE_NAME_MAX);
	at += ev->name_len;
	name = code_member(code, cfg->code_qualname);
	ev->qualname_len = part_copy(ev, at, name, str_size(cfg, name), EV_CODE_QUALNAME_MAX);
	at += ev->qualname_len;
	name = code_member(code, cfg->code_filename);
	ev->filename_len = part_copy(ev, at, name, str_size(cfg, name), EV_CODE_FILENAME_MAX);
	at += ev->filename_len;
	name = code_member(code, cfg->code_linetable);
	if (name)
		user_u64(&size, name + cfg->bytes_size);
	ev->linetable_len =
		part_copy(ev, at, name, size ? size + cfg->bytes_data : 0, EV_CODE_LINETABLE_MAX);
	at += ev->linetable_len;
	return at > EV_CODE_DATA_MAX ? 0 : at + sizeof(*ev) - EV_CODE_DATA_MAX;
}

/* Sends a function's names; where that fails its next begin tries again. */
SHARED int func_tell(struct trace_thread *thread, const struct trace_proc *proc, __u32 number)
{
	struct trace_sums *func = func_at(number);
	struct ev_code *ev;
	__u32 scratch, size;

	if (!thread || !proc || !func)
		return 0;
	if (bpf_map_pop_elem(&free_scratches, &scratch))
		return 0;
	ev = bpf_map_lookup_elem(&trace_scratches, &scratch);
	if (ev) {
		size = code_fill(ev, &proc->cfg, func->code);
		if (size && size <= sizeof(*ev)) {
			header(&ev->hdr, EV_CODE, size, proc->image, thread, bpf_ktime_get_ns());
			ev->check = number;
			if (!bpf_ringbuf_output(&trace_ring, ev, size, wake()))
				func->told = 1;
		} else {
			func->told = 1; /* cannot be read: user space may try */
		}
	}
	bpf_map_push_elem(&free_scratches, &scratch, BPF_ANY);
	return 0;
}

static __always_inline __u32 kind_of(__u32 flags)
{
	if (flags & CO_COROUTINE)
		return EV_FUNC_COROUTINE;
	if (flags & CO_ASYNC_GENERATOR)
		return EV_FUNC_ASYNC_GEN;
	return flags & (CO_GENERATOR | CO_ITERABLE_COROUTINE) ? EV_FUNC_GENERATOR : EV_FUNC_PLAIN;
}

/* What makes a code object this one, as in walk.bpf.h. */
static __always_inline __u64 identity_of(const struct trace_cfg *cfg, __u64 code)
{
	__u64 sum = CHECK_SEED, name = code_member(code, cfg->code_name), unlike = 0;
	__u32 line = 0;

	sum = check_mix(sum, name);
	sum = check_mix(sum, code_member(code, cfg->code_qualname));
	sum = check_mix(sum, code_member(code, cfg->code_filename));
	sum = check_mix(sum, code_member(code, cfg->code_linetable));
	bpf_probe_read_user(&line, sizeof(line), (void *)(code + cfg->code_firstlineno));
	if (cfg->code_version)
		bpf_probe_read_user(&unlike, sizeof(__u32), (void *)(code + cfg->code_version));
	else
		user_u64(&unlike, name + cfg->str_hash);
	return check_mix(check_mix(sum, line), unlike);
}

/* Is the code object at this function's address the same as before the pause? If not, the address has no number
 * any more. */
SHARED int func_same(const struct trace_proc *proc, __u32 number)
{
	struct trace_sums *func = func_at(number);
	struct func_key key = {};

	if (!proc || !func)
		return 0;
	if (func->identity == identity_of(&proc->cfg, func->code)) {
		func->window = proc->window;
		return 1;
	}
	key.code = func->code;
	key.image = func->image;
	bpf_map_delete_elem(&func_of, &key);
	return 0;
}

/* The number of a code object that has none yet; 0: it is none, or there is no room (counted). `globals`:
 * of the frame that runs it. */
SHARED __u32 func_new(struct trace_thread *thread, const struct trace_proc *proc, __u64 code,
		      __u64 globals)
{
	struct func_key key = { .code = code };
	const struct trace_cfg *cfg;
	__u32 number, flags = 0, first = 0, *other;
	struct trace_sums *func;
	struct ev_func *ev;
	__u64 type = 0;

	if (!thread || !proc)
		return 0;
	cfg = &proc->cfg;
	key.image = proc->image;
	if (user_u64(&type, code + cfg->object_type) || type != cfg->code_type ||
	    bpf_probe_read_user(&flags, sizeof(flags), (void *)(code + cfg->code_flags))) {
		count(TRACE_STAT_DROP_READ);
		return 0;
	}
	if (cfg->code_firsttraceable)
		bpf_probe_read_user(&first, sizeof(first),
				    (void *)(code + cfg->code_firsttraceable));
	if (bpf_map_pop_elem(&free_funcs, &number)) {
		count(TRACE_STAT_DROP_FUNCS);
		return 0;
	}
	func = func_at(number);
	if (!func)
		return 0;
	func->code = code;
	func->image = proc->image;
	func->kind = kind_of(flags);
	func->first = 2 * first;
	func->told = 0;
	func->window = proc->window;
	func->identity = identity_of(cfg, code);
	func->state = TRACE_FUNC_NEW;
	if (bpf_map_update_elem(&func_of, &key, &number, BPF_NOEXIST)) {
		/* another thread was quicker, or it is full */
		func->image = 0;
		bpf_map_push_elem(&free_funcs, &number, BPF_ANY);
		other = bpf_map_lookup_elem(&func_of, &key);
		if (!other)
			count(TRACE_STAT_DROP_FUNCS);
		return other ? *other : 0;
	}
	ev = bpf_ringbuf_reserve(&trace_ring, sizeof(*ev), 0);
	if (ev) {
		header(&ev->hdr, EV_FUNC, sizeof(*ev), proc->image, thread, bpf_ktime_get_ns());
		ev->code = code;
		ev->globals = globals;
		ev->func = number;
		ev->kind = func->kind;
		bpf_ringbuf_submit(ev, BPF_RB_FORCE_WAKEUP);
		func_tell(thread, proc, number);
	} else {
		/* without its name nothing can be said of it: it gets a number when there is room */
		bpf_map_delete_elem(&func_of, &key);
		func->image = 0;
		bpf_map_push_elem(&free_funcs, &number, BPF_ANY);
		count(TRACE_STAT_DROP_FUNCS);
		return 0;
	}
	return number;
}

#endif
