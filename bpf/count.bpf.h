/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What both samplers do with a stack: find the thread's entry, count the stack in it, and ship what
 * user space has not seen. Only a stack that this thread was not seen with before is sent, and only
 * a code object that was not seen before is copied along - here, at first sight, since a script
 * that is about to exit and a lambda that is about to be freed leave nothing to be read later.
 */
#ifndef UNCOIL_COUNT_BPF_H
#define UNCOIL_COUNT_BPF_H

#include "part.bpf.h"
#include "walk.bpf.h"

#define PF_EXITING 0x00000004

/* When so many bytes of code objects have been copied for one stack, no more are: usual ones have 1
 * to 2 KiB, the longest 20. Each is copied twice, into the scratch and from there into the ring. */
#define CODE_BYTES_MAX 16384

/* Tells user space of a thread; 0, or negative if the ring is full. */
static __always_inline int thread_tell(struct thread_seen *thread, struct task_struct *task,
				       __u32 tgid, __u32 tid)
{
	struct ev_thread ev = {};

	hdr_fill(&ev.hdr, EV_THREAD, sizeof(ev), thread->image, tgid, tid, thread->serial);
	ev.thread_id = thread->thread_id;
	BPF_CORE_READ_STR_INTO(&ev.comm, task, comm);
	if (bpf_ringbuf_output(&ring, &ev, sizeof(ev), BPF_RB_FORCE_WAKEUP))
		return -EINVAL;
	thread->sent_id = thread->thread_id;
	return 0;
}

/* The thread's entry, made when it is first seen; NULL = it cannot be used (counted). */
static __always_inline struct thread_seen *thread_get(struct task_struct *task, __u32 tgid,
						      __u32 tid, __u32 image)
{
	struct thread_seen *thread = bpf_map_lookup_elem(&threads, &tid), *fresh;
	struct serials *here;
	struct scratch *s;

	if (thread && thread->image == image)
		return thread;
	here = serials_here();
	s = scratch_here();
	if (!here || !s) {
		stat_add(STAT_DROP_SCRATCH);
		return NULL;
	}
	if (BPF_CORE_READ(task, flags) & PF_EXITING) {
		/* its entry is gone already (life.bpf.c); do not make a new one */
		stat_add(STAT_EXITING);
		return NULL;
	}
	fresh = &s->fresh; /* the BPF stack's 512 bytes are for all functions that call each other */
	__builtin_memset(fresh, 0, sizeof(*fresh));
	fresh->image = image;
	fresh->serial = serial_next(&here->threads);
	if (!fresh->serial) {
		stat_add(STAT_DROP_THREADS_FULL);
		return NULL;
	}
	fresh->thread_id = task_thread_id(task);
	/* first the entry, then the word of it: where there is no room, each tick would be a word */
	if (bpf_map_update_elem(&threads, &tid, fresh, BPF_ANY)) {
		stat_add(STAT_DROP_THREADS_FULL);
		return NULL;
	}
	thread = bpf_map_lookup_elem(&threads, &tid);
	if (thread && thread_tell(thread, task, tgid, tid)) {
		bpf_map_delete_elem(&threads, &tid);
		stat_add(STAT_DROP_RING_THREAD);
		return NULL;
	}
	return thread;
}

