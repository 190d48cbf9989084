/* SPDX-License-Identifier: Apache-2.0 */
#include "python/stack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "os/proc.h"
#include "python/gil.h"
#include "python/mem.h"
#include "python/object_read.h"

#define PAGE          4096
#define CODES_KEPT    256 /* checks remembered during one walk; a power of two */
#define INTERPS_MAX   1024
#define SHIMS_MAX     4 /* before the first frame */
#define READS_MIN     2 /* of a thread that runs, to compare them */
#define READS_MAX     64
#define READS_RUNNING 6 /* as many times running, and it is not waited for any longer */
#define READ_AGAIN_NS 200000

/* struct pthread's tid, as the C libraries have it on x86_64 (LP64): glibc's nptl/descr.h has
 * a header of 704 bytes and a list before it (2.12 to 2.41). What is found there is used only if it is a
 * thread of the process. */
#define PTHREAD_SELF 0 /* tcbhead_t.tcb: points to itself */
#define PTHREAD_TID  720

struct walk {
	struct mem *mem;
	const struct py_abi *abi;
	const struct py_cfg *cfg;
	uint64_t window_start, window_end;
	uint8_t window[PAGE + PY_FRAME_READ_MAX];
	struct {
		uint64_t code;
		uint32_t check;
	} codes[CODES_KEPT];
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

void stack_done(struct py_stack *stack)
{
	free(stack->frames);
	*stack = (struct py_stack){};
}

/* --- which threads there are --- */

/* What the C library notes of the thread's id; 0 if it is another C library. */
static pid_t pthread_tid(struct mem *mem, uint64_t thread_id)
{
	uint64_t self;
	uint32_t tid;

	if (mem_u64(mem, thread_id + PTHREAD_SELF, &self) || self != thread_id ||
	    mem_u32(mem, thread_id + PTHREAD_TID, &tid) || tid > 0x7fffffff)
		return 0;
	return tid;
}

/* Does the chain that begins at this frame have more than shims of the C stack? */
static bool has_frames(struct mem *mem, const struct py_cfg *cfg, uint64_t frame)
{
	uint8_t owner;
	int i;

	for (i = 0; frame && i < SHIMS_MAX && (cfg->flags & PY_CFG_FRAME_OWNER); i++)
		if (mem_read(mem, frame + cfg->frame_owner, &owner, sizeof(owner)) ||
		    owner < cfg->frame_owner_skip ||
		    mem_u64(mem, frame + cfg->frame_previous, &frame))
			return true;
	return frame;
}

static enum stack_rank rank_of(struct mem *mem, const struct py_cfg *cfg, uint64_t tstate,
			       uint64_t current)
{
	uint32_t status = 0;
	uint64_t frame = 0;

	if (cfg->tstate_active)
		mem_u32(mem, tstate + cfg->tstate_status, &status);
	if (tstate == current || status & cfg->tstate_active)
		return STACK_RANK_CURRENT;
	if (mem_u64(mem, tstate + cfg->tstate_frame, &frame) ||
	    ((cfg->flags & PY_CFG_CFRAME) && frame &&
	     mem_u64(mem, frame + cfg->cframe_current_frame, &frame)))
		return STACK_RANK_IDLE;
	return has_frames(mem, cfg, frame) ? STACK_RANK_FRAMES : STACK_RANK_IDLE;
}

static int thread_read(struct mem *mem, const struct py_abi *abi, const struct py_cfg *cfg,
		       struct stack_thread *thread)
{
	uint64_t tid = 0;
	int err;

