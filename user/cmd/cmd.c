/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"

int cmd_fail(const char *command, const struct err *err)
{
	fprintf(stderr, "uncoil %s: %s\n", command,
		err->msg[0] ? err->msg : "it failed without a reason; please report this");
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
