/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "cmd/blocked.h"
#include "cmd/cmd.h"
#include "cmd/peer.h"
#include "model/files.h"
#include "model/remarks.h"
#include "os/proc.h"
#include "os/syscall.h"
#include "os/task.h"
#include "python/mem.h"
#include "python/threads.h"

/* How long may be waited for threads to be caught asleep: all of them, and one. */
#define PATIENCE_NS     20000000ULL
#define PATIENCE_ONE_NS 4000000ULL
#define TASKS_READS     8
#define TASKS_AGAIN_NS  1000000
#define TASKS_READ_ONCE 10000  /* more than so many are not read again */
#define CODES_MAX       200000 /* code objects whose names are read of one process */

struct code_id {
	uint64_t code;
	uint64_t check;
};

struct snapshot_code {
	struct code_id id;
	struct py_code py;
	bool known; /* else it was gone before its name could be read */
	const char *file;
	UT_hash_handle hh;
};

static char *clean_copy(const char *data, size_t len)
{
	struct buf text;
	char *copy;

	buf_init(&text, 3 * len + 16);
	text_clean(&text, data, len);
	copy = strdup(buf_text(&text));
	buf_done(&text);
	return copy;
}

/* --- what is known of the process --- */

static char *command_of(pid_t pid)
{
	struct buf text;
	char *command = NULL;

	buf_init(&text, CMD_COMMAND_MAX);
	if (!cmd_command(pid, &text))
		command = strdup(buf_text(&text));
	buf_done(&text);
	return command;
}

static char *link_of(pid_t pid, const char *name)
{
	struct buf target;
	char *copy = NULL;

	buf_init(&target, PATH_MAX);
	if (!proc_link(pid, name, &target))
		copy = clean_copy(buf_text(&target), target.len);
	buf_done(&target);
	return copy;
}

/* --- code objects --- */

static int code_learn(struct snapshot *s, struct mem *mem, const struct py_frame *frame)
{
	struct code_id id = { frame->code, frame->check };
	struct snapshot_code *code;
	enum frame_kind kind;
	struct code_raw raw;
	struct buf store;

	HASH_FIND(hh, s->codes, &id, sizeof(id), code);
	if (code || HASH_COUNT(s->codes) >= CODES_MAX)
		return 0;
	code = calloc(1, sizeof(*code));
	if (!code)
		return -ENOMEM;
	code->id = id;
	buf_init(&store, 2u << 20);
	/* it may be another one by now */
	if (!code_read(mem, &s->layout.abi, id.code, &store, &raw) &&
	    code_check(&s->layout.abi, raw.facts, raw.name) == frame->check)
		code->known = !code_decode(&s->layout.abi, &raw, &code->py);
	buf_done(&store);
	if (code->known)
		code->file = file_shown(code->py.filename, s->cwd, &kind);
	HASH_ADD(hh, s->codes, id, sizeof(id), code);
	if (code->hh.tbl)
		return 0;
	code_done(&code->py);
	free(code);
	return -ENOMEM;
}

static int codes_learn(struct snapshot *s, struct mem *mem, const struct py_stack *stack)
{
	const struct py_frame *last = NULL, *frame;
	uint32_t i;
	int err = 0;

	for (i = 0; i < stack->frame_cnt && !err; i++) {
		frame = &stack->frames[i];
		if (!frame->code)
			continue; /* the collector */
		/* a recursion is one function thousands of times */
		if (!last || last->code != frame->code || last->check != frame->check)
			err = code_learn(s, mem, frame);
		last = frame;
	}
	return err;
}

bool snapshot_frame(const struct snapshot *s, const struct py_frame *frame,
		    struct snapshot_frame *ret_frame)
{
	struct code_id id = { frame->code, frame->check };
	struct snapshot_code *code;

