/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and measures behind secret.c. A missed or a wrong guess is mended by a word in a table here
 * and a line in tests/unit/test_secret.c. */
#include "base/secret_look.h"

#include <ctype.h>
#include <string.h>

#define NAME_END_MAX 64 /* the last characters of a name say what it is */

/* Parts of names that make a name secret, matched against the name in lower case with its words
 * parted by single spaces and one space at each end: "dbPassword" is " db password ". */
static const char *const secret_names[] = {
	"password",     "passwd",          "passphrase",    "passcode",     "pwd ",
	"secret",       "credential",      " creds ",       "apikey",       "api key",
	"accesskey",    "access key",      "privatekey",    "private key",  "secretkey",
	" signing key", " encryption key", " master key",   " auth key",    "authkey",
	" account key", " shared key",     " license key",  " session key", " service key",
	" hmac key",    " ssh key",        "authorization", " auth ",       "oauth ",
	"token ",       " tokens ",        "bearer",        " cookie",      " jwt ",
	" dsn ",        " pass ",          "session id ",   "sessionid ",   " pat ",
	" pw ",         " passin ",        " passout ",     "proxyauth ",
};

/* Last words of names that are about a secret and hold none: --password-file, --token-ttl. */
static const char *const harmless_ends[] = {
	"file",       "files",    "path",    "dir",      "name",     "names",     "type",
	"ttl",        "timeout",  "length",  "len",      "size",     "count",     "url",
	"uri",        "endpoint", "host",    "port",     "mode",     "provider",  "plugin",
	"class",      "method",   "id",      "policy",   "expiry",   "expire",    "expires",
	"age",        "prefix",   "suffix",  "header",   "field",    "algorithm", "alg",
	"enabled",    "disabled", "enable",  "required", "optional", "backend",   "backends",
	"jar",        "domain",   "secure",  "httponly", "samesite", "user",      "username",
	"realm",      "limit",    "prompt",  "stdin",    "env",      "ref",       "hashers",
	"validators", "server",   "version", "format",   "cache",    "store",     "manager",
	"arn",        "strategy", "scheme",  "through",  "service",  "module",    "app",
	"location",   "interval",
};

/* First words of names that switch or count something: --no-auth, --max-tokens. */
static const char *const harmless_starts[] = {
	"no", "disable", "enable", "skip", "max", "min", "num", "without", "use", "require",
};

/* Values that are no secret whatever the name says. */
static const char *const harmless_values[] = {
	"true", "false", "yes", "no", "on", "off", "none", "null", "True", "False", "None",
};

/* What providers put before their keys, and how much follows at least. */
static const struct {
	const char *text;
	size_t tail_min;
} prefixes[] = {
	{ "AKIA", 16 },     { "ASIA", 16 },      { "ghp_", 16 },     { "gho_", 16 },
	{ "ghu_", 16 },     { "ghs_", 16 },      { "ghr_", 16 },     { "github_pat_", 16 },
	{ "glpat-", 16 },   { "gldt-", 16 },     { "glrt-", 16 },    { "glptt-", 16 },
	{ "xoxb-", 10 },    { "xoxp-", 10 },     { "xoxa-", 10 },    { "xoxr-", 10 },
	{ "xoxs-", 10 },    { "xapp-", 10 },     { "sk_live_", 10 }, { "sk_test_", 10 },
	{ "rk_live_", 10 }, { "rk_test_", 10 },  { "pk_live_", 10 }, { "whsec_", 16 },
	{ "sk-ant-", 16 },  { "sk-proj-", 16 },  { "sk-", 32 },      { "AIza", 30 },
	{ "ya29.", 16 },    { "npm_", 30 },      { "pypi-", 30 },    { "hf_", 20 },
	{ "SG.", 30 },      { "dop_v1_", 30 },   { "shpat_", 20 },   { "glsa_", 20 },
	{ "hvs.", 20 },     { "dckr_pat_", 16 }, { "eyJ", 16 },      { "AGE-SECRET-KEY-", 16 },
};

/* Words that stand between "Authorization:" and the secret. */
static const char *const auth_schemes[] = {
	"Bearer", "bearer", "Basic", "basic", "Digest", "Token", "token", "Negotiate",
};

/* Services whose URLs are secrets behind this. */
static const char *const webhooks[] = {
	"hooks.slack.com/services/",      "hooks.slack.com/workflows/",
	"hooks.slack.com/triggers/",      "discord.com/api/webhooks/",
	"discordapp.com/api/webhooks/",   "api.telegram.org/bot",
	"chat.googleapis.com/v1/spaces/",
};

