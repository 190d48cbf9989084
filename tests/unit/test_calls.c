/* SPDX-License-Identifier: Apache-2.0 */
/* From a trace's records to calls with names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>

#include "base/buf.h"
#include "base/err.h"
#include "model/calls.h"
#include "model/profile.h"
#include "unit/trace_fixture.h"

/* What was told, a line each; times in us since the trace began. */
struct told {
	struct buf text;
	bool calls, marks, spans;
	const char *only; /* keep() takes this function alone */
	int asked;
};

static uint64_t us(uint64_t ns)
{
	return (ns - START) / 1000;
}

static const char *const tracks[] = { "thread", "greenlet", "task" };

static int told_call(void *ctx, const struct call *c)
{
	struct told *t = ctx;

	if (!t->calls)
		return 0;
	buf_fmt(&t->text, "%s %s:%d %s %s %" PRIu64 "-%" PRIu64 " self %" PRIu64 " depth %u",
		c->func->name, c->func->file, c->func->line, call_began_text(c->began),
		call_ended_text(c->ended), us(c->start_ns), us(c->end_ns), c->self_ns / 1000,
		c->depth);
	if (c->caller)
		buf_fmt(&t->text, " by %s:%d", c->caller->name, c->caller_line);
	if (c->exception)
		buf_fmt(&t->text, " %s", c->exception);
	if (c->flow_in || c->flow_out)
		buf_fmt(&t->text, " flow %" PRIu64 ">%" PRIu64, c->flow_in, c->flow_out);
	buf_fmt(&t->text, " %s%u.%u\n", tracks[c->track.kind], c->track.id, c->track.lane);
	return 0;
}

static int told_mark(void *ctx, const struct call_mark *m)
{
	struct told *t = ctx;

	if (t->marks)
		buf_fmt(&t->text, "%s %s in %s at %" PRIu64 "\n",
			m->kind == CALL_RAISE ? "raise" : "catch", m->exception, m->func->name,
			us(m->ts_ns));
	return 0;
}

static int told_span(void *ctx, const struct call_span *s)
{
	struct told *t = ctx;

	if (!t->spans)
		return 0;
	buf_fmt(&t->text, "%s%s %s %" PRIu64 "-%" PRIu64 " active %" PRIu64 " of %" PRIu64,
		s->before ? "(before) " : "", s->func->name, call_ended_text(s->ended),
		us(s->start_ns), us(s->end_ns), s->active_ns / 1000, s->activations);
	if (s->exception)
		buf_fmt(&t->text, " %s", s->exception);
	if (s->task)
		buf_fmt(&t->text, " task %u%s.%u%s", s->task, s->root ? " root" : "", s->track.lane,
			s->task_func ? "" : " of nobody");
	buf_str(&t->text, "\n");
	return 0;
}

static bool keep(void *ctx, const struct call_func *func)
{
	struct told *t = ctx;

	t->asked++;
	return !strcmp(func->name, t->only);
}

static int apply(void *ctx, enum record_type type, const void *data, size_t len)
{
	struct err err;
	int code = calls__apply(ctx, type, data, len, &err);

	if (code)
		print_error("record %d: %s\n", type, err.msg);
	return code;
}

static struct calls *calls_new(struct told *told)
{
	struct call_told to = { .call = told_call,
				.mark = told_mark,
				.span = told_span,
				.keep = told->only ? keep : NULL,
				.ctx = told,
				.keep_ctx = told };
	struct calls *c = calls__new(&to);

	buf_init(&told->text, 1 << 20);
	assert_non_null(c);
	return c;
}

static void check(struct told *told, const char *want)
{
	assert_string_equal(buf_text(&told->text), want);
	buf_done(&told->text);
}

