/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/sampler.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "os/feature.h"
#include "os/proc.h"
#include "os/syscall.h"
#include "os/task.h"
#include "probe/cost.h"
#include "probe/drain.h"
#include "probe/programs.h"
#include "probe/rest.h"
#include "uncoil.skel.h"

#define DRAIN_BATCH     1024
#define READS_MAX       8    /* of a thread's entry, until two are the same */
#define TIMED_HZ        1000 /* up to here each tick is timed: it costs nothing that could be seen */
#define TICKS_PER_TIMED 16   /* above that, one in so many */
#define SCANS_MAX       16 /* of a process's threads: more are born at each look only in a thread storm */

struct timer {
	pid_t tid;
	int fd; /* of the perf event; the link holds the program on it */
	struct bpf_link *link;
};

struct sampler {
	struct sampler_options options;
	struct uncoil_bpf *skel;
	struct drain drain;
	struct timer *timers;
	int timer_cnt, timer_cap;
	uint64_t ticks_expected, cpu_ns; /* by the timers, as of the end */
	uint64_t end_ns;
	uint32_t serials_used;
	uint32_t cfg_cnt; /* that were written */
	int cpu_cnt;
};

struct sampler *sampler__new(const struct sampler_options *options)
{
	struct sampler *s = calloc(1, sizeof(*s));

	if (s)
		s->options = *options;
	return s;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static uint32_t serial_cpu_bits(int cpus)
{
	uint32_t bits = 0;

	while (1 << bits < cpus)
		bits++;
	return bits;
}

/* The kernel side's own serials begin behind those that are kept for user space. */
static int serials_reserve(struct sampler *s)
{
	struct serials *values = calloc(s->cpu_cnt, sizeof(*values));
	int fd = bpf_map__fd(s->skel->maps.serials), cpu, err;
	uint32_t zero = 0;

	if (!values)
		return -ENOMEM;
	for (cpu = 0; cpu < s->cpu_cnt; cpu++) {
		values[cpu].threads = SERIALS_USER >> s->skel->rodata->serial_cpu_bits;
		values[cpu].images = IMAGES_USER >> s->skel->rodata->serial_cpu_bits;
	}
	err = bpf_map_update_elem(fd, &zero, values, BPF_ANY) ? -errno : 0;
	free(values);
	return err;
}

int sampler__load(struct sampler *s, struct err *err)
{
	uint64_t seed = 0;
	int code, nr;

	programs_limits();
	s->skel = programs_open(!feature_has(FEAT_LOOP));
	if (!s->skel)
		return err_set(err, -errno, "cannot open the BPF programs: %s", err_str(errno));
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return err_set(err, -errno, "cannot get random bytes: %s", err_str(errno));
	s->cpu_cnt = libbpf_num_possible_cpus();
	if (s->cpu_cnt < 0)
		return err_set(err, s->cpu_cnt, "cannot count the CPUs: %s", err_str(s->cpu_cnt));
	s->skel->rodata->serial_cpu_bits = serial_cpu_bits(s->cpu_cnt);
	s->skel->rodata->hash_seed = seed;
	s->skel->rodata->follow_children = s->options.children;
	s->skel->rodata->timeline = s->options.timeline;
	s->skel->rodata->has_cookie = feature_has(FEAT_PERF_LINK);
	s->skel->rodata->ring_wake_bytes = s->options.ring_bytes / 4;
	s->skel->rodata->trace_switches = s->options.switches;
	s->skel->rodata->holder_only = s->options.holder_only;
	s->skel->rodata->ticks_per_timed = s->options.rate_hz > TIMED_HZ ? TICKS_PER_TIMED : 1;
	s->skel->rodata->async_tasks = s->options.tasks;
	for (nr = 0; nr < SYSCALLS_MAX; nr++)
		s->skel->rodata->syscalls[nr] = syscall_kind(nr);
	bpf_program__set_autoload(s->skel->progs.on_switch, s->options.switches);
	code = bpf_map__set_max_entries(s->skel->maps.ring, s->options.ring_bytes);
	if (!code)
		code = programs_load(s->skel, err);
	else
		err_set(err, code, "cannot size the ring buffer: %s", err_str(code));
	if (code)
		return code;
	code = serials_reserve(s);
	if (code)
		return err_set(err, code, "cannot set up the BPF maps: %s", err_str(code));
	code = uncoil_bpf__attach(s->skel);
	if (code)
		return err_set(err, code, "cannot watch forks and execs: %s", err_str(code));
	code = drain_open(&s->drain, bpf_map__fd(s->skel->maps.ring));
	if (code)
		return err_set(err, code, "cannot map the ring buffer: %s", err_str(code));
	return 0;
}

int sampler__follow(struct sampler *s, pid_t pid, uint32_t image, const struct py_cfg *cfg,
		    bool replace)
{
	struct proc proc, fresh = { .image = image };
	int fd = bpf_map__fd(s->skel->maps.procs);
	uint32_t tgid = pid;

	if (replace) {
		if (bpf_map_lookup_elem(fd, &tgid, &proc))
			return -errno;
		if (proc.image != image)
			return -ESTALE;
		fresh.since_ns = proc.since_ns;
	}
	if (cfg) {
		fresh.state = PROC_PYTHON;
		fresh.cfg_number = ++s->cfg_cnt;
		fresh.cfg = *cfg;
	}
	s->skel->data_hints->proc_hints[tgid & (PROC_HINTS - 1)] = 1;
	return bpf_map_update_elem(fd, &tgid, &fresh, replace ? BPF_EXIST : BPF_ANY) ? -errno : 0;
}

void sampler__forget(struct sampler *s, pid_t pid, uint32_t image)
{
	int fd = bpf_map__fd(s->skel->maps.procs);
	uint32_t tgid = pid;
	struct proc proc;

	if (!bpf_map_lookup_elem(fd, &tgid, &proc) && proc.image == image)
		bpf_map_delete_elem(fd, &tgid);
}

uint32_t sampler__serial(struct sampler *s)
{
	return s->serials_used < SERIALS_USER ? ++s->serials_used : 0;
}

int sampler__asleep(struct sampler *s, pid_t tid, const struct thread_seen *thread)
{
	uint32_t key = tid;

	return bpf_map_update_elem(bpf_map__fd(s->skel->maps.threads), &key, thread, BPF_NOEXIST)
		       ? -errno
		       : 0;
}

static bool timer_known(const struct sampler *s, pid_t tid)
{
	int i;

	for (i = 0; i < s->timer_cnt; i++)
		if (s->timers[i].tid == tid)
			return true;
	return false;
}

static int timer_open(struct sampler *s, pid_t tid, bool may_be_second)
{
	LIBBPF_OPTS(bpf_perf_event_opts, opts, .bpf_cookie = 0);
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = 1000000000ULL / s->options.rate_hz,
		.disabled = 1,
		.inherit = 1,
	};
	struct timer *grown, *timer;
	int cap;