/* Ships the code object of s->stack.frames[n]; 0 or a negative errno. */
SHARED int code_ship(__u32 n)
{
	struct scratch *s = scratch_here();
	const struct py_cfg *cfg;
	struct ev_code *ev;
	__u32 zero = 0;
	__u64 code, name, qualname, filename, linetable, size = 0;
	__u32 at;

	ev = bpf_map_lookup_elem(&code_scratches, &zero);
	if (!s || !ev || n >= EV_ENTRIES_MAX)
		return -EINVAL;
	cfg = &s->cfg;
	code = s->stack.frames[n].code;
	ev->code = code;
	ev->check = s->stack.frames[n].check;
	ev->facts_len = part_copy(ev, 0, code, cfg->code_read, EV_CODE_FACTS_MAX);
	if (bpf_probe_read_user(s->code, PY_CODE_READ_MAX < cfg->code_read ? 0 : cfg->code_read,
				(void *)code))
		return -EINVAL;
	name = code_u64(s, cfg->code_name);
	qualname = cfg->code_qualname ? code_u64(s, cfg->code_qualname) : 0;
	filename = code_u64(s, cfg->code_filename);
	linetable = code_u64(s, cfg->code_linetable);

	at = ev->facts_len;
	ev->name_len = part_copy(ev, at, name, str_size(cfg, name), EV_CODE_NAME_MAX);
	at += ev->name_len;
	ev->qualname_len =
		part_copy(ev, at, qualname, str_size(cfg, qualname), EV_CODE_QUALNAME_MAX);
	at += ev->qualname_len;
	ev->filename_len =
		part_copy(ev, at, filename, str_size(cfg, filename), EV_CODE_FILENAME_MAX);
	at += ev->filename_len;
	if (linetable)
		user_u64(&size, linetable + cfg->bytes_size);
	ev->linetable_len = part_copy(ev, at, linetable, size ? size + cfg->bytes_data : 0,
				      EV_CODE_LINETABLE_MAX);
	at += ev->linetable_len;
	if (at > EV_CODE_DATA_MAX)
		return -EINVAL;
	at += sizeof(*ev) - EV_CODE_DATA_MAX;
	hdr_fill(&ev->hdr, EV_CODE, at, s->stack.hdr.image, s->stack.hdr.tgid, s->stack.hdr.tid,
		 s->stack.hdr.thread);
	if (at > sizeof(*ev))
		return -EINVAL;
	s->code_bytes += at;
	return bpf_ringbuf_output(&ring, ev, at, wake_flags());
}

/* One frame's code object, if it is new: 0 = was known, 1 = shipped now, negative = could not. */
TURN int ship_step(__u32 n)
{
	struct scratch *s = scratch_here();
	struct code_key key = {};
	__u32 one = 1;

	if (!s || n >= EV_ENTRIES_MAX || n >= s->stack.frame_cnt)
		return -EINVAL;
	key.code = s->stack.frames[n].code;
	if (!key.code)
		return 0; /* the collector */
	key.check = s->stack.frames[n].check;
	key.image = s->stack.hdr.image;
	if (!key.check || bpf_map_lookup_elem(&codes, &key))
		return 0; /* without a check it is no code object, but a task's entry */
	if (s->code_bytes >= CODE_BYTES_MAX || code_ship(n))
		return -EINVAL;
	stat_add(STAT_CODES_NEW);
	/* a full table only means that the object may be shipped twice */
	bpf_map_update_elem(&codes, &key, &one, BPF_ANY);
	return 1;
}

struct ship {
	__u32 next; /* frame to look at next */
	__u32 left; /* how many more may be copied this time */
};

static long ship_turn(__u32 i, void *data)
{
	struct ship *ship = data;
	int err;

	if (!ship->left)
		return 1;
	err = ship_step(ship->next);
	if (err < 0)
		return 1;
	ship->left -= err;
	ship->next++;
	return 0;
}

/* Ships the code objects of frames from `pending` - 1 on; returns the new `pending`, 0 = done. */
SHARED int codes_ship(__u32 pending)
{
	struct scratch *s = scratch_here();
	struct ship ship = { .next = pending - 1, .left = 0 };

	if (!s)
		return pending;
	ship.left = s->codes_max;
	s->code_bytes = 0;
	loop_each(EV_ENTRIES_MAX, ship_turn, &ship);
	return ship.next >= s->stack.frame_cnt ? 0 : ship.next + 1;
}

