/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uncoil dump: what every thread of a process does at this moment, as text for people or as JSON.
 *
 *	Process 1234: python3 app.py
 *	CPython 3.11.2 (/usr/bin/python3.11); thread 1240 had the GIL
 *
 *	Thread 1234 (idle): "MainThread"
 *	  in epoll_wait, fd 5 (anon_inode:[eventpoll])
 *	    select (selectors.py:468)
 *	    main (app.py:20)
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/dump.h"
#include "cmd/peer.h"
#include "cmd/snapshot.h"
#include "model/remarks.h"
#include "os/family.h"

#define TEXT_MAX    (256u << 20) /* of one process: every frame of every thread fits */
#define KEY_COLUMNS 0x100        /* an option without a letter */
#define JSON_FORMAT 1            /* raised when a field changes its meaning or goes */

static const char *const does_words[] = {
	[THREAD_ACTIVE] = "active",
	[THREAD_IDLE] = "idle",
	[THREAD_WAITS_GIL] = "waits for the GIL",
};

static const char *state_word(const struct snapshot_thread *t)
{
	switch (t->state) {
	case 'D':
		return "in an uninterruptible wait";
	case 'T':
		return "stopped by a signal";
	case 't':
		return "stopped by a debugger";
	}
	return NULL;
}

/* --- for people --- */

static void head_text(const struct snapshot *s, struct buf *out)
{
	char version[24];

	buf_fmt(out, "Process %d: ", s->pid);
	text_terminal(out, s->command);
	/* the path is escaped already */
	buf_fmt(out, "\nCPython %s (%s); ", python_version(s->py.hex, version), s->py.path);
	if (!s->gil.addr)
		buf_str(out, "who has the GIL is not known");
	else if (!s->gil.locked)
		buf_str(out, "nobody had the GIL");
	else if (s->gil_tid)
		buf_fmt(out, "thread %d had the GIL", s->gil_tid);
	else
		buf_str(out, "the GIL's holder has ended");
	buf_str(out, "\n");
}

static void target_text(const struct snapshot_thread *t, struct buf *out)
{
	struct buf text;

	buf_init(&text, 1024);
	if (!t->socket || peer_text(t->socket, &text))
		text_terminal(out, t->target);
	else
		text_terminal(out, buf_text(&text));
	buf_done(&text);
}

static void wait_text(const struct snapshot_thread *t, struct buf *out)
{
	const char *state = state_word(t);

	if (t->stack.truth != STACK_EXACT) {
		if (t->stack.frame_cnt)
			buf_fmt(out, "  it ran while it was read: its stack may be torn%s\n",
				t->stack.alike ? ", though two readings were alike" : "");
		return;
	}
	if (!t->syscall && !state)
		return;
	buf_fmt(out, "  %s%s%s%s", t->syscall ? "in " : "", t->syscall ? t->syscall : "",
		t->syscall && state ? ", " : "", state ? state : "");
	if (t->fd >= 0) {
		buf_fmt(out, ", fd %d", t->fd);
		if (t->target) {
			buf_str(out, " (");
			target_text(t, out);
			buf_str(out, ")");
		}
	}
	buf_str(out, "\n");
}

static void marks_text(uint32_t flags, struct buf *out)
{
	size_t i;

	for (i = 0; i < FLAG_TEXT_CNT; i++)
		if (flags & flag_texts[i].flag)
			buf_fmt(out, "    %s\n", flag_texts[i].mark);
}

void dump_frame_text(const struct dump *d, const struct snapshot *s, const struct py_frame *frame,
		     int indent, struct buf *out)
{
	struct snapshot_frame f;

	if (!snapshot_frame(s, frame, &f))
		return;
	buf_fmt(out, "%*s", indent, "");
	text_terminal(out, f.func);
	if (*f.file) {
		buf_str(out, " (");
		text_terminal(out, f.file);
		if (f.line && !d->functions)
			buf_fmt(out, ":%d", f.line);
		if (d->columns && f.place.column && !d->functions)
			buf_fmt(out, ":%d", f.place.column);
		buf_str(out, ")");
	}
	buf_str(out, "\n");
}