	err = mem_u64(mem, thread->tstate + cfg->tstate_thread_id, &thread->thread_id);
	if (err || !thread->thread_id)
		return err;
	/* the C library's word first: it is right in a forked child too, where CPython 3.11's own
	 * is still the parent's */
	thread->ns_tid = pthread_tid(mem, thread->thread_id);
	if (!abi->off.tstate_native_thread_id ||
	    mem_u64(mem, thread->tstate + abi->off.tstate_native_thread_id, &tid) ||
	    tid > 0x7fffffff)
		return 0;
	if (!thread->ns_tid)
		thread->ns_tid = tid;
	else if (thread->ns_tid != (pid_t)tid)
		thread->native_tid = tid;
	return 0;
}

/* The ids of the process's threads, as they see them themselves: *ret_tids, to be freed; their count. */
static int ns_tids(pid_t pid, pid_t **ret_tids)
{
	struct task_info info;
	pid_t *tids = NULL;
	int cnt, i, n = 0;

	cnt = proc_threads(pid, &tids);
	for (i = 0; i < cnt; i++)
		if (!task_info(pid, tids[i], &info))
			tids[n++] = info.ns_tid;
	*ret_tids = tids;
	return n;
}

void stack_threads_settle(struct buf *list, pid_t pid)
{
	struct stack_thread *threads = (struct stack_thread *)list->data;
	size_t i, cnt = list->len / sizeof(*threads);
	pid_t *tids = NULL;
	int n = 0, k;

	for (i = 0; i < cnt; i++) {
		if (!threads[i].native_tid)
			continue;
		if (!tids)
			n = ns_tids(pid, &tids);
		for (k = 0; k < n && tids[k] != threads[i].ns_tid; k++)
			;
		if (k == n)
			threads[i].ns_tid = threads[i].native_tid;
	}
	free(tids);
}

int stack_threads(struct mem *mem, const struct py_abi *abi, const struct py_cfg *cfg,
		  struct buf *out)
{
	struct stack_thread thread = {};
	uint32_t interps = 0, cnt = 0;
	uint64_t current = 0;
	int err;

