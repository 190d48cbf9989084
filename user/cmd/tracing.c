/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tracing.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "cmd/recording.h"
#include "cmd/tracing_procs.h"
#include "cmd/tracing_sums.h"
#include "cmd/tracing_threads.h"
#include "events.h"
#include "model/profile.h"
#include "os/feature.h"
#include "os/proc.h"
#include "probe/tracer.h"
#include "probe/uprobes.h"
#include "python/layout.h"
#include "python/mem.h"
#include "python/trace_layout.h"
#include "sink/trace.h"

#define TAKE_NS 50000000ULL /* for what the ring brings, between looks at the clock and signals */
#define LOOK_NS 500000ULL   /* at a command that starts: does it run a Python yet? */
#define HELD_NS \
	300000000ULL /* so long it is held while it is looked at, so that no call is missed */
#define FOUND_NS 10000000ULL

static uint64_t now_ns(void)
{
	return recording_clock_ns(CLOCK_MONOTONIC);
}

static int explain(struct tracing *t, int code, const char *what)
{
	if (code && !t->err.msg[0])
		err_set(&t->err, code, "%s: %s", what, err_str(code));
	return code;
}

int tracing_put(void *ctx, enum record_type type, const void *data, size_t len)
{
	struct tracing *t = ctx;

	return explain(t, trace_out_apply(t->out, type, data, len, NULL, &t->err),
		       "cannot keep what was seen");
}

/* The module of a function, from its globals; "" if it has none, or it cannot be read. */
static int module_answer(struct tracing *t, const struct call_want *want)
{
	struct record_module record = { .image = want->image, .func = want->func };
	struct tracing_proc *proc = tracing_proc_of_image(t, want->image);
	const struct py_layout *layout;
	const struct py_found *found;
	struct mem_process mem;
	struct buf name, out;
	uint32_t len;
	int code;

	buf_init(&name, MODULE_NAME_MAX + 4);
	buf_init(&out, sizeof(record) + MODULE_NAME_MAX + 8);
	if (proc && want->globals && answers__python(t->answers, want->image, &found, &layout)) {
		mem_process_init(&mem, want->pid);
		if (module_name(&mem.mem, &layout->abi, &proc->module_key, want->globals, &name))
			buf_clear(&name);
	}
	len = name.len;
	buf_add(&out, &record, sizeof(record));
	buf_add(&out, &len, sizeof(len));
	buf_add(&out, buf_text(&name), len);
	code = out.err ? out.err : tracing_put(t, RECORD_MODULE, out.data, out.len);
	buf_done(&name);
	buf_done(&out);
	return code;
}

static int answer(struct tracing *t)
{
	struct calls *calls = trace_out_calls(t->out);
	struct call_decision decision;
	struct call_want want;
	int code = answers__give(t->answers);

	while (!code && calls__want_module(calls, &want))
		code = module_answer(t, &want);
	while (!code && calls__decided(calls, &decision))
		tracer__decide(t->tracer, decision.func, decision.kept);
	if (!code)
		code = tracing_threads_decide(t, false);
	return explain(t, code, "cannot read what the calls mean from the process");
}

/* Of processes: what they become is decided here, and only then the event is whole. */
static int take_life(struct tracing *t, void *data, size_t len)
{
	const struct ev_hdr *hdr = data;
	union {
		struct ev_fork fork;
		struct ev_exec exec;
	} ev;
	bool kept;
	int code;

	memcpy(&ev, data, len < sizeof(ev) ? len : sizeof(ev));
	if (hdr->kind == EV_FORK)
		return explain(t, tracing_forked(t, &ev.fork), "cannot follow a child");
	code = tracing_execed(t, &ev.exec, &kept);
	return code || !kept ? code : tracing_put(t, RECORD_RING, &ev, sizeof(ev.exec));
}

