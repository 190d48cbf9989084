/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/option_words.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/cmd.h"
#include "model/profile.h"

#define RING_MIN     65536 /* several of the largest events */
#define RING_MAX     (256u << 20)
#define DURATION_MAX (366ull * 86400)
#define TIME_MAX_NS  3600e9

const char *option_command(const struct argp_state *state)
{
	return state->argv[0] + strlen("uncoil ");
}

int option_wrong(struct argp_state *state, const char *fmt, const char *arg)
{
	char text[512];

	snprintf(text, sizeof(text), fmt, arg);
	exit(cmd_usage(option_command(state), "%s", text));
}

/* No sign, exponent, 0x, inf, white space: *ret_end is behind the digits. */
static bool decimal(const char *text, double *ret_value, const char **ret_end)
{
	size_t len = strspn(text, "0123456789.");
	char digits[32], *end;

	if (!len || len >= sizeof(digits))
		return false;
	memcpy(digits, text, len);
	digits[len] = '\0';
	*ret_value = strtod(digits, &end);
	*ret_end = text + len;
	return end != digits && !*end;
}

bool option_seconds(const char *text, uint64_t *ret_ns)
{
	const char *end;
	double value;

	if (!decimal(text, &value, &end) || *end || !(value >= 0.001) || value > DURATION_MAX)
		return false;
	*ret_ns = value * 1e9;
	return true;
}

bool option_span(const char *text, uint64_t *ret_ns)
{
	static const struct {
		char suffix;
		uint64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 } };
	char digits[24];
	uint64_t value, unit = 1;
	size_t len = strlen(text), i;

	for (i = 0; i < sizeof(units) / sizeof(units[0]) && len; i++)
		if (text[len - 1] == units[i].suffix) {
			unit = units[i].seconds;
			len--;
			break;
		}
	if (!len || len >= sizeof(digits))
		return false;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (!cmd_number(digits, 1, DURATION_MAX / unit, &value))
		return false;
	*ret_ns = value * unit * 1000000000;
	return true;
}

bool option_time(const char *text, uint64_t *ret_ns)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = { { "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 } };
	const char *end;
	double value;
	size_t i;

	if (!decimal(text, &value, &end))
		return false;
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(end, units[i].name))
			break;
	if (i == sizeof(units) / sizeof(units[0]))
		return false;
	value *= units[i].ns;
	if (!(value >= 1) || value > TIME_MAX_NS)
		return false;
	*ret_ns = value + 0.5;
	return true;
}

bool option_percent(const char *text, uint32_t max, uint32_t *ret_millionths)
{
	double value;
	char *end;

	/* no sign, no white space, no "nan" */
	if (*text != '.' && (*text < '0' || *text > '9'))
		return false;
	value = strtod(text, &end);
	if (*end == '%')
		end++;
	if (end == text || *end || !(value <= max) || (value > 0 && value < 0.001))
		return false;
	*ret_millionths = value * 10000 + 0.5;
	return true;
}

bool option_ring(const char *text, uint32_t *ret_bytes)
{
	uint64_t value;

	if (!cmd_number(text, RING_MIN, RING_MAX, &value) || (value & (value - 1)))
		return false;
	*ret_bytes = value;
	return true;
}

int option_thread(const char *command, const char *arg, const char **only, uint32_t *cnt)
{
	if (!*arg)
		return cmd_usage(command, "--thread takes a thread's name, or its id");
	if (*cnt == REPORT_ONLY_MAX)
		return cmd_usage(command, "--thread %s is one too many", arg);
	only[(*cnt)++] = arg;
	return 0;
}

const char *option_default_path(const char *command, bool timed, const char *suffix,
				size_t suffix_len)
{
	static char path[128];
	time_t now = time(NULL);
	char when[32] = "";
	struct tm tm;

	if (timed && localtime_r(&now, &tm))
		strftime(when, sizeof(when), "-%Y%m%d-%H%M%S", &tm);
	snprintf(path, sizeof(path), "uncoil-%s%s%.*s", command, when, (int)suffix_len, suffix);
	return path;
}
