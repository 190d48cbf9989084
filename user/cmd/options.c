/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/options.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "cmd/cmd.h"
#include "cmd/option_words.h"
#include "cmd/trace_out.h"
#include "model/overhead.h"
#include "sink/sink.h"

#define RATE_DEFAULT 99 /* not 100: does not run in step with what happens 100 times a second */
#define RATE_MAX     20000
#define RING_DEFAULT (2u << 20)

#define OVERHEAD_MAX 100 /* per cent */

enum {
	KEY_RING_SIZE = 0x100,
	KEY_TIMELINE,
	KEY_MODE,
	KEY_ROTATE,
	KEY_COLUMNS,
	KEY_MAX_OVERHEAD,
	KEY_ASYNC,
	KEY_THREAD,
	KEY_STATS,
	KEY_CALLERS,
	KEY_NO_COMPENSATE
};

#define OVERHEAD_OPTION                                                                            \
	{                                                                                          \
		"max-overhead", KEY_MAX_OVERHEAD, "PERCENT", 0,                                    \
			"How much of their CPU time the processes may lose to this, uncoil's own " \
			"CPU time included; default 1, 0: no bound. Lowers the default rate; a "   \
			"given -r is honoured, with a warning",                                    \
			0                                                                          \
	}

#define OUTPUT_OPTIONS                                                                                             \
	{ "output",                                                                                                \
	  'o',                                                                                                     \
	  "FILE",                                                                                                  \
	  0,                                                                                                       \
	  "Write to FILE; the suffix tells the format: .svg, .folded, .txt, .speedscope.json, .pb.gz "             \
	  "(pprof), .pftrace (perfetto), .trace.json (chrome), .uncoil (raw). Repeatable. '-' is standard output", \
	  1 },                                                                                                     \
		{ "format",                                                                                        \
		  'f',                                                                                             \
		  "FORMAT",                                                                                        \
		  0,                                                                                               \
		  "flame (SVG, the default), folded, summary, speedscope, pprof, perfetto, chrome, or "            \
		  "raw (a journal for `uncoil replay`)",                                                           \
		  1 },                                                                                             \
		{ "threads", 't', 0, 0, "Put a frame for the process and the thread at the root", 2 },             \
		{ "thread", KEY_THREAD, "NAME", 0, OPTION_THREAD_HELP, 2 },                                        \
		{ "function", 'F', 0, 0, "Functions only, no line numbers", 2 },                                   \
		{ "columns",                                                                                       \
		  KEY_COLUMNS,                                                                                     \
		  0,                                                                                               \
		  0,                                                                                               \
		  "Columns too: file.py:line:column (CPython 3.11 and later)",                                     \
		  2 },                                                                                             \
		{ "idle", 'i', 0, 0, "Waits for work too: event loops, accept", 2 },                               \
	{                                                                                                          \
		"quiet", 'q', 0, 0, "Print errors only", 3                                                         \
	}

static const struct argp_option record_options[] = {
	{ "pid", 'p', "PID", 0, "Record the process PID. Repeatable", 0 },
	{ "duration", 'd', "SECONDS", 0,
	  "Stop after SECONDS (may be 0.5); default: Ctrl-C, or when "
	  "the processes end",
	  0 },
	{ "rate", 'r', "HZ", 0,
	  "Samples per second of CPU time of each thread, 1 to 20000; default 99", 0 },
	OVERHEAD_OPTION,
	{ "mode", KEY_MODE, "MODE", 0,
	  "cpu (the default); wall: CPU time and waits; offcpu: waits, and what for; gil: CPU time of "
	  "the thread that holds the GIL",
	  0 },
	{ "gil", 'g', 0, 0, "The same as --mode gil", 0 },
	{ "subprocesses", 's', 0, 0, "Follow child processes too, forked and exec'ed", 0 },
	{ "rotate", KEY_ROTATE, "SECONDS", 0,
	  "New files every SECONDS (also 60s, 5m, 1h), with the time in their names; nothing is lost "
	  "between two",
	  0 },
	{ "async", KEY_ASYNC, 0, 0,
	  "Put a frame for the asyncio task at the root: its name, or its coroutine's function if it "
	  "was given none",
	  0 },
	OUTPUT_OPTIONS,
	{ "timeline", KEY_TIMELINE, 0, 0,
	  "Record when each sample was taken and each wait was, so that `uncoil replay` can write "
	  "perfetto and chrome; on by itself when one of these is an output",
	  2 },
	{ "ring-size", KEY_RING_SIZE, "BYTES", 0,
	  "Size of the buffer between kernel and uncoil, a power "
	  "of two from 65536; default 2097152. Raise it if samples are lost",
	  3 },
	{ 0 },
};

