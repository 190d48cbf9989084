/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "os/proc.h"

int cmd_fail(const char *command, const struct err *err)
{
	fprintf(stderr, "uncoil %s: ", command);
	cmd_show(stderr, err->msg[0] ? err->msg : "it failed without a reason; please report this");
	fputc('\n', stderr);
	return EXIT_FAILED;
}

int cmd_usage(const char *command, const char *fmt, ...)
{
	char text[512];
	struct buf shown;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_init(&shown, 4096);
	text_terminal(&shown, text);
	fprintf(stderr, "uncoil%s%s: %s; see uncoil%s%s --help\n", command ? " " : "",
		command ? command : "", buf_text(&shown), command ? " " : "",
		command ? command : "");
	buf_done(&shown);
	return EXIT_USAGE;
}

static bool stdout_told; /* that it cannot be written */

static int stdout_flush(const char *who)
{
	errno = 0;
	if (!fflush(stdout) && !ferror(stdout))
		return EXIT_DONE;
	fprintf(stderr, "%s: cannot write to standard output: %s\n", who,
		err_str(errno ? errno : EIO));
	stdout_told = true;
	return EXIT_FAILED;
}

int cmd_stdout_done(const char *command)
{
	char who[64];

	snprintf(who, sizeof(who), "uncoil %s", command);
	return stdout_flush(who);
}

void cmd_stdout_exit(void)
{
	if (!stdout_told && stdout_flush("uncoil") != EXIT_DONE)
		_exit(EXIT_FAILED);
}

void cmd_show(FILE *out, const char *text)
{
	struct buf shown;

	buf_init(&shown, 8 * strlen(text) + 1);
	text_terminal(&shown, text);
	fputs(buf_text(&shown), out);
	buf_done(&shown);
}

int cmd_command(pid_t pid, struct buf *out)
{
	struct buf raw, masked;
	int err;

	/* all of it: a word that is cut short may look like no secret any more */
	buf_init(&raw, 1u << 20);
	buf_init(&masked, SECRET_LINE_MAX);
	err = proc_cmdline(pid, &raw);
	if (!err)
		err = secret_cmdline(&masked, buf_text(&raw), raw.len);
	if (!err)
		text_clean(out, buf_text(&masked), masked.len);
	else if (err == -ENOMEM && !out->err)
		out->err = err;
	buf_done(&raw);
	buf_done(&masked);
	return out->err;
}

bool cmd_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	unsigned long long value;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end || value < min || value > max)
		return false;
	*ret_value = value;
	return true;
}

int cmd_pid(const char *command, const char *text, pid_t *pids, int max, int *cnt)
{
	uint64_t pid;
	int i;

	if (!cmd_number(text, 1, INT32_MAX, &pid))
		return cmd_usage(command, "'%s' is no process id", text);
	for (i = 0; i < *cnt; i++)
		if (pids[i] == (pid_t)pid)
			return cmd_usage(command, "process %s is given twice", text);
	if (*cnt == max)
		return cmd_usage(command, "%s is one process too many", text);
	pids[(*cnt)++] = pid;
	return 0;
}