static int take_event(void *ctx, void *data, size_t len)
{
	const struct ev_hdr *hdr = data;
	struct tracing *t = ctx;
	bool now = false;
	int code;

	if (hdr->kind == EV_FORK || hdr->kind == EV_EXEC)
		code = take_life(t, data, len);
	else
		code = tracing_threads_event(t, hdr, &now);
	if (!code && now)
		code = tracing_put(t, RECORD_RING, data, len);
	/* names before the first call that needs them */
	if (!code && (hdr->kind == EV_CODE || hdr->kind == EV_THREAD || hdr->kind == EV_EXEC))
		code = answer(t);
	return code;
}

static int take_events(struct tracing *t, uint64_t patience_ns, bool *ret_more)
{
	int code = tracer__consume(t->tracer, patience_ns, take_event, t);

	*ret_more = code > 0;
	if (code < 0)
		return explain(t, code, "cannot read the kernel's events");
	return answer(t);
}

static int begin(struct tracing *t)
{
	struct trace_options *o = &t->options;
	struct record_meta meta = { .format = RECORD_FORMAT, .mode = RECORD_CALLS };
	struct record_trace trace = { .depth = o->depth, .min_ns = o->min_ns };
	static const char mode[] = "exact calls";
	uint32_t len = sizeof(mode) - 1, i;
	struct buf record;
	int code;

	meta.start_ns = t->start_ns = now_ns();
	meta.start_unix_ns = recording_clock_ns(CLOCK_REALTIME);
	if (o->calls)
		trace.flags |= RECORD_TRACE_EVENTS;
	if (o->edges)
		trace.flags |= RECORD_TRACE_EDGES;
	buf_init(&record, RECORD_LEN_MAX);
	buf_add(&record, &meta, sizeof(meta));
	buf_add(&record, &len, sizeof(len));
	buf_add(&record, mode, len);
	code = record.err ? record.err : tracing_put(t, RECORD_META, record.data, record.len);
	buf_clear(&record);
	buf_add(&record, &trace, sizeof(trace));
	for (i = 0; i < o->match.cnt; i++) {
		len = strlen(o->match.patterns[i].text);
		buf_add(&record, &len, sizeof(len));
		buf_add(&record, o->match.patterns[i].text, len);
	}
	if (!code)
		code = record.err ? record.err
				  : tracing_put(t, RECORD_TRACE, record.data, record.len);
	buf_done(&record);
	return code;
}

/* One that was asked for, and runs a Python already. */
static int proc_prepare(struct tracing *t, struct tracing_proc *proc)
{
	int code = answers__root(t->answers, proc->image, proc->pid, true, &t->err);

	if (!code)
		code = tracing_proc_ready(t, proc);
	return explain(t, code, "cannot follow the process");
}

static struct governor_sums sums_now(struct tracing *t)
{
	struct governor_sums sums = { .cpu_ns = t->cpu_gone_ns };
	uint64_t stats[TRACE_STAT_MAX];
	int i;

	tracer__stats(t->tracer, stats);
	sums.hits = stats[TRACE_STAT_BEGINS] + stats[TRACE_STAT_ENDS];
	/* one in so many is timed */
	if (stats[TRACE_STAT_TIMED])
		sums.program_ns =
			(double)stats[TRACE_STAT_TIMED_NS] / stats[TRACE_STAT_TIMED] * sums.hits;
	for (i = 0; i < t->proc_cnt; i++)
		sums.cpu_ns += tracing_proc_cpu_ns(&t->procs[i]);
	return sums;
}

