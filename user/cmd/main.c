/* SPDX-License-Identifier: Apache-2.0 */
/* The command table and its dispatch, nothing else. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"

static const struct command commands[] = {
	{ "record", cmd_record, "sample where a Python process spends its CPU time" },
	{ "replay", cmd_replay, "write the same outputs again from a journal, without root" },
	{ "top", cmd_top, "show, live, where the CPU time goes" },
	{ "trace", cmd_trace,
	  "trace each call of Python functions: a timeline, or sums by function" },
	{ "dump", cmd_dump, "print what every thread does at this moment" },
	{ "diff", cmd_diff, "say what changed between two recordings, and what may be chance" },
	{ "doctor", cmd_doctor, "say what works here and on a process, what doesn't, and why" },
};
#define COMMAND_CNT (sizeof(commands) / sizeof(commands[0]))

static void help(FILE *out)
{
	size_t i;

	fputs("Usage: uncoil COMMAND [OPTION...]\n\n"
	      "Shows what running Python processes are doing, from outside: they are not changed,\n"
	      "restarted or paused.\n\n",
	      out);
	for (i = 0; i < COMMAND_CNT; i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].what);
	fputs("\n  uncoil COMMAND --help tells more; uncoil --version.\n\n"
	      "Examples:\n"
	      "  sudo uncoil record -p 1234 -d 10 -o flame.svg\n"
	      "  sudo uncoil record -o flame.svg -- python3 script.py\n"
	      "  sudo uncoil top -p 1234\n"
	      "  sudo uncoil trace -p 1234 -d 5 -o calls.pftrace\n"
	      "  sudo uncoil dump -p 1234\n"
	      "  sudo uncoil doctor -p 1234\n",
	      out);
}

/* Who starts a program with a standard stream closed (cron, a minimal supervisor) gives its number to
 * the next file that is opened: what is said on stderr would be written into the output. */
static void streams_hold(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			/* the lowest free number; a write to stdout goes on to fail */
			(void)!open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
}

static int help_of(const struct command *command)
{
	char *argv[] = { (char *)command->name, "--help", NULL };

	return command->run(2, argv);
}

static const struct command *command_of(const char *name)
{
	size_t i;

	for (i = 0; i < COMMAND_CNT; i++)
		if (!strcmp(name, commands[i].name))
			return &commands[i];
	return NULL;
}

int main(int argc, char **argv)
{
	const struct command *command;

	streams_hold();
	/* a closed pipe and a file grown too large are errors of the write, reported like any */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	atexit(cmd_stdout_exit); /* getopt's and argp's help too */
	if (argc < 2) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		command = argc > 2 ? command_of(argv[2]) : NULL;
		if (command)
			return help_of(command);
		if (argc > 2)
			return cmd_usage(NULL, "there is no command '%s'", argv[2]);
		help(stdout);
		return EXIT_DONE;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("uncoil " UNCOIL_VERSION);
		return EXIT_DONE;
	}
	command = command_of(argv[1]);
	if (!command)
		return cmd_usage(NULL, "there is no command '%s'", argv[1]);
	if (argc == 3 && !strcmp(argv[2], "-h"))
		return help_of(command);
	return command->run(argc - 1, argv + 1);
}
