/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of trace: what follows from it, and a sentence for each that makes no sense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/options_trace.h"

#define WORDS_MAX 600

/* Words between spaces; they stay until the next call. */
static int parse(struct trace_options *o, const char *line)
{
	static char words[65536], *argv[WORDS_MAX + 1];
	char *rest = words, *word;
	int argc = 0;

	assert_in_range(snprintf(words, sizeof(words), "%s", line), 0, sizeof(words) - 1);
	argv[argc++] = (char *)"trace";
	while ((word = strsep(&rest, " ")) && argc < WORDS_MAX)
		argv[argc++] = word;
	argv[argc] = NULL;
	return options_trace(o, argc, argv);
}

static void good(struct trace_options *o, const char *line)
{
	if (parse(o, line))
		fail_msg("%s", line);
}

struct said {
	int code;
	char out[16384], err[4096];
};

static size_t drain(int fd, char *to, size_t size)
{
	size_t len = 0;
	ssize_t got;

	while (len < size - 1 && (got = read(fd, to + len, size - 1 - len)) > 0)
		len += got;
	to[len] = '\0';
	close(fd);
	return len;
}

/* In a process of its own: a wrong word exits. */
static void ask(const char *line, bool terminal, struct said *ret)
{
	int out[2], err[2], status;
	struct trace_options *o;
	pid_t pid;

	assert_int_equal(terminal ? openpty(&out[0], &out[1], NULL, NULL, NULL) : pipe(out), 0);
	assert_int_equal(pipe(err), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(out[1], STDOUT_FILENO);
		dup2(err[1], STDERR_FILENO);
		close(out[0]);
		close(err[0]);
		o = calloc(1, sizeof(*o));
		status = o ? parse(o, line) : 99;
		if (o)
			options_trace_done(o);
		free(o);
		fflush(NULL);
		_exit(status);
	}
	close(out[1]);
	close(err[1]);
	/* a usage sentence and a help text are less than a pipe holds */
	drain(err[0], ret->err, sizeof(ret->err));
	drain(out[0], ret->out, sizeof(ret->out));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	ret->code = WEXITSTATUS(status);
}

static void one_sentence(const struct said *said, const char *line, const char *words)
{
	const char *end = strchr(said->err, '\n');

	if (said->code != EXIT_USAGE || !strstr(said->err, words) || !end || end[1] ||
	    strncmp(said->err, "uncoil trace: ", 14) != 0 || said->out[0])
		fail_msg("%s: %d '%s' '%s', not '%s'", line, said->code, said->err, said->out,
			 words);
}