static const struct argp_option replay_options[] = {
	OUTPUT_OPTIONS,
	{ "stats", KEY_STATS, 0, 0,
	  "Of a trace: the table of functions, on standard output if there is no -o", 3 },
	{ "callers", KEY_CALLERS, 0, 0, "In it, after each function, who called it", 3 },
	{ "no-compensate", KEY_NO_COMPENSATE, 0, 0,
	  "Leave in the times what the probes cost, which is taken off by default", 3 },
	{ 0 },
};

static error_t output_parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	int code;

	switch (key) {
	case 'o':
		if (o->output_cnt == OUTPUTS_MAX)
			return option_wrong(state, "%s is one output too many", arg);
		o->outputs[o->output_cnt++].path = arg;
		return 0;
	case 'f':
		o->format = arg;
		return 0;
	case 't':
		o->report.threads = true;
		return 0;
	case KEY_THREAD:
		code = option_thread(option_command(state), arg, o->report.only,
				     &o->report.only_cnt);
		if (code)
			exit(code);
		return 0;
	case 'F':
		o->report.functions = true;
		return 0;
	case KEY_COLUMNS:
		o->report.columns = true;
		return 0;
	case 'i':
		o->report.idle = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

const char *options_mode_text(enum record_mode mode)
{
	static const char *const texts[] = { [RECORD_CPU] = "on-CPU",
					     [RECORD_WALL] = "wall clock",
					     [RECORD_OFFCPU] = "off-CPU",
					     [RECORD_GIL] = "holding the GIL" };

	return texts[mode];
}

static bool mode_parse(const char *text, enum record_mode *ret_mode)
{
	static const char *const names[] = { [RECORD_CPU] = "cpu",
					     [RECORD_WALL] = "wall",
					     [RECORD_OFFCPU] = "offcpu",
					     [RECORD_GIL] = "gil" };
	int i;

	for (i = 0; i < RECORD_MODE_MAX; i++)
		if (!strcmp(text, names[i])) {
			*ret_mode = i;
			return true;
		}
	return false;
}

static error_t record_parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	uint64_t value;

	switch (key) {
	case ARGP_KEY_INIT:
		/* getopt has its sentence on stderr: argp's second one would go here */
		state->err_stream = NULL;
		return 0;
	case 'p':
		if (cmd_pid(option_command(state), arg, o->pids, PIDS_MAX, &o->pid_cnt))
			exit(EXIT_USAGE);
		return 0;
	case 'd':
		if (!option_seconds(arg, &o->duration_ns))
			return option_wrong(state, OPTION_SECONDS_WRONG, arg);
		return 0;
	case 'r':
		if (!cmd_number(arg, 1, RATE_MAX, &value))
			return option_wrong(
				state, "the rate must be 1 to 20000 per second, not '%s'", arg);
		o->rate_hz = value;
		o->rate_given = true;
		return 0;
	case KEY_MAX_OVERHEAD:
		if (!option_percent(arg, OVERHEAD_MAX, &o->max_overhead))
			return option_wrong(
				state,
				"--max-overhead takes per cent, 0.001 to 100, or 0 for no "
				"bound, not '%s'",
				arg);
		return 0;
	case KEY_MODE:
		if (!mode_parse(arg, &o->mode))
			return option_wrong(state, "there is no mode '%s' (cpu, wall, offcpu, gil)",
					    arg);
		return 0;
	case 'g':
		o->mode = RECORD_GIL;
		return 0;
	case 's':
		o->children = true;
		return 0;
	case KEY_ASYNC:
		o->tasks = true;
		return 0;
	case KEY_TIMELINE:
		o->timeline = true;
		return 0;
	case KEY_ROTATE:
		if (!option_span(arg, &o->rotate_ns))
			return option_wrong(
				state,
				"--rotate takes a whole number of seconds, or 60s, 5m, 1h, "
				"not '%s'",
				arg);
		return 0;
	case KEY_RING_SIZE:
		if (!option_ring(arg, &o->ring_bytes))
			return option_wrong(state, OPTION_RING_WRONG, arg);
		return 0;
	case ARGP_KEY_ARGS:
		o->command = state->argv + state->next;
		return 0;
	}
	return output_parse(key, arg, state);
}

static error_t replay_parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	if (key == ARGP_KEY_INIT)
		state->err_stream = NULL; /* as in record_parse() */
	switch (key) {
	case KEY_STATS:
		o->stats = true;
		return 0;
	case KEY_CALLERS:
		o->callers = true;
		return 0;
	case KEY_NO_COMPENSATE:
		o->as_measured = true;
		return 0;
	case ARGP_KEY_ARG:
		break;
	default:
		return output_parse(key, arg, state);
	}
	if (o->journal)
		return option_wrong(state, "one journal at a time; '%s' is a second one", arg);
	o->journal = arg;
	return 0;
}

