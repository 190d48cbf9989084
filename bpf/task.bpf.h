/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The asyncio task that a stack is of (record --async): one entry more behind the stack's outermost
 * frame (enum ev_task_entry), and the task's name, once.
 *
 * From 3.14 on a thread state points to its current task. Before, there is one dict for all loops of
 * the process, loop -> current task, and nothing in it says which thread a loop runs in. But a task
 * has a coroutine, and a coroutine that runs has a frame: a task of the dict is this thread's if its
 * coroutine's frame is one of those that were just walked. Two stacks cannot have one frame in
 * common, so this is no guess, whatever else runs at that moment.
 *
 * Reading a task is believing that it is one: its class must be asyncio's own (written in C), or be
 * derived from it. Others have their fields elsewhere; that there is one is all that is said.
 *
 * A name is known by a hash over its text, not by the address of its task: tasks are freed and made
 * at the same place all the time. So a reused address cannot give a stack another task's name, and
 * tasks that are called the same are one.
 */
#ifndef UNCOIL_TASK_BPF_H
#define UNCOIL_TASK_BPF_H

#include "walk.bpf.h"

#define TASK_BASES_MAX 8 /* classes between a task's own and asyncio's */

#define TYPE_LONG_SUBCLASS (1ULL << 24) /* tp_flags, stable ABI */
#define TYPE_STR_SUBCLASS  (1ULL << 28)

#define NAME_WORDS         (EV_TASK_NAME_MAX / 8)
#define DEFAULT_DIGITS_MAX 20

static __always_inline __u64 task_u64(const struct scratch *s, __u32 off)
{
	barrier_var(off); /* as in tstate_u64() */
	return off <= PY_TASK_READ_MAX - 8 ? *(const __u64 *)(s->task_raw + off) : 0;
}

static __always_inline __u64 keys_u64(const struct scratch *s, __u32 off)
{
	barrier_var(off);
	return off <= PY_KEYS_READ_MAX - 8 ? *(const __u64 *)(s->keys + off) : 0;
}

static __always_inline __u8 keys_u8(const struct scratch *s, __u32 off)
{
	barrier_var(off);
	return off < PY_KEYS_READ_MAX ? s->keys[off] : 0;
}

/* Reads the task into s->task_raw. False: it is none of asyncio's own. */
static __always_inline bool task_load(struct scratch *s, __u64 task)
{
	const struct task_cfg *cfg = &s->cfg.task;
	__u32 len = cfg->read, i;
	__u64 type;

	if (len > PY_TASK_READ_MAX || bpf_probe_read_user(s->task_raw, len, (void *)task))
		return false;
	type = task_u64(s, s->cfg.object_type);
	for (i = 0; i < TASK_BASES_MAX && type && type != cfg->type; i++)
		if (user_u64(&type, type + cfg->type_base))
			return false;
	return type && type == cfg->type;
}

/* Is the coroutine's frame one of those that were walked? Looked for from the outermost on: there it
 * is. */
static long seek_turn(__u32 i, void *found)
{
	struct scratch *s = scratch_here();
	__u32 n;

	if (!s)
		return 1;
	n = s->at_cnt - 1 - i;
	if (i >= s->at_cnt || n >= EV_FRAMES_MAX)
		return 1;
	if (s->ats[n] != s->task_frame)
		return 0;
	*(int *)found = 1;
	return 1;
}

SHARED int task_seek(void)
{
	int found = 0;

	loop_each(EV_FRAMES_MAX, seek_turn, &found);
	return found;
}

/* The address of the frame of the loaded task's coroutine, into s->task_frame. */
static __always_inline void task_frame(struct scratch *s)
{
	const struct task_cfg *cfg = &s->cfg.task;
	__u64 coro = task_u64(s, cfg->coro);

	s->task_frame = 0;
	if (!coro)
		return;
	if (!cfg->gen_frame_ptr)
		s->task_frame = coro + cfg->gen_frame;
	else
		user_u64(&s->task_frame, coro + cfg->gen_frame);
}

/* One entry of the dict; 1 = it is this stack's task. */
SHARED int loop_step(__u32 n)
{
	struct scratch *s = scratch_here();
	__u64 task;

	if (!s || n >= PY_LOOPS_MAX)
		return 0;
	task = s->loops[n * 3 + 2];
	if (!task)
		return 0; /* deleted */
	if (s->tried++ >= PY_LOOPS_LIVE)
		return 1;
	if (!task_load(s, task))
		return 0;
	task_frame(s);
	if (!s->task_frame || !task_seek())
		return 0;
	s->task = task;
	return 1;
}