static void wrong_lines(void **state)
{
	static const struct {
		const char *line, *words;
	} cases[] = {
		{ "--stats", "nothing to trace: give -p PID, or -- COMMAND" },
		{ "-p 1 -- python3", "give -p PID or a command, not both" },
		{ "-p 1 python3", "give -p PID or a command, not both" },
		{ "-p 0", "'0' is no process id" },
		{ "-p 1 -p 1", "process 1 is given twice" },
		{ "-p 1 -d 0", "the duration must be a number of seconds, not '0'" },
		{ "-p 1 -d 1m", "the duration must be a number of seconds, not '1m'" },
		{ "-p 1 -d 1e3", "not '1e3'" },
		{ "-p 1 --max-overhead -5", "0.001 to 1000, or 0 for no bound, not '-5'" },
		{ "-p 1 --max-overhead 1001", "not '1001'" },
		{ "-p 1 --depth 0", "--depth takes 1 to 1000000, not '0'" },
		{ "-p 1 --depth x", "not 'x'" },
		{ "-p 1 --min-duration 1", "a time with its unit, like 500us, 1ms or 2s" },
		{ "-p 1 --min-duration 0ms", "not '0ms'" },
		{ "-p 1 --min-duration -1ms", "not '-1ms'" },
		{ "-p 1 --min-duration 1.5.2ms", "not '1.5.2ms'" },
		{ "-p 1 --min-duration ms", "not 'ms'" },
		{ "-p 1 --min-duration 1m", "not '1m'" },
		{ "-p 1 --min-duration 2h", "not '2h'" },
		{ "-p 1 --min-duration 3601s", "not '3601s'" },
		{ "-p 1 --min-duration 1e3ms", "not '1e3ms'" },
		{ "-p 1 --min-duration 0.2ns", "not '0.2ns'" },
		{ "-p 1 --ring-size 65537", "must be a power of two" },
		{ "-p 1 --ring-size 4096", "must be a power of two" },
		{ "-p 1 --thread ", "--thread takes a thread's name" },
		{ "-p 1 --match ", "--match: a pattern is a function's name or MODULE:NAME" },
		{ "-p 1 --match !", "--match: '!': after one '!'" },
		{ "-p 1 --match a:b:c", "two colons" },
		{ "-p 1 --match f[", "'[' is not closed" },
		{ "-p 1 --match \x1b[31m", "\\x1b[31m" },
		{ "-p 1 --match \xff", "not UTF-8" },
		{ "-p 1 -q -v", "give -q or -v, not both" },
		{ "-p 1 -f svg",
		  "there is no format 'svg' (perfetto, chrome, jsonl, stats, json, pstats, raw)" },
		{ "-p 1 -f ", "there is no format ''" },
		{ "-p 1 -o x.svg", "the name 'x.svg' tells no format" },
		{ "-p 1 -o -", "the name '-' tells no format" },
		{ "-p 1 -o .", "the name '.' tells no format" },
		{ "-p 1 -o x.txt -o x.txt", "'x.txt' is given twice" },
		{ "-p 1 -o x.txt -o ./x.txt", "'./x.txt' is given twice" },
		{ "-p 1 -f stats -o - -o /dev/stdout", "'/dev/stdout' is given twice" },
		{ "-p 1 -f stats -o x.txt -o x.jsonl", "-f says stats, and the name 'x.jsonl'" },
		{ "-p 1 -f jsonl -o x.jsonl -o x.uncoil", "the name 'x.uncoil' says another" },
		{ "-p 1 --stats -o x.pftrace", "'x.pftrace' would be a timeline (perfetto)" },
		{ "-p 1 --stats -o x.txt -o x.jsonl", "'x.jsonl' would be a timeline (jsonl)" },
		{ "-p 1 --stats -o x.trace.json", "'x.trace.json' would be a timeline (chrome)" },
		{ "-p 1 -f chrome -o x.json -o x.stats.json",
		  "the name 'x.stats.json' says another" },
		{ "-p 1 --stats -f chrome", "--stats takes sums, and -f chrome is a timeline" },
		{ "-p 1 --callers", "--callers is for sums" },
		{ "-p 1 --callers -o x.json", "--callers is for sums" },
		{ "-p 1 --stats --min-duration 1ms", "--min-duration leaves short calls out of" },
		{ "-p 1 -f pstats --min-duration 1ms", "no output is one" },
		{ "-p 1 --stats -o x.uncoil --min-duration 1ms", "no output is one" },
		{ "-p 1 --compensate", "--compensate is for sums" },
		{ "-p 1 --no-compensate -o x.uncoil", "--no-compensate is for sums" },
		{ "-p 1 --nonsense", "--nonsense" },
		{ "-p", "requires an argument" },
		{ "-Z", "Z" },
		{ "-r 99 -p 1", "'r'" },
	};
	struct said said;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ask(cases[i].line, false, &said);
		/* getopt's own sentences have another beginning, and no hint */
		if (!strncmp(said.err, "uncoil trace: ", 14))
			one_sentence(&said, cases[i].line, cases[i].words);
		else
			fail_msg("%s: '%s'", cases[i].line, said.err);
		assert_null(strchr(said.err, '\x1b'));
	}
}