static void calls_have_names_and_callers(void **state)
{
	struct told told = { .calls = true };
	struct calls *c = calls_new(&told);
	struct tape t = { apply, c };

	tape_story(&t);
	check(&told,
	      "Parser.parse shop/parse.py:20 call raise 200-310 self 110 depth 2 by handle:12 "
	      "ValueError thread1.0\n"
	      "fetch shop/web.py:50 call yield 20-320 self 300 depth 1 by serve:41 thread2.0\n"
	      "serve shop/web.py:40 call yield 10-330 self 20 depth 0 flow 0>1 thread2.0\n"
	      "handle shop/views.py:10 before return 0-400 self 290 depth 1 by main:2 thread1.0\n"
	      "numbers shop/views.py:30 call yield 500-510 self 10 depth 1 by main:3 thread1.0\n"
	      "numbers shop/views.py:30 call yield 520-530 self 10 depth 1 by main:3 thread1.0\n"
	      "numbers shop/views.py:30 resume return 600-640 self 40 depth 1 by main:3 thread1.0\n"
	      "</script>\x1b[31m\"\\<lambda> a b\n.py:60 call return 700-800 self 100 depth 1 by "
	      "main:4 thread1.0\n"
	      "fetch shop/web.py:50 resume return 5320-5420 self 100 depth 1 by serve:41 thread2.0\n"
	      "serve shop/web.py:40 resume return 5310-5430 self 20 depth 0 flow 1>0 thread2.0\n"
	      "main app.py:1 before open 0-10000 self 9440 depth 0 thread1.0\n");
	calls__free(c);
}

static void exceptions_arise_and_are_caught(void **state)
{
	struct told told = { .marks = true };
	struct calls *c = calls_new(&told);
	struct tape t = { apply, c };

	tape_begin(&t, RECORD_TRACE_EVENTS, NULL, 0);
	tape_func(&t, 1, EV_FUNC_PLAIN, "outer", "a.py", 1);
	tape_func(&t, 2, EV_FUNC_PLAIN, "inner", "a.py", 2);
	/* inner raises, outer catches it and raises another, which goes out of the trace */
	tape_raise(&t, 1, 10, 0xb0, 2, "KeyError");
	tape_call(&t, (struct tape_call){ 1, 2, 1, 1, 0, 0xb0, 5, 11, 0, 0, EV_ENDED_RAISE, 0 });
	tape_raise(&t, 1, 12, 0xa0, 1, "KeyError");
	tape_raise(&t, 1, 13, 0xa0, 1, "OSError");
	tape_call(&t, (struct tape_call){ 1, 1, 0, 0, 0, 0xa0, 1, 20, 6, 0, EV_ENDED_RAISE, 0 });
	/* through a function that is not traced, and caught by one that is */
	tape_raise(&t, 1, 30, 0xb0, 2, "KeyError");
	tape_call(&t, (struct tape_call){ 1, 2, 0, 1, 0, 0xb0, 25, 31, 0, 0, EV_ENDED_RAISE, 0 });
	tape_raise(&t, 1, 32, 0xb8, 0, "KeyError");
	tape_raise(&t, 1, 33, 0xa0, 1, "KeyError");
	tape_call(&t, (struct tape_call){ 1, 1, 0, 0, 0, 0xa0, 21, 40, 6, 0, EV_ENDED_RETURN, 0 });
	/* another thread's does not come into it */
	tape_raise(&t, 1, 50, 0xb0, 2, "KeyError");
	tape_call(&t, (struct tape_call){ 1, 2, 1, 1, 0, 0xb0, 45, 51, 0, 0, EV_ENDED_RAISE, 0 });
	tape_raise(&t, 2, 52, 0xc0, 1, "KeyError");
	check(&told, "raise KeyError in inner at 10\n"
		     "catch KeyError in outer at 12\n"
		     "raise OSError in outer at 13\n"
		     "raise KeyError in inner at 30\n"
		     "catch KeyError in outer at 33\n"
		     "raise KeyError in inner at 50\n"
		     "raise KeyError in outer at 52\n");
	calls__free(c);
}

/* The kernel side submits room for the longest name, and it may be less. */
static void a_types_name_is_as_long_as_it_says(void **state)
{
	struct ev_raise ev = { .name = "KeyErrorXXX", .func = 1 };
	const size_t head = offsetof(struct ev_raise, name);
	struct told told = { .marks = true };
	struct calls *c = calls_new(&told);
	struct tape t = { apply, c };
	struct call_about *a;

	tape_begin(&t, RECORD_TRACE_EVENTS, NULL, 0);
	tape_func(&t, 1, EV_FUNC_PLAIN, "f", "a.py", 1);
	ev.hdr = tape_hdr(EV_RAISE, sizeof(ev), START + 5000, 1);
	ev.name_len = 8;
	tape_put(&t, RECORD_RING, &ev, sizeof(ev));
	ev.hdr.size = head + 8;
	ev.frame = 2;
	tape_put(&t, RECORD_RING, &ev, ev.hdr.size);
	ev.name_len = 9; /* a byte that is not there */
	tape_put(&t, RECORD_RING, &ev, ev.hdr.size);
	a = calls__about(c);
	assert_int_equal(a->lost, 1);
	call_about_free(a);
	check(&told, "raise KeyError in f at 5\nraise KeyError in f at 5\n");
	calls__free(c);
}