static long loop_turn(__u32 i, void *cnt)
{
	return i >= *(__u64 *)cnt || loop_step(i) ? 1 : 0;
}

/* Before 3.14: the task of this stack among those of all loops. Returns an enum ev_task_entry if one
 * cannot be told, else 0. */
static __always_inline __u32 task_of_loops(struct scratch *s)
{
	const struct task_cfg *cfg = &s->cfg.task;
	__u64 keys, nentries, index = 0;
	__u32 len = cfg->keys_index;
	__u64 cnt;
	bool lost;

	if (!s->at_cnt || user_u64(&keys, cfg->dict + cfg->dict_keys) || len > PY_KEYS_READ_MAX ||
	    bpf_probe_read_user(s->keys, len, (void *)keys))
		return 0;
	nentries = keys_u64(s, cfg->keys_nentries);
	if (!nentries || (cfg->keys_kind && keys_u8(s, cfg->keys_kind)))
		return 0;
	if (cfg->keys_index_log2)
		index = 1ULL << (keys_u8(s, cfg->keys_index_log2) & 31);
	else
		index = keys_u64(s, cfg->keys_size); /* a byte each, up to 255 */
	lost = nentries > PY_LOOPS_MAX;
	cnt = lost ? PY_LOOPS_MAX : nentries;
	asm volatile("" : "+r"(cnt)); /* or the verifier loses sight of its bound */
	if (cnt > PY_LOOPS_MAX)
		return 0;
	if (index > 255 && !cfg->keys_index_log2)
		return EV_TASK_LOST;
	if (bpf_probe_read_user(s->loops, cnt * 24, (void *)(keys + len + index)))
		return 0;
	loop_each(PY_LOOPS_MAX, loop_turn, &cnt);
	/* or the part of the stack that its coroutine is in was not walked */
	lost = lost || s->tried > PY_LOOPS_LIVE ||
	       (s->tried && (s->at || s->at_cnt == EV_FRAMES_MAX));
	return !s->task && lost ? EV_TASK_LOST : 0;
}

/* Is the str in s->name, `len` bytes from `text` on, what asyncio calls a task that was given no name:
 * "Task-" and a number? */
static __always_inline bool name_is_default(const struct scratch *s, __u32 text, __u64 len)
{
	__u32 i, at;

	if (len < 6 || len > 5 + DEFAULT_DIGITS_MAX || text > EV_TASK_NAME_MAX - 32)
		return false;
	if (s->name.name[text] != 'T' || s->name.name[text + 1] != 'a' ||
	    s->name.name[text + 2] != 's' || s->name.name[text + 3] != 'k' ||
	    s->name.name[text + 4] != '-')
		return false;
	for (i = 5; i < 5 + DEFAULT_DIGITS_MAX && i < len; i++) {
		at = text + i;
		if (at >= EV_TASK_NAME_MAX || s->name.name[at] < '0' || s->name.name[at] > '9')
			return false;
	}
	return true;
}

static long hash_turn(__u32 i, void *data)
{
	struct scratch *s = scratch_here();
	__u32 *from = data, at = *from + i * 8;

	if (!s || at >= s->name.name_len || at > EV_TASK_NAME_MAX - 8)
		return 1;
	s->name.hash = check_mix(s->name.hash, *(const __u64 *)(s->name.name + at));
	return 0;
}

/* Copies the str at `name` into s->name and sums up its text. 1: done; 0: it is a default name;
 * negative: it cannot be read. */