static void thread_text(const struct dump *d, const struct snapshot *s,
			const struct snapshot_thread *t, struct buf *out)
{
	uint32_t i;

	buf_fmt(out, "\nThread %d (%s%s): \"", t->tid, does_words[t->does],
		t->has_gil ? "+gil" : "");
	text_terminal(out, t->name);
	buf_str(out, "\"\n");
	wait_text(t, out);
	for (i = 0; i < t->stack.frame_cnt; i++) {
		dump_frame_text(d, s, &t->stack.frames[i], 4, out);
		if (t->task != UINT32_MAX && i == t->stack.seek_at) {
			buf_str(out, "    [task ");
			dump_task_name(s, t->task, out);
			buf_str(out, "]\n");
		}
	}
	marks_text(t->stack.flags, out);
}

static void process_text(const struct dump *d, const struct snapshot *s, struct buf *out)
{
	int i;

	if (d->shown)
		buf_str(out, "\n");
	head_text(s, out);
	for (i = 0; i < s->thread_cnt; i++)
		thread_text(d, s, &s->threads[i], out);
	if (d->tasks)
		dump_tasks_text(d, s, out);
	if (s->gone_cnt)
		buf_fmt(out, "\n%d threads ended while they were looked at\n", s->gone_cnt);
}

/* --- for programs --- */

void dump_key_json(struct buf *out, const char *key, const char *text)
{
	buf_fmt(out, "\"%s\":", key);
	if (text)
		text_json(out, text);
	else
		buf_str(out, "null");
}

static const char *bool_word(bool value)
{
	return value ? "true" : "false";
}

void dump_marks_json(uint32_t flags, struct buf *out)
{
	const char *comma = "";
	size_t i;

	buf_str(out, "[");
	for (i = 0; i < FLAG_TEXT_CNT; i++)
		if (flags & flag_texts[i].flag) {
			buf_fmt(out, "%s\"%s\"", comma, flag_texts[i].mark);
			comma = ",";
		}
	buf_str(out, "]");
}

/* 0 is none */
static void number_json(struct buf *out, const char *key, int32_t number)
{
	if (number)
		buf_fmt(out, ",\"%s\":%d", key, number);
	else
		buf_fmt(out, ",\"%s\":null", key);
}

void dump_frame_json(const struct dump *d, const struct snapshot *s, const struct py_frame *frame,
		     const char **comma, struct buf *out)
{
	struct snapshot_frame f;

	if (!snapshot_frame(s, frame, &f))
		return;
	buf_fmt(out, "%s\n{", *comma);
	*comma = ",";
	dump_key_json(out, "function", f.func);
	buf_str(out, ",");
	dump_key_json(out, "file", f.file);
	buf_str(out, ",");
	dump_key_json(out, "path", f.path);
	if (!d->functions)
		buf_fmt(out, ",\"line\":%d", f.line);
	if (d->columns && !d->functions) {
		number_json(out, "column", f.place.column);
		number_json(out, "end_line", f.place.end_line);
		number_json(out, "end_column", f.place.end_column);
	}
	buf_str(out, "}");
}

static void socket_json(const struct peer *socket, struct buf *out)
{
	if (!socket) {
		buf_str(out, ",\"socket\":null");
		return;
	}
	buf_str(out, ",\"socket\":{");
	dump_key_json(out, "kind", socket->kind);
	buf_str(out, ",");
	dump_key_json(out, "peer", socket->peer);
	buf_str(out, ",");
	dump_key_json(out, "path", socket->path);
	number_json(out, "local_port", socket->local_port);
	buf_str(out, "}");
}

