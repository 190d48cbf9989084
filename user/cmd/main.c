/* SPDX-License-Identifier: Apache-2.0 */
/* The command table and its dispatch, nothing else. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"

static const struct command commands[] = {
	{ "record", cmd_record, "sample where a Python process spends its CPU time" },
	{ "replay", cmd_replay, "write the same outputs again from a journal, without root" },
	{ "top", cmd_top, "show, live, where the CPU time goes" },
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
	      "  sudo uncoil dump -p 1234\n"
	      "  sudo uncoil doctor -p 1234\n",
	      out);
}

int main(int argc, char **argv)
{
	size_t i;

	signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of the write, reported like any */
	if (argc < 2) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		help(stdout);
		return EXIT_DONE;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("uncoil " UNCOIL_VERSION);
		return EXIT_DONE;
	}
	for (i = 0; i < COMMAND_CNT; i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	return cmd_usage(NULL, "there is no command '%s'", argv[1]);
}
