/* SPDX-License-Identifier: Apache-2.0 */
/*
 * There are two kinds of traces. A timeline has each call; sums have each function, and are made where
 * the calls are seen, so that they cost less and are never short of what did not fit into a
 * buffer. The outputs decide: one that is a timeline makes it one, and sums are there in any case. So
 * "--stats -o x.pftrace" is a contradiction, and "-o x.pftrace -o x.txt" is not.
 */
#include "cmd/options_trace.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "cmd/cmd.h"
#include "cmd/option_words.h"

#define RING_DEFAULT     (16u << 20)
#define OVERHEAD_DEFAULT 250000 /* 25 %, in millionths */
#define OVERHEAD_MAX     1000   /* per cent: a target at a tenth of its speed */
#define DEPTH_MAX        1000000

enum {
	KEY_STATS = 0x100,
	KEY_CALLERS,
	KEY_MATCH,
	KEY_MIN_DURATION,
	KEY_THREAD,
	KEY_DEPTH,
	KEY_COMPENSATE,
	KEY_NO_COMPENSATE,
	KEY_MAX_OVERHEAD,
	KEY_RING_SIZE,
};

/* What is said before it is known what follows from it. */
struct parsed {
	struct trace_options *o;
	const char *format;
	bool stats;
	bool compensate_given;
};

enum of { TIMELINE, SUMS, JOURNAL };

/* The longest suffix that fits tells the format. .json is a timeline's: with --stats, or -f json, it is
 * the sums'. The first one is that of a name that was not given. */
static const struct {
	const char *name;
	enum of of;
	bool text; /* a terminal can show it */
	const char *suffixes[2];
} formats[] = {
	[FORMAT_PERFETTO] = { "perfetto", TIMELINE, false, { ".pftrace", ".perfetto-trace" } },
	[FORMAT_CHROME] = { "chrome", TIMELINE, true, { ".trace.json", ".json" } },
	[FORMAT_JSONL] = { "jsonl", TIMELINE, true, { ".jsonl" } },
	[FORMAT_STATS] = { "stats", SUMS, true, { ".txt" } },
	[FORMAT_JSON] = { "json", SUMS, true, { ".stats.json", ".json" } },
	[FORMAT_PSTATS] = { "pstats", SUMS, false, { ".pstats", ".prof" } },
	[FORMAT_RAW] = { "raw", JOURNAL, false, { ".uncoil" } },
};
#define FORMAT_NAMES "perfetto, chrome, jsonl, stats, json, pstats, raw"

static const struct argp_option trace_options[] = {
	{ "pid", 'p', "PID", 0, "Trace the process PID. Repeatable", 0 },
	{ "duration", 'd', "SECONDS", 0,
	  "Stop after SECONDS (may be 0.5); default: Ctrl-C, or when the processes end", 0 },
	{ "subprocesses", 's', 0, 0, "Follow child processes too, forked and exec'ed", 0 },
	{ "max-overhead", KEY_MAX_OVERHEAD, "PERCENT", 0,
	  "How much slower the processes may become; default 25, 0: no bound. Where tracing all the time "
	  "costs more, there are pauses in it, which every output tells",
	  0 },
	{ "match", KEY_MATCH, "GLOB", 0,
	  "Trace only functions that fit: MODULE:NAME ('shop.*:handle_*'), or a NAME in any module "
	  "('handle_*', 'Cart.add'). !GLOB leaves out what fits. Repeatable",
	  1 },
	{ "thread", KEY_THREAD, "NAME", 0,
	  "Trace only threads of this name, or with this id; NAME may have * and ?. Repeatable",
	  1 },
	{ "depth", KEY_DEPTH, "N", 0,
	  "Trace the N outermost calls of each stack only; of functions that --match takes", 1 },
	{ "min-duration", KEY_MIN_DURATION, "TIME", 0,
	  "Leave calls shorter than TIME (500us, 1ms, 2s) out of a timeline", 1 },
	{ "output", 'o', "FILE", 0,
	  "Write to FILE; the suffix tells the format: .pftrace (perfetto), .json (chrome), .jsonl, .txt "
	  "(stats), .stats.json (json), .pstats or .prof (pstats), .uncoil (raw). Repeatable. '-' is standard output",
	  2 },
	{ "format", 'f', "FORMAT", 0,
	  "Timelines: perfetto (the default), chrome, jsonl (a line for each call). Sums by function: "
	  "stats (a table), json, pstats (for python3 -m pstats and snakeviz). raw: a journal",
	  2 },
	{ "stats", KEY_STATS, 0, 0,
	  "Sums by function and no timeline, which costs less: a table on standard output, or in FILE",
	  2 },
	{ "callers", KEY_CALLERS, 0, 0,
	  "In stats and json: who called each function, and how often", 2 },
	{ "compensate", KEY_COMPENSATE, 0, 0,
	  "Take the time that tracing itself took off the times in sums; this is the default", 2 },
	{ "no-compensate", KEY_NO_COMPENSATE, 0, 0, "Leave the time that tracing took in the sums",
	  2 },
	{ "ring-size", KEY_RING_SIZE, "BYTES", 0,
	  "Size of the buffer between kernel and uncoil, a power of two from 65536; default "
	  "16777216. Raise it if calls are lost",
	  3 },
	{ "quiet", 'q', 0, 0, "Print errors only", 3 },
	{ "verbose", 'v', 0, 0, "Say how calls are seen, and what that costs", 3 },
	{ 0 },
};

