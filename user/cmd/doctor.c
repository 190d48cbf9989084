/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uncoil doctor: what works here, and on one process; what doesn't; why; and what to do about it.
 *
 *	Privileges
 *	  yes  CAP_BPF        load BPF programs
 *	Kernel
 *	  yes  BTF            …
 *	Costs, measured now
 *	       a tick         6.0 us …
 *	Process 1234
 *	  yes  Python         CPython 3.11.2, in the program /usr/bin/python3.11
 *	  Layout …
 *
 * Everything that a process says of itself is escaped before it is shown.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/plan.h"
#include "model/overhead.h"
#include "os/feature.h"
#include "os/proc.h"
#include "probe/calibrate.h"
#include "probe/calibrate_uprobe.h"
#include "probe/sampler.h"
#include "python/find.h"
#include "python/layout.h"
#include "python/mem.h"

#define PIDS_MAX      64
#define PROGRAMS_RING 65536

struct doctor {
	pid_t pids[PIDS_MAX];
	int pid_cnt;
	int trouble; /* things without which nothing can be recorded here */
	/* of these, as many as cannot be recorded, and the last one's sentence */
	int refused_cnt;
	pid_t refused_pid;
	char *refused_why;
	struct uprobe_calibration probe_cost; /* once measured */
};

static void row(const char *verdict, const char *name, const char *text)
{
	printf("  %-7s %-26s %s\n", verdict, name, text);
}

static void hint_row(const char *hint)
{
	char text[256];

	snprintf(text, sizeof(text), "what to do: %s", hint);
	row("", "", text);
}

/* A process that cannot be recorded, and why. */
static void refuse(struct doctor *d, pid_t pid, const char *name, const struct err *err)
{
	row("STOP", name, err->msg);
	free(d->refused_why);
	d->refused_why = strdup(err->msg);
	d->refused_pid = pid;
	d->refused_cnt++;
}

static void privileges(struct doctor *d)
{
	const struct privilege *list;
	size_t cnt, i;
	struct err err = {};
	bool held;

	puts("Privileges");
	list = privilege_table(&cnt);
	for (i = 0; i < cnt; i++) {
		held = privilege_held(&list[i]);
		row(held ? "yes" : "no", list[i].name, list[i].why);
		if (!held)
			hint_row(list[i].hint);
	}
	if (feature_require(&err) || feature_explain(&err)) {
		d->trouble++;
		row("STOP", "recording", err.msg);
	}
}

static void kernel(struct doctor *d)
{
	static const char *const verdicts[] = {
		[FEATURE_UNKNOWN] = "unknown", [FEATURE_YES] = "yes", [FEATURE_NO] = "no"
	};
	const struct feature *list;
	struct utsname name;
	enum feature_state state;
	size_t cnt, i;
	int code;

	uname(&name);
	printf("\nKernel %s %s\n", name.release, name.machine);
	list = feature_table(&cnt);
	for (i = 0; i < cnt; i++) {
		state = feature_state(&list[i], &code);
		row(verdicts[state], list[i].name, list[i].why);
		if (state != FEATURE_YES && code && list[i].need != FEATURE_UNUSED)
			row("", "", err_str(code));
		if (state != FEATURE_YES && list[i].need != FEATURE_UNUSED)
			hint_row(list[i].hint);
		if (state == FEATURE_NO && list[i].need == FEATURE_REQUIRED)
			d->trouble++;
	}
}