	if (s->timer_cnt == s->timer_cap) {
		cap = s->timer_cap ? s->timer_cap * 2 : 16;
		grown = realloc(s->timers, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		s->timers = grown;
		s->timer_cap = cap;
	}
	/* threads born later inherit the timer; without -s, other processes must not pay for it */
	if (!s->options.children && feature_has(FEAT_INHERIT_THREAD))
		attr.inherit_thread = 1;
	timer = &s->timers[s->timer_cnt];
	timer->tid = tid;
	timer->fd = syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (timer->fd < 0)
		return -errno;
	/* an inherited event has no cookie: on_tick tells the two apart by that. Only where it must:
	 * the kernel may swap the events of a thread and of one born of it at a switch between the
	 * two, and then a thread ticks without its own cookie though it has no second timer */
	if (s->skel->rodata->has_cookie && may_be_second)
		opts.bpf_cookie = tid;
	timer->link = bpf_program__attach_perf_event_opts(s->skel->progs.on_tick, timer->fd, &opts);
	if (!timer->link) {
		int err = -errno;

		close(timer->fd);
		return err;
	}
	s->timer_cnt++;
	return 0;
}

bool sampler__follows(const struct sampler *s, pid_t pid)
{
	uint32_t tgid = pid;
	struct proc proc;

	return !bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.procs), &tgid, &proc);
}

int sampler__attach(struct sampler *s, pid_t pid, bool may_inherit, struct err *err)
{
	int cnt, i, scan, opened = 1, code = 0, total = 0;
	pid_t *tids;

	if (!s->options.rate_hz)
		return 0;
	/* threads are born while we look: look until a look finds no new one */
	for (scan = 0; opened && scan < SCANS_MAX && !code; scan++) {
		cnt = proc_threads(pid, &tids);
		if (cnt < 0)
			return err_set(err, cnt, "process %d ended while uncoil was attaching",
				       pid);
		opened = 0;
		for (i = 0; i < cnt && !code; i++) {
			if (timer_known(s, tids[i]))
				continue;
			/* those of the first look were there before any timer was */
			code = timer_open(s, tids[i], may_inherit || scan > 0);
			if (!code)
				opened++;
			else if (code == -ESRCH)
				code = 0; /* that thread has ended */
		}
		total += opened;
		free(tids);
	}
	if (code)
		return err_set(err, code, "cannot put a timer on process %d: %s%s", pid,
			       err_str(code),
			       code == -EMFILE ? " (raise the limit of open files)" : "");
	if (!total)
		return err_set(err, -ESRCH, "process %d ended while uncoil was attaching", pid);
	return 0;
}

