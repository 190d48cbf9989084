/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/asleep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "base/buf.h"
#include "cmd/blocked.h"
#include "os/proc.h"
#include "os/syscall.h"
#include "os/task.h"
#include "probe/peers.h"
#include "probe/sampler.h"
#include "python/gil.h"
#include "python/mem.h"
#include "python/stack.h"
#include "python/task_now.h"

/* include/linux/sched.h */
#define TASK_INTERRUPTIBLE 0x0001

#define PATIENCE_NS 500000 /* a thread that does not sleep by then is the kernel side's */

static void file_facts(const struct asleep *a, pid_t tid, int fd, struct wait *wait)
{
	const struct peer_fact *peer;
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", a->pid, fd);
	if (fd < 0 || stat(path, &st))
		return;
	wait->flags |= WAIT_FILE;
	wait->mode = st.st_mode;
	peer = S_ISSOCK(st.st_mode) ? peers__of(a->peers, tid, fd, st.st_ino) : NULL;
	if (!peer)
		return;
	wait->flags |= peer->wait.flags;
	wait->family = peer->wait.family;
	wait->type = peer->wait.type;
	wait->port = peer->wait.port;
	wait->local_port = peer->wait.local_port;
	memcpy(wait->addr, peer->wait.addr, sizeof(wait->addr));
}

static void wait_facts(const struct asleep *a, pid_t tid, const struct stack_thread *thread,
		       const struct task_syscall *at, struct wait *wait)
{
	struct gil gil;

	wait->syscall = at->nr < SYSCALLS_MAX ? at->nr : -1;
	wait->state = TASK_INTERRUPTIBLE;
	switch (syscall_kind(at->nr)) {
	case SYSCALL_FD:
		file_facts(a, tid, blocked_fd(a->mem, at), wait);
		break;
	case SYSCALL_POLL:
		wait->cnt = at->args[1] > 2 ? 2 : at->args[1];
		file_facts(a, tid, blocked_fd(a->mem, at), wait);
		break;
	case SYSCALL_SELECT:
		wait->cnt = at->args[0] ? 2 : 0;
		break;
	case SYSCALL_FUTEX:
		if (thread && gil_read(a->mem, a->abi, a->cfg->runtime, thread->interp, &gil) &&
		    gil_has_futex(&gil, at->args[0]))
			wait->flags |= WAIT_GIL;
		break;
	case SYSCALL_OTHER:
		break;
	}
}

static void hdr_fill(const struct asleep *a, struct ev_hdr *hdr, enum ev_kind kind, size_t size,
		     pid_t tid, uint32_t serial)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	*hdr = (struct ev_hdr){ .kind = kind,
				.size = size,
				.ts_ns = ts.tv_sec * 1000000000ULL + ts.tv_nsec,
				.image = a->image,
				.tgid = a->pid,
				.tid = tid,
				.thread = serial };
}

/* Puts the task that the thread sleeps in behind its frames; its name into *name, to be told. */
static int task_add(const struct asleep *a, const struct stack_thread *thread,
		    struct py_stack *stack, struct ev_task *name)
{
	struct task_now now;
	struct py_frame *grown;
	struct buf raw;
	int err;

	name->hash = 0;
	if (!thread)
		return 0;
	buf_init(&raw, EV_TASK_NAME_MAX);
	err = task_now(a->mem, a->abi, a->cfg, thread, &now, &raw);
	if (err || !now.kind)
		goto out;
	grown = realloc(stack->frames, (stack->frame_cnt + 1) * sizeof(*grown));
	if (!grown) {
		err = -ENOMEM;
		goto out;
	}
	stack->frames = grown;
	stack->cap = stack->frame_cnt + 1;
	if (raw.len && getrandom(&name->hash, sizeof(name->hash), 0) != sizeof(name->hash))
		name->hash = 0;
	name->name_len = raw.len;
	memcpy(name->name, buf_text(&raw), raw.len);
	stack->frames[stack->frame_cnt++] =
		(struct py_frame){ .code = now.kind == EV_TASK_NAMED ? name->hash : now.code,
				   .lasti = now.kind,
				   .check = now.check };
out:
	buf_done(&raw);
	return err;
}

/* Tells profile and journal of the thread and of its stack. */
static int told(const struct asleep *a, pid_t tid, uint32_t serial,
		const struct stack_thread *thread, const struct py_stack *stack, uint64_t hash,
		struct ev_task *name)
{
	struct ev_thread *ev = calloc(1, sizeof(*ev));
	struct ev_stack *es = calloc(1, sizeof(*es));
	struct proc_stat stat;
	int err = -ENOMEM;
	size_t size;