/* A single output is what -f says, whatever its name: stacks.txt may be folded. Among several a name
 * that tells another format was not meant so, a journal's least of all. */
static bool disagree(const struct options *o, const struct output *output)
{
	const struct sink *named = sink_by_suffix(output->path);

	if (o->output_cnt == 1)
		return false;
	return output_is_journal(output->path) ? output->sink != NULL
					       : named && named != output->sink;
}

static int outputs_choose(struct options *o, const char *command)
{
	int i, k;

	for (i = 0; i < o->output_cnt; i++) {
		if (!output_choose(&o->outputs[i], o->format)) {
			if (o->format)
				return cmd_usage(command, "there is no format '%s' (%s, raw)",
						 o->format, sink_names());
			return cmd_usage(
				command,
				"the name '%s' tells no format; add -f, or a suffix like .svg",
				o->outputs[i].path);
		}
		if (o->format && disagree(o, &o->outputs[i]))
			return cmd_usage(command,
					 "-f says %s, and the name '%s' says another format; leave "
					 "-f away, or name the file otherwise",
					 o->format, o->outputs[i].path);
		if (o->outputs[i].sink && o->outputs[i].sink->timeline)
			o->timeline = o->report.timeline = true;
		for (k = 0; k < i; k++)
			if (output_is_same(&o->outputs[k], &o->outputs[i]))
				return cmd_usage(command, "'%s' is given twice",
						 o->outputs[i].path);
	}
	return 0;
}

/* Without -o: a name that says when, and does not write over another. */
static int output_default(struct options *o, const char *command)
{
	const struct sink *sink = o->format ? sink_by_name(o->format) : NULL;
	const char *suffix = sink ? sink->suffixes : ".svg"; /* up to the first space */

	if (o->format && !strcmp(o->format, "raw"))
		suffix = ".uncoil";
	/* --rotate has times of its own */
	o->outputs[0].path =
		option_default_path(command, !o->rotate_ns, suffix, strcspn(suffix, " "));
	o->output_cnt = 1;
	return 0;
}

static const char record_doc[] =
	"Samples where the CPU time of Python processes goes and writes a flame graph.\v"
	"The processes are not changed, restarted or paused. Ctrl-C ends the recording and writes the "
	"file. Exit status: 0 done; 1 failed; 2 wrong usage; 3 done, but samples were lost (the output "
	"says how many).\n\n"
	"Examples:\n"
	"  uncoil record -p 1234 -d 10 -o flame.svg\n"
	"  uncoil record -p 1234 -p 1235 -o flame.svg -o summary.txt -o run.uncoil\n"
	"  uncoil record -s -o flame.svg -- gunicorn app:app";

int options_record(struct options *o, int argc, char **argv)
{
	static const struct argp argp = {
		record_options, record_parse, "-p PID\n-- COMMAND [ARG...]", record_doc, NULL,
		NULL,           NULL
	};
	struct stat st;
	int i;

	*o = (struct options){ .rate_hz = RATE_DEFAULT,
			       .max_overhead = OVERHEAD_BOUND_DEFAULT,
			       .ring_bytes = RING_DEFAULT };
	argp_err_exit_status = EXIT_USAGE;
	argv[0] = "uncoil record"; /* as getopt's sentences and the help begin */
	if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, o))
		return EXIT_USAGE;
	if (o->pid_cnt && o->command)
		return cmd_usage("record", "give -p PID or a command, not both");
	if (!o->pid_cnt && !o->command)
		return cmd_usage("record", "nothing to record: give -p PID, or -- COMMAND");
	if (o->mode == RECORD_OFFCPU)
		o->rate_hz = 0; /* nothing is sampled */
	if (!o->output_cnt)
		output_default(o, "record");
	for (i = 0; i < o->output_cnt && o->rotate_ns; i++)
		if (!strcmp(o->outputs[i].path, "-") ||
		    (!stat(o->outputs[i].path, &st) && !S_ISREG(st.st_mode)))
			return cmd_usage("record",
					 "--rotate makes many files with names like FILE's; '%s' "
					 "is no file",
					 o->outputs[i].path);
	return outputs_choose(o, "record");
}

static const struct argp_option top_options[] = {
	{ "pid", 'p', "PID", 0, "Watch the process PID. Repeatable", 0 },
	{ "rate", 'r', "HZ", 0,
	  "Samples per second of CPU time of each thread, 1 to 20000; default 99", 0 },
	{ "mode", KEY_MODE, "MODE", 0,
	  "cpu (the default); wall: CPU time and waits; offcpu: waits, and what for; gil: CPU time of "
	  "the thread that holds the GIL",
	  0 },
	OVERHEAD_OPTION,
	{ "gil", 'g', 0, 0, "The same as --mode gil", 0 },
	{ "idle", 'i', 0, 0, "Waits for work too: event loops, accept", 0 },
	{ "thread", KEY_THREAD, "NAME", 0, OPTION_THREAD_HELP, 0 },
	{ "async", KEY_ASYNC, 0, 0,
	  "A row for each asyncio task too: its name, or its coroutine's function", 0 },
	{ "subprocesses", 's', 0, 0, "Watch child processes too, forked and exec'ed", 0 },
	{ 0 },
};