int sampler__start(struct sampler *s)
{
	int i;

	s->skel->bss->start_ns = now_ns();
	s->skel->bss->ready = 1;
	for (i = 0; i < s->timer_cnt; i++)
		if (ioctl(s->timers[i].fd, PERF_EVENT_IOC_ENABLE, 0))
			return -errno;
	return 0;
}

/* How many ticks the targets' CPU time was worth until now: the event counts the CPU time of its
 * thread and of all that inherited it. */
static uint64_t ticks_read(const struct sampler *s, uint64_t *ret_cpu_ns)
{
	uint64_t period_ns = 1000000000ULL / (s->options.rate_hz ?: 1), clock_ns, sum = 0;
	int i;

	*ret_cpu_ns = 0;
	for (i = 0; i < s->timer_cnt; i++)
		if (read(s->timers[i].fd, &clock_ns, sizeof(clock_ns)) == sizeof(clock_ns)) {
			sum += clock_ns / period_ns;
			*ret_cpu_ns += clock_ns;
		}
	return sum;
}

void sampler__stop(struct sampler *s)
{
	int i;

	if (s->skel && s->skel->bss) {
		s->end_ns = now_ns();
		s->skel->bss->end_ns = s->end_ns;
		__atomic_store_n(&s->skel->bss->ready, 0, __ATOMIC_SEQ_CST);
	}
	for (i = 0; i < s->timer_cnt; i++)
		ioctl(s->timers[i].fd, PERF_EVENT_IOC_DISABLE, 0);
	s->ticks_expected = ticks_read(s, &s->cpu_ns);
	uncoil_bpf__detach(s->skel);
}

void sampler__ticks(const struct sampler *s, uint64_t *ret_expected, uint64_t *ret_slack)
{
	/* each switch may stretch a period by the hrtimer's minimum of 10 us (kernel/events/core.c,
	 * perf_swevent_start_hrtimer). A thread's last, unfinished period is no rounding: with many short
	 * threads those are most of the CPU time there was */
	uint64_t cpu_ns;

	*ret_expected = s->end_ns ? s->ticks_expected : ticks_read(s, &cpu_ns);
	*ret_slack = 1 + *ret_expected / 50;
}

int sampler__fd(const struct sampler *s)
{
	return drain_fd(&s->drain);
}

int sampler__consume(struct sampler *s, uint64_t patience_ns,
		     int (*fn)(void *ctx, void *data, size_t len), void *ctx)
{
	return drain_consume(&s->drain, patience_ns, fn, ctx);
}

/* Programs that saw the old value of counts_active may still hold one of its entries: counted into after it was
 * taken out, a sample would be lost, or another entry's. They run as readers of RCU, and this waits for all of
 * those, also on a CPU that the hypervisor takes away meanwhile (some 10 ms, asleep: kernel/sched/membarrier.c,
 * synchronize_rcu()). Kernels with nohz_full refuse it; there an interrupt is over in 100 us, if the hypervisor
 * lets it. The balance at the end tells if not. */
static void programs_pass(void)
{
	struct timespec pause = { .tv_nsec = 2000000 };

	if (!syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0))
		return;
	while (nanosleep(&pause, &pause) && errno == EINTR)
		;
}

void sampler__flip(struct sampler *s)
{
	s->skel->bss->counts_used = 0;
	__atomic_store_n(&s->skel->bss->counts_active, !s->skel->bss->counts_active,
			 __ATOMIC_SEQ_CST);
	programs_pass();
}

uint32_t sampler__table(const struct sampler *s)
{
	return s->skel->bss->counts_active;
}

int sampler__drain(struct sampler *s,
		   int (*fn)(void *ctx, const struct count_key *key, const struct count_val *val),
		   void *ctx)
{
	struct bpf_map *map =
		s->skel->bss->counts_active ? s->skel->maps.counts_a : s->skel->maps.counts_b;
	struct count_key *keys = calloc(DRAIN_BATCH, sizeof(*keys));
	struct count_val *vals = calloc(DRAIN_BATCH, sizeof(*vals));
	uint32_t cnt, i, token = 0;
	bool first = true;
	int err = 0, fd = bpf_map__fd(map);

	if (!keys || !vals) {
		err = -ENOMEM;
		goto out;
	}
	while (!err) {
		cnt = DRAIN_BATCH;
		err = bpf_map_lookup_and_delete_batch(fd, first ? NULL : &token, &token, keys, vals,
						      &cnt, NULL);
		first = false;
		for (i = 0; i < cnt && (!err || err == -ENOENT); i++) {
			int stop = fn(ctx, &keys[i], &vals[i]);

			if (stop) {
				err = stop;
				goto out;
			}
		}
	}
	if (err == -ENOENT)
		err = 0; /* the end of the map */
out:
	free(keys);
	free(vals);
	return err;
}