	if (!ev || !es)
		goto out;
	hdr_fill(a, &ev->hdr, EV_THREAD, sizeof(*ev), tid, serial);
	ev->thread_id = thread ? thread->thread_id : 0;
	if (!proc_stat_read(tid, &stat))
		memccpy(ev->comm, stat.comm, 0, sizeof(ev->comm) - 1);
	err = a->put(a->ctx, RECORD_RING, ev, sizeof(*ev));
	if (err)
		goto out;
	if (name->hash) {
		size = sizeof(*name) - sizeof(name->name) + name->name_len;
		hdr_fill(a, &name->hdr, EV_TASK, size, tid, serial);
		err = a->put(a->ctx, RECORD_RING, name, size);
		if (err)
			goto out;
	}
	size = sizeof(*es) - sizeof(es->frames) + stack->frame_cnt * sizeof(es->frames[0]);
	hdr_fill(a, &es->hdr, EV_STACK, size, tid, serial);
	es->hash = hash;
	es->flags = stack->flags | EV_STACK_WAIT | (thread ? 0 : EV_STACK_NO_TSTATE);
	es->frame_cnt = stack->frame_cnt;
	memcpy(es->frames, stack->frames, stack->frame_cnt * sizeof(es->frames[0]));
	wait_facts(a, tid, thread, &stack->asleep, &es->wait);
	err = a->put(a->ctx, RECORD_RING, es, size);
out:
	free(ev);
	free(es);
	return err;
}

static int thread_tell(const struct asleep *a, pid_t tid, const struct stack_thread *thread)
{
	struct thread_seen seen = { .image = a->image, .is_off = 1 };
	struct py_stack stack = {};
	struct ev_task name = {};
	uint64_t exec_ns, exec_again, delay_ns;
	int err;

	if (!task_times(tid, &exec_ns, &delay_ns))
		return 0;
	err = stack_read(a->mem, a->abi, a->cfg, a->pid, tid, thread, EV_FRAMES_MAX, PATIENCE_NS,
			 &stack);
	if (!err)
		err = task_add(a, thread, &stack, &name);
	if (err || stack.truth != STACK_EXACT || stack.frame_cnt > EV_ENTRIES_MAX ||
	    !task_times(tid, &exec_again, &delay_ns) || exec_again != exec_ns)
		goto out; /* it ran, or cannot be read */
	seen.exec_ns = exec_ns;
	seen.run_delay = delay_ns;
	seen.thread_id = thread ? thread->thread_id : 0;
	seen.sent_id = seen.thread_id;
	/* so the kernel side need not search: the thread states of threads that sleep are the oldest */
	seen.tstate = thread ? thread->tstate : 0;
	seen.tstate_id = seen.thread_id;
	if (getrandom(&seen.hash, sizeof(seen.hash), 0) != sizeof(seen.hash)) {
		err = -EIO;
		goto out;
	}
	seen.serial = sampler__serial(a->sampler);
	if (seen.serial && !sampler__asleep(a->sampler, tid, &seen))
		err = told(a, tid, seen.serial, thread, &stack, seen.hash, &name);
out:
	stack_done(&stack);
	return err == -ENOMEM || err == -EIO ? err : 0;
}

/* Asks for the peers of all sockets that a thread sleeps on at this moment: one pass does for all.
 * Threads that have moved on by thread_tell() have another descriptor there, or none. */
static void peers_ask(const struct asleep *a, const pid_t *tids, int cnt)
{
	struct task_syscall at;
	char path[64];
	struct stat st;
	int i, fd;

	for (i = 0; i < cnt; i++) {
		fd = task_blocked(a->pid, tids[i], &at) == 1 ? blocked_fd(a->mem, &at) : -1;
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", a->pid, fd);
		if (fd >= 0 && !stat(path, &st) && S_ISSOCK(st.st_mode))
			peers__want(a->peers, tids[i], fd);
	}
	peers__look(a->peers);
}

int asleep_tell(const struct asleep *a)
{
	struct buf threads;
	pid_t *tids = NULL;
	int cnt, i, err = 0;
	struct task_info info;

	buf_init(&threads, STACK_THREADS_BYTES_MAX);
	stack_threads(a->mem, a->abi, a->cfg, &threads); /* what could be read of it will do */
	stack_threads_settle(&threads, a->pid);
	cnt = proc_threads(a->pid, &tids);
	peers_ask(a, tids, cnt);
	for (i = 0; i < cnt && !err; i++) {
		if (task_info(a->pid, tids[i], &info))
			continue;
		err = thread_tell(a, tids[i], stack_thread_of(&threads, info.ns_tid));
	}
	free(tids);
	buf_done(&threads);
	return err;
}