static const char top_doc[] =
	"Shows, live, where the CPU time of Python processes goes, or what they wait for: by function, "
	"line, thread or file; press ? for the keys, and for what the numbers mean.\v"
	"The processes are not changed, restarted or paused. Exit status: 0 done; 1 failed; 2 wrong "
	"usage; 3 done, but samples were lost.\n\n"
	"Examples:\n"
	"  uncoil top -s -p 1234\n"
	"  uncoil top --mode offcpu -p 1234";

int options_top(struct options *o, int argc, char **argv)
{
	static const struct argp argp = { top_options, record_parse, "-p PID", top_doc,
					  NULL,        NULL,         NULL };

	*o = (struct options){ .rate_hz = RATE_DEFAULT,
			       .max_overhead = OVERHEAD_BOUND_DEFAULT,
			       .ring_bytes = RING_DEFAULT };
	argp_err_exit_status = EXIT_USAGE;
	argv[0] = "uncoil top";
	if (argp_parse(&argp, argc, argv, 0, NULL, o))
		return EXIT_USAGE;
	if (o->command)
		return cmd_usage("top", "'%s' is one word too many; a process is given as -p PID",
				 o->command[0]);
	if (!o->pid_cnt)
		return cmd_usage("top", "no process given: uncoil top -p PID");
	if (o->mode == RECORD_OFFCPU)
		o->rate_hz = 0; /* nothing is sampled */
	return 0;
}

static const char replay_doc[] =
	"Writes the outputs of a recording, or of a trace, from its journal (-f raw), byte for byte as "
	"record or trace itself would have. Needs neither root nor the process.\v"
	"A trace has formats of its own: perfetto (the default), chrome, jsonl, pstats, stats, json.\n\n"
	"Examples:\n"
	"  uncoil replay run.uncoil -o flame.svg -o run.folded\n"
	"  uncoil replay --callers trace.uncoil";

/* A format that neither has; the journal need not be read to say so. */
static int formats_check(const struct options *o)
{
	int i;

	if (o->format)
		return sink_by_name(o->format) || trace_sink_by_name(o->format) ||
				       !strcmp(o->format, "raw")
			       ? 0
			       : cmd_usage("replay", "there is no format '%s' (%s, raw)", o->format,
					   sink_names());
	for (i = 0; i < o->output_cnt && !o->stats; i++)
		if (!sink_by_suffix(o->outputs[i].path) &&
		    !trace_sink_by_suffix(o->outputs[i].path) &&
		    !output_is_journal(o->outputs[i].path))
			return cmd_usage(
				"replay",
				"the name '%s' tells no format; add -f, or a suffix like .svg",
				o->outputs[i].path);
	return 0;
}

int options_replay(struct options *o, int argc, char **argv)
{
	static const struct argp argp = { replay_options, replay_parse, "JOURNAL", replay_doc,
					  NULL,           NULL,         NULL };

	*o = (struct options){ 0 };
	argp_err_exit_status = EXIT_USAGE;
	argv[0] = "uncoil replay";
	if (argp_parse(&argp, argc, argv, 0, NULL, o))
		return EXIT_USAGE;
	if (!o->journal)
		return cmd_usage("replay", "no journal given: uncoil replay JOURNAL");
	return formats_check(o);
}

int options_replay_profile(struct options *o)
{
	if (o->stats || o->callers || o->as_measured)
		return cmd_usage("replay",
				 "'%s' is no trace: --stats, --callers and "
				 "--no-compensate are for one",
				 o->journal);
	if (!o->output_cnt)
		output_default(o, "replay");
	return outputs_choose(o, "replay");
}

int options_replay_trace(struct options *o, struct trace_ask *ret_ask)
{
	const struct report_options *r = &o->report;

	if (r->threads || r->functions || r->columns || r->idle || r->only_cnt)
		return cmd_usage("replay",
				 "'%s' is a trace of calls: -t, --thread, -F, --columns and -i are "
				 "for profiles",
				 o->journal);
	*ret_ask = (struct trace_ask){
		.command = "replay",
		.format = o->format,
		.stats = o->stats || (o->callers && !o->output_cnt && !o->format),
		.quiet = o->quiet,
		.look = { .compensate = !o->as_measured, .callers = o->callers }
	};
	return trace_out_choose(o->outputs, &o->output_cnt, ret_ask);
}
