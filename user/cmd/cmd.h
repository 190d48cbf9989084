/* SPDX-License-Identifier: Apache-2.0 */
/* The commands, and what they share: the only layer that prints, and picks exit codes. */
#ifndef UNCOIL_CMD_CMD_H
#define UNCOIL_CMD_CMD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/secret.h"

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_LOST = 3, /* ran, but data was lost: the output says how much */
};

struct command {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the command's name; an exit code */
	const char *what;                  /* for `uncoil help` */
};

int cmd_record(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_trace(int argc, char **argv);

struct buf;
struct err;

/* "uncoil record: SENTENCE" on standard error; returns EXIT_FAILED. */
int cmd_fail(const char *command, const struct err *err);

/* The same for a wrong command line, with the hint where help is; EXIT_USAGE. */
int cmd_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Nothing may be lost in stdio's buffer: a full disk shows only when that is written. EXIT_DONE, or
 * EXIT_FAILED with its sentence. The second is for atexit(3): it ends uncoil with EXIT_FAILED if that was
 * so and nobody said it yet. */
int cmd_stdout_done(const char *command);
void cmd_stdout_exit(void);

/* Prints text that may be hostile, or come from somebody else's journal, escaped for a terminal. */
void cmd_show(FILE *out, const char *text);

/* Appends a process's command line, clean and without its secrets, for whatever shows or keeps one:
 * no other code may read it. Nothing if it cannot be read. 0, or out->err, which is also -ENOMEM if
 * memory lacked before the secrets were out. */
#define CMD_COMMAND_MAX (3 * SECRET_LINE_MAX) /* bytes it appends at most */
int cmd_command(pid_t pid, struct buf *out);

/* What was given with -p, to the end of a list of up to `max`. 0, or EXIT_USAGE with its sentence
 * printed: it is no process id, it is there already, the list is full. */
int cmd_pid(const char *command, const char *text, pid_t *pids, int max, int *cnt);

/* Parses a whole number within bounds; false if it is none. */
bool cmd_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value);

#endif