static void generators_and_tasks_have_spans(void **state)
{
	struct told told = { .spans = true };
	struct calls *c = calls_new(&told);
	struct tape t = { apply, c };

	tape_story(&t);
	tape_end(&t, (struct record_trace_stats){});
	check(&told, "numbers return 500-640 active 50 of 2\n"
		     "fetch return 20-5420 active 400 of 2 task 1.0\n"
		     "serve return 10-5430 active 440 of 2 task 1 root.0\n"
		     "numbers yield 520-10000 active 10 of 1\n");
	calls__free(c);
}

/* A coroutine whose whole life lies in one activation of the task's outermost one is told only when that
 * one is over: until then it is not known whose it is. */
static void what_never_waits_is_its_tasks_too(void **state)
{
	struct told told = { .spans = true };
	struct calls *c = calls_new(&told);
	struct tape t = { apply, c };

	tape_begin(&t, RECORD_TRACE_EVENTS, NULL, 0);
	tape_func(&t, 1, EV_FUNC_COROUTINE, "root", "a.py", 1);
	tape_func(&t, 2, EV_FUNC_COROUTINE, "quick", "a.py", 2);
	tape_func(&t, 3, EV_FUNC_PLAIN, "loop", "a.py", 3);
	tape_func(&t, 4, EV_FUNC_ASYNC_GEN, "rows", "a.py", 4);
	tape_call(&t, (struct tape_call){ 1, 2, 1, 2, 0, 0xb0, 11, 12, 0, 0, EV_ENDED_RETURN, 0 });
	tape_raise(&t, 1, 14, 0xb0, 2, "OSError");
	tape_call(&t, (struct tape_call){ 1, 2, 1, 2, 0, 0xb0, 13, 15, 0, 0, EV_ENDED_RAISE, 0 });
	tape_call(&t, (struct tape_call){ 1, 4, 1, 2, 0, 0xc0, 16, 17, 0, 0, EV_ENDED_YIELD, 0 });
	assert_string_equal(buf_text(&told.text), "");
	tape_call(&t, (struct tape_call){ 1, 1, 3, 1, 0, 0xa0, 10, 20, 5, 0, EV_ENDED_YIELD, 0 });
	/* the asynchronous generator outlives its task, and its last run is by nobody that awaits it */
	tape_call(&t, (struct tape_call){ 1, 1, 3, 1, 0, 0xa0, 30, 40, 0, EV_BEGAN_RESUME,
					  EV_ENDED_RETURN, 0 });
	tape_call(&t, (struct tape_call){ 1, 4, 3, 1, 0, 0xc0, 50, 51, 0, EV_BEGAN_THROW,
					  EV_ENDED_RAISE, 0 });
	check(&told, "quick return 11-12 active 1 of 1 task 1.0\n"
		     "quick raise 13-15 active 2 of 1 OSError task 1.0\n"
		     "root return 10-40 active 20 of 2 task 1 root.0\n"
		     "rows raise 16-51 active 2 of 2 task 2 root.0\n");
	calls__free(c);
}