SHARED int name_load(__u64 name)
{
	struct scratch *s = scratch_here();
	const struct py_cfg *cfg;
	__u64 type, flags = 0, length = 0, size;
	__u32 state = 0, kind, text;

	if (!s)
		return -EINVAL;
	cfg = &s->cfg;
	if (user_u64(&type, name + cfg->object_type) ||
	    user_u64(&flags, type + cfg->task.type_flags))
		return -EFAULT;
	/* before it is asked for, a default name is but a number (3.13+) */
	if (flags & TYPE_LONG_SUBCLASS)
		return 0;
	if (!(flags & TYPE_STR_SUBCLASS) || user_u64(&length, name + cfg->str_length) ||
	    bpf_probe_read_user(&state, sizeof(state), (void *)(name + cfg->str_state)))
		return -EFAULT;
	/* kind:3, compact:1, ascii:1 */
	state >>= cfg->str_kind_shift & 31;
	kind = state & 7;
	text = state & 16 ? cfg->task.str_ascii : cfg->str_data_max;
	if (!kind || kind > 4 || text > EV_TASK_NAME_MAX / 2)
		return -EINVAL;
	size = length > EV_TASK_NAME_MAX ? EV_TASK_NAME_MAX : text + length * kind;
	if (size > EV_TASK_NAME_MAX)
		size = EV_TASK_NAME_MAX;
	__builtin_memset(s->name.name, 0, sizeof(s->name.name));
	barrier_var(size);
	if (size > EV_TASK_NAME_MAX || bpf_probe_read_user(s->name.name, size, (void *)name))
		return -EFAULT;
	if ((state & 16) && name_is_default(s, text, length))
		return 0;
	s->name.name_len = size;
	s->name.hash = check_mix(check_mix(hash_seed, length), kind);
	loop_each(NAME_WORDS, hash_turn, &text);
	return 1;
}

/* Ships the name in s->name, if it is new. What finds the ring full is tried again at the next tick. */
static __always_inline void name_ship(struct scratch *s)
{
	struct code_key key = { .code = s->entry.code, .image = s->stack.hdr.image };
	__u32 one = 1, size = s->name.name_len;

	if (!key.code || size > EV_TASK_NAME_MAX || bpf_map_lookup_elem(&codes, &key))
		return;
	size += sizeof(s->name) - EV_TASK_NAME_MAX;
	hdr_fill(&s->name.hdr, EV_TASK, size, s->stack.hdr.image, s->stack.hdr.tgid,
		 s->stack.hdr.tid, s->stack.hdr.thread);
	s->name.pad = 0;
	barrier_var(size);
	if (size > sizeof(s->name))
		return;
	if (!bpf_ringbuf_output(&ring, &s->name, size, wake_flags()))
		bpf_map_update_elem(&codes, &key, &one, BPF_ANY);
}

/* What names a task without a name: its coroutine's code object. */
static __always_inline void entry_of(struct scratch *s)
{
	const struct py_cfg *cfg = &s->cfg;
	__u64 code;

	s->entry.lasti = EV_TASK_OF;
	task_frame(s);
	if (!s->task_frame || user_u64(&code, s->task_frame + cfg->frame_code))
		return;
	code &= ~(__u64)cfg->frame_code_tags;
	s->entry.check = code_sum(s, code);
	if (s->entry.check)
		s->entry.code = code;
}

/* Which task the stack that was just followed is of, into s->entry. tstate: the loaded one, or 0, 1. */
SHARED int task_find(__u64 tstate)
{
	struct scratch *s = scratch_here();
	const struct task_cfg *cfg;
	__u64 task = 0;
	int named;

	if (!s)
		return 0;
	cfg = &s->cfg.task;
	__builtin_memset(&s->entry, 0, sizeof(s->entry));
	s->task = 0;
	s->tried = 0;
	if (!cfg->type || tstate <= 1)
		return 0;
	if (cfg->dict) {
		s->entry.lasti = task_of_loops(s);
	} else if (!user_u64(&task, tstate + cfg->tstate_task) && task) {
		if (task_load(s, task))
			s->task = task;
		else
			s->entry.lasti = EV_TASK_OTHER;
	}
	if (!s->task)
		return 0;
	named = name_load(task_u64(s, cfg->name));
	if (!named) {
		entry_of(s);
		return 0;
	}
	s->entry.lasti = EV_TASK_NAMED;
	s->entry.code = named > 0 ? s->name.hash : 0; /* 0: nobody has that name */
	return 0;
}

/* Puts s->entry behind the frames of s->stack, and into its hash. */
static __always_inline void task_put(struct scratch *s)
{
	__u32 n = s->stack.frame_cnt;

	if (!s->entry.lasti || n >= EV_ENTRIES_MAX)
		return;
	if (s->entry.lasti == EV_TASK_NAMED)
		name_ship(s);
	s->stack.frames[n] = s->entry;
	s->stack.frame_cnt = n + 1;
	s->hash = check_mix(s->hash, s->entry.code);
	s->hash = check_mix(s->hash, ((__u64)s->entry.check << 32) | s->entry.lasti);
}

#endif