/* All probes of all processes, or none. */
static int window_open(struct tracing *t)
{
	uint64_t begin_ns = now_ns(), end_ns;
	struct governor_sums sums;
	int i, code = 0;

	for (i = 0; i < t->proc_cnt && !code; i++) {
		if (t->procs[i].pidfd < 0 || !t->procs[i].ready || t->procs[i].on)
			continue;
		tracing_threads_look(t, t->procs[i].image, t->procs[i].pid);
		code = tracer__attach(t->tracer, t->procs[i].index, t->procs[i].file,
				      &t->procs[i].sites, &t->err);
		/* one that ends meanwhile is no failure, if it is not the only one; nor one that execs */
		if ((code == -ESRCH || code == -ESTALE) && t->live_cnt > 1) {
			code = 0;
			t->err = (struct err){};
			continue;
		}
		t->procs[i].on = !code;
	}
	if (code) {
		while (i-- > 0)
			if (t->procs[i].on)
				tracer__detach(t->tracer, t->procs[i].index);
		return explain(t, code, "cannot put in the probes");
	}
	end_ns = t->on_ns = now_ns();
	if (!t->first_ns)
		t->first_ns = end_ns;
	sums = sums_now(t);
	governor_attached(&t->governor, end_ns, end_ns - begin_ns, &sums);
	return 0;
}

static int window_close(struct tracing *t)
{
	uint64_t begin_ns = now_ns(), end_ns;
	struct governor_sums sums;
	bool more = true;
	int i, code = 0;

	if (!t->on_ns)
		return 0;
	for (i = 0; i < t->proc_cnt; i++) {
		if (t->procs[i].on)
			tracer__detach(t->tracer, t->procs[i].index);
		t->procs[i].on = false;
	}
	end_ns = now_ns();
	t->traced_ns += begin_ns - t->on_ns;
	t->on_ns = 0;
	sums = sums_now(t);
	governor_detached(&t->governor, end_ns, end_ns - begin_ns, &sums);
	while (!code && more)
		code = take_events(t, 0, &more);
	if (!code)
		code = tracer__open_calls(t->tracer, begin_ns, take_event, t);
	return explain(t, code, "cannot keep what was open");
}

static int govern(struct tracing *t)
{
	struct governor_sums sums = sums_now(t);

	switch (governor_step(&t->governor, now_ns(), &sums)) {
	case GOVERNOR_ATTACH:
		return window_open(t);
	case GOVERNOR_DETACH:
		return window_close(t);
	case GOVERNOR_LET_GO:
		t->let_go = true;
		return window_close(t);
	case GOVERNOR_KEEP:
		break;
	}
	return 0;
}

/* Held while it is looked at: 0 once its probes are in, -ENOENT if it runs no Python yet. */
static int command_look(struct tracing *t, struct tracing_proc *proc, bool held)
{
	const struct py_layout *layout;
	const struct py_found *found;
	bool more;
	int code;

	if (held)
		kill(proc->pid, SIGSTOP);
	code = take_events(t, 0, &more); /* its execs */
	if (held)
		proc->due_ns = 0; /* it misses nothing */
	if (!code && t->options.children)
		code = tracing_look(t);
	else if (!code)
		code = answers__retry(t->answers);
	if (!code && !proc->ready) {
		code = answers__python(t->answers, proc->image, &found, &layout)
			       ? tracing_proc_ready(t, proc)
			       : -ENOENT;
		if (!code && !t->options.children)
			code = govern(t);
	}
	if (held)
		kill(proc->pid, SIGCONT);
	return code;
}

/* A command has no Python yet when it is exec'ed. It is uncoil's own child: it is stopped while it is looked
 * at, and goes on once the probes are in, so that its first call is seen. */
static int command_attach(struct tracing *t, struct tracing_proc *proc)
{
	uint64_t begin_ns = now_ns();
	struct timespec pause = { .tv_nsec = LOOK_NS };
	int code = t->options.children ? govern(t) : 0, status;
	bool held = true;

	while (!code && !recording_signal()) {
		code = command_look(t, proc, held);
		if (code != -ENOENT && code != -EAGAIN)
			return code;
		held = now_ns() - begin_ns < HELD_NS;
		if (t->options.children && !held)
			return 0; /* it may never run one: its children are what counts */
		if (child_ended(&t->child, &status))
			return t->options.children
				       ? 0
				       : err_set(&t->err, -ENOENT,
						 "no Python ran in the command itself (-s follows "
						 "its children)");
		pause.tv_nsec = held ? LOOK_NS : FOUND_NS;
		nanosleep(&pause, NULL);
		code = 0;
	}
	return code ? code : err_set(&t->err, -EINTR, "ended before any Python ran in the command");
}