static void too_many_of_anything(void **state)
{
	static const struct {
		const char *before, *after, *words; /* of a number */
		int most;
	} cases[] = {
		{ "-p ", "", "257 is one process too many", TRACE_PIDS_MAX },
		{ "-o ", ".txt", "17.txt is one output too many", OUTPUTS_MAX },
		{ "--match f", "", "'f65' is one too many", MATCH_MAX },
		{ "--thread t", "", "--thread t65 is one too many", REPORT_ONLY_MAX },
	};
	char line[16384];
	struct said said;
	size_t i, len;
	int k;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		len = 0;
		for (k = 1; k <= cases[i].most + 1; k++)
			len += snprintf(line + len, sizeof(line) - len, "%s%s%d%s",
					k > 1 ? " " : "", cases[i].before, k, cases[i].after);
		ask(line, false, &said);
		one_sentence(&said, line, cases[i].words);
	}
}

static void what_is_binary_is_not_for_a_terminal(void **state)
{
	static const char *const refused[] = { "-f perfetto -p 1 -o -", "-f raw -p 1 -o -",
					       "-f pstats -p 1 -o /dev/stdout" };
	static const char *const taken[] = {
		"-f chrome -p 1 -o -", "-f jsonl -p 1 -o -", "-f json -p 1", "--stats -p 1", "-p 1",
		"-p 1 -o x.pftrace"
	};
	struct said said;
	size_t i;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		ask(refused[i], true, &said);
		one_sentence(&said, refused[i], " is nothing for a terminal; give -o FILE");
		ask(refused[i], false, &said);
		assert_int_equal(said.code, 0);
	}
	for (i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		ask(taken[i], true, &said);
		assert_int_equal(said.code, 0);
		assert_string_equal(said.err, "");
	}
}

static void help(void **state)
{
	static const char *const words[] = { "--match=GLOB",
					     "--min-duration=TIME",
					     "--callers",
					     "--compensate",
					     "--no-compensate",
					     "--max-overhead=PERCENT",
					     "Usage: uncoil trace [OPTION...] -p PID",
					     "uncoil trace [OPTION...] -- COMMAND [ARG...]",
					     "  uncoil trace -p 1234 -d 5 -o run.pftrace\n" };
	struct said said;
	size_t i;

	ask("--help", false, &said);
	assert_int_equal(said.code, 0);
	assert_string_equal(said.err, "");
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strstr(said.out, words[i]))
			fail_msg("'%s' is not in %s", words[i], said.out);
}

static struct trace_options o; /* large */

static void defaults(void **state)
{
	good(&o, "-p 7");
	assert_int_equal(o.pid_cnt, 1);
	assert_int_equal(o.pids[0], 7);
	assert_null(o.command);
	assert_int_equal(o.duration_ns, 0);
	assert_int_equal(o.max_overhead, 250000);
	assert_int_equal(o.ring_bytes, 16 << 20);
	assert_int_equal(o.match.cnt + o.only_cnt + o.depth + o.min_ns, 0);
	assert_false(o.children || o.callers || o.edges || o.compensate || o.quiet || o.verbose);
	assert_true(o.calls);
	assert_int_equal(o.output_cnt, 1);
	assert_int_equal(o.outputs[0].format, FORMAT_PERFETTO);
	assert_null(o.outputs[0].output.sink);
	/* uncoil-trace-20261123-101500.pftrace */
	assert_int_equal(strlen(o.outputs[0].output.path), 36);
	assert_memory_equal(o.outputs[0].output.path, "uncoil-trace-20", 15);
	assert_string_equal(o.outputs[0].output.path + 28, ".pftrace");
	options_trace_done(&o);
}

