/* SPDX-License-Identifier: Apache-2.0 */
#include "python/coro.h"

#include <errno.h>
#include <string.h>

#include "events.h"
#include "python/find.h"
#include "python/mem.h"

#define BASES_MAX     64 /* of one type */
#define TYPE_NAME_MAX 64
#define OPCODE_AWAIT  72 /* YIELD_FROM, 3.8 - 3.10: Include/opcode.h */
#define CODE_UNIT     2

/* Objects that stand between two coroutines; the first member behind the header is the next one:
 * Objects/genobject.c of 3.8 - 3.15, PyCoroWrapper, PyAsyncGenASend, PyAsyncGenAThrow; Objects/
 * iterobject.c, anextawaitableobject (3.10+). */
static const char *const between[] = {
	"coroutine_wrapper",
	"async_generator_asend",
	"async_generator_athrow",
	"anext_awaitable",
};

/* Since 3.14 what lies on a value stack is tagged (Include/internal/pycore_stackref.h). */
static uint64_t untagged(const struct py_abi *abi, uint64_t ref)
{
	return abi->minor >= 14 ? ref & ~3ULL : ref;
}

/* --- types by their names --- */

/* tp_name, cut at its end or at TYPE_NAME_MAX. It may lie just before a page that is not there. */
static bool type_name(struct mem *mem, const struct py_abi *abi, uint64_t type,
		      char ret_name[TYPE_NAME_MAX])
{
	uint64_t at;
	size_t i;

	memset(ret_name, 0, TYPE_NAME_MAX);
	if (mem_u64(mem, type + abi->live.type_name, &at))
		return false;
	if (!mem_read(mem, at, ret_name, TYPE_NAME_MAX - 1))
		return true;
	for (i = 0; i < TYPE_NAME_MAX - 1; i++)
		if (mem_read(mem, at + i, ret_name + i, 1) || !ret_name[i])
			break;
	return i > 0;
}

uint64_t coro_type_named(struct mem *mem, const struct py_abi *abi, uint64_t type, const char *name)
{
	char have[TYPE_NAME_MAX];
	int i;

	for (i = 0; type && i < BASES_MAX; i++) {
		if (!type_name(mem, abi, type, have))
			return 0;
		if (!strcmp(have, name))
			return type;
		if (mem_u64(mem, type + abi->live.type_base, &type))
			return 0;
	}
	return 0;
}

/* What one of `between` stands before; 0: it is none of them. */
static uint64_t behind(struct mem *mem, const struct py_abi *abi, uint64_t object, uint64_t type)
{
	char name[TYPE_NAME_MAX];
	uint64_t next;
	size_t i;

	if (!type_name(mem, abi, type, name))
		return 0;
	for (i = 0; i < sizeof(between) / sizeof(between[0]); i++)
		if (!strcmp(name, between[i]))
			return mem_u64(mem, object + abi->live.object_type + 8, &next) ? 0 : next;
	return 0;
}

/* --- one coroutine, generator or asynchronous generator: the three are alike --- */

struct coro {
	uint64_t frame; /* 0: it has none any more */
	enum coro_state state;
	bool awaits; /* it is suspended in an `await` or a `yield from`, not in a `yield` */
};

/* 3.8 - 3.10: was the last instruction a YIELD_FROM, or is the next one (it runs once more)? */
static bool old_awaits(struct mem *mem, const struct py_abi *abi, uint64_t frame, uint32_t lasti)
{
	uint32_t at = abi->minor == 10 ? lasti * CODE_UNIT : lasti;
	uint64_t code, bytes;
	uint8_t opcode;

	return !mem_u64(mem, frame + abi->off.frame_code, &code) &&
	       !mem_u64(mem, code + abi->live.code_code, &bytes) &&
	       !mem_read(mem, bytes + abi->off.bytes_data + at + CODE_UNIT, &opcode, 1) &&
	       opcode == OPCODE_AWAIT;
}

static void old_state(struct mem *mem, const struct py_abi *abi, uint64_t gen, struct coro *c)
{
	uint64_t top = 0;
	uint32_t lasti = 0;
	int8_t state = 0;

	if (mem_u64(mem, gen + abi->live.gen_frame, &c->frame) || !c->frame) {
		c->state = CORO_DONE;
		return;
	}
	if (mem_u32(mem, c->frame + abi->off.frame_instr, &lasti))
		return;
	if (abi->minor >= 10) {
		if (mem_read(mem, c->frame + abi->live.gen_state, &state, 1))
			return;
		c->state = state == (int8_t)abi->live.gen_executing   ? CORO_RUNNING
			   : state == (int8_t)abi->live.gen_created   ? CORO_CREATED
			   : state == (int8_t)abi->live.gen_suspended ? CORO_SUSPENDED
								      : CORO_DONE;
	} else {
		if (mem_read(mem, gen + abi->live.gen_state, &state, 1) ||
		    mem_u64(mem, c->frame + abi->live.frame_stacktop, &top))
			return;
		c->state = state         ? CORO_RUNNING
			   : lasti >> 31 ? CORO_CREATED
			   : top         ? CORO_SUSPENDED
					 : CORO_DONE;
	}
	c->awaits = c->state == CORO_SUSPENDED && old_awaits(mem, abi, c->frame, lasti);
}