static void thread_json(const struct dump *d, const struct snapshot *s,
			const struct snapshot_thread *t, struct buf *out)
{
	static const char *const words[] = {
		[THREAD_ACTIVE] = "active", [THREAD_IDLE] = "idle", [THREAD_WAITS_GIL] = "gil-wait"
	};
	const char *comma = "";
	char state[2] = { t->state };
	uint32_t i;

	buf_fmt(out, "{\"tid\":%d,", t->tid);
	dump_key_json(out, "name", t->name);
	buf_fmt(out,
		",\"ident\":%" PRIu64 ",\"python\":%s,\"does\":\"%s\",\"state\":", t->thread_id,
		bool_word(t->thread_id), words[t->does]);
	text_json(out, state);
	buf_fmt(out, ",\"has_gil\":%s,", s->gil.addr ? bool_word(t->has_gil) : "null");
	dump_key_json(out, "syscall", t->syscall);
	buf_str(out, ",\"fd\":");
	if (t->fd >= 0)
		buf_fmt(out, "%d", t->fd);
	else
		buf_str(out, "null");
	buf_str(out, ",");
	dump_key_json(out, "fd_target", t->target);
	socket_json(t->socket, out);
	buf_fmt(out, ",\"exact\":%s,\"marks\":", bool_word(t->stack.truth == STACK_EXACT));
	dump_marks_json(t->stack.flags, out);
	if (d->tasks && t->task != UINT32_MAX)
		buf_fmt(out, ",\"task\":\"%#" PRIx64 "\"", s->tasks.list[t->task].addr);
	else if (d->tasks)
		buf_str(out, ",\"task\":null");
	buf_str(out, ",\"frames\":[");
	for (i = 0; i < t->stack.frame_cnt; i++)
		dump_frame_json(d, s, &t->stack.frames[i], &comma, out);
	buf_str(out, "]}");
}

static void process_json(const struct dump *d, const struct snapshot *s, struct buf *out)
{
	char version[24];
	int i;

	if (!d->shown)
		buf_fmt(out, "{\"format\":%d,\"uncoil\":\"%s\",\"processes\":[", JSON_FORMAT,
			UNCOIL_VERSION);
	buf_fmt(out, "%s\n{\"pid\":%d,", d->shown ? "," : "", s->pid);
	dump_key_json(out, "command", s->command);
	buf_fmt(out, ",\"python\":\"%s\",", python_version(s->py.hex, version));
	dump_key_json(out, "interpreter", s->py.path);
	buf_fmt(out, ",\"gil_locked\":%s,\"gil_holder\":",
		s->gil.addr ? bool_word(s->gil.locked) : "null");
	if (s->gil_tid)
		buf_fmt(out, "%d", s->gil_tid);
	else
		buf_str(out, "null");
	buf_fmt(out, ",\"threads_ended\":%d,\"threads\":[", s->gone_cnt);
	for (i = 0; i < s->thread_cnt; i++) {
		buf_str(out, i ? ",\n" : "\n");
		thread_json(d, s, &s->threads[i], out);
	}
	buf_str(out, "]");
	if (d->tasks) {
		buf_str(out, ",");
		dump_tasks_json(d, s, out);
	}
	buf_str(out, "}");
}

/* --- the command --- */

static int process_dump(struct dump *d, pid_t pid, struct err *err)
{
	struct snapshot s;
	struct buf out;
	int code;

	code = snapshot_take(pid, d->tasks, d->peers, &s, err);
	if (code) {
		snapshot_done(&s);
		return code;
	}
	if (d->columns && s.layout.abi.lines != PY_LINES_ENTRIES)
		fprintf(stderr,
			"uncoil dump: CPython %d.%d of process %d tells no columns: 3.11 and later do\n",
			s.layout.abi.major, s.layout.abi.minor, pid);
	buf_init(&out, TEXT_MAX);
	if (d->json)
		process_json(d, &s, &out);
	else
		process_text(d, &s, &out);
	snapshot_done(&s);
	code = out.err;
	if (code) {
		err_set(err, code, "cannot hold what process %d's threads do: %s", pid,
			err_str(code));
	} else {
		d->shown++;
		fwrite(out.data, 1, out.len, stdout);
	}
	buf_done(&out);
	return code;
}

