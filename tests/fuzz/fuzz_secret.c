/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any command line: the result is bounded, has no NUL and does not end within a UTF-8 sequence that
 * the input had whole. And a value whose place says that it is a secret never shows, whatever is
 * in it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/secret.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int ok)
{
	if (!ok)
		abort();
}

static void value_is_masked(const uint8_t *data, size_t size)
{
	char word[512] = "--password=", *argv[] = { "x", "--password", word, "y", NULL };
	static const char *const harmless[] = { "",    "true", "false", "yes",  "no",    "on",
						"off", "none", "null",  "True", "False", "None" };
	/* it is the word after one of these that is the secret */
	static const char *const schemes[] = { "Bearer", "bearer", "Basic", "basic",
					       "Digest", "Token",  "token", "Negotiate" };
	size_t i, head = strlen(word);
	char want[sizeof(word) + 32];
	struct buf out;

	if (size >= sizeof(word) - head)
		size = sizeof(word) - head - 1;
	memcpy(word + head, data, size);
	word[head + size] = '\0';
	for (i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		if (!strcmp(word + head, harmless[i]))
			return;
	/* a pair of quotes is kept, and white space before the value */
	if (strpbrk(word + head, "\"'") || strchr(" =", word[head]))
		return;
	buf_init(&out, 1 << 16);
	argv[1] = "-v";
	require(!secret_argv(&out, 4, argv));
	require(!strcmp(buf_text(&out), strpbrk(word, " \t\n\v\f\r") ? "x -v '--password=***' y"
								     : "x -v --password=*** y"));
	buf_clear(&out);
	argv[1] = "--password";
	argv[2] = word + head;
	require(!secret_argv(&out, 4, argv));
	snprintf(want, sizeof(want), "x --password *** y");
	for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (!strcmp(word + head, schemes[i]))
			snprintf(want, sizeof(want), "x --password %s ***", schemes[i]);
	if (strncmp(word + head, "--", 2) || !word[head + 2])
		require(!strcmp(buf_text(&out), want));
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	require(!secret_cmdline(&out, data, size));
	require(out.len <= SECRET_LINE_MAX);
	require(!out.len || !memchr(out.data, 0, out.len));
	buf_done(&out);
	value_is_masked(data, size);
	return 0;
}
