/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Masking of secrets in command lines.
 *
 *	gunicorn --token abc -b :80 app:app       gunicorn --token *** -b :80 app:app
 *	env PGPASSWORD=abc psql                   env PGPASSWORD=*** psql
 *	curl -H 'Authorization: Bearer abc' ...   curl -H 'Authorization: ***' ...
 *	celery -b redis://:abc@db/0               celery -b redis://:***@db/0
 *
 * A secret is known by its name (the word before it: an option, a variable, a header, a JSON key),
 * by its place (a URL's password or query, the word after "Bearer"), or by its look (a JWT, the
 * prefixes that providers give their keys, long random words). Each argument is scanned once from
 * left to right; at each place where a name can begin the rules are tried in that order.
 *
 * Three facts that surprise. The name may be in one argument and the value in the next. A process
 * that sets its title leaves the whole line in one argument. And shells and interpreters take
 * programs as one argument, so inside an argument the same rules must hold, quotes included.
 * Where a value's end is unclear, the longer reading is masked: a word too much costs a look at the
 * host, a word too little a password.
 */
#include "base/secret.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/secret_look.h"

#define MASK           "***"
#define ELLIPSIS       "\xe2\x80\xa6"
#define CODE_MAX       80         /* characters kept of `python -c CODE` */
#define INPUT_MAX      (1U << 16) /* bytes looked at; a line shows 4096 */
#define AHEAD_MAX      4096       /* bytes looked ahead for an '@' or '=' */
#define NAME_LEN_MAX   256        /* a longer name is taken in pieces */
#define RANDOM_MIN     32         /* shortest random word */
#define RANDOM_URL_MIN 20         /* the same as a segment of a URL's path */

/* Headers whose value may follow the colon at once. Other names need a space, a quote or '=':
 * "myproject.auth:app" is a module and its application. */
static const char *const headers[] = {
	"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token",
};

/* Options whose names do not tell, by program. */
static const struct {
	const char *prog;
	bool is_family; /* the beginning of the name is enough: mysqldump */
	const char *option;
	bool attached; /* only as -pSECRET: "-p db" asks for the password */
} prog_options[] = {
	{ "mysql", true, "-p", true },        { "mariadb", true, "-p", true },
	{ "curl", false, "-u", false },       { "curl", false, "-U", false },
	{ "curl", false, "--user", false },   { "curl", false, "--proxy-user", false },
	{ "sshpass", false, "-p", false },    { "redis-cli", false, "-a", false },
	{ "mongo", false, "-p", false },      { "mongosh", false, "-p", false },
	{ "ldapsearch", false, "-w", false }, { "ldapmodify", false, "-w", false },
	{ "smbclient", false, "-U", false },  { "http", false, "-a", false },
	{ "https", false, "-a", false },      { "mycli", false, "-p", false },
	{ "twine", false, "-p", false },      { "supervisorctl", false, "-p", false },
	{ "login", false, "-p", false }, /* docker login, az login, oc login */
};

enum place {
	PLACE_WORD, /* an argument of its own: a value that begins it reaches to its end */
	PLACE_TEXT, /* several words in one argument: a title, a shell's or Python's program */
};

struct secret {
	struct buf *out;
	const char *start, *end; /* the argument */
	enum place place;
	const char *prog; /* last program that was named and has rows in prog_options, or NULL */
	size_t prog_len;
	bool pending; /* the next word is a secret's value */
	bool in_path; /* the scan is within a path: random words are names there */
	bool in_url;  /* within a URL: they are not */
};

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