static void addresses_are_used_again(void **state)
{
	struct told told = { .spans = true };
	struct calls *c = calls_new(&told);
	struct tape t = { apply, c };

	tape_begin(&t, RECORD_TRACE_EVENTS, NULL, 0);
	tape_func(&t, 1, EV_FUNC_GENERATOR, "gen", "a.py", 1);
	tape_func(&t, 2, EV_FUNC_GENERATOR, "other", "a.py", 2);
	tape_call(&t, (struct tape_call){ 1, 1, 0, 0, 0, 0xa0, 10, 11, 0, 0, EV_ENDED_YIELD, 0 });
	/* the same address begins anew, and then as another function's */
	tape_call(&t, (struct tape_call){ 1, 1, 0, 0, 0, 0xa0, 20, 21, 0, 0, EV_ENDED_YIELD, 0 });
	tape_call(&t, (struct tape_call){ 1, 2, 0, 0, 0, 0xa0, 30, 31, 0, EV_BEGAN_RESUME,
					  EV_ENDED_OPEN, 0 });
	tape_end(&t, (struct record_trace_stats){});
	check(&told, "gen unseen 10-11 active 1 of 1\n"
		     "gen unseen 20-21 active 1 of 1\n"
		     "(before) other open 30-31 active 1 of 1\n");
	calls__free(c);
}

/* Two greenlets of one thread: their stacks overlap in time, and may not on one track. */
static void greenlets_do_not_overlap(void **state)
{
	struct told told = { .calls = true };
	struct calls *c = calls_new(&told);
	struct tape t = { apply, c };

	tape_begin(&t, RECORD_TRACE_EVENTS, NULL, 0);
	tape_func(&t, 1, EV_FUNC_PLAIN, "f", "a.py", 1);
	tape_call(&t, (struct tape_call){ 1, 1, 0, 1, 0, 0xa8, 5, 8, 0, 0, 0, 0 });
	tape_call(&t, (struct tape_call){ 1, 1, 0, 0, 0, 0xa0, 0, 20, 0, 0, 0, EV_CALL_PARKED });
	tape_call(&t, (struct tape_call){ 1, 1, 0, 0, 0, 0xb0, 10, 30, 0, 0, 0, EV_CALL_PARKED });
	tape_call(&t, (struct tape_call){ 1, 1, 0, 0, 0, 0xc0, 32, 40, 0, 0, 0, 0 });
	check(&told, "f a.py:1 call return 5-8 self 3 depth 1 thread1.0\n"
		     "f a.py:1 call return 0-20 self 20 depth 0 greenlet1.0\n"
		     "f a.py:1 call return 10-30 self 20 depth 0 greenlet1.1\n"
		     "f a.py:1 call return 32-40 self 8 depth 0 thread1.0\n");
	calls__free(c);
}

static void keep_is_asked_once(void **state)
{
	struct told told = { .calls = true, .marks = true, .spans = true, .only = "numbers" };
	struct calls *c = calls_new(&told);
	struct tape t = { apply, c };
	struct call_decision decision;
	int kept = 0, left = 0;

	tape_story(&t);
	tape_end(&t, (struct record_trace_stats){});
	assert_int_equal(told.asked, 7);
	while (calls__decided(c, &decision)) {
		assert_int_equal(decision.image, 1);
		assert_int_equal(decision.kept, decision.func == 4);
		kept += decision.kept;
		left += !decision.kept;
	}
	assert_int_equal(kept, 1);
	assert_int_equal(left, 6);
	check(&told,
	      "numbers shop/views.py:30 call yield 500-510 self 10 depth 1 by main:3 thread1.0\n"
	      "numbers shop/views.py:30 call yield 520-530 self 10 depth 1 by main:3 thread1.0\n"
	      "numbers return 500-640 active 50 of 2\n"
	      "numbers shop/views.py:30 resume return 600-640 self 40 depth 1 by main:3 thread1.0\n"
	      "numbers yield 520-10000 active 10 of 1\n");
	calls__free(c);
}

static void modules_are_asked_for(void **state)
{
	struct ev_func func = { .hdr = tape_hdr(EV_FUNC, sizeof(func), START, 1),
				.code = 0x7000,
				.globals = 0x7700,
				.func = 7 };
	struct told told = {};
	struct calls *c = calls_new(&told);
	struct tape t = { apply, c };
	struct call_want want;

	tape_begin(&t, 0, NULL, 0);
	tape_func(&t, 1, EV_FUNC_PLAIN, "f", "a.py", 1);
	tape_put(&t, RECORD_RING, &func, sizeof(func));
	assert_true(calls__want_module(c, &want)); /* the first was told already */
	assert_int_equal(want.func, 7);
	assert_int_equal(want.image, 1);
	assert_int_equal(want.pid, 42);
	assert_int_equal(want.globals, 0x7700);
	assert_false(calls__want_module(c, &want));
	buf_done(&told.text);
	calls__free(c);
}