	*ret_frame = (struct snapshot_frame){ .func = frame->code ? "?" : gc_mark(frame->check),
					      .file = "",
					      .path = "" };
	if (!frame->code)
		return true;
	HASH_FIND(hh, s->codes, &id, sizeof(id), code);
	if (!code || !code->known)
		return true;
	ret_frame->func = code->py.name;
	ret_frame->file = code->file;
	ret_frame->path = code->py.filename;
	ret_frame->place = code_place(&s->layout.abi, &code->py, frame->lasti);
	ret_frame->line = ret_frame->place.line;
	return !code_is_shim(&code->py);
}

/* --- what a thread waits for --- */

static void wait_of(const struct snapshot *s, struct mem *mem, struct snapshot_thread *t)
{
	const struct task_syscall *at = &t->stack.asleep;
	char name[32];

	t->does = THREAD_IDLE;
	if (at->nr < 0)
		return;
	t->syscall = syscall_name(at->nr);
	if (at->nr == SYS_futex && gil_has_futex(&s->gil, at->args[0]))
		t->does = THREAD_WAITS_GIL;
	t->fd = blocked_fd(mem, at);
	if (t->fd < 0)
		return;
	snprintf(name, sizeof(name), "fd/%d", t->fd);
	t->target = link_of(s->pid, name);
}

/* --- tasks --- */

/* Which threads slept while the tasks were read. */
struct moments {
	struct moment {
		pid_t tid;
		uint64_t runs;
		bool slept;
	} * list;
	int cnt;
};

static void moments_begin(pid_t pid, struct moments *m)
{
	struct task_syscall at;
	int i;

	for (i = 0; i < m->cnt; i++)
		m->list[i].slept = !task_runs(pid, m->list[i].tid, &m->list[i].runs) &&
				   task_blocked(pid, m->list[i].tid, &at) == 1;
}

static void moments_end(pid_t pid, struct moments *m)
{
	uint64_t runs;
	int i;

	for (i = 0; i < m->cnt; i++)
		m->list[i].slept = m->list[i].slept && !task_runs(pid, m->list[i].tid, &runs) &&
				   runs == m->list[i].runs;
}

static bool moments_slept(const struct moments *m, pid_t tid)
{
	int i;

	for (i = 0; i < m->cnt; i++)
		if (m->list[i].tid == tid)
			return m->list[i].slept;
	return false;
}

/* Threads that have tasks must sleep for these to be of one moment; the others may run. */
static bool tasks_slept(const struct snapshot *s, const struct moments *m, const struct buf *list)
{
	const struct stack_thread *thread;
	struct task_info info;
	uint32_t i;
	int k;

	for (k = 0; k < m->cnt; k++) {
		if (m->list[k].slept || task_info(s->pid, m->list[k].tid, &info))
			continue;
		thread = stack_thread_of(list, info.ns_tid);
		for (i = 0; thread && i < s->tasks.cnt; i++)
			if (s->tasks.list[i].thread_id == thread->thread_id)
				return false;
	}
	return true;
}

static int tasks_look(struct snapshot *s, struct mem *mem, const struct buf *list,
		      struct moments *m)
{
	static const struct timespec again = { .tv_nsec = TASKS_AGAIN_NS };
	struct task_where where;
	struct err err = {};
	int i, code;

	code = tasks_where(s->pid, &s->py, &s->layout.abi, &where, &err);
	if (code) {
		snprintf(s->no_tasks, sizeof(s->no_tasks), "%s",
			 code == -ENOENT ? "asyncio is not loaded" : err.msg);
		return 0;
	}
	for (i = 0; i < TASKS_READS; i++) {
		if (i) {
			tasks_done(&s->tasks);
			nanosleep(&again, NULL);
		}
		moments_begin(s->pid, m);
		code = tasks_read(mem, &s->layout.abi, &s->cfg, &s->py, &where, list,
				  TASK_READS_MAX, &s->tasks);
		if (code)
			return code;
		moments_end(s->pid, m);
		if (s->tasks.cnt > TASKS_READ_ONCE || tasks_slept(s, m, list))
			break;
	}
	return codes_learn(s, mem, &s->tasks.stack);
}

/* The task that runs in a thread; UINT32_MAX: none. One that is run eagerly (3.12+) runs within
 * another, and comes after it in the list. */