/* What sampling costs on this machine now. */
static void costs(void)
{
	static const uint32_t rates[] = { 99, 1000, 10000 };
	struct calibration tick;
	char text[160], name[16];
	size_t i;
	int code;

	puts("\nCosts, measured now");
	code = calibrate_tick(&tick);
	if (code) {
		snprintf(text, sizeof(text), "the timer's tick could not be measured: %s",
			 code == -ETIME ? "none came" : err_str(code));
		row("unknown", "a tick", text);
		return;
	}
	snprintf(
		text, sizeof(text),
		"%.1f us (%u of them, nine in ten from %.1f to %.1f); and a walk: 1 to 10 us, %.0f "
		"assumed",
		tick.tick_ns / 1e3, tick.cnt, tick.low / 1e3, tick.high / 1e3,
		(overhead_tick_ns(tick.tick_ns) - tick.tick_ns) / 1e3);
	row("", "a tick", text);
	for (i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		snprintf(name, sizeof(name), "-r %" PRIu32, rates[i]);
		snprintf(text, sizeof(text), "about %.2g %% of a busy process's CPU time",
			 100 * overhead_expected(rates[i], tick.tick_ns, 0));
		row("", name, text);
	}
	snprintf(text, sizeof(text), "up to -r %" PRIu32,
		 overhead_fit(tick.tick_ns, OVERHEAD_BOUND_DEFAULT));
	row("", "within --max-overhead 1", text);
}

/* Whether this kernel takes the programs themselves: the rest is what they are made of. */
static void programs(struct doctor *d)
{
	static const struct {
		const char *name, *why;
		struct sampler_options options;
	} kinds[] = {
		{ "sampling programs",
		  "loaded and checked by this kernel",
		  { .rate_hz = 99, .ring_bytes = PROGRAMS_RING } },
		{ "off-CPU program",
		  "the same, with that of --mode wall and offcpu",
		  { .switches = true, .ring_bytes = PROGRAMS_RING } },
	};
	struct sampler *sampler;
	struct err err;
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		err = (struct err){};
		sampler = sampler__new(&kinds[i].options);
		if (!sampler)
			return;
		if (sampler__load(sampler, &err)) {
			row("STOP", kinds[i].name, err.msg);
			d->trouble++;
		} else {
			row("yes", kinds[i].name, kinds[i].why);
		}
		sampler__free(sampler);
	}
}

/* One line per offset: its value, and where it comes from. */
static void layout_rows(const struct py_layout *layout)
{
	printf("\n  Layout (generated row made from %s)\n", layout->row_from);
#define X(field, group, what)                                                                     \
	printf("    %-26s %6u  %-13s %s\n", #field, layout->abi.off.field,                        \
	       layout->source.field == PY_SOURCE_NONE ? "-"                                       \
						      : layout_source_text(layout->source.field), \
	       what);
	PY_OFFSETS(X)
#undef X
#define X(field, group, what)                                                                     \
	printf("    %-26s %6u  %-13s %s\n", #field, layout->abi.live.field,                       \
	       layout->source.field == PY_SOURCE_NONE ? "-"                                       \
						      : layout_source_text(layout->source.field), \
	       what);
	PY_LIVE(X)
#undef X
}

static void proof_rows(struct doctor *d, pid_t pid, int code, const struct layout_proof *proof,
		       const struct py_layout *layout, const struct err *err)
{
	char text[160];

	if (code == -EAGAIN) {
		row("not yet", "layout proved", "the interpreter has not started its first thread");
		return;
	}
	if (code) {
		refuse(d, pid, "layout proved", err);
		return;
	}
	snprintf(text, sizeof(text),
		 "%u thread states point back to their interpreter, %u frames to code objects",
		 proof->tstate_cnt, proof->frame_cnt);
	row("yes", "layout proved", text);
	if (layout->source.tstate_native_thread_id != PY_SOURCE_NONE) {
		row(proof->threads_known ? "yes" : "no", "threads matched",
		    proof->threads_known
			    ? "thread states name threads of this process"
			    : "no thread state names a thread of this process; samples may "
			      "find no Python");
		if (!proof->threads_known)
			hint_row("look again while it runs Python; if it stays, report it");
	}
}