static bool is_random(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '+' || c == '/';
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_quote(char c)
{
	return c == '"' || c == '\'';
}

/* The end of a value that begins at p: at white space that is in no quotes. A value that is quoted
 * as a whole ends with its quote where something follows that cannot be part of it. */
static const char *value_end(const char *p, const char *end)
{
	const char *start = p;
	char quote = 0;

	for (; p < end; p++) {
		if (*p == '\\' && p + 1 < end) {
			p++;
		} else if (quote && *p == quote) {
			quote = 0;
			if (is_quote(*start) && (p + 1 == end || strchr(",;)}]&", p[1])))
				return p + 1;
		} else if (!quote && is_quote(*p)) {
			quote = *p;
		} else if (!quote && is_space(*p)) {
			break;
		}
	}
	return p;
}

/* Masks [p, end) unless it is no secret; keeps a pair of quotes around it. */
static void mask(struct secret *s, const char *p, const char *end)
{
	bool quoted = end - p >= 2 && is_quote(*p) && end[-1] == *p;
	const char *first = p + quoted, *last = end - quoted;

	if (first == last || secret_is_harmless(first, (size_t)(last - first))) {
		buf_add(s->out, p, (size_t)(end - p));
		return;
	}
	buf_add(s->out, p, quoted);
	buf_str(s->out, MASK);
	buf_add(s->out, p, quoted);
}

/* scheme://user:password@host, p after the "//". Passwords with an unescaped '/' or '@' in them
 * are common enough: the last '@' of the word counts, unless what stands before the first '/' is
 * a plain host and port. Returns where the scan goes on. */
static const char *url_userinfo(struct secret *s, const char *p)
{
	const char *stop = p, *authority = NULL, *at = NULL, *colon = NULL, *c;

	for (; stop < s->end && stop - p < AHEAD_MAX && !is_space(*stop) && !is_quote(*stop);
	     stop++) {
		if (*stop == '@')
			at = stop;
		if (!authority && strchr("/?#", *stop))
			authority = stop;
		if (!authority && !colon && *stop == ':')
			colon = stop;
	}
	if (!authority)
		authority = stop;
	if (!at)
		return p;
	if (!memchr(p, '@', (size_t)(authority - p))) {
		/* http://host/@scope, http://host:8080/@scope */
		c = colon ? colon + 1 : authority;
		while (c < authority && isdigit((unsigned char)*c))
			c++;
		if (c == authority)
			return p;
	}
	if (colon && colon < at) {
		buf_add(s->out, p, (size_t)(colon + 1 - p));
		buf_str(s->out, MASK);
		return at;
	}
	/* https://TOKEN@host; a user's name is short */
	if (at - p >= RANDOM_URL_MIN) {
		buf_str(s->out, MASK);
		return at;
	}
	return p;
}

/* A URL whose path is the secret: its end, or NULL. */
static const char *webhook(struct secret *s, const char *p)
{
	size_t head = secret_is_webhook(p, (size_t)(s->end - p));
	const char *stop = p + head;

	if (!head)
		return NULL;
	while (stop < s->end && !is_space(*stop) && !is_quote(*stop))
		stop++;
	buf_add(s->out, p, head);
	mask(s, p + head, stop);
	return stop;
}

/* Masks a provider's key, a private key or a random word that begins at p. Returns its end, or p. */
static const char *scan_look(struct secret *s, const char *p)
{
	size_t len, min = s->in_url ? RANDOM_URL_MIN : RANDOM_MIN;
	const char *stop;

	if (s->end - p >= 11 && !memcmp(p, "-----BEGIN ", 11)) {
		buf_str(s->out, MASK);
		return s->end;
	}
	len = secret_is_key(p, (size_t)(s->end - p));
	if (len) {
		buf_str(s->out, MASK);
		return p + len;
	}
	if ((s->in_path && !s->in_url) ||
	    (p > s->start && is_random(p[-1]) && !(s->in_url && p[-1] == '/')))
		return p;
	for (stop = p; stop < s->end && is_random(*stop) && !(s->in_url && *stop == '/'); stop++)
		;
	len = stop - p;
	if (len < min || !secret_is_random(p, len))
		return p;
	if (len < RANDOM_MIN && memchr(p, '-', len))
		return p; /* a readable part of a URL */
	while (stop < s->end && *stop == '=')
		stop++;
	buf_str(s->out, MASK);
	return stop;
}

/* NAME=value, NAME: value, "NAME": value, NAME = "value". p is the name's end. Returns the value's
 * start, or NULL if no value follows; *ret_header says that it reaches to the end of the line. */
static const char *value_start(const struct secret *s, const char *name, const char *p,
			       bool *ret_header)
{
	bool quoted = p < s->end && is_quote(*p), known = false;
	const char *sep;
	size_t i;

	for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		known |= strlen(headers[i]) == (size_t)(p - name) &&
			 !strncasecmp(headers[i], name, (size_t)(p - name));
	p += quoted;
	if (quoted && p < s->end && *p == ']')
		p++;
	for (sep = p; sep < s->end && *sep == ' '; sep++)
		;
	if (s->end - sep >= 2 && sep[0] == ':' && sep[1] == '=') /* name := value */
		sep++;
	if (sep < s->end && *sep == '=') {
		while (sep < s->end && *sep == '=')
			sep++;
		*ret_header = false;
	} else if (sep < s->end && *sep == ':' && sep == p) {
		sep++;
		if (!quoted && !known && sep < s->end && !is_space(*sep) && !is_quote(*sep))
			return NULL;
		*ret_header = !quoted;
	} else {
		return NULL;
	}
	while (sep < s->end && *sep == ' ')
		sep++;
	return sep;
}

/* The rules that go by a name. [name, p) is the name, dashes included. Returns where to go on
 * after name and value were written, or NULL if no rule applies. */
static const char *scan_named(struct secret *s, const char *name, const char *p)
{
	bool is_bearer, is_login, assigned, is_header = false;
	const char *value, *stop;

	is_bearer =
		p - name == 6 && !strncasecmp(name, "bearer", 6) && (p == s->end || is_space(*p));
	/* --login=user:password; bash's --login has no value */
	is_login = p - name > 5 && *name == '-' && !memcmp(p - 5, "login", 5) && p < s->end &&
		   *p == '=' && memchr(p, ':', (size_t)(s->end - p));
	if (!is_bearer && !is_login && !secret_is_name(name, (size_t)(p - name)))
		return NULL;
	value = is_bearer ? NULL : value_start(s, name, p, &is_header);
	assigned = value;
	if (!assigned) {
		/* --token abc */
		if (!is_bearer && (*name != '-' || (p < s->end && !is_space(*p))))
			return NULL;
		for (value = p; value < s->end && is_space(*value); value++)
			;
		if (s->end - value > 2 && !memcmp(value, "--", 2))
			return NULL;
	}
	buf_add(s->out, name, (size_t)(value - name));
	if (value == s->end) {
		/* `--token abc`, or an unquoted `Authorization: abc`; not an empty `--token=` */
		s->pending = !assigned || is_header;
		return value;
	}
	if (is_header && secret_is_scheme(value, (size_t)(s->end - value))) {
		s->pending = true; /* 'Authorization: Bearer' abc */
		buf_add(s->out, value, (size_t)(s->end - value));
		return s->end;
	}
	if (is_header && !is_quote(*value)) {
		for (stop = value; stop < s->end && *stop != '\n' && !is_quote(*stop); stop++)
			;
	} else if (s->place == PLACE_WORD && name == s->start) {
		stop = s->end;
	} else {
		stop = value_end(value, s->end);
	}
	mask(s, value, stop);
	return stop;
}

/* Options of prog_options. [word, p) is one. As scan_named(). */
static const char *scan_prog_option(struct secret *s, const char *word, const char *p)
{
	const char *option, *stop;
	size_t i, len;

	for (i = 0; i < sizeof(prog_options) / sizeof(prog_options[0]) && s->prog; i++) {
		len = strlen(prog_options[i].prog);
		if (s->prog_len < len || memcmp(s->prog, prog_options[i].prog, len) ||
		    (s->prog_len > len && !prog_options[i].is_family))
			continue;
		option = prog_options[i].option;
		len = strlen(option);
		if ((size_t)(p - word) < len || memcmp(word, option, len))
			continue;
		if ((size_t)(p - word) == len && (p == s->end || is_space(*p))) {
			if (prog_options[i].attached)
				return NULL;
			for (; p < s->end && is_space(*p); p++)
				;
			stop = value_end(p, s->end);
			s->pending = p == s->end;
		} else if (len == 2 || p[0] == '=') {
			p = len == 2 ? word + 2 : p + 1;
			stop = s->place == PLACE_WORD && word == s->start ? s->end
									  : value_end(p, s->end);
		} else {
			continue;
		}
		buf_add(s->out, word, (size_t)(p - word));
		if (p < stop)
			mask(s, p, stop);
		return stop;
	}
	return NULL;
}

/* Remembers a program that has options of its own: the last part of a path or a word alone. */
static void note_prog(struct secret *s, const char *name, const char *p)
{
	size_t i, len;

	if (p < s->end && !is_space(*p))
		return;
	for (i = 0; i < sizeof(prog_options) / sizeof(prog_options[0]); i++) {
		len = strlen(prog_options[i].prog);
		if ((size_t)(p - name) < len || memcmp(name, prog_options[i].prog, len) ||
		    ((size_t)(p - name) > len &&
		     (!prog_options[i].is_family || memchr(name, '.', (size_t)(p - name)))))
			continue;
		s->prog = name;
		s->prog_len = p - name;
	}
}

/* user:password@host without a scheme. p is the end of the user's name. As scan_named(). */
static const char *scan_login(struct secret *s, const char *name, const char *p)
{
	const char *c, *at = NULL;

	if (s->end - p < 3 || *p != ':' || p[1] == '/')
		return NULL;
	for (c = p + 1; c < s->end && c - p < AHEAD_MAX && !is_space(*c) && !is_quote(*c); c++)
		if (*c == '@')
			at = c;
	/* not image:tag@sha256:... */
	if (!at || at == p + 1 || at + 1 == c || (c - at > 7 && !memcmp(at, "@sha256", 7)))
		return NULL;
	buf_add(s->out, name, (size_t)(p + 1 - name));
	buf_str(s->out, MASK);
	return at;
}

/* One step of the scan, at a place where a name begins. Returns where to go on. */
static const char *scan_name(struct secret *s, const char *p)
{
	bool alone = p == s->start || is_space(p[-1]) || is_quote(p[-1]);
	const char *stop, *next, *dot;

	next = scan_look(s, p);
	if (next != p)
		return next;
	for (stop = p; stop < s->end && is_name(*stop) && stop - p < NAME_LEN_MAX; stop++)
		;
	if (s->end - stop >= 3 && !memcmp(stop, "://", 3)) {
		buf_add(s->out, p, (size_t)(stop + 3 - p));
		s->in_url = true;
		next = webhook(s, stop + 3);
		return next ? next : url_userinfo(s, stop + 3);
	}
	next = scan_named(s, p, stop);
	if (!next && alone && *p == '-')
		next = scan_prog_option(s, p, stop);
	if (!next && !s->in_path && !s->in_url)
		next = scan_login(s, p, stop);
	if (next)
		return next;
	if (alone || p[-1] == '/')
		note_prog(s, p, stop);
	/* a.b.c: the parts may be looked at, too */
	dot = memchr(p, '.', (size_t)(stop - p));
	if (dot && stop - p > RANDOM_URL_MIN)
		stop = dot + 1;
	buf_add(s->out, p, (size_t)(stop - p));
	/* sha256:..., a digest: public by its nature */
	if (stop - p >= 3 && stop - p <= 6 && (!memcmp(p, "sha", 3) || !memcmp(p, "md5", 3)))
		while (stop < s->end && (*stop == ':' || isxdigit((unsigned char)*stop)))
			buf_add(s->out, stop++, 1);
	return stop;
}

/* The end of a query at the '?' p - with or without a URL's scheme before it - or p. */
static const char *query_end(const struct secret *s, const char *p)
{
	const char *stop = p + 1;

	if (p == s->start || is_space(p[-1]) || stop == s->end)
		return p;
	while (stop < s->end && stop - p < AHEAD_MAX && !is_space(*stop) && !is_quote(*stop))
		stop++;
	return s->in_url || memchr(p, '=', (size_t)(stop - p)) ? stop : p;
}

static void scan(struct secret *s, const char *p, const char *end, enum place place)
{
	const char *stop;

	s->start = p;
	s->end = end;
	s->place = place;
	s->in_path = s->in_url = false;
	while (p < end && s->out->len <= SECRET_LINE_MAX && !s->out->err) {
		if (is_name(*p) && (p == s->start || !is_name(p[-1]) || p[-1] == '.')) {
			p = scan_name(s, p);
			continue;
		}
		stop = *p == '?' ? query_end(s, p) : p;
		if (stop != p) {
			buf_str(s->out, "?" MASK);
			p = stop;
			continue;
		}
		if (is_space(*p) || is_quote(*p) || strchr("=,;()[]{}", *p))
			s->in_path = s->in_url = false;
		else if (*p == '/')
			s->in_path = true;
		buf_add(s->out, p++, 1);
	}
}

/* Cuts what was added since `from` to `chars` characters. */
static void cut_chars(struct buf *out, size_t from, size_t chars)
{
	size_t i;

	for (i = from; i < out->len; i++) {
		if (((unsigned char)out->data[i] & 0xc0) == 0x80 || chars--)
			continue;
		out->len = i;
		buf_str(out, ELLIPSIS);
		return;
	}
}

/* -c, -Ic, -lc: the next word is a program's text. */
static bool is_code_option(const char *word, size_t len)
{
	size_t i;

	if (len < 2 || word[0] != '-' || word[len - 1] != 'c')
		return false;
	for (i = 1; i < len; i++)
		if (!isalpha((unsigned char)word[i]))
			return false;
	return true;
}

static void scan_word(struct secret *s, const char *p, size_t len, enum place place, bool is_code)
{
	const char *end = p + len, *c;
	bool quote = !len;
	size_t from;

	if (s->pending && !(len > 2 && !memcmp(p, "--", 2))) {
		if (!secret_is_scheme(p, len)) {
			/* an empty one may be a title's padding */
			s->pending = !len;
			mask(s, p, end);
		} else {
			buf_add(s->out, p, len);
		}
		return;
	}
	s->pending = false;
	for (c = p; c < end && !quote; c++)
		quote = is_space(*c);
	if (quote)
		buf_str(s->out, "'");
	from = s->out->len;
	scan(s, p, end, place);
	if (is_code)
		cut_chars(s->out, from, CODE_MAX);
	if (quote)
		buf_str(s->out, "'");
}

static bool is_python(const char *prog, size_t len)
{
	const char *base = memrchr(prog, '/', len);

	base = base ? base + 1 : prog;
	len -= base - prog;
	return (len >= 6 && !memcmp(base, "python", 6)) || (len >= 4 && !memcmp(base, "pypy", 4));
}

/* A cut must not split a UTF-8 sequence: back over its continuation bytes. */
static int line_finish(struct buf *out, struct buf *line, bool cut)
{
	if (line->len > SECRET_LINE_MAX)
		cut = true;
	if (cut && line->len > SECRET_LINE_MAX - strlen(ELLIPSIS)) {
		line->len = SECRET_LINE_MAX - strlen(ELLIPSIS);
		while (line->len && ((unsigned char)line->data[line->len] & 0xc0) == 0x80)
			line->len--;
	}
	if (cut)
		buf_str(line, ELLIPSIS);
	if (line->err)
		return out->err = line->err;
	return buf_add(out, line->data, line->len);
}

int secret_cmdline(struct buf *out, const void *bytes, size_t len)
{
	const char *p = bytes, *end, *word = NULL, *prev;
	bool cut = len > INPUT_MAX, is_code, python = false, options = true;
	size_t word_len = 0, prev_len;
	struct secret s = { 0 };
	struct buf line;
	int err;

	if (cut)
		len = INPUT_MAX;
	/* a title is padded with NULs where the arguments were */
	while (len && !p[len - 1])
		len--;
	end = p + len;
	buf_init(&line, 4 * INPUT_MAX);
	s.out = &line;
	for (; p < end && line.len <= SECRET_LINE_MAX; p += word_len + 1) {
		prev = word;
		prev_len = word_len;
		word = p;
		word_len = strnlen(p, (size_t)(end - p));
		if (prev)
			buf_str(&line, " ");
		else
			python = is_python(word, word_len);
		/* Python's own options end with its first argument that is none */
		is_code = prev && is_code_option(prev, prev_len);
		if (prev && options && !is_code && *word != '-' &&
		    !(prev_len && strchr("WX", prev[prev_len - 1])))
			options = false;
		scan_word(&s, word, word_len, is_code || word_len == len ? PLACE_TEXT : PLACE_WORD,
			  is_code && python && options);
		if (is_code)
			options = false;
	}
	err = line_finish(out, &line, cut || p < end);
	buf_done(&line);
	return err;
}

int secret_argv(struct buf *out, int argc, char *const argv[])
{
	struct buf bytes;
	int i, err;

	buf_init(&bytes, INPUT_MAX + 1);
	/* what does not fit would be cut anyway */
	for (i = 0; i < argc && bytes.len < INPUT_MAX; i++)
		buf_add(&bytes, argv[i], strnlen(argv[i], INPUT_MAX - bytes.len) + 1);
	err = bytes.err ? out->err = bytes.err : secret_cmdline(out, bytes.data, bytes.len);
	buf_done(&bytes);
	return err;
}