static __always_inline int stack_ship(struct scratch *s)
{
	__u32 n = s->stack.frame_cnt, size;

	if (n > EV_ENTRIES_MAX)
		return -EINVAL;
	size = sizeof(s->stack) - sizeof(s->stack.frames) + n * sizeof(struct py_frame);
	hdr_fill(&s->stack.hdr, EV_STACK, size, s->stack.hdr.image, s->stack.hdr.tgid,
		 s->stack.hdr.tid, s->stack.hdr.thread);
	s->stack.hash = s->hash;
	return bpf_ringbuf_output(&ring, &s->stack, size, wake_flags());
}

/* Tells when this sample was taken. What finds the ring full is not counted here: each counted sample
 * has one tick, so user space sees from the counts how many are missing. */
static __always_inline void tick_ship(struct scratch *s, __u32 table)
{
	struct ev_tick ev = {};

	if (!timeline)
		return;
	hdr_fill(&ev.hdr, EV_TICK, sizeof(ev), s->stack.hdr.image, s->stack.hdr.tgid,
		 s->stack.hdr.tid, s->stack.hdr.thread);
	ev.hdr.table = table;
	ev.hash = s->hash;
	bpf_ringbuf_output(&ring, &ev, sizeof(ev), wake_flags());
}

/* A stack that had no room takes with it the sample that it was of, or the wait that begins. */
static __always_inline void stack_drop(__u64 count, enum stat_id stat)
{
	if (count) {
		stat_add(stat);
	} else {
		stat_add(STAT_WAITS);
		stat_add(STAT_DROP_WAITS);
	}
}

/* Adds `count` to the stack in s under its thread, in `counts`, which is the table `table`; ships what
 * user space has not seen. Returns
 * 0, or not 0: it is not in the table (counted), or not all of it is shipped yet. */
static __always_inline int stack_count_in(struct scratch *s, void *counts, __u32 table, __u64 count)
{
	struct count_key key = { .thread = s->stack.hdr.thread,
				 .image = s->stack.hdr.image,
				 .hash = s->hash };
	struct count_val fresh = { .count = count, .flags = s->stack.flags, .pending = 1 };
	struct count_val *val = bpf_map_lookup_elem(counts, &key);

	if (val) {
		val->count += count;
		if (count)
			tick_ship(s, table);
		if (val->pending)
			val->pending = codes_ship(val->pending);
		return val->pending;
	}
	if (bpf_map_update_elem(counts, &key, &fresh, BPF_NOEXIST)) {
		stack_drop(count, STAT_DROP_COUNTS_FULL);
		return -EINVAL;
	}
	if (stack_ship(s)) {
		/* a count without its stack would mean nothing: take it back */
		bpf_map_delete_elem(counts, &key);
		stack_drop(count, STAT_DROP_RING_FULL);
		return -EINVAL;
	}
	if (count)
		tick_ship(s, table);
	stat_add(STAT_STACKS_NEW);
	__sync_fetch_and_add(&counts_used, 1);
	val = bpf_map_lookup_elem(counts, &key);
	if (!val)
		return 0;
	val->pending = codes_ship(1);
	/* a program that ends now leaves the rest to nobody: user space reads it at once */
	if (val->pending)
		reader_wake();
	return val->pending;
}

static __always_inline int stack_count(struct scratch *s, __u64 count)
{
	return counts_table() ? stack_count_in(s, &counts_b, 1, count)
			      : stack_count_in(s, &counts_a, 0, count);
}

/* Makes the scratch ready for a stack of this thread. */
static __always_inline void stack_begin(struct scratch *s, const struct proc *proc,
					const struct thread_seen *thread, __u32 tgid, __u32 tid)
{
	s->hash = hash_seed;
	s->stack.flags = 0;
	s->stack.frame_cnt = 0;
	s->sp = 0;
	__builtin_memset(&s->stack.wait, 0, sizeof(s->stack.wait));
	s->stack.hdr.image = proc->image;
	s->stack.hdr.tgid = tgid;
	s->stack.hdr.tid = tid;
	s->stack.hdr.thread = thread->serial;
	if (proc->state == PROC_PYTHON && s->cfg_number != proc->cfg_number) {
		s->cfg = proc->cfg;
		s->cfg_number = proc->cfg_number;
	}
}

#endif