/* A child need not be a Python: make, sh. */
static int children_dump(struct dump *d, pid_t pid, struct err *err)
{
	struct err why = {};
	pid_t *pids = NULL;
	int cnt, i, code = 0;

	cnt = family_of(pid, &pids);
	if (cnt < 0)
		return err_set(err, cnt, "cannot look for the children of process %d: %s", pid,
			       err_str(cnt));
	for (i = 0; i < cnt && !code; i++) {
		code = process_dump(d, pids[i], &why);
		if (code == -ENOMEM || code == -E2BIG)
			*err = why;
		else if (code == -ENOENT || code == -ESRCH)
			code = 0; /* no Python, or gone */
		else if (code) {
			struct err named;

			err_set(&named, code, "process %d, a child: %s", pids[i], why.msg);
			cmd_fail("dump", &named);
			d->failed = true;
			code = 0;
		}
	}
	free(pids);
	return code;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct dump *d = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->err_stream = NULL; /* getopt's sentence is enough */
		return 0;
	case 'p':
		if (cmd_pid("dump", arg, d->pids, DUMP_PIDS_MAX, &d->pid_cnt))
			exit(EXIT_USAGE);
		return 0;
	case 'j':
		d->json = true;
		return 0;
	case 's':
		d->children = true;
		return 0;
	case 'F':
		d->functions = true;
		return 0;
	case KEY_COLUMNS:
		d->columns = true;
		return 0;
	case 'a':
		d->tasks = true;
		return 0;
	case ARGP_KEY_ARG:
		exit(cmd_usage("dump", "'%s' is one word too many; a process is given as -p PID",
			       arg));
	}
	return ARGP_ERR_UNKNOWN;
}

static const char doc[] =
	"Prints what every thread of a Python process does at this moment: its Python stack, what it "
	"waits for, who has the GIL.\v"
	"The process is neither stopped nor changed: a stack is proved to be of one moment where the "
	"thread slept while it was read; where it ran, that is said. Needs CAP_SYS_PTRACE; to tell the "
	"peers of sockets, BPF too. "
	"Exit status: 0 done; 1 failed; 2 wrong usage.\n\n"
	"Examples:\n"
	"  uncoil dump -p 1234\n"
	"  uncoil dump -s -p 1234 --json | jq '.processes[].threads[] | .name'";

int cmd_dump(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "pid", 'p', "PID", 0, "Look at the process PID. Repeatable", 0 },
		{ "async", 'a', 0, 0, "Show asyncio's tasks too: their stacks, and who awaits whom",
		  0 },
		{ "json", 'j', 0, 0, "Print JSON", 0 },
		{ "subprocesses", 's', 0, 0, "Look at its descendants too", 0 },
		{ "function", 'F', 0, 0, "Functions only, no line numbers", 0 },
		{ "columns", KEY_COLUMNS, 0, 0,
		  "Columns too: file.py:line:column (CPython 3.11 and later)", 0 },
		{ 0 }
	};
	static const struct argp argp = { options, parse, "-p PID", doc, NULL, NULL, NULL };
	struct dump d = {};
	struct err err = {};
	int i, code = 0;

	argp_err_exit_status = EXIT_USAGE;
	argv[0] = "uncoil dump"; /* as getopt's sentences and the help begin */
	if (argp_parse(&argp, argc, argv, 0, NULL, &d))
		return EXIT_USAGE;
	if (!d.pid_cnt)
		return cmd_usage("dump", "no process given: uncoil dump -p PID");
	d.peers = peers__new();
	if (!d.peers)
		code = err_set(&err, -ENOMEM, "out of memory");
	for (i = 0; i < d.pid_cnt && (!code || (code != -ENOMEM && code != -EIO)); i++) {
		if (code) { /* one process that can't be read does not hide the next one */
			cmd_fail("dump", &err);
			d.failed = true;
		}
		code = process_dump(&d, d.pids[i], &err);
		if (d.children && (!code || code == -ENOENT)) {
			/* a process that is no Python may have children that are */
			int shown = d.shown, none = code;

			code = children_dump(&d, d.pids[i], &err);
			if (!code && none && d.shown == shown)
				code = none;
		}
	}
	peers__free(d.peers);
	if (d.json && d.shown)
		fputs("\n]}\n", stdout);
	if (cmd_stdout_done("dump"))
		return EXIT_FAILED;
	return code ? cmd_fail("dump", &err) : d.failed ? EXIT_FAILED : EXIT_DONE;
}