/* 3.11+: the frame is in the object. Before 3.13 the state does not tell an `await` from a `yield`:
 * the RESUME that comes next does, by its argument (2: `yield from`, 3: `await`). */
static void new_state(struct mem *mem, const struct py_abi *abi, uint64_t gen, struct coro *c)
{
	uint64_t instr;
	uint8_t state, next[CODE_UNIT];

	if (mem_read(mem, gen + abi->live.gen_state, &state, 1))
		return;
	c->frame = gen + abi->live.gen_frame;
	if (state == abi->live.gen_executing)
		c->state = CORO_RUNNING;
	else if (state == abi->live.gen_created)
		c->state = CORO_CREATED;
	else if (state == abi->live.gen_suspended)
		c->state = CORO_SUSPENDED;
	else if (abi->minor >= 13 && state == abi->live.gen_awaits)
		c->state = CORO_SUSPENDED;
	else
		c->state = CORO_DONE;
	if (c->state == CORO_DONE)
		c->frame = 0;
	if (abi->minor >= 13)
		c->awaits = state == abi->live.gen_awaits;
	else if (c->state == CORO_SUSPENDED)
		c->awaits = !mem_u64(mem, c->frame + abi->off.frame_instr, &instr) &&
			    !mem_read(mem, instr + CODE_UNIT, next, sizeof(next)) &&
			    (next[1] & 3) >= 2;
}

/* What lies on top of the frame's value stack; 0: nothing, or not to be read. */
static uint64_t stack_top(struct mem *mem, const struct py_abi *abi, uint64_t frame)
{
	const struct py_live *live = &abi->live;
	uint64_t at = 0, object;
	uint32_t depth;

	if (abi->minor >= 14 || abi->minor < 10) {
		if (mem_u64(mem, frame + live->frame_stacktop, &at) || !at)
			return 0;
		/* 3.15 keeps an index above what is iterated over: v3.15 Python/bytecodes.c, SEND */
		at -= abi->minor >= 15 ? 16 : 8;
	} else {
		if (mem_u32(mem, frame + live->frame_stacktop, &depth) || !depth || depth >> 16)
			return 0;
		at = frame + live->frame_stack;
		if (abi->minor == 10 && mem_u64(mem, at, &at))
			return 0;
		at += (depth - 1) * 8ULL;
	}
	return mem_u64(mem, at, &object) ? 0 : untagged(abi, object);
}

/* --- the chain --- */

int coro_chain(struct mem *mem, const struct py_abi *abi, const struct py_cfg *cfg,
	       const struct py_found *found, uint64_t coro, uint32_t frames_max,
	       struct py_stack *stack, uint64_t *ret_frame, enum coro_state *ret_state)
{
	uint64_t at = coro, mark = 0, type;
	uint32_t step, next_mark = 1, start = stack->frame_cnt, mark_cnt = start;
	struct coro c;
	int err;

	*ret_frame = 0;
	*ret_state = CORO_UNKNOWN;
	/* objects between take turns with coroutines at worst */
	for (step = 1; at && step <= 2 * frames_max; step++) {
		if (at == mark) { /* as in python/stack.c */
			stack->frame_cnt = mark_cnt;
			stack->flags |= EV_STACK_UNREADABLE;
			return 0;
		}
		if (step == next_mark) {
			mark = at;
			mark_cnt = stack->frame_cnt;
			next_mark *= 2;
		}
		if (mem_u64(mem, at + abi->live.object_type, &type))
			return 0;
		if (type != found->coro_type && type != found->gen_type &&
		    type != found->async_gen_type) {
			at = behind(mem, abi, at, type);
			continue;
		}
		c = (struct coro){};
		if (abi->minor >= 11)
			new_state(mem, abi, at, &c);
		else
			old_state(mem, abi, at, &c);
		if (at == coro) {
			*ret_state = c.state;
			*ret_frame = c.frame;
		}
		if (!c.frame || c.state == CORO_DONE || c.state == CORO_UNKNOWN)
			return 0;
		if (stack->frame_cnt - start == frames_max)
			break;
		err = stack_frame(mem, abi, cfg, c.frame, stack);
		if (err == -EINVAL)
			stack->flags |= EV_STACK_UNREADABLE;
		if (err)
			return err == -EINVAL ? 0 : err;
		at = c.awaits ? stack_top(mem, abi, c.frame) : 0;
	}
	if (at)
		stack->flags |= EV_STACK_TRUNCATED;
	return 0;
}