static void outputs_take(struct tracing *t)
{
	int i;

	for (i = 0; i < t->options.output_cnt; i++) {
		t->outputs[i] = t->options.outputs[i].output;
		t->outputs[i].trace =
			trace_sink_by_name(trace_format_name(t->options.outputs[i].format));
	}
}

static void governor_begin(struct tracing *t)
{
	uint64_t attach_ns, detach_ns;

	t->has_cost = !calibrate_uprobe(uprobes_multi(), &t->cost, &t->cost_why);
	attach_ns = t->has_cost ? t->cost.attach_ns : 20000000;
	detach_ns = t->has_cost ? t->cost.detach_ns : 100000000;
	/* that was one link; a process has one for each program */
	governor_init(&t->governor, t->options.max_overhead,
		      t->has_cost ? t->cost.emulated_ns : 1000, attach_ns * 6, detach_ns * 6);
}

static int targets_attach(struct tracing *t)
{
	struct trace_options *o = &t->options;
	struct tracing_proc *proc;
	int i, code = 0;

	for (i = 0; i < o->pid_cnt && !code; i++) {
		code = explain(t, tracing_proc_add(t, o->pids[i], &proc),
			       "cannot follow the process");
		if (!code)
			code = proc_prepare(t, proc);
	}
	if (!code && !o->command && o->children)
		code = explain(t, tracing_children(t), "cannot follow the child processes");
	if (!code && !o->command && o->children)
		code = tracing_look(t);
	if (!code && !o->command)
		return govern(t);
	if (!code)
		code = child_start(&t->child, o->command, &t->err);
	if (!code)
		code = explain(t, tracing_proc_add(t, t->child.pid, &proc),
			       "cannot follow the command");
	if (!code)
		code = answers__root(t->answers, proc->image, proc->pid, false, &t->err);
	if (!code)
		code = child_go(&t->child, o->command, &t->err);
	return code ? code : command_attach(t, proc);
}

int tracing_start(struct tracing *t)
{
	struct trace_options *o = &t->options;
	struct tracer_options options = { .events = o->calls,
					  .edges = o->edges,
					  .children = o->children,
					  .choose = o->only_cnt > 0,
					  .depth = o->depth,
					  .min_ns = o->min_ns,
					  .ring_bytes = o->ring_bytes };
	struct trace_ask ask = {
		.command = "trace",
		.raw = true,
		.quiet = o->quiet,
		.look = { .compensate = o->compensate, .callers = o->callers },
	};
	int i, code = 0;

	for (i = 0; i < o->pid_cnt && !code; i++)
		code = proc_require(o->pids[i], &t->err);
	if (!code)
		code = feature_require(&t->err);
	if (code)
		return code;
	outputs_take(t);
	governor_begin(t);
	if (t->has_cost) {
		options.emulated_ns = t->cost.emulated_ns;
		options.stepped_ns = t->cost.stepped_ns;
	}
	t->procs = calloc(TRACE_PIDS_MAX, sizeof(*t->procs));
	t->threads = tracing_threads_new();
	t->tracer = tracer__new(&options);
	if (!t->procs || !t->threads || !t->tracer)
		return err_set(&t->err, -ENOMEM, "out of memory");
	t->out = trace_out_new(t->outputs, o->output_cnt, &ask, &o->match, &t->err);
	if (!t->out)
		return -EINVAL;
	code = begin(t);
	if (code)
		return code;
	t->answers = answers__new(NULL, calls__profile(trace_out_calls(t->out)), false, false,
				  tracing_put, t);
	if (!t->answers)
		return err_set(&t->err, -ENOMEM, "out of memory");
	code = explain(t, tracer__load(t->tracer, &t->err), "cannot load the BPF programs");
	return code ? code : targets_attach(t);
}

