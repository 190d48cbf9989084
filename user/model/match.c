/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function is known by where it is defined and by its qualified name: "shop.views", "Cart.add". The
 * colon between them is that of Python's entry points and of pkgutil.resolve_name(); neither a module's
 * name nor a function's has one.
 *
 * Who writes MODULE:NAME knows what he means, and gets the whole name matched: shop:main is no method
 * main of some class in shop; shop:*.main is. Who writes a bare NAME has seen a function's name
 * somewhere, and a method is called by its last part in most people's mouths: `handle_*` finds
 * Shop.handle_order, serve.<locals>.handle_request and the function handle_it, in any module.
 *
 * The globs are the C library's, which backtracks to the last `*` only. In the C locale it would
 * take bytes for characters (`?` would not fit é), so it is given C.UTF-8; on a host that has no file of
 * that name (/usr/lib/locale/C.utf8) it stays with bytes. glibc (2.36) asks once more byte by byte where
 * characters do not fit, so `??` fits é too, and knows no range between letters beyond ASCII: [а-я] fits
 * nothing. That is not worth a matcher of our own.
 */
#include "model/match.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"

/* Of a set that begins at `p` ("[!]a-z[:alpha:]]") the last bracket; NULL: it has no end. */
static const char *set_end(const char *p)
{
	const char *q;
	char close[3] = "?]";

	p++;
	if (*p == '!' || *p == '^')
		p++;
	if (*p == ']') /* first in the set it stands for itself */
		p++;
	for (; *p && *p != ']'; p++) {
		if (*p == '\\' && p[1]) {
			p++;
		} else if (*p == '[' && p[1] && strchr(":.=", p[1])) {
			close[0] = p[1];
			q = strstr(p + 2, close);
			if (q)
				p = q + 1;
		}
	}
	return *p ? p : NULL;
}

/* Is it a glob? Then *ret_colon is where its first part ends, or NULL. */
static int scan(const char *glob, const char *text, const char **ret_colon, struct err *err)
{
	const char *p;

	*ret_colon = NULL;
	for (p = glob; *p; p++) {
		if (*p == '\\') {
			if (!*++p)
				return err_set(err, -EINVAL, "the pattern '%s' ends in a backslash",
					       text);
		} else if (*p == '[') {
			p = set_end(p);
			if (!p)
				return err_set(err, -EINVAL,
					       "in the pattern '%s' a '[' is not closed", text);
		} else if (*p == ':') {
			if (*ret_colon)
				return err_set(
					err, -EINVAL,
					"the pattern '%s' has two colons: it is MODULE:NAME, "
					"or NAME",
					text);
			*ret_colon = p;
		}
	}
	return 0;
}

static int pattern_parse(struct match_pattern *p, const char *text, struct err *err)
{
	const char *glob = text, *colon;
	int code;

	if (!*text)
		return err_set(err, -EINVAL,
			       "a pattern is a function's name or MODULE:NAME, not ''");
	if (*glob == '!') {
		p->leaves_out = true;
		glob++;
	}
	if (!*glob || *glob == '!')
		return err_set(err, -EINVAL, "'%s': after one '!' comes what is to be left out",
			       text);
	code = scan(glob, text, &colon, err);
	if (code)
		return code;
	if (colon == glob)
		return err_set(err, -EINVAL,
			       "the pattern '%s' has no module before the colon; '%s' is that "
			       "function in any module",
			       text, colon[1] ? colon + 1 : "NAME");
	if (colon && !colon[1])
		return err_set(err, -EINVAL,
			       "the pattern '%s' has no function after the colon; '%s*' is all of "
			       "them",
			       text, text);
	p->text = strdup(text);
	p->module = colon ? strndup(glob, colon - glob) : NULL;
	p->name = strdup(colon ? colon + 1 : glob);
	if (!p->text || (colon && !p->module) || !p->name)
		return err_set(err, -ENOMEM, "out of memory");
	return 0;
}

static void pattern_done(struct match_pattern *p)
{
	free(p->text);
	free(p->module);
	free(p->name);
}

static bool is_clean(const char *text)
{
	struct buf clean;
	bool same;

	buf_init(&clean, 4 * MATCH_BYTES_MAX);
	same = !text_clean(&clean, text, strlen(text)) && !strcmp(buf_text(&clean), text);
	buf_done(&clean);
	return same;
}

int match_add(struct match *m, const char *pattern, struct err *err)
{
	struct match_pattern p = { 0 }, *patterns;
	int code;

	if (strlen(pattern) > MATCH_BYTES_MAX)
		return err_set(err, -EINVAL, "a pattern of more than %d bytes is none",
			       MATCH_BYTES_MAX);
	if (!is_clean(pattern))
		return err_set(err, -EINVAL, "the pattern '%s' is not UTF-8, as all names are",
			       pattern);
	if (m->cnt == MATCH_MAX)
		return err_set(err, -E2BIG, "the pattern '%s' is one too many, after %d", pattern,
			       MATCH_MAX);
	code = pattern_parse(&p, pattern, err);
	patterns = code ? NULL : realloc(m->patterns, (m->cnt + 1) * sizeof(*patterns));
	if (!code && !patterns)
		code = err_set(err, -ENOMEM, "out of memory");
	if (code) {
		pattern_done(&p);
		return code;
	}
	if (!m->locale)
		m->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	m->patterns = patterns;
	m->patterns[m->cnt++] = p;
	m->take_cnt += !p.leaves_out;
	return 0;
}

void match_done(struct match *m)
{
	uint32_t i;

	for (i = 0; i < m->cnt; i++)
		pattern_done(&m->patterns[i]);
	free(m->patterns);
	if (m->locale)
		freelocale(m->locale);
	*m = (struct match){ 0 };
}

static bool fits(const struct match_pattern *p, const char *module, const char *name)
{
	const char *dot;

	if (p->module)
		return !fnmatch(p->module, module, 0) && !fnmatch(p->name, name, 0);
	dot = strrchr(name, '.');
	return !fnmatch(p->name, name, 0) || (dot && !fnmatch(p->name, dot + 1, 0));
}

bool match_takes(struct match *m, const char *module, const char *name)
{
	locale_t before = m->locale ? uselocale(m->locale) : (locale_t)0;
	bool taken = !m->take_cnt, left = false;
	uint32_t i;

	/* each is asked, whatever the others say: one that nothing fits is told */
	for (i = 0; i < m->cnt; i++) {
		if (!fits(&m->patterns[i], module ? module : "", name))
			continue;
		m->patterns[i].fitted = true;
		if (m->patterns[i].leaves_out)
			left = true;
		else
			taken = true;
	}
	if (before)
		uselocale(before);
	return taken && !left;
}