/* When the time of an image's threads begins that have not been switched yet. */
static uint64_t image_since(const struct sampler *s, uint32_t image)
{
	int fd = bpf_map__fd(s->skel->maps.procs);
	uint32_t left = 4 * bpf_map__max_entries(s->skel->maps.procs), tgid, *prev = NULL;
	uint64_t start = s->skel->bss->start_ns;
	struct proc proc;

	while (left-- && !bpf_map_get_next_key(fd, prev, &tgid)) {
		prev = &tgid;
		if (!bpf_map_lookup_elem(fd, &tgid, &proc) && proc.image == image)
			return proc.since_ns > start ? proc.since_ns : start;
	}
	return start;
}

/* A thread's entry at one moment: the kernel side may write to it meanwhile. */
static bool thread_read(const struct sampler *s, uint32_t tid, struct thread_seen *ret_thread)
{
	int fd = bpf_map__fd(s->skel->maps.threads), turn;
	struct thread_seen again;

	if (bpf_map_lookup_elem(fd, &tid, ret_thread))
		return false;
	for (turn = 0; turn < READS_MAX && !s->end_ns; turn++) {
		if (bpf_map_lookup_elem(fd, &tid, &again))
			return false;
		if (!memcmp(&again, ret_thread, sizeof(again)))
			break;
		*ret_thread = again;
	}
	return true;
}

int sampler__threads(const struct sampler *s,
		     int (*fn)(void *ctx, pid_t tid, struct thread_seen *thread), void *ctx)
{
	int fd = bpf_map__fd(s->skel->maps.threads), err = 0;
	/* where a key goes while it is the last one read, the kernel begins anew */
	uint32_t left = 4 * bpf_map__max_entries(s->skel->maps.threads), tid, *prev = NULL;
	struct thread_seen thread;

	while (!err && left-- && !bpf_map_get_next_key(fd, prev, &tid)) {
		prev = &tid;
		if (thread_read(s, tid, &thread))
			err = fn(ctx, tid, &thread);
	}
	return err;
}

struct finish {
	struct sampler *sampler;
	const struct rest_to *to;
};

static int thread_end(void *ctx, pid_t tid, struct thread_seen *thread)
{
	const struct finish *f = ctx;
	struct sampler *s = f->sampler;
	struct rest rest = { .start_ns = thread->since_ns ? s->skel->bss->start_ns
							  : image_since(s, thread->image),
			     .end_ns = s->end_ns ? s->end_ns : now_ns(),
			     .is_end = s->end_ns };

	rest.known = task_times(tid, &rest.exec_ns, &rest.delay_ns);
	return rest_give(&rest, tid, thread, f->to);
}

int sampler__finish(struct sampler *s, const struct rest_to *to)
{
	struct finish finish = { s, to };

	return s->options.switches ? sampler__threads(s, thread_end, &finish) : 0;
}

void sampler__code_forget(const struct sampler *s, const struct code_key *key)
{
	bpf_map_delete_elem(bpf_map__fd(s->skel->maps.codes), key);
}

bool sampler__drain_due(const struct sampler *s)
{
	return s->skel->bss->counts_used >= bpf_map__max_entries(s->skel->maps.counts_a) / 2;
}

int sampler__stats(const struct sampler *s, uint64_t ret_stats[STAT_MAX])
{
	uint64_t *values = calloc(s->cpu_cnt, sizeof(*values));
	int fd = bpf_map__fd(s->skel->maps.stats), cpu, err = 0;
	uint32_t stat;

	if (!values)
		return -ENOMEM;
	for (stat = 0; stat < STAT_MAX && !err; stat++) {
		err = bpf_map_lookup_elem(fd, &stat, values) ? -errno : 0;
		ret_stats[stat] = 0;
		for (cpu = 0; cpu < s->cpu_cnt && !err; cpu++)
			ret_stats[stat] += values[cpu];
	}
	free(values);
	return err;
}

int sampler__cost(const struct sampler *s, bool exact, struct cost_sum *ret_cost)
{
	int err = cost_read(bpf_map__fd(s->skel->maps.costs), s->cpu_cnt, ret_cost);

	if (err || !s->options.rate_hz)
		return err;
	if (!exact)
		ret_cost->cpu_ns = ret_cost->ticks * (1000000000ULL / s->options.rate_hz);
	else if (s->end_ns)
		ret_cost->cpu_ns = s->cpu_ns;
	else
		ticks_read(s, &ret_cost->cpu_ns);
	return 0;
}

void sampler__free(struct sampler *s)
{
	int i;

	if (!s)
		return;
	for (i = 0; i < s->timer_cnt; i++)
		bpf_link__destroy(s->timers[i].link); /* closes the perf event too */
	free(s->timers);
	drain_close(&s->drain);
	uncoil_bpf__destroy(s->skel);
	free(s);
}
