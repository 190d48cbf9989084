/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tracing_procs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cmd/recording.h"
#include "cmd/tracing.h"
#include "cmd/tracing_threads.h"
#include "os/family.h"
#include "probe/tracer.h"
#include "python/layout.h"
#include "python/trace_layout.h"

#define SCANS_MAX 20 /* of /proc, for children that fork children meanwhile */

/* What is forked mostly execs at once, and then there is nothing to sweep. A sweep takes up to 100 ms, in which
 * nobody reads the ring. */
#define SWEEP_AFTER_NS 20000000ULL
#define SWEEP_REST     10 /* times as long as the last one took */

#define SETTLE_NS 1000000000ULL /* by then a program's data is relocated */
#define AGAIN_NS  1000000ULL

static uint64_t now_ns(void)
{
	return recording_clock_ns(CLOCK_MONOTONIC);
}

/* CPU time of all threads of a process, ns; 0 if it is gone. */
static uint64_t cpu_ns(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &ts))
		return 0;
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

uint64_t tracing_proc_cpu_ns(struct tracing_proc *proc)
{
	uint64_t now = proc->pidfd >= 0 ? cpu_ns(proc->pid) : 0;

	if (now > proc->cpu_begin_ns + proc->cpu_ns)
		proc->cpu_ns = now - proc->cpu_begin_ns;
	return proc->cpu_ns;
}

struct tracing_proc *tracing_proc_of_pid(struct tracing *t, pid_t pid)
{
	int i;

	for (i = 0; i < t->proc_cnt; i++)
		if (t->procs[i].pid == pid && t->procs[i].pidfd >= 0)
			return &t->procs[i];
	return NULL;
}

struct tracing_proc *tracing_proc_of_image(struct tracing *t, uint32_t image)
{
	int i;

	for (i = 0; i < t->proc_cnt; i++)
		if (t->procs[i].image == image)
			return &t->procs[i];
	return NULL;
}

/* A place in the table: a new one, or that of one that has ended. */
static struct tracing_proc *place_find(struct tracing *t)
{
	int i;

	if (t->proc_cnt < TRACE_PIDS_MAX)
		return &t->procs[t->proc_cnt];
	for (i = 0; i < t->proc_cnt; i++)
		if (t->procs[i].pidfd < 0)
			return &t->procs[i];
	return NULL;
}

int tracing_proc_add(struct tracing *t, pid_t pid, struct tracing_proc **ret_proc)
{
	struct tracing_proc *proc = place_find(t), fresh = { .pid = pid, .file = -1 };
	int code;

	if (!proc)
		return -E2BIG;
	fresh.pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (fresh.pidfd < 0)
		return -errno;
	fresh.image = t->image_cnt + 1;
	fresh.cpu_begin_ns = cpu_ns(pid);
	code = tracer__follow(t->tracer, pid, fresh.image, &fresh.index);
	if (code) {
		close(fresh.pidfd);
		return code;
	}
	t->image_cnt++;
	t->live_cnt++;
	if (proc == &t->procs[t->proc_cnt])
		t->proc_cnt++;
	else
		t->cpu_gone_ns += proc->cpu_ns;
	*proc = fresh;
	*ret_proc = proc;
	return 0;
}

static void file_close(struct tracing_proc *proc)
{
	if (proc->file >= 0)
		close(proc->file);
	proc->file = -1;
}

void tracing_proc_ended(struct tracing *t, struct tracing_proc *proc)
{
	const struct py_layout *layout;
	const struct py_found *found;

	tracing_proc_cpu_ns(proc);
	close(proc->pidfd);
	proc->pidfd = -1;
	t->live_cnt--;
	if (proc->due_ns &&
	    (proc->ready || answers__python(t->answers, proc->image, &found, &layout)))
		t->kin.missed++;
	else if (proc->due_ns)
		t->kin.unknown++;
	proc->due_ns = 0;
	proc->on = proc->ready = false;
	tracer__forget(t->tracer, proc->index);
	file_close(proc);
}

/* The places are the file's: those of another process that runs the same one. */
static const struct tracing_proc *same_file(const struct tracing *t, const struct py_found *found)
{
	int i;

	for (i = 0; i < t->proc_cnt; i++)
		if (t->procs[i].ready && t->procs[i].dev == found->dev &&
		    t->procs[i].inode == found->inode)
			return &t->procs[i];
	return NULL;
}