static void python(struct doctor *d, pid_t pid)
{
	struct layout_proof proof;
	struct mem_process mem;
	struct py_layout layout;
	struct py_found found;
	struct err err = {};
	struct buf text;
	char version[24];
	int code;

	code = python_find(pid, &found, &err);
	if (code) {
		refuse(d, pid, "Python", &err);
		return;
	}
	buf_init(&text, 8192);
	buf_fmt(&text, "CPython %s, %s ", python_version(found.hex, version),
		found.is_shared ? "in the library" : "linked into the program");
	text_terminal(&text, found.path);
	row("yes", "Python", buf_text(&text));
	buf_done(&text);
	row("", "version from",
	    found.hex_from_text ? "the version string in the file" : "Py_Version in the process");
	mem_process_init(&mem, pid);
	code = layout_fill(&found, &mem.mem, &layout, &err);
	if (code) {
		refuse(d, pid, "layout", &err);
		return;
	}
	row("", "build",
	    layout.abi.build == PY_BUILD_FREE_THREADED ? "free-threaded"
	    : found.is_debug                           ? "--with-pydebug"
						       : "release");
	row("yes", "layout from",
	    found.debug_offsets ? "its own debug offsets; the generated row for what they lack"
				: "the generated row for this version");
	code = layout_verify(&found, &layout, pid, &mem.mem, &proof, &err);
	proof_rows(d, pid, code, &proof, &layout, &err);
	row("", "off",
	    layout.abi.minor < 11 ? "qualified names: code objects have none before 3.11"
				  : "nothing");
	printf("    %-26s %#" PRIx64 "\n    %-26s %#" PRIx64 "\n", "_PyRuntime at", found.runtime,
	       "PyCode_Type at", found.code_type);
	layout_rows(&layout);
	plan_print(pid, &found, &layout, &d->probe_cost);
}

static void process(struct doctor *d, pid_t pid)
{
	struct buf command;
	struct err err = {};
	pid_t *tids = NULL;
	char text[64];
	int cnt;

	printf("\nProcess %d\n", pid);
	if (proc_require(pid, &err)) {
		refuse(d, pid, "process", &err);
		return;
	}
	buf_init(&command, CMD_COMMAND_MAX);
	cmd_command(pid, &command);
	printf("  %-7s %-26s ", "", "command");
	cmd_show(stdout, buf_text(&command));
	putchar('\n');
	buf_done(&command);
	cnt = proc_threads(pid, &tids);
	free(tids);
	snprintf(text, sizeof(text), "%d", cnt < 0 ? 0 : cnt);
	row("", "threads", text);
	python(d, pid);
}

static void closing(const struct doctor *d)
{
	putchar('\n');
	if (d->trouble)
		puts("This machine lacks something that recording needs: see STOP and no above.");
	if (d->refused_cnt == 1)
		printf("Process %d cannot be recorded: %s.\n", d->refused_pid,
		       d->refused_why ? d->refused_why : "see STOP above");
	else if (d->refused_cnt)
		printf("%d of the processes cannot be recorded: see STOP above.\n", d->refused_cnt);
	if (!d->trouble && !d->refused_cnt)
		puts("Everything that recording needs is there.");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct doctor *d = state->input;

	if (key == ARGP_KEY_INIT)
		state->err_stream = NULL; /* getopt's sentence is enough */
	if (key == ARGP_KEY_ARG)
		exit(cmd_usage("doctor", "'%s' is one word too many; a process is given as -p PID",
			       arg));
	if (key != 'p')
		return ARGP_ERR_UNKNOWN;
	if (cmd_pid("doctor", arg, d->pids, PIDS_MAX, &d->pid_cnt))
		exit(EXIT_USAGE);
	return 0;
}

int cmd_doctor(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "pid", 'p', "PID", 0, "Look at the process PID too. Repeatable", 0 }, { 0 }
	};
	static const struct argp argp = {
		options,
		parse,
		NULL,
		"Says what works on this machine and on a process, what doesn't, and why.\v"
		"Exit status: 0 if everything that recording needs is there, 1 if not.",
		NULL,
		NULL,
		NULL
	};
	struct doctor d = {};
	int i;

	argp_err_exit_status = EXIT_USAGE;
	argv[0] = "uncoil doctor"; /* as getopt's sentences and the help begin */
	if (argp_parse(&argp, argc, argv, 0, NULL, &d))
		return EXIT_USAGE;
	privileges(&d);
	kernel(&d);
	if (!d.trouble)
		programs(&d);
	costs();
	for (i = 0; i < d.pid_cnt; i++)
		process(&d, d.pids[i]);
	closing(&d);
	free(d.refused_why);
	return d.trouble || d.refused_cnt ? EXIT_FAILED : EXIT_DONE;
}