static void all_that_can_be_said(void **state)
{
	good(&o,
	     "-p 7 -p 8 -d 2.5 -s -v --match a:* --match !b --thread w* --thread 9 --depth 3 "
	     "--min-duration 1.5us --max-overhead 0.5% --ring-size 65536 -o x.pftrace -o y.prof "
	     "--callers --no-compensate");
	assert_int_equal(o.pid_cnt, 2);
	assert_int_equal(o.duration_ns, 2500000000);
	assert_true(o.children && o.verbose && o.callers && o.calls && o.edges);
	assert_false(o.quiet || o.compensate);
	assert_int_equal(o.match.cnt, 2);
	assert_int_equal(o.match.take_cnt, 1);
	assert_int_equal(o.only_cnt, 2);
	assert_string_equal(o.only[1], "9");
	assert_int_equal(o.depth, 3);
	assert_int_equal(o.min_ns, 1500);
	assert_int_equal(o.max_overhead, 5000);
	assert_int_equal(o.ring_bytes, 65536);
	assert_int_equal(o.output_cnt, 2);
	assert_int_equal(o.outputs[1].format, FORMAT_PSTATS);
	assert_string_equal(o.outputs[1].output.path, "y.prof");
	options_trace_done(&o);
	/* what follows the command is its own */
	good(&o, "--max-overhead 0 -q python3 x.py --stats -p 5");
	assert_int_equal(o.max_overhead, 0);
	assert_true(o.quiet && o.calls);
	assert_int_equal(o.pid_cnt, 0);
	assert_string_equal(o.command[0], "python3");
	assert_string_equal(o.command[4], "5");
	assert_null(o.command[5]);
	options_trace_done(&o);
	good(&o, "-- -x");
	assert_string_equal(o.command[0], "-x");
	options_trace_done(&o);
}

static void times(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} cases[] = { { "1ns", 1 },       { "250us", 250000 },   { "1ms", 1000000 },
		      { ".5ms", 500000 }, { "2s", 2000000000 },  { "3600s", 3600000000000 },
		      { "0.001us", 1 },   { "1.001ms", 1001000 } };
	char line[64];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(line, sizeof(line), "-p 1 --min-duration %s", cases[i].text);
		good(&o, line);
		assert_int_equal(o.min_ns, cases[i].ns);
		options_trace_done(&o);
	}
}