int tracing_proc_ready(struct tracing *t, struct tracing_proc *proc)
{
	const struct tracing_proc *same;
	const struct py_layout *layout;
	const struct py_found *found;
	int code = 0;

	if (!answers__python(t->answers, proc->image, &found, &layout))
		return err_set(&t->err, -ENOENT, "process %d runs no Python", proc->pid);
	if (proc->exec_ns && now_ns() < proc->exec_ns + SETTLE_NS &&
	    !sites_settled(proc->pid, found, layout->abi.live.type_dealloc))
		return -EAGAIN;
	same = same_file(t, found);
	if (same)
		proc->sites = same->sites;
	else
		code = sites_find_process(proc->pid, found, layout->abi.live.type_dealloc,
					  &proc->sites, &t->err);
	if (code)
		return t->err.msg[0]
			       ? code
			       : err_set(&t->err, code, "cannot look for the places of calls: %s",
					 err_str(code));
	if (proc->sites.method == SITES_NONE)
		return err_set(&t->err, -ENOTSUP,
			       "calls of process %d cannot be traced: %s (`uncoil record` samples "
			       "it)",
			       proc->pid, proc->sites.why);
	code = trace_layout(found, layout, &proc->sites, &proc->cfg);
	if (code)
		return err_set(&t->err, code, "the layout of the Python in process %d is too large",
			       proc->pid);
	if (t->options.match.cnt)
		proc->cfg.flags |= TRACE_FILTERED;
	proc->file = sites_open(proc->pid, found, &t->err);
	if (proc->file < 0)
		return proc->file;
	proc->dev = found->dev;
	proc->inode = found->inode;
	tracer__layout(t->tracer, proc->index, &proc->cfg);
	proc->ready = true;
	return 0;
}

/* Another's failure ends no trace: it may have ended, and what it was is told. */
static void give_up(struct tracing *t, struct tracing_proc *proc, int code)
{
	if (code == -ESRCH || code == -ENOENT || code == -ESTALE)
		return; /* it ends, or execs: that is told by itself */
	t->kin.refused++;
	proc->due_ns = 0;
	proc->refused = true;
	if (t->options.verbose)
		fprintf(stderr, "process %d is not traced: %s\n", proc->pid, t->err.msg);
}

/* Puts a late-comer's probes in, if the trace is on. */
static void attach(struct tracing *t, struct tracing_proc *proc)
{
	uint64_t gap;
	int code;

	if (!t->on_ns)
		return; /* with the next window, and until then nothing is traced */
	tracing_threads_look(t, proc->image, proc->pid);
	code = tracer__attach(t->tracer, proc->index, proc->file, &proc->sites, &t->err);
	if (code) {
		give_up(t, proc, code);
		t->err = (struct err){};
		return;
	}
	proc->on = true;
	if (!proc->due_ns)
		return;
	gap = now_ns() - proc->due_ns;
	proc->due_ns = 0;
	t->kin.late++;
	t->kin.gap_sum_ns += gap;
	if (gap > t->kin.gap_ns)
		t->kin.gap_ns = gap;
}

/* It has exec'ed: what was known of it is void. `since_ns`: when. */
static void renew(struct tracing *t, struct tracing_proc *proc, uint64_t since_ns)
{
	tracer__detach(t->tracer, proc->index);
	file_close(proc);
	proc->on = proc->ready = proc->refused = false;
	proc->module_key = (struct module_key){};
	proc->image = ++t->image_cnt;
	proc->exec_ns = now_ns();
	proc->due_ns = since_ns;
	tracer__renew(t->tracer, proc->index, proc->image);
}

int tracing_execed(struct tracing *t, struct ev_exec *ev, bool *ret_kept)
{
	struct tracing_proc *proc = tracing_proc_of_pid(t, ev->hdr.tgid);

	*ret_kept = proc != NULL;
	if (!proc)
		return 0;
	ev->old_image = proc->image;
	renew(t, proc, t->on_ns ? ev->hdr.ts_ns : 0);
	ev->hdr.image = proc->image;
	return 0;
}

static void sweep_later(struct tracing *t)
{
	uint64_t at = now_ns() + SWEEP_AFTER_NS;

	if (!t->sweep_ns)
		t->sweep_ns = at > t->swept_ns ? at : t->swept_ns;
}

/* A child's event went to the record: now what it has is its parent's. */
static int adopt(struct tracing *t, struct tracing_proc *proc, const struct tracing_proc *parent,
		 enum trace_kin kin, const struct ev_fork *ev)
{
	struct ev_exec exec = { .hdr = { .kind = EV_EXEC,
					 .size = sizeof(exec),
					 .ts_ns = ev->hdr.ts_ns,
					 .tgid = proc->pid,
					 .tid = proc->pid } };
	bool kept;
	int code;