	if (cfg->runtime_tstate_current)
		mem_u64(mem, cfg->runtime + cfg->runtime_tstate_current, &current);
	err = mem_u64(mem, cfg->runtime + cfg->runtime_interpreters_head, &thread.interp);
	while (!err && thread.interp && interps++ < INTERPS_MAX) {
		err = mem_u64(mem, thread.interp + cfg->interp_threads_head, &thread.tstate);
		while (!err && thread.tstate) {
			if (cnt++ == STACK_TSTATES_MAX)
				return -E2BIG;
			thread.ns_tid = thread.native_tid = 0;
			err = thread_read(mem, abi, cfg, &thread);
			thread.rank = rank_of(mem, cfg, thread.tstate, current);
			if (!err)
				err = buf_add(out, &thread, sizeof(thread));
			if (!err)
				err = mem_u64(mem, thread.tstate + cfg->tstate_next,
					      &thread.tstate);
		}
		if (!err)
			err = mem_u64(mem, thread.interp + cfg->interp_next, &thread.interp);
	}
	/* one that was freed under way ends the list, and what was read stands */
	return out->err ? out->err : out->len ? 0 : err;
}

const struct stack_thread *stack_thread_of(const struct buf *list, pid_t ns_tid)
{
	const struct stack_thread *threads = (const struct stack_thread *)list->data, *best = NULL;
	size_t i, cnt = list->len / sizeof(*threads);
	uint64_t interp = 0;

	/* newest first: in one interpreter, a thread state that its thread left behind lies further
	 * down; of several interpreters with frames the thread is in the newest */
	for (i = 0; i < cnt; i++) {
		if (threads[i].ns_tid != ns_tid || (best && threads[i].interp == interp))
			continue;
		interp = threads[i].interp;
		if (!best || threads[i].rank > best->rank)
			best = &threads[i];
	}
	return best;
}

/* --- one walk --- */

/* The check of the code object at `code`; 0: it is none. */
static uint32_t code_sum(struct walk *w, uint64_t code)
{
	size_t slot = (code >> 4) & (CODES_KEPT - 1);
	uint8_t facts[PY_CODE_READ_MAX], name[PY_CODE_READ_MAX];
	struct bytes name_raw = { name, 0 };
	uint64_t addr, type;

	if (w->codes[slot].code == code)
		return w->codes[slot].check;
	if (w->cfg->code_read > sizeof(facts) || w->cfg->code_read < w->cfg->object_type + 8 ||
	    mem_read(w->mem, code, facts, w->cfg->code_read))
		return 0;
	memcpy(&type, facts + w->cfg->object_type, sizeof(type));
	if (type != w->cfg->code_type)
		return 0;
	if (!w->cfg->code_version && w->cfg->code_name <= w->cfg->code_read - 8 &&
	    w->cfg->str_hash <= sizeof(name) - 8) {
		memcpy(&addr, facts + w->cfg->code_name, sizeof(addr));
		if (!mem_read(w->mem, addr, name, w->cfg->str_hash + 8))
			name_raw.len = w->cfg->str_hash + 8;
	}
	w->codes[slot].code = code;
	w->codes[slot].check =
		code_check(w->abi, (struct bytes){ facts, w->cfg->code_read }, name_raw);
	return w->codes[slot].check;
}

/* The frame at `at`: in the window already, or by a read that also takes what lies below it in the
 * same page, where its callers are (3.11+). NULL: not to be read. */
static const uint8_t *frame_load(struct walk *w, uint64_t at)
{
	uint32_t len = w->cfg->frame_read;
	uint64_t start = at;

	if (len > PY_FRAME_READ_MAX || at > UINT64_MAX - len)
		return NULL;
	if (at >= w->window_start && at + len <= w->window_end)
		return w->window + (at - w->window_start);
	if (w->cfg->flags & PY_CFG_FRAME_STACK)
		start = at & ~(uint64_t)(PAGE - 1);
	w->window_end = 0;
	if (mem_read(w->mem, start, w->window, at + len - start))
		return NULL;
	w->window_start = start;
	w->window_end = at + len;
	return w->window + (at - start);
}

static uint64_t frame_u64(const struct walk *w, const uint8_t *frame, uint32_t off)
{
	uint64_t value = 0;

	if (off + 8 <= w->cfg->frame_read)
		memcpy(&value, frame + off, sizeof(value));
	return value;
}

static int frame_add(struct py_stack *stack, uint64_t code, uint32_t lasti, uint32_t check)
{
	uint32_t cap = stack->cap ? stack->cap * 2 : 64;
	struct py_frame *grown;

	if (stack->frame_cnt == stack->cap) {
		grown = realloc(stack->frames, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		stack->frames = grown;
		stack->cap = cap;
	}
	stack->frames[stack->frame_cnt++] = (struct py_frame){ code, lasti, check };
	return 0;
}

/* The first frame of the thread, or 0; -errno. It must still be this thread's state. */
static int frame_first(struct walk *w, const struct stack_thread *thread, uint64_t *ret_frame)
{
	uint64_t thread_id;
	int err;

	err = mem_u64(w->mem, thread->tstate + w->cfg->tstate_thread_id, &thread_id);
	if (!err && thread_id != thread->thread_id)
		err = -ESTALE;
	if (!err)
		err = mem_u64(w->mem, thread->tstate + w->cfg->tstate_frame, ret_frame);
	if (!err && (w->cfg->flags & PY_CFG_CFRAME) && *ret_frame)
		err = mem_u64(w->mem, *ret_frame + w->cfg->cframe_current_frame, ret_frame);
	return err;
}

/* Is this thread in the garbage collector? As bpf/walk.bpf.h finds it (gc_look): the frame that that
 * stands on, or what is at the leaf; else 0 and 0. */
static enum ev_check gc_look(struct walk *w, const struct stack_thread *thread, uint64_t *ret_frame)
{
	const struct py_cfg *cfg = w->cfg;
	uint64_t words[PY_COLLECTING_READ / 8], at = 0, stopper;
	struct gil gil;

	*ret_frame = 0;
	if (cfg->runtime_collecting)
		at = cfg->runtime + cfg->runtime_collecting;
	else if (cfg->interp_collecting)
		at = thread->interp + cfg->interp_collecting;
	if (!at || mem_read(w->mem, at, words, sizeof(words)) || !(uint32_t)words[0])
		return 0;
	if (cfg->collecting_frame && words[1])
		*ret_frame = words[1];
	else if (!cfg->interp_stopper)
		return gil_read(w->mem, w->abi, cfg->runtime, thread->interp, &gil) && gil.locked &&
				       gil.holder == thread->tstate
			       ? EV_CHECK_GC_DURING
			       : 0;
	else if (!mem_u64(w->mem, thread->interp + cfg->interp_stopper, &stopper) &&
		 stopper == thread->tstate)
		return EV_CHECK_GC;
	return 0;
}

static int gc_add(struct py_stack *stack, enum ev_check check)
{
	stack->flags |= EV_STACK_GC;
	return frame_add(stack, 0, 0, check);
}

/* Instruction offset in the bytecode that this frame runs: in a free-threaded build a copy of the
 * thread's own (bpf/walk.bpf.h, bytecode_start). */
static uint32_t lasti_of(struct walk *w, const uint8_t *frame, uint64_t code, uint64_t instr)
{
	uint64_t start = code + w->cfg->code_start, copies;
	uint32_t index;

	if (!(w->cfg->flags & PY_CFG_INSTR_IS_PTR))
		return instr;
	if (!w->cfg->code_tlbc)
		return instr - start;
	index = frame_u64(w, frame, w->cfg->frame_tlbc);
	if (index && (mem_u64(w->mem, code + w->cfg->code_tlbc, &copies) ||
		      mem_u64(w->mem, copies + 8 + (uint64_t)index * 8, &start) || !start))
		return EV_LASTI_NONE;
	return instr - start;
}

/* Appends the frame that was loaded. 0; -EINVAL: its code object is none; -ENOMEM */
static int frame_take(struct walk *w, const uint8_t *frame, struct py_stack *stack)
{
	uint64_t code, instr;
	uint32_t check;

	code = frame_u64(w, frame, w->cfg->frame_code) & ~(uint64_t)w->cfg->frame_code_tags;
	instr = frame_u64(w, frame, w->cfg->frame_instr);
	check = code_sum(w, code);
	if (!check)
		return -EINVAL;
	return frame_add(stack, code, lasti_of(w, frame, code, instr), check);
}

int stack_frame(struct mem *mem, const struct py_abi *abi, const struct py_cfg *cfg, uint64_t frame,
		struct py_stack *stack)
{
	struct walk w = { .mem = mem, .abi = abi, .cfg = cfg };
	const uint8_t *data = NULL;

	if (cfg->frame_read <= sizeof(w.window) && !mem_read(mem, frame, w.window, cfg->frame_read))
		data = w.window;
	return data ? frame_take(&w, data, stack) : -EINVAL;
}

/* Follows `previous` to the end. A cycle is found as R. P. Brent has it (1980, "An improved Monte
 * Carlo factorization algorithm"): every frame is compared with one that is left behind at steps
 * 1, 2, 4, 8 ... */
static int frames_walk(struct walk *w, uint64_t at, uint64_t gc_frame, uint32_t frames_max,
		       struct py_stack *stack)
{
	uint64_t mark = 0;
	uint32_t step, next_mark = 1, mark_cnt = 0;
	const uint8_t *frame;
	int err;

	/* shims of the C stack take turns with frames at worst */
	for (step = 1; at && step <= 2 * frames_max + 1; step++) {
		if (at == mark) {
			stack->frame_cnt = mark_cnt;
			stack->flags |= EV_STACK_UNREADABLE;
			return 0;
		}
		if (step == next_mark) {
			mark = at;
			mark_cnt = stack->frame_cnt;
			next_mark *= 2;
		}
		frame = frame_load(w, at);
		if (!frame)
			break;
		if (at == gc_frame && stack->frame_cnt < frames_max) {
			gc_frame = 0;
			err = gc_add(stack, EV_CHECK_GC);
			if (err)
				return err;
		}
		if (stack->seek && at == stack->seek)
			stack->seek_at = stack->frame_cnt;
		at = frame_u64(w, frame, w->cfg->frame_previous);
		if ((w->cfg->flags & PY_CFG_FRAME_OWNER) &&
		    w->cfg->frame_owner < w->cfg->frame_read &&
		    frame[w->cfg->frame_owner] >= w->cfg->frame_owner_skip)
			continue;
		if (stack->frame_cnt == frames_max) {
			stack->flags |= EV_STACK_TRUNCATED;
			return 0;
		}
		err = frame_take(w, frame, stack);
		if (err == -EINVAL)
			stack->flags |= EV_STACK_UNREADABLE;
		if (err)
			return err == -EINVAL ? 0 : err;
	}
	if (at)
		stack->flags |=
			step > 2 * frames_max + 1 ? EV_STACK_TRUNCATED : EV_STACK_UNREADABLE;
	return 0;
}

int stack_walk(struct mem *mem, const struct py_abi *abi, const struct py_cfg *cfg,
	       const struct stack_thread *thread, uint32_t frames_max, struct py_stack *stack)
{
	struct walk *w;
	uint64_t at = 0, gc_frame = 0;
	enum ev_check leaf = 0;
	int err = 0;

	stack->frame_cnt = 0;
	stack->flags = 0;
	stack->seek_at = UINT32_MAX;
	if (frames_max > STACK_FRAMES_MAX)
		frames_max = STACK_FRAMES_MAX;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->mem = mem;
	w->abi = abi;
	w->cfg = cfg;
	if (frame_first(w, thread, &at))
		stack->flags = EV_STACK_UNREADABLE;
	else
		leaf = gc_look(w, thread, &gc_frame);
	if (leaf)
		err = gc_add(stack, leaf);
	if (!err && at)
		err = frames_walk(w, at, gc_frame, frames_max, stack);
	if (!err && stack->frame_cnt == !!(stack->flags & EV_STACK_GC) &&
	    !(stack->flags & ~EV_STACK_GC))
		stack->flags |= EV_STACK_NO_FRAME;
	free(w);
	return err;
}

/* --- the same, with proof --- */

/* What was read of a thread that ran, to compare the next reading with. */
struct before {
	struct py_frame *frames;
	uint32_t frame_cnt, flags;
	bool any;
};

static bool is_alike(const struct before *b, const struct py_stack *stack)
{
	return b->any && b->flags == stack->flags && b->frame_cnt == stack->frame_cnt &&
	       (!stack->frame_cnt ||
		!memcmp(b->frames, stack->frames, stack->frame_cnt * sizeof(stack->frames[0])));
}

static int keep(struct before *b, const struct py_stack *stack)
{
	struct py_frame *frames;

	frames = realloc(b->frames, (stack->frame_cnt + 1) * sizeof(*frames));
	if (!frames)
		return -ENOMEM;
	if (stack->frame_cnt)
		memcpy(frames, stack->frames, stack->frame_cnt * sizeof(*frames));
	*b = (struct before){ frames, stack->frame_cnt, stack->flags, true };
	return 0;
}

/* One reading between two looks at the thread. 1: it is exact; 0: it ran; -errno. */
static int read_once(struct mem *mem, const struct py_abi *abi, const struct py_cfg *cfg, pid_t pid,
		     pid_t tid, const struct stack_thread *thread, uint32_t frames_max,
		     struct py_stack *stack, bool *ret_blocked)
{
	uint64_t before = 0, after = 0;
	bool counted;
	int err, blocked;

	err = task_runs(pid, tid, &before);
	if (err && err != -ENODATA)
		return err;
	counted = !err;
	blocked = task_blocked(pid, tid, &stack->asleep);
	if (blocked < 0)
		return blocked;
	*ret_blocked = blocked;
	if (thread)
		err = stack_walk(mem, abi, cfg, thread, frames_max, stack);
	else
		err = 0;
	if (err || !blocked || !counted)
		return err;
	err = task_runs(pid, tid, &after);
	return err ? err : before == after;
}

int stack_read(struct mem *mem, const struct py_abi *abi, const struct py_cfg *cfg, pid_t pid,
	       pid_t tid, const struct stack_thread *thread, uint32_t frames_max,
	       uint64_t patience_ns, struct py_stack *stack)
{
	static const struct timespec again = { .tv_nsec = READ_AGAIN_NS };
	uint64_t end = now_ns() + patience_ns;
	struct before before = {};
	int i, got = 0, running = 0;
	bool blocked;

	stack->frame_cnt = 0;
	stack->flags = thread ? 0 : EV_STACK_NO_TSTATE;
	stack->truth = STACK_RUNNING;
	stack->alike = false;
	for (i = 0; i < READS_MAX && (i < READS_MIN || now_ns() < end); i++) {
		got = read_once(mem, abi, cfg, pid, tid, thread, frames_max, stack, &blocked);
		if (got)
			break;
		running += !blocked;
		stack->alike = is_alike(&before, stack);
		if (running >= READS_RUNNING && stack->alike)
			break;
		got = keep(&before, stack);
		if (got)
			break;
		if (!blocked)
			nanosleep(&again, NULL);
	}
	free(before.frames);
	if (got < 0)
		return got;
	if (got)
		stack->truth = STACK_EXACT;
	return 0;
}