static const char trace_doc[] =
	"Traces Python functions: each call and its end, by return or by exception, exactly, with the time "
	"it took; draws them on a timeline, or sums them up by function.\v"
	"The processes are not restarted, and nothing is loaded into them: the kernel has breakpoints in "
	"their interpreter meanwhile, and takes them out at the end, whatever becomes of uncoil. Ctrl-C ends the trace and writes the file. Exit status: 0 done; 1 failed; 2 "
	"wrong usage; 3 done, but calls were lost (the output says how many).\n\n"
	"Examples:\n"
	"  uncoil trace -p 1234 -d 5 -o run.pftrace\n"
	"  uncoil trace -p 1234 --match 'shop.*:*' --min-duration 1ms\n"
	"  uncoil trace -p 1234 -d 10 --stats --match '!importlib*:*'\n"
	"  uncoil trace -o run.pstats -- python3 script.py";

const char *trace_format_name(enum trace_format format)
{
	return formats[format].name;
}

bool trace_format_is_timeline(enum trace_format format)
{
	return formats[format].of == TIMELINE;
}

bool trace_format_is_sums(enum trace_format format)
{
	return formats[format].of == SUMS;
}

/* --- words --- */

static void match_parse(struct trace_options *o, const char *arg, struct argp_state *state)
{
	struct err err = { "" };

	if (match_add(&o->match, arg, &err))
		option_wrong(state, "--match: %s", err.msg);
}