static uint32_t task_running(const struct snapshot *s, uint64_t thread_id)
{
	uint32_t i;

	for (i = s->tasks.cnt; i-- > 0;)
		if (s->tasks.list[i].state == CORO_RUNNING &&
		    s->tasks.list[i].thread_id == thread_id)
			return i;
	return UINT32_MAX;
}

const struct snapshot_thread *snapshot_task_thread(const struct snapshot *s, uint32_t task)
{
	uint64_t thread_id = s->tasks.list[task].thread_id;
	int i;

	for (i = 0; thread_id && i < s->thread_cnt; i++)
		if (s->threads[i].thread_id == thread_id)
			return &s->threads[i];
	return NULL;
}

/* --- threads --- */

static char *name_of(const struct snapshot *s, struct mem *mem, const struct buf *named,
		     const struct stack_thread *thread, const struct task_info *info)
{
	uint64_t object = thread ? threads_object(named, thread->thread_id) : 0;
	struct buf name;
	char *copy = NULL;

	buf_init(&name, 2048);
	if (object && !threads_name_of(mem, &s->layout.abi, object, &name))
		copy = strdup(buf_text(&name));
	buf_done(&name);
	return copy ? copy : clean_copy(info->comm, strlen(info->comm));
}

/* 1: looked at; 0: it has ended; -errno */
static int thread_look(struct snapshot *s, struct mem *mem, const struct buf *list,
		       const struct buf *named, const struct moments *moments, pid_t tid,
		       uint64_t patience_ns)
{
	struct snapshot_thread *t = &s->threads[s->thread_cnt];
	uint32_t running = UINT32_MAX;
	const struct stack_thread *thread;
	struct task_info info;
	int err;

	*t = (struct snapshot_thread){ .tid = tid, .fd = -1, .task = UINT32_MAX };
	err = task_info(s->pid, tid, &info);
	if (err)
		return err == -ESRCH ? 0 : err;
	if (info.state == 'Z' || info.state == 'X')
		return 0;
	thread = stack_thread_of(list, info.ns_tid);
	t->state = info.state;
	s->thread_cnt++;
	if (thread)
		running = task_running(s, thread->thread_id);
	if (running != UINT32_MAX)
		t->stack.seek = s->tasks.list[running].frame;
	err = stack_read(mem, &s->layout.abi, &s->cfg, s->pid, tid, thread, STACK_FRAMES_MAX,
			 patience_ns, &t->stack);
	if (err == -ESRCH) {
		s->thread_cnt--;
		stack_done(&t->stack);
		return 0;
	}
	if (err)
		return err;
	if (thread) {
		t->thread_id = thread->thread_id;
		t->slept = moments_slept(moments, tid);
		t->has_gil = s->gil.locked && s->gil.holder == thread->tstate;
	}
	if (t->stack.seek && t->stack.seek_at < t->stack.frame_cnt)
		t->task = running;
	if (t->has_gil)
		s->gil_tid = tid;
	if (t->stack.truth == STACK_EXACT)
		wait_of(s, mem, t);
	t->has_gil = t->has_gil && t->does != THREAD_WAITS_GIL;
	t->name = name_of(s, mem, named, thread, &info);
	err = t->name ? codes_learn(s, mem, &t->stack) : -ENOMEM;
	return err ? err : 1;
}