static const struct call_thread *seen;

static int see_thread(void *ctx, const struct call *call)
{
	seen = call->thread;
	return 0;
}

/* A sink names threads at the end, by what it was told of them. */
static void a_thread_may_change_its_name(void **state)
{
	struct call_told to = { .call = see_thread };
	struct calls *c = calls__new(&to);
	struct tape t = { apply, c };
	struct record_thread named = { .thread = 1 };
	const char *name = "another name";

	tape_story(&t);
	assert_string_equal(seen->name, "MainThread");
	tape_strings(&t, RECORD_THREAD_NAME, &named, sizeof(named), &name, 1);
	assert_string_equal(seen->name, "another name");
	calls__free(c);
}

static const struct call_remark *remark_like(const struct call_about *a, const char *text)
{
	uint32_t i;

	for (i = 0; i < a->remark_cnt; i++)
		if (strstr(a->remarks[i].text, text))
			return &a->remarks[i];
	return NULL;
}

/* What a trace cost, and what of children and threads is not in it. */
static void how_it_went_is_told(void **state)
{
	struct record_trace_account account = { .bound = 250000,
						.slowdown = 300000,
						.worst = 500000,
						.windows = 3,
						.late = 2,
						.gap_ns = 7000000,
						.gap_sum_ns = 8000000,
						.missed = 4,
						.full = 5,
						.threads_late = 6 };
	const char *texts[] = { "it was too slow", "nobody", "no*" };
	struct told told = {};
	struct calls *c = calls_new(&told);
	struct tape t = { apply, c };
	struct call_about *a;
	struct err err;

	tape_story(&t);
	assert_int_equal(calls__apply(c, RECORD_TRACE_ACCOUNT, &account, sizeof(account) - 8, &err),
			 -EINVAL);
	tape_strings(&t, RECORD_TRACE_ACCOUNT, &account, sizeof(account), texts, 3);
	/* an older journal has fewer counters */
	assert_int_equal(calls__apply(c, RECORD_TRACE_STATS, &(struct record_trace_stats){},
				      sizeof(struct record_trace_stats) - 8, &err),
			 0);
	assert_int_equal(calls__apply(c, RECORD_END, NULL, 0, &err), 0);
	a = calls__about(c);
	assert_true(a->has_account && a->slowdown > .29 && a->worst > .49 && a->bound == .25);
	assert_int_equal(a->windows, 3);
	assert_string_equal(a->let_go, texts[0]);
	assert_int_equal(a->unfitted_cnt, 2);
	assert_string_equal(a->unfitted[1], texts[2]);
	assert_int_equal(remark_like(a, "4.0 ms on average and 7.0 ms at most")->count, 2);
	assert_int_equal(remark_like(a, "ended before their probes were in")->count, 4);
	assert_int_equal(remark_like(a, "too many processes at once")->count, 5);
	assert_int_equal(remark_like(a, "threads not asked for")->count, 6);
	assert_int_equal(a->lost, 5);
	call_about_free(a);
	buf_done(&told.text);
	calls__free(c);
}

static void what_is_lost_is_told(void **state)
{
	struct record_trace_stats stats = { .stat = { [TRACE_STAT_DROP_CALLS] = 5,
						      [TRACE_STAT_BEGINS] = 100,
						      [TRACE_STAT_SHORT] = 7 },
					    .traced_ns = 2500000 };
	struct told told = {};
	struct calls *c = calls_new(&told);
	struct tape t = { apply, c };
	struct call_about *a;
	uint64_t bad = 1;

	tape_story(&t);
	/* a function that did not arrive; bytes that are no event */
	tape_call(&t, (struct tape_call){ 1, 99, 0, 0, 0, 0xc0, 32, 40, 0, 0, 0, 0 });
	tape_put(&t, RECORD_RING, &bad, sizeof(bad));
	tape_end(&t, stats);
	a = calls__about(c);
	assert_non_null(a);
	assert_int_equal(remark_like(a, "the ring buffer was full")->count, 5);
	assert_true(remark_like(a, "the ring buffer was full")->is_loss);
	assert_int_equal(remark_like(a, "function did not arrive")->count, 1);
	assert_int_equal(remark_like(a, "did not hold")->count, 1);
	assert_int_equal(a->lost, 7);
	assert_int_equal(remark_like(a, "shorter than asked")->count, 7);
	assert_false(remark_like(a, "shorter than asked")->is_loss);
	assert_int_equal(remark_like(a, "begun before")->count, 2);
	assert_int_equal(remark_like(a, "had not ended")->count, 1);
	assert_null(remark_like(a, "begins seen"));
	assert_int_equal(a->calls, 11);
	assert_int_equal(a->funcs, 7);
	assert_int_equal(a->traced_ns, 2500000);
	assert_int_equal(a->target_cnt, 1);
	assert_string_equal(a->targets[0].python, "CPython 3.11.2");
	call_about_free(a);
	buf_done(&told.text);
	calls__free(c);
}