static void outputs_decide_what_is_traced(void **state)
{
	static const struct {
		const char *line;
		enum trace_format format;
		const char *path; /* its end */
		bool calls, edges, compensate;
	} cases[] = {
		{ "-o x.pftrace", FORMAT_PERFETTO, "x.pftrace", true, false, false },
		{ "-o x.perfetto-trace", FORMAT_PERFETTO, "x.perfetto-trace", true, false, false },
		{ "-o x.json", FORMAT_CHROME, "x.json", true, false, false },
		{ "-o x.trace.json", FORMAT_CHROME, "x.trace.json", true, false, false },
		{ "-o x.jsonl", FORMAT_JSONL, "x.jsonl", true, false, false },
		{ "-o x.stats.json", FORMAT_JSON, "x.stats.json", false, false, true },
		{ "-o x.txt", FORMAT_STATS, "x.txt", false, false, true },
		{ "-o x.pstats", FORMAT_PSTATS, "x.pstats", false, true, true },
		{ "-o x.prof", FORMAT_PSTATS, "x.prof", false, true, true },
		{ "-o x.uncoil", FORMAT_RAW, "x.uncoil", true, false, false },
		{ "-f perfetto", FORMAT_PERFETTO, ".pftrace", true, false, false },
		{ "-f chrome", FORMAT_CHROME, ".trace.json", true, false, false },
		{ "-f jsonl", FORMAT_JSONL, ".jsonl", true, false, false },
		{ "-f pstats", FORMAT_PSTATS, ".pstats", false, true, true },
		{ "-f raw", FORMAT_RAW, ".uncoil", true, false, false },
		{ "-f raw --callers", FORMAT_RAW, ".uncoil", true, true, false },
		/* tables go where they are read */
		{ "-f stats", FORMAT_STATS, "-", false, false, true },
		{ "-f json", FORMAT_JSON, "-", false, false, true },
		{ "--stats", FORMAT_STATS, "-", false, false, true },
		{ "--stats --callers", FORMAT_STATS, "-", false, true, true },
		{ "--stats --no-compensate", FORMAT_STATS, "-", false, false, false },
		{ "--stats -f json", FORMAT_JSON, "-", false, false, true },
		{ "--stats -f pstats", FORMAT_PSTATS, ".pstats", false, true, true },
		{ "--stats -o x.json", FORMAT_JSON, "x.json", false, false, true },
		{ "--stats -o x.pstats", FORMAT_PSTATS, "x.pstats", false, true, true },
		{ "--stats -o x.uncoil", FORMAT_RAW, "x.uncoil", false, false, false },
		{ "--stats -o x.anything", FORMAT_STATS, "x.anything", false, false, true },
		{ "--stats -o -", FORMAT_STATS, "-", false, false, true },
		/* one output is what -f says; of several, each must agree */
		{ "-f stats -o x.pftrace", FORMAT_STATS, "x.pftrace", false, false, true },
		{ "-f json -o x.json -o y.json", FORMAT_JSON, "x.json", false, false, true },
		{ "-f json -o x.json -o y", FORMAT_JSON, "x.json", false, false, true },
		/* one timeline makes it one */
		{ "-o x.txt -o y.pftrace --min-duration 1ms", FORMAT_STATS, "x.txt", true, false,
		  true },
		{ "-o x.stats.json -o y.json", FORMAT_JSON, "x.stats.json", true, false, true },
		{ "-o x.pftrace -o y.prof", FORMAT_PERFETTO, "x.pftrace", true, true, true },
	};
	char line[128];
	const char *path;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(line, sizeof(line), "-p 1 %s", cases[i].line);
		good(&o, line);
		path = o.outputs[0].output.path;
		if (o.outputs[0].format != cases[i].format ||
		    strlen(path) < strlen(cases[i].path) ||
		    strcmp(path + strlen(path) - strlen(cases[i].path), cases[i].path) != 0 ||
		    o.calls != cases[i].calls || o.edges != cases[i].edges ||
		    o.compensate != cases[i].compensate)
			fail_msg("%s: %s %s %d %d %d", cases[i].line,
				 trace_format_name(o.outputs[0].format), path, o.calls, o.edges,
				 o.compensate);
		options_trace_done(&o);
	}
	assert_true(trace_format_is_timeline(FORMAT_JSONL) && !trace_format_is_sums(FORMAT_JSONL));
	assert_true(trace_format_is_sums(FORMAT_PSTATS) &&
		    !trace_format_is_timeline(FORMAT_PSTATS));
	assert_false(trace_format_is_sums(FORMAT_RAW) || trace_format_is_timeline(FORMAT_RAW));
}

static void patterns_that_nothing_fits_are_told(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	good(&o, "-p 1 --match shop:f --match shop --match !a\x1b* --match b:\x1b --match !g");
	assert_true(match_takes(&o.match, "shop", "f"));
	assert_false(match_takes(&o.match, "shop", "g"));
	options_trace_unmatched(&o, out);
	fclose(out);
	assert_string_equal(text, "no function matches 'shop' (if that is a module: 'shop:*')\n"
				  "no function matches '!a\\x1b*' (if that is a module: "
				  "'!a\\x1b*:*')\n"
				  "no function matches 'b:\\x1b'\n");
	free(text);
	options_trace_done(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_lines),
		cmocka_unit_test(too_many_of_anything),
		cmocka_unit_test(what_is_binary_is_not_for_a_terminal),
		cmocka_unit_test(help),
		cmocka_unit_test(defaults),
		cmocka_unit_test(all_that_can_be_said),
		cmocka_unit_test(times),
		cmocka_unit_test(outputs_decide_what_is_traced),
		cmocka_unit_test(patterns_that_nothing_fits_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