static int tid_order(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

static int threads_look(struct snapshot *s, struct mem *mem, uint64_t interp)
{
	uint64_t patience_ns = PATIENCE_NS;
	struct moments moments = {};
	struct buf list, named;
	pid_t *tids = NULL;
	int cnt, i, err = 0;

	cnt = proc_threads(s->pid, &tids);
	if (cnt < 0)
		return cnt;
	qsort(tids, cnt, sizeof(*tids), tid_order); /* the main thread's is the least, as a rule */
	s->threads = calloc(cnt ? cnt : 1, sizeof(*s->threads));
	moments.list = calloc(cnt ? cnt : 1, sizeof(*moments.list));
	if (!s->threads || !moments.list) {
		free(moments.list);
		free(tids);
		return -ENOMEM;
	}
	for (i = 0; i < cnt && s->with_tasks; i++)
		moments.list[moments.cnt++].tid = tids[i];
	buf_init(&list, STACK_THREADS_BYTES_MAX);
	buf_init(&named, THREADS_LIST_BYTES_MAX);
	/* what can't be read is not there: the thread is then called not Python's */
	stack_threads(mem, &s->layout.abi, &s->cfg, &list);
	stack_threads_settle(&list, s->pid);
	threads_list(mem, &s->layout.abi, interp, &named);
	if (s->with_tasks)
		err = tasks_look(s, mem, &list, &moments);
	if (cnt)
		patience_ns /= cnt;
	if (patience_ns > PATIENCE_ONE_NS)
		patience_ns = PATIENCE_ONE_NS;
	for (i = 0; i < cnt && err >= 0; i++) {
		err = thread_look(s, mem, &list, &named, &moments, tids[i], patience_ns);
		s->gone_cnt += !err;
	}
	buf_done(&list);
	buf_done(&named);
	free(moments.list);
	free(tids);
	return err < 0 ? err : 0;
}

static void sockets_look(struct snapshot *s, struct peers *peers)
{
	const struct peer_fact *fact;
	struct snapshot_thread *t, *end = s->threads + s->thread_cnt;
	uint64_t inode;

	for (t = s->threads; t < end; t++)
		if (t->target && !strncmp(t->target, "socket:", 7))
			peers__want(peers, t->tid, t->fd);
	peers__look(peers);
	for (t = s->threads; t < end; t++) {
		if (!t->target || sscanf(t->target, "socket:[%" SCNu64 "]", &inode) != 1)
			continue;
		fact = peers__of(peers, t->tid, t->fd, inode);
		if (fact)
			t->socket = peer_new(fact);
	}
}

int snapshot_take(pid_t pid, bool with_tasks, struct peers *peers, struct snapshot *ret_snapshot,
		  struct err *err)
{
	struct snapshot *s = ret_snapshot;
	struct layout_proof proof;
	struct mem_process mem;
	int code;

	*s = (struct snapshot){ .pid = pid, .with_tasks = with_tasks };
	code = proc_require(pid, err);
	if (!code)
		code = python_find(pid, &s->py, err);
	if (code)
		return code;
	mem_process_init(&mem, pid);
	code = layout_fill(&s->py, &mem.mem, &s->layout, err);
	if (!code)
		code = layout_verify(&s->py, &s->layout, pid, &mem.mem, &proof, err);
	if (code == -EAGAIN)
		return err_set(err, code, "the Python in process %d has not started yet", pid);
	if (!code)
		code = layout_cfg(&s->py, &s->layout, &s->cfg);
	if (code)
		return code;
	s->command = command_of(pid);
	s->cwd = link_of(pid, "cwd");
	if (!s->command)
		return err_set(err, -ENOMEM, "out of memory");
	gil_read(&mem.mem, &s->layout.abi, s->py.runtime, proof.interp, &s->gil);
	code = threads_look(s, &mem.mem, proof.interp);
	if (code == -ESRCH)
		return err_set(err, code, "process %d ended while it was looked at", pid);
	if (code)
		return err_set(err, code, "cannot read the threads of process %d: %s", pid,
			       err_str(code));
	sockets_look(s, peers);
	return 0;
}

void snapshot_done(struct snapshot *s)
{
	struct snapshot_code *code, *next;
	int i;

	for (i = 0; i < s->thread_cnt; i++) {
		stack_done(&s->threads[i].stack);
		free(s->threads[i].name);
		free(s->threads[i].target);
		peer_free(s->threads[i].socket);
	}
	free(s->threads);
	tasks_done(&s->tasks);
	HASH_ITER (hh, s->codes, code, next) {
		HASH_DEL(s->codes, code);
		code_done(&code->py);
		free(code);
	}
	free(s->command);
	free(s->cwd);
	*s = (struct snapshot){};
}
