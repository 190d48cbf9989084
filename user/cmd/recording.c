/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/recording.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cmd/budget.h"
#include "cmd/rotate.h"
#include "model/journal.h"
#include "model/keep.h"
#include "os/family.h"
#include "os/feature.h"
#include "os/proc.h"
#include "probe/rest.h"
#include "probe/sampler.h"

#define ALIVE_NS    250000000ULL /* between looks into /proc for who still runs */
#define TAKE_NS     50000000ULL /* for what the ring brings, between looks at the clock and signals */
#define SCANS_MAX   16          /* for children: more are born at each only in a fork storm */
#define SEEN_MAX    65536       /* processes */
#define COUNTS_ONCE 4096        /* counts per record */

static volatile sig_atomic_t stop_signal;

static void on_signal(int sig)
{
	stop_signal = sig;
}

/* The first signal ends the recording cleanly; a second one ends uncoil. One that is ignored stays
 * so: nohup(1) means it. */
void recording_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = on_signal,
				    .sa_flags = SA_RESETHAND | SA_RESTART };
	struct sigaction old;
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (!sigaction(signals[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
}

uint64_t recording_clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Returns `code`; a failure that has left no sentence gets one. */
static int explain(struct recording *r, int code, const char *what)
{
	if (code && !r->err.msg[0])
		err_set(&r->err, code, "%s: %s", what, err_str(code));
	return code;
}

int recording_put(void *ctx, enum record_type type, const void *data, size_t len)
{
	struct recording *r = ctx;
	struct err why = {};
	int i, code;

	for (i = 0; i < r->options.output_cnt; i++) {
		if (r->options.outputs[i].sink)
			continue;
		errno = 0;
		code = journal_write(r->options.outputs[i].file, type, data, len);
		if (code)
			return output_fail(&r->options.outputs[i], errno ? -errno : code, NULL,
					   &r->err);
	}
	code = profile__apply(r->profile, type, data, len, &why);
	if (code)
		r->err = why;
	return explain(r, code, "cannot keep what was seen");
}

static int take_record(void *ctx, enum record_type type, const void *data, size_t len)
{
	struct recording *r = ctx;
	int code;

	code = recording_put(r, type, data, len);
	if (code || !r->rotate)
		return code;
	code = keep__see(rotate_keep(r->rotate), type, data, len);
	if (!code)
		code = keep__codes(rotate_keep(r->rotate), type, data, len, recording_put, r);
	return explain(r, code, "cannot keep what was seen");
}

static int take_event(void *ctx, void *data, size_t len)
{
	struct recording *r = ctx;

	if (r->rotate && rotate_holds(r->rotate, data, len))
		return 0;
	return take_record(ctx, RECORD_RING, data, len);
}

static int counts_flush(struct recording *r)
{
	int code = r->counts.err;

	if (!code && r->counts.len)
		code = take_record(r, RECORD_COUNTS, r->counts.data, r->counts.len);
	buf_clear(&r->counts);
	return code;
}

int recording_share(struct recording *r, const struct count_key *key, const struct count_val *val)
{
	struct record_count record = {
		.key = *key, .count = val->count, .wait_ns = val->wait_ns, .runq_ns = val->runq_ns
	};

	buf_add(&r->counts, &record, sizeof(record));
	return r->counts.len >= COUNTS_ONCE * sizeof(record) ? counts_flush(r) : r->counts.err;
}

static int take_count(void *ctx, const struct count_key *key, const struct count_val *val)
{
	struct recording *r = ctx;
	struct count_val rest = *val;

	if (val->wait_ns || val->runq_ns)
		credits_use(&r->credits, key, &rest);
	return recording_share(r, key, &rest);
}

/* Reads what the kernel side has sent, and answers what follows from it. patience_ns: 0, or how long at
 * most it is read. */
static int take_events(struct recording *r, uint64_t patience_ns)
{
	int code = sampler__consume(r->sampler, patience_ns, take_event, r);

	r->more = code > 0;
	if (code < 0)
		return explain(r, code, "cannot read the kernel's samples");
	code = answers__give(r->answers);
	if (!code)
		code = answers__retry(r->answers);
	if (!code)
		code = answers__tasks(r->answers);
	if (!code)
		code = answers__give(r->answers);
	return explain(r, code, "cannot read what the samples mean from the process");
}

int recording_counts(struct recording *r)
{
	int code;

	sampler__flip(r->sampler);
	/* stacks first: a count is of use only once its stack is known */
	code = take_events(r, 0);
	if (!code)
		code = sampler__drain(r->sampler, take_count, r);
	if (!code)
		code = counts_flush(r);
	return explain(r, code, "cannot read the kernel's counts");
}

static int take_times(void *ctx, const struct thread_seen *thread)
{
	struct record_times times = { .thread = thread->serial,
				      .image = thread->image,
				      .times = thread->times };

	return take_record(ctx, RECORD_TIMES, &times, sizeof(times));
}

static int look_wait(void *ctx, const struct count_key *key, const struct count_val *val)
{
	struct recording *r = ctx;
	struct count_val share = *val;
	int code = credits_give(&r->credits, key, &share);

	if (code)
		return code < 0 ? code : 0;
	return recording_share(r, key, &share);
}

int recording_look(struct recording *r)
{
	struct rest_to to = { .count = look_wait, .times = take_times, .ctx = r };
	int code = recording_counts(r);

	if (!code)
		code = sampler__finish(r->sampler, &to);
	credits_turn(&r->credits);
	if (!code)
		code = counts_flush(r);
	return explain(r, code, "cannot keep what was seen");
}

/* A part's files have the time in their names. */
static int output_part(struct recording *r, struct output *o, int64_t now)
{
	const char *file = o->file_path ? o->file_path : o->path;
	char *path = rotate_path(file, now);

	if (!path)
		return err_set(&r->err, -ENOMEM, "out of memory, or of names like %s", file);
	free(o->part);
	o->file_path = file;
	o->path = o->part = path;
	return 0;
}

int recording_begin(struct recording *r)
{
	struct record_meta meta = { .format = RECORD_FORMAT,
				    .rate_hz = r->options.rate_hz,
				    .mode = r->options.mode };
	const char *mode = options_mode_text(r->options.mode);
	uint32_t mode_len = strlen(mode);
	char record[sizeof(meta) + 64];
	int i, code = 0;
	uint64_t now;

	now = recording_clock_ns(CLOCK_MONOTONIC);
	meta.start_ns = r->cut_ns ? r->cut_ns : now;
	/* a part begins where the one before was cut, before that was written */
	meta.start_unix_ns = recording_clock_ns(CLOCK_REALTIME) - (now - meta.start_ns);
	for (i = 0; i < r->options.output_cnt; i++) {
		if (r->rotate)
			code = output_part(r, &r->options.outputs[i], meta.start_unix_ns);
		if (!code)
			code = output_open(&r->options.outputs[i], &r->err);
		if (!code && !r->options.outputs[i].sink)
			code = journal_begin(r->options.outputs[i].file);
		if (code)
			return code;
	}
	memcpy(record, &meta, sizeof(meta));
	memcpy(record + sizeof(meta), &mode_len, sizeof(mode_len));
	memcpy(record + sizeof(meta) + sizeof(mode_len), mode, mode_len);
	r->part_ns = meta.start_ns;
	r->cut_ns = 0;
	code = recording_put(r, RECORD_META, record, sizeof(meta) + sizeof(mode_len) + mode_len);
	if (!code && r->options.timeline)
		code = recording_put(r, RECORD_TIMELINE, NULL, 0);
	if (!code && r->options.tasks)
		code = recording_put(r, RECORD_ASYNC, NULL, 0);
	return code;
}

static void watch(struct recording *r, int i, pid_t pid)
{
	r->pidfds[i].fd = syscall(SYS_pidfd_open, pid, 0);
	r->pidfds[i].events = POLLIN;
	/* any other failure (a seccomp filter, no descriptor left): /proc is asked instead */
	r->ended[i] = r->pidfds[i].fd < 0 && errno == ESRCH;
	r->live_cnt += !r->ended[i];
}

static int child_adopt(struct recording *r, pid_t pid)
{
	bool followed = sampler__follows(r->sampler, pid);
	uint32_t image = 0;
	struct err why = {};
	int code;

	if (!followed) {
		if (r->image_cnt == SAMPLER_ROOTS_MAX)
			return err_set(
				&r->err, -E2BIG,
				"there are more than %d processes and children; give fewer -p, "
				"or leave -s out",
				SAMPLER_ROOTS_MAX);
		image = ++r->image_cnt;
		code = answers__child(r->answers, image, pid);
		if (code)
			return code;
	}
	/* only one that was forked since the first timer can have a timer already */
	code = sampler__attach(r->sampler, pid, followed, &why);
	if (code && code != -ESRCH)
		r->err = why;
	if (!followed && !proc_alive(pid))
		sampler__forget(r->sampler, pid, image);
	return code == -ESRCH ? 0 : code;
}

/* Those descendants of one root that were not seen yet. *ret_cnt: how many. */
static int children_look(struct recording *r, pid_t root, struct buf *seen, int *ret_cnt)
{
	const pid_t *known;
	size_t known_cnt, k;
	int cnt, i, code = 0;
	pid_t *pids;

	cnt = family_of(root, &pids);
	if (cnt < 0)
		return cnt;
	for (i = 0; i < cnt && !code; i++) {
		known = (const pid_t *)seen->data;
		known_cnt = seen->len / sizeof(*known);
		for (k = 0; k < known_cnt && known[k] != pids[i]; k++)
			;
		if (k < known_cnt)
			continue;
		code = buf_add(seen, &pids[i], sizeof(pids[i]));
		if (!code)
			code = child_adopt(r, pids[i]);
		++*ret_cnt;
	}
	free(pids);
	return code;
}

/* -s: the children that are there already. They fork while we look: what a followed process forks is
 * followed by the kernel side, and may lack a timer only if its parent did, so it is looked until
 * a look finds nobody new. */
static int children_attach(struct recording *r)
{
	int i, scan, cnt = 1, code = 0;
	struct buf seen;

	buf_init(&seen, SEEN_MAX * sizeof(pid_t));
	for (i = 0; i < r->options.pid_cnt && !code; i++)
		code = buf_add(&seen, &r->options.pids[i], sizeof(r->options.pids[i]));
	for (scan = 0; cnt && scan < SCANS_MAX && !code; scan++) {
		cnt = 0;
		for (i = 0; i < r->options.pid_cnt && !code; i++)
			code = children_look(r, r->options.pids[i], &seen, &cnt);
	}
	buf_done(&seen);
	return explain(r, code, "cannot follow the child processes");
}

static int targets_attach(struct recording *r)
{
	bool is_command = r->options.command != NULL;
	int i, code;

	if (is_command) {
		code = child_start(&r->child, r->options.command, &r->err);
		if (code)
			return code;
		r->options.pids[0] = r->child.pid;
		r->options.pid_cnt = 1;
	}
	r->pidfds = calloc(r->options.pid_cnt + 1, sizeof(*r->pidfds));
	r->ended = calloc(r->options.pid_cnt, sizeof(*r->ended));
	if (!r->pidfds || !r->ended)
		return err_set(&r->err, -ENOMEM, "out of memory");
	r->pidfds[r->options.pid_cnt].fd = sampler__fd(r->sampler);
	r->pidfds[r->options.pid_cnt].events = POLLIN;
	for (i = 0; i < r->options.pid_cnt; i++) {
		r->pidfds[i].fd = -1;
		code = answers__root(r->answers, i + 1, r->options.pids[i], !is_command, &r->err);
		if (!code)
			code = sampler__attach(r->sampler, r->options.pids[i], false, &r->err);
		if (code == -ESRCH && !r->err.msg[0])
			err_set(&r->err, code, "process %d ended while uncoil was attaching",
				r->options.pids[i]);
		if (code)
			return explain(r, code, "cannot follow the process");
		watch(r, i, r->options.pids[i]);
	}
	r->image_cnt = r->options.pid_cnt;
	return r->options.children && !is_command ? children_attach(r) : 0;
}

/* Opens all that can fail before anything is attached, then attaches, then starts. */
int recording_start(struct recording *r)
{
	struct sampler_options options = { .rate_hz = r->options.rate_hz,
					   .switches = record_mode_waits(r->options.mode),
					   .holder_only = r->options.mode == RECORD_GIL,
					   .children = r->options.children,
					   .timeline = r->options.timeline,
					   .tasks = r->options.tasks,
					   .ring_bytes = r->options.ring_bytes };
	int i, code;

	for (i = 0; i < r->options.pid_cnt; i++) {
		code = proc_require(r->options.pids[i], &r->err);
		if (code)
			return code;
	}
	code = feature_require(&r->err);
	if (code)
		return code;
	budget_begin(r);
	options.rate_hz = r->options.rate_hz;
	buf_init(&r->counts, COUNTS_ONCE * sizeof(struct record_count));
	r->profile = profile__new();
	r->sampler = sampler__new(&options);
	if (r->options.rotate_ns) {
		r->rotate = rotate_new();
		if (!r->rotate)
			return err_set(&r->err, -ENOMEM, "out of memory");
	}
	if (r->profile && r->sampler)
		r->answers = answers__new(r->sampler, r->profile, r->options.tasks,
					  options.holder_only, take_record, r);
	if (!r->answers)
		return err_set(&r->err, -ENOMEM, "out of memory");
	code = recording_begin(r);
	if (!code)
		code = explain(r, sampler__load(r->sampler, &r->err),
			       "cannot load the BPF programs");
	if (!code)
		code = targets_attach(r);
	if (!code)
		code = explain(r, answers__tasks(r->answers), "cannot tell of asyncio's tasks");
	for (i = 0; i < (int)r->image_cnt && !code && record_mode_waits(r->options.mode); i++)
		code = explain(r, answers__asleep(r->answers, i + 1),
			       "cannot tell which threads wait");
	if (!code)
		code = explain(r, sampler__start(r->sampler), "cannot start the timers");
	r->start_ns = r->part_ns = recording_clock_ns(CLOCK_MONOTONIC);
	if (!code && r->child.pid)
		code = child_go(&r->child, r->options.command, &r->err);
	if (!code)
		budget_started(r);
	return code;
}

static void root_ended(struct recording *r, int i)
{
	if (r->pidfds[i].fd >= 0)
		close(r->pidfds[i].fd);
	r->pidfds[i].fd = -1;
	r->ended[i] = true;
	r->live_cnt--;
}

/* Have all roots ended? */
static bool roots_gone(struct recording *r)
{
	int i;

	if (poll(r->pidfds, r->options.pid_cnt, 0) > 0)
		for (i = 0; i < r->options.pid_cnt; i++)
			if (r->pidfds[i].revents)
				root_ended(r, i);
	return r->live_cnt == 0;
}

static bool image_alive(void *ctx, int32_t pid)
{
	(void)ctx;
	return proc_alive(pid);
}

/* Asks /proc who still runs, now and then: about roots that have no pidfd, and, once the roots have
 * ended, about their descendants. The end of one of these is known from an event of the kernel
 * side, and an event can be lost. */
static void alive_look(struct recording *r)
{
	uint64_t now = recording_clock_ns(CLOCK_MONOTONIC);
	int i;

	if (now - r->alive_ns < ALIVE_NS)
		return;
	r->alive_ns = now;
	for (i = 0; i < r->options.pid_cnt; i++)
		if (!r->ended[i] && r->pidfds[i].fd < 0 && !proc_alive(r->options.pids[i]))
			root_ended(r, i);
	if (!r->live_cnt)
		profile__alive_each(r->profile, image_alive, NULL);
}

int recording_step(struct recording *r, int wait_ms, bool *ret_over)
{
	int code;

	/* before the events: who has ended may have forked, and that stands in the ring */
	alive_look(r);
	budget_look(r);
	poll(r->pidfds, r->options.pid_cnt + 1,
	     r->more ? 0 : answers__wait_ms(r->answers, wait_ms));
	code = take_events(r, TAKE_NS);
	if (!code && sampler__drain_due(r->sampler))
		code = recording_counts(r);
	*ret_over = roots_gone(r) && !(r->options.children && profile__any_alive(r->profile));
	return code;
}

int recording_signal(void)
{
	return stop_signal;
}

/* Of counters that go on, this part's share. SAMPLES and WAITS are counted before they are taken: those
 * that are still on their way are the next part's; but what had been counted before the tables were
 * emptied (floor) must have come. */
static void part_share(struct recording *r, struct record_stats *stats, const uint64_t *floor)
{
	uint64_t now[STAT_MAX], samples, waits, drops;
	uint64_t *stat = stats->stat;
	int i;

	memcpy(now, stat, sizeof(now));
	for (i = 0; i < STAT_MAX; i++)
		stat[i] = now[i] - r->part_stats[i];
	if (floor) {
		profile__counted(r->profile, &samples, &waits);
		drops = stat[STAT_DROP_COUNTS_FULL] + stat[STAT_DROP_RING_FULL];
		stat[STAT_SAMPLES] = samples + drops;
		stat[STAT_WAITS] = waits + stat[STAT_DROP_WAITS];
		for (i = STAT_SAMPLES; i <= STAT_WAITS; i += STAT_WAITS - STAT_SAMPLES)
			if (floor[i] > r->part_stats[i] + stat[i])
				stat[i] = floor[i] - r->part_stats[i];
	}
	for (i = 0; i < STAT_MAX; i++)
		r->part_stats[i] += stat[i];
	drops = stats->ticks_expected;
	stats->ticks_expected -= r->part_ticks;
	r->part_ticks = drops;
}

int recording_end(struct recording *r, const uint64_t floor[STAT_MAX])
{
	struct record_stats stats = { .duration_ns = r->cut_ns - r->part_ns };
	int code;

	profile__want_again(r->profile);
	code = explain(r, answers__give(r->answers),
		       "cannot read what the samples mean from the process");
	sampler__ticks(r->sampler, &stats.ticks_expected, &stats.ticks_slack);
	if (!code)
		code = explain(r, sampler__stats(r->sampler, stats.stat),
			       "cannot read the kernel's counters");
	part_share(r, &stats, floor);
	if (!code)
		code = budget_tell(r);
	if (!code)
		code = recording_put(r, RECORD_STATS, &stats, sizeof(stats));
	return code ? code : recording_put(r, RECORD_END, NULL, 0);
}

int recording_stop(struct recording *r)
{
	struct rest_to to = { .count = take_count,
			      .event = r->options.timeline ? take_event : NULL,
			      .times = take_times,
			      .ctx = r };
	int code;

	r->cut_ns = recording_clock_ns(CLOCK_MONOTONIC);
	sampler__stop(r->sampler);
	code = recording_counts(r);
	if (!code)
		code = recording_counts(r); /* the other table's */
	if (!code)
		code = sampler__finish(r->sampler, &to);
	if (!code)
		code = counts_flush(r);
	return code ? code : recording_end(r, NULL);
}

void recording_free(struct recording *r)
{
	int i;

	for (i = 0; i < r->options.output_cnt; i++)
		output_done(&r->options.outputs[i]);
	for (i = 0; i < r->options.output_cnt; i++)
		free(r->options.outputs[i].part);
	rotate_free(r->rotate);
	credits_free(&r->credits);
	for (i = 0; r->pidfds && i < r->options.pid_cnt; i++)
		if (r->pidfds[i].fd > 0)
			close(r->pidfds[i].fd);
	free(r->pidfds);
	free(r->ended);
	answers__free(r->answers);
	sampler__free(r->sampler);
	profile__free(r->profile);
	buf_done(&r->counts);
}