static void refused(struct calls *c, enum record_type type, const void *data, size_t len,
		    const char *why)
{
	struct err err;

	assert_int_equal(calls__apply(c, type, data, len, &err), -EINVAL);
	if (!strstr(err.msg, why))
		fail_msg("'%s' is not about '%s'", err.msg, why);
}

static void what_does_not_hold_is_refused(void **state)
{
	static const uint8_t zeros[4096];
	struct record_meta meta = { .format = RECORD_FORMAT, .mode = RECORD_CPU };
	struct told told = {};
	struct calls *c = calls_new(&told);
	struct profile *p = profile__new();
	struct tape t = { apply, c };
	struct err err;

	refused(c, RECORD_RING, zeros, 40, "does not begin");
	refused(c, RECORD_META, &meta, sizeof(meta), "profile, not a trace");
	meta.mode = RECORD_CALLS;
	assert_int_equal(profile__apply(p, RECORD_META, &meta, sizeof(meta), &err), -EINVAL);
	assert_non_null(strstr(err.msg, "trace of calls"));
	profile__free(p);
	tape_begin(&t, 0, NULL, 0);
	refused(c, RECORD_TRACE, zeros, sizeof(struct record_trace), "does not hold"); /* again */
	refused(c, RECORD_SUMS, zeros, sizeof(struct record_sum) - 1, "does not hold");
	refused(c, RECORD_EDGES, zeros, 3, "does not hold");
	refused(c, RECORD_COUNTS, zeros, 0, "does not hold");
	refused(c, RECORD_TRACE_STATS, zeros, 8, "does not hold");
	refused(c, RECORD_END, NULL, 0, "does not hold"); /* without TRACE_STATS */
	tape_end(&t, (struct record_trace_stats){});
	buf_done(&told.text);
	calls__free(c);
}

static void patterns_need_somebody(void **state)
{
	struct record_trace trace = {};
	struct told told = {};
	struct calls *c = calls_new(&told);
	struct tape t = { apply, c };
	struct {
		struct record_trace trace;
		uint32_t len;
		char text[4];
	} r = { .trace = trace, .len = 6, .text = "shop" };

	tape_meta(&t, RECORD_CALLS);
	refused(c, RECORD_TRACE, &r, sizeof(r), "does not hold"); /* cut short */
	calls__free(c);
	buf_done(&told.text);
	c = calls_new(&told);
	t.ctx = c;
	tape_meta(&t, RECORD_CALLS);
	r.len = 4;
	refused(c, RECORD_TRACE, &r, sizeof(r), "--match");
	buf_done(&told.text);
	calls__free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_have_names_and_callers),
		cmocka_unit_test(exceptions_arise_and_are_caught),
		cmocka_unit_test(a_types_name_is_as_long_as_it_says),
		cmocka_unit_test(generators_and_tasks_have_spans),
		cmocka_unit_test(what_never_waits_is_its_tasks_too),
		cmocka_unit_test(addresses_are_used_again),
		cmocka_unit_test(greenlets_do_not_overlap),
		cmocka_unit_test(keep_is_asked_once),
		cmocka_unit_test(modules_are_asked_for),
		cmocka_unit_test(a_thread_may_change_its_name),
		cmocka_unit_test(what_is_lost_is_told),
		cmocka_unit_test(how_it_went_is_told),
		cmocka_unit_test(what_does_not_hold_is_refused),
		cmocka_unit_test(patterns_need_somebody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