	if (kin == TRACE_KIN_EXECED) {
		tracing_execed(t, &exec, &kept);
		return tracing_put(t, RECORD_RING, &exec, sizeof(exec));
	}
	if (kin == TRACE_KIN_SHARES)
		return 0; /* until it execs it has none of its own */
	code = answers__forked(t->answers, proc->image, proc->pid);
	if (code || !parent || !parent->ready)
		return code;
	proc->sites = parent->sites;
	proc->cfg = parent->cfg;
	proc->dev = parent->dev;
	proc->inode = parent->inode;
	proc->module_key = parent->module_key;
	proc->file = fcntl(parent->file, F_DUPFD_CLOEXEC, 0);
	if (proc->file < 0)
		return -errno;
	tracer__layout(t->tracer, proc->index, &proc->cfg);
	proc->ready = true;
	proc->due_ns = t->on_ns ? ev->hdr.ts_ns : 0;
	attach(t, proc);
	return 0;
}

int tracing_forked(struct tracing *t, struct ev_fork *ev)
{
	struct tracing_proc *proc, *parent = tracing_proc_of_pid(t, ev->parent_tgid);
	enum trace_kin kin;
	int code;

	if (!t->options.children) {
		sweep_later(t);
		return 0;
	}
	if (tracing_proc_of_pid(t, ev->hdr.tgid))
		return 0; /* found in /proc before */
	code = tracing_proc_add(t, ev->hdr.tgid, &proc);
	if (code == -ESRCH || code == -EINVAL) {
		t->kin.missed += parent && parent->ready;
		t->kin.unknown += !parent || !parent->ready;
		return 0;
	}
	if (code) {
		tracer__kin(t->tracer, ev->hdr.tgid);
		t->kin.full++;
		sweep_later(t);
		return 0;
	}
	kin = tracer__kin(t->tracer, proc->pid);
	ev->hdr.image = proc->image;
	ev->parent_image = parent ? parent->image : 0;
	code = tracing_put(t, RECORD_RING, ev, sizeof(*ev));
	return code ? code : adopt(t, proc, parent, kin, ev);
}

/* One that was there before: whatever it runs. */
static int child_adopt(struct tracing *t, pid_t pid, int *cnt)
{
	struct tracing_proc *proc;
	int code;

	if (tracing_proc_of_pid(t, pid))
		return 0;
	++*cnt;
	code = tracing_proc_add(t, pid, &proc);
	if (code == -ESRCH || code == -EINVAL)
		return 0;
	if (code == -E2BIG)
		return err_set(&t->err, code,
			       "there are more than %d processes and children; give fewer -p, or "
			       "leave -s out",
			       TRACE_PIDS_MAX);
	if (code)
		return code;
	tracer__kin(t->tracer, pid);
	return answers__child(t->answers, proc->image, pid);
}

int tracing_children(struct tracing *t)
{
	int i, k, found, roots = t->proc_cnt, scan, cnt = 1, code = 0;
	pid_t *pids;

	for (scan = 0; cnt && scan < SCANS_MAX && !code; scan++) {
		cnt = 0;
		for (i = 0; i < roots && !code; i++) {
			found = family_of(t->procs[i].pid, &pids);
			if (found < 0)
				return found;
			for (k = 0; k < found && !code; k++)
				code = child_adopt(t, pids[k], &cnt);
			free(pids);
		}
	}
	return code;
}

static int sweep(struct tracing *t)
{
	uint64_t begin_ns = now_ns();
	struct err why = {};
	int i, code = 0;

	t->sweep_ns = 0;
	for (i = 0; i < t->proc_cnt && !code; i++)
		if (t->procs[i].on)
			code = tracer__sweep(t->tracer, t->procs[i].index, t->procs[i].file,
					     &t->procs[i].sites, &why);
	if (code && t->options.verbose)
		fprintf(stderr, "forked children keep breakpoints: %s\n", why.msg);
	t->swept_ns = now_ns() + SWEEP_REST * (now_ns() - begin_ns);
	return 0;
}

int tracing_look(struct tracing *t)
{
	const struct py_layout *layout;
	const struct py_found *found;
	int i, code;

	t->again_ns = 0;
	code = answers__retry(t->answers);
	for (i = 0; i < t->proc_cnt && !code; i++) {
		struct tracing_proc *proc = &t->procs[i];

		if (proc->pidfd < 0 || proc->ready || proc->refused ||
		    !answers__python(t->answers, proc->image, &found, &layout))
			continue;
		code = tracing_proc_ready(t, proc);
		if (!code)
			attach(t, proc);
		else if (code == -EAGAIN)
			t->again_ns = now_ns() + AGAIN_NS;
		else
			give_up(t, proc, code);
		t->err = (struct err){};
		code = 0;
	}
	if (!code && t->sweep_ns && t->on_ns && now_ns() >= t->sweep_ns)
		code = sweep(t);
	return code;
}

uint64_t tracing_look_ns(const struct tracing *t)
{
	uint64_t at_ns = t->on_ns ? t->sweep_ns : 0;

	return t->again_ns && (!at_ns || t->again_ns < at_ns) ? t->again_ns : at_ns;
}