static int earlier(uint64_t at_ns, uint64_t now, int wait_ms)
{
	if (at_ns && at_ns < now + wait_ms * 1000000ULL)
		return at_ns > now ? (at_ns - now) / 1000000 + 1 : 0;
	return wait_ms;
}

int tracing_step(struct tracing *t, int wait_ms, bool *ret_over)
{
	struct pollfd fds[TRACE_PIDS_MAX + 1];
	uint64_t now = now_ns();
	int i, code, cnt = t->proc_cnt;
	bool more;

	wait_ms = earlier(governor_next_ns(&t->governor), now, wait_ms);
	wait_ms = earlier(tracing_look_ns(t), now, wait_ms);
	for (i = 0; i < cnt; i++)
		fds[i] = (struct pollfd){ .fd = t->procs[i].pidfd, .events = POLLIN };
	fds[i] = (struct pollfd){ .fd = tracer__fd(t->tracer), .events = POLLIN };
	poll(fds, cnt + 1, answers__wait_ms(t->answers, wait_ms));
	code = take_events(t, TAKE_NS, &more);
	/* what the ring told of may have another's place in the table by now, or have it still: the
	 * descriptor says which */
	for (i = 0; i < cnt; i++)
		if (fds[i].fd >= 0 && fds[i].revents && t->procs[i].pidfd == fds[i].fd)
			tracing_proc_ended(t, &t->procs[i]);
	if (!code)
		code = tracing_look(t);
	*ret_over = !t->live_cnt || t->let_go;
	if (!code && !*ret_over)
		code = govern(t);
	return code;
}

int tracing_stop(struct tracing *t)
{
	bool more = true;
	int i, code;

	t->stop_ns = now_ns();
	for (i = 0; i < t->proc_cnt; i++)
		if (t->procs[i].pidfd >= 0 && t->procs[i].due_ns && t->procs[i].ready)
			t->kin.missed++; /* and so, it ends for the trace */
	code = window_close(t);
	profile__want_again(calls__profile(trace_out_calls(t->out)));
	while (!code && more)
		code = take_events(t, 0, &more);
	if (!code)
		code = tracing_threads_decide(t, true);
	if (!code)
		code = tracing_sums(t, tracing_put, t);
	if (!code)
		code = tracing_put(t, RECORD_END, NULL, 0);
	if (!code)
		code = trace_out_finish(t->out, &t->err);
	return explain(t, code, "cannot end the trace");
}

void tracing_tell(const struct tracing *t)
{
	int i;

	for (i = 0; i < t->proc_cnt; i++)
		if (t->procs[i].ready)
			fprintf(stderr, "process %d: %s, %d probes\n", t->procs[i].pid,
				t->procs[i].sites.method == SITES_USDT ? "USDT points"
								       : "opcode handlers",
				t->procs[i].sites.cnt);
	if (t->has_cost)
		fprintf(stderr,
			"a hit costs %u ns here before its program runs (stepped: %u); `uncoil "
			"doctor -p` lists the places\n",
			t->cost.emulated_ns, t->cost.stepped_ns);
}

void tracing_free(struct tracing *t)
{
	int i;

	tracing_threads_free(t->threads);
	answers__free(t->answers);
	tracer__free(t->tracer);
	trace_out_free(t->out);
	for (i = 0; t->procs && i < t->proc_cnt; i++) {
		if (t->procs[i].pidfd >= 0)
			close(t->procs[i].pidfd);
		if (t->procs[i].file >= 0)
			close(t->procs[i].file);
	}
	free(t->procs);
	options_trace_done(&t->options);
}