/* How much is traced. */
static error_t bound_parse(int key, char *arg, struct argp_state *state)
{
	struct parsed *parsed = state->input;
	struct trace_options *o = parsed->o;
	uint64_t value;
	int code;

	switch (key) {
	case KEY_MATCH:
		match_parse(o, arg, state);
		return 0;
	case KEY_THREAD:
		code = option_thread(option_command(state), arg, o->only, &o->only_cnt);
		if (code)
			exit(code);
		return 0;
	case KEY_DEPTH:
		if (!cmd_number(arg, 1, DEPTH_MAX, &value))
			return option_wrong(state, "--depth takes 1 to 1000000, not '%s'", arg);
		o->depth = value;
		return 0;
	case KEY_MIN_DURATION:
		if (!option_time(arg, &o->min_ns))
			return option_wrong(
				state,
				"--min-duration takes a time with its unit, like 500us, "
				"1ms or 2s, up to an hour, not '%s'",
				arg);
		return 0;
	case KEY_MAX_OVERHEAD:
		if (!option_percent(arg, OVERHEAD_MAX, &o->max_overhead))
			return option_wrong(
				state,
				"--max-overhead takes per cent, 0.001 to 1000, or 0 for no "
				"bound, not '%s'",
				arg);
		return 0;
	case KEY_RING_SIZE:
		if (!option_ring(arg, &o->ring_bytes))
			return option_wrong(state, OPTION_RING_WRONG, arg);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static error_t trace_parse(int key, char *arg, struct argp_state *state)
{
	struct parsed *parsed = state->input;
	struct trace_options *o = parsed->o;

	switch (key) {
	case ARGP_KEY_INIT:
		/* getopt has its sentence on stderr: argp's second one would go here */
		state->err_stream = NULL;
		return 0;
	case 'p':
		if (cmd_pid(option_command(state), arg, o->pids, TRACE_PIDS_MAX, &o->pid_cnt))
			exit(EXIT_USAGE);
		return 0;
	case 'd':
		if (!option_seconds(arg, &o->duration_ns))
			return option_wrong(state, OPTION_SECONDS_WRONG, arg);
		return 0;
	case 's':
		o->children = true;
		return 0;
	case 'o':
		if (o->output_cnt == OUTPUTS_MAX)
			return option_wrong(state, "%s is one output too many", arg);
		o->outputs[o->output_cnt++].output.path = arg;
		return 0;
	case 'f':
		parsed->format = arg;
		return 0;
	case KEY_STATS:
		parsed->stats = true;
		return 0;
	case KEY_CALLERS:
		o->callers = true;
		return 0;
	case KEY_COMPENSATE:
	case KEY_NO_COMPENSATE:
		o->compensate = key == KEY_COMPENSATE;
		parsed->compensate_given = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case ARGP_KEY_ARGS:
		o->command = state->argv + state->next;
		return 0;
	}
	return bound_parse(key, arg, state);
}

/* --- outputs --- */

/* Length of the format's suffix that the path ends in; 0: none. */
static size_t suffix_len(enum trace_format format, const char *path)
{
	size_t path_len = strlen(path), len, i;

	for (i = 0; i < 2 && formats[format].suffixes[i]; i++) {
		len = strlen(formats[format].suffixes[i]);
		if (len <= path_len && !strcmp(path + path_len - len, formats[format].suffixes[i]))
			return len;
	}
	return 0;
}

/* What the name tells; FORMAT_MAX: nothing. */
static enum trace_format format_by_suffix(const char *path, bool stats)
{
	enum trace_format format, best = FORMAT_MAX;
	size_t len, longest = 0;

	for (format = 0; format < FORMAT_MAX; format++) {
		len = suffix_len(format, path);
		if (len > longest || (stats && len && len == longest)) {
			best = format;
			longest = len;
		}
	}
	return best;
}

static enum trace_format format_by_name(const char *name)
{
	enum trace_format format;

	for (format = 0; format < FORMAT_MAX; format++)
		if (!strcmp(formats[format].name, name))
			break;
	return format;
}

static bool is_stdout(const struct output *output)
{
	return output_is_same(output, &(struct output){ .path = "-" });
}

static int output_decide(struct trace_options *o, struct trace_output *out,
			 const struct parsed *parsed, enum trace_format asked)
{
	const char *path = out->output.path;
	enum trace_format named = format_by_suffix(path, parsed->stats);

	out->format = asked < FORMAT_MAX ? asked : named;
	/* --stats is a format where the name tells none */
	if (out->format == FORMAT_MAX && parsed->stats)
		out->format = FORMAT_STATS;
	if (out->format == FORMAT_MAX)
		return cmd_usage("trace",
				 "the name '%s' tells no format; add -f, or a suffix like .pftrace",
				 path);
	/* a single output is what -f says, whatever its name, as in record */
	if (o->output_cnt > 1 && asked < FORMAT_MAX && named < FORMAT_MAX &&
	    suffix_len(asked, path) < suffix_len(named, path))
		return cmd_usage(
			"trace",
			"-f says %s, and the name '%s' says another format; leave -f away, "
			"or name the file otherwise",
			formats[asked].name, path);
	if (parsed->stats && formats[out->format].of == TIMELINE)
		return cmd_usage(
			"trace",
			"--stats takes sums only, and '%s' would be a timeline (%s); leave "
			"--stats away for both: sums go to .txt, .stats.json or .pstats",
			path, formats[out->format].name);
	if (!formats[out->format].text && is_stdout(&out->output) && isatty(STDOUT_FILENO))
		return cmd_usage("trace", "%s is nothing for a terminal; give -o FILE",
				 formats[out->format].name);
	return 0;
}

/* Without -o: tables to where they are read, all else into a file. */
static void output_default(struct trace_options *o, enum trace_format format)
{
	const char *suffix = formats[format].suffixes[0];
	struct output *output = &o->outputs[o->output_cnt++].output;

	if (format == FORMAT_STATS || format == FORMAT_JSON)
		output->path = "-";
	else
		output->path = option_default_path("trace", true, suffix, strlen(suffix));
}

static int outputs_decide(struct trace_options *o, const struct parsed *parsed)
{
	enum trace_format asked = parsed->format ? format_by_name(parsed->format) : FORMAT_MAX;
	int i, k, code;

	if (parsed->format && asked == FORMAT_MAX)
		return cmd_usage("trace", "there is no format '%s' (" FORMAT_NAMES ")",
				 parsed->format);
	if (parsed->stats && asked < FORMAT_MAX && formats[asked].of == TIMELINE)
		return cmd_usage("trace",
				 "--stats takes sums, and -f %s is a timeline; give one of them",
				 parsed->format);
	if (!o->output_cnt)
		output_default(o, asked < FORMAT_MAX ? asked
				  : parsed->stats    ? FORMAT_STATS
						     : FORMAT_PERFETTO);
	for (i = 0; i < o->output_cnt; i++) {
		code = output_decide(o, &o->outputs[i], parsed, asked);
		if (code)
			return code;
		for (k = 0; k < i; k++)
			if (output_is_same(&o->outputs[k].output, &o->outputs[i].output))
				return cmd_usage("trace", "'%s' is given twice",
						 o->outputs[i].output.path);
	}
	return 0;
}

/* What follows from the outputs, and what does not go with them. */
static int needs_decide(struct trace_options *o, const struct parsed *parsed)
{
	bool of[3] = { false }, pstats = false;
	int i;

	for (i = 0; i < o->output_cnt; i++) {
		of[formats[o->outputs[i].format].of] = true;
		pstats |= o->outputs[i].format == FORMAT_PSTATS;
	}
	o->calls = of[TIMELINE] || (of[JOURNAL] && !parsed->stats);
	o->edges = o->callers || pstats;
	if (!parsed->compensate_given)
		o->compensate = of[SUMS];
	if (o->callers && !of[SUMS] && !of[JOURNAL])
		return cmd_usage("trace",
				 "--callers is for sums; add --stats, or an output of sums "
				 "(.txt, .stats.json, .pstats)");
	if (o->min_ns && !o->calls)
		return cmd_usage("trace",
				 "--min-duration leaves short calls out of a timeline, and no "
				 "output is one; sums are of all calls");
	if (parsed->compensate_given && !of[SUMS])
		return cmd_usage(
			"trace",
			"--%scompensate is for sums, and no output has any; a timeline shows "
			"times as they were",
			o->compensate ? "" : "no-");
	return 0;
}

int options_trace(struct trace_options *o, int argc, char **argv)
{
	static const struct argp argp = { trace_options, trace_parse, "-p PID\n-- COMMAND [ARG...]",
					  trace_doc,     NULL,        NULL,
					  NULL };
	struct parsed parsed = { .o = o };
	int code;

	*o = (struct trace_options){ .max_overhead = OVERHEAD_DEFAULT, .ring_bytes = RING_DEFAULT };
	argp_err_exit_status = EXIT_USAGE;
	argv[0] = "uncoil trace"; /* as getopt's sentences and the help begin */
	if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &parsed))
		return EXIT_USAGE;
	if (o->pid_cnt && o->command)
		return cmd_usage("trace", "give -p PID or a command, not both");
	if (!o->pid_cnt && !o->command)
		return cmd_usage("trace", "nothing to trace: give -p PID, or -- COMMAND");
	if (o->quiet && o->verbose)
		return cmd_usage("trace", "give -q or -v, not both");
	code = outputs_decide(o, &parsed);
	return code ? code : needs_decide(o, &parsed);
}

void options_trace_unmatched(const struct trace_options *o, FILE *out)
{
	const struct match_pattern *p;
	uint32_t i;

	for (i = 0; i < o->match.cnt; i++) {
		p = &o->match.patterns[i];
		if (p->fitted)
			continue;
		fputs("no function matches '", out);
		cmd_show(out, p->text);
		if (!p->module) {
			/* who wrote a module's name gets what he asked for, which is not what he meant */
			fputs("' (if that is a module: '", out);
			cmd_show(out, p->text);
			fputs(":*'", out);
		}
		fputs(p->module ? "'\n" : ")\n", out);
	}
}

void options_trace_done(struct trace_options *o)
{
	match_done(&o->match);
}