static bool in_list(const char *word, size_t len, const char *const *list, size_t cnt)
{
	size_t i;

	for (i = 0; i < cnt; i++)
		if (strlen(list[i]) == len && !memcmp(list[i], word, len))
			return true;
	return false;
}

#define IN_LIST(word, len, list) in_list(word, len, list, sizeof(list) / sizeof((list)[0]))

bool secret_is_harmless(const char *value, size_t len)
{
	return IN_LIST(value, len, harmless_values);
}

bool secret_is_scheme(const char *word, size_t len)
{
	return IN_LIST(word, len, auth_schemes);
}

size_t secret_is_webhook(const char *text, size_t len)
{
	size_t i, head;

	for (i = 0; i < sizeof(webhooks) / sizeof(webhooks[0]); i++) {
		head = strlen(webhooks[i]);
		if (len > head && !memcmp(text, webhooks[i], head))
			return head;
	}
	return 0;
}

size_t secret_is_key(const char *text, size_t len)
{
	size_t i, head, tail;

	for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		head = strlen(prefixes[i].text);
		if (len < head || memcmp(text, prefixes[i].text, head))
			continue;
		for (tail = 0; head + tail < len; tail++)
			if (!isalnum((unsigned char)text[head + tail]) &&
			    !strchr("_-.", text[head + tail]))
				break;
		if (tail >= prefixes[i].tail_min)
			return head + tail;
	}
	return 0;
}

/* "dbPassword", "DB_PASSWORD", "--db-password" -> " db password ". `words` has room for twice the
 * name and a little. */
static void name_words(const char *name, size_t len, char *words)
{
	char *w = words;
	size_t i;

	*w++ = ' ';
	for (i = 0; i < len; i++) {
		unsigned char c = name[i], prev = i ? name[i - 1] : 0,
			      next = i + 1 < len ? name[i + 1] : 0;

		if (!isalnum(c)) {
			if (w[-1] != ' ')
				*w++ = ' ';
			continue;
		}
		if (isupper(c) && (islower(prev) || (isupper(prev) && islower(next))) &&
		    w[-1] != ' ')
			*w++ = ' ';
		*w++ = tolower(c);
	}
	if (w[-1] != ' ')
		*w++ = ' ';
	*w = '\0';
}

bool secret_is_name(const char *name, size_t len)
{
	char words[2 * NAME_END_MAX + 4], *last, *end;
	bool is_secret = false;
	size_t i;

	if (len > NAME_END_MAX) {
		name += len - NAME_END_MAX;
		len = NAME_END_MAX;
	}
	/* the shell's working directory */
	if ((len == 3 && !memcmp(name, "PWD", 3)) || (len == 6 && !memcmp(name, "OLDPWD", 6)))
		return false;
	name_words(name, len, words);
	for (i = 0; i < sizeof(secret_names) / sizeof(secret_names[0]) && !is_secret; i++)
		is_secret = strstr(words, secret_names[i]);
	if (!is_secret)
		return false;
	if (strstr(words, "secret id ") || strstr(words, "session id "))
		return true;
	end = strchr(words + 1, ' ');
	if (end && IN_LIST(words + 1, (size_t)(end - words - 1), harmless_starts))
		return false;
	end = words + strlen(words) - 1;
	for (last = end; last > words && last[-1] != ' '; last--)
		;
	return !IN_LIST(last, (size_t)(end - last), harmless_ends);
}

/* Whether this is a random word and no name made by people: in those, upper and lower case and
 * digits take turns far less often. */
bool secret_is_random(const char *p, size_t len)
{
	size_t i, upper = 0, lower = 0, digits = 0, hex = 0, other = 0, turns = 0, part = 0,
		  longest = 0;
	int class, prev = 0;

	for (i = 0; i < len; i++) {
		unsigned char c = p[i];

		class = isupper(c) ? 1 : islower(c) ? 2 : isdigit(c) ? 3 : 0;
		upper += class == 1;
		lower += class == 2;
		digits += class == 3;
		other += !class;
		hex += isxdigit(c) != 0;
		turns += class && prev && class != prev;
		prev = class;
		part = c == '/' ? 0 : part + 1;
		longest = part > longest ? part : longest;
	}
	if (hex == len)
		return digits && upper + lower;
	if (longest < 13)
		return false; /* a relative path */
	if (upper && lower)
		return digits >= 2 && turns * 10 >= len * 4;
	return !other && digits >= 4 && upper + lower >= 4 && turns * 4 >= len;
}
