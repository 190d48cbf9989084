/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One decoder and one walker. Every function here is the same walk over the characters of a text;
 * they differ only in a `quote` that says what a character looks like in one place (NULL: as it
 * is). Whatever quote is used, ill-formed UTF-8 becomes U+FFFD, so nothing that leaves this file
 * can break a reader that expects well-formed text.
 */
#include "base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

#define ILL_FORMED  UINT32_MAX
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define NUL_SYMBOL  "\xe2\x90\x80" /* U+2400 */

/* Longest quotation is "\uNNNN". */
struct room {
	char text[8];
};

typedef const char *(*quote_fn)(uint32_t cp, struct room *room);

/*
 * The character at `p` (len > 0) and how many bytes it took. For ill-formed input that is the
 * maximal part that could have begun a character, as table 3-7 has it: the ranges of the second
 * byte exclude overlong forms, surrogates and what lies above U+10FFFF.
 */
static size_t decode(const unsigned char *p, size_t len, uint32_t *cp)
{
	unsigned char low = 0x80, high = 0xbf;
	uint32_t value;
	size_t need, i;

	*cp = ILL_FORMED;
	if (p[0] < 0x80) {
		*cp = p[0];
		return 1;
	}
	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		need = 2;
		value = p[0] & 0x1f;
	} else if (p[0] >= 0xe0 && p[0] <= 0xef) {
		need = 3;
		value = p[0] & 0x0f;
		if (p[0] == 0xe0)
			low = 0xa0;
		else if (p[0] == 0xed)
			high = 0x9f;
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		need = 4;
		value = p[0] & 0x07;
		if (p[0] == 0xf0)
			low = 0x90;
		else if (p[0] == 0xf4)
			high = 0x8f;
	} else {
		return 1;
	}
	for (i = 1; i < need; i++) {
		if (i >= len || p[i] < low || p[i] > high)
			return i;
		value = value << 6 | (p[i] & 0x3f);
		low = 0x80;
		high = 0xbf;
	}
	*cp = value;
	return need;
}

static int walk(struct buf *out, const void *bytes, size_t len, quote_fn quote)
{
	const unsigned char *text = bytes;
	const char *instead;
	struct room room;
	size_t at = 0, kept = 0, size;
	uint32_t cp;

	while (at < len) {
		size = decode(text + at, len - at, &cp);
		instead = cp == ILL_FORMED ? REPLACEMENT : quote(cp, &room);
		if (instead) {
			buf_add(out, text + kept, at - kept);
			buf_str(out, instead);
			kept = at + size;
		}
		at += size;
	}
	return buf_add(out, text + kept, len - kept);
}

static const char *quote_hex(uint32_t cp, struct room *room)
{
	snprintf(room->text, sizeof(room->text), cp < 0x100 ? "\\x%02x" : "\\u%04x",
		 (unsigned int)(cp & 0xffff));
	return room->text;
}

static const char *quote_clean(uint32_t cp, struct room *room)
{
	return cp ? NULL : NUL_SYMBOL;
}

/* What would move the cursor, change the line or reorder what is shown. */
static const char *quote_terminal(uint32_t cp, struct room *room)
{
	if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || (cp >= 0x2028 && cp <= 0x202e) ||
	    (cp >= 0x2066 && cp <= 0x2069))
		return quote_hex(cp, room);
	return NULL;
}

static const char *quote_xml(uint32_t cp, struct room *room)
{
	switch (cp) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;"; /* unlike &apos;, HTML knows it too */
	case 0xfffe:
	case 0xffff:
		return quote_hex(cp, room);
	default:
		/* the other characters XML 1.0 forbids are C0 controls, and surrogates */
		return quote_terminal(cp, room);
	}
}

static const char *quote_folded(uint32_t cp, struct room *room)
{
	return cp == ';' ? quote_hex(cp, room) : quote_terminal(cp, room);
}

static const char *quote_json(uint32_t cp, struct room *room)
{
	if (cp == '"')
		return "\\\"";
	if (cp == '\\')
		return "\\\\";
	if (cp >= 0x20 && cp != '<' && cp != '>' && cp != '&' && cp != 0x2028 && cp != 0x2029)
		return NULL;
	snprintf(room->text, sizeof(room->text), "\\u%04x", (unsigned int)(cp & 0xffff));
	return room->text;
}

int text_clean(struct buf *out, const void *bytes, size_t len)
{
	return walk(out, bytes, len, quote_clean);
}

size_t text_cut(const char *text, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max && ((unsigned char)text[max] & 0xc0) == 0x80)
		max--;
	return max;
}

int text_terminal(struct buf *out, const char *text)
{
	return walk(out, text, strlen(text), quote_terminal);
}

int text_xml(struct buf *out, const char *text)
{
	return walk(out, text, strlen(text), quote_xml);
}

int text_folded(struct buf *out, const char *text)
{
	return walk(out, text, strlen(text), quote_folded);
}

int text_json(struct buf *out, const char *text)
{
	buf_str(out, "\"");
	walk(out, text, strlen(text), quote_json);
	return buf_str(out, "\"");
}

/* Columns of a character on a terminal: Unicode 15, EastAsianWidth W and F by whole blocks, and the
 * blocks of combining marks. What this gets wrong shifts the rest of a line, no more. */
static size_t columns(uint32_t cp)
{
	static const struct {
		uint32_t first, last;
		size_t columns;
	} blocks[] = {
		{ 0x300, 0x36f, 0 },     { 0x200b, 0x200f, 0 }, { 0x20d0, 0x20ff, 0 },
		{ 0xfe00, 0xfe0f, 0 },   { 0x1100, 0x115f, 2 }, { 0x2e80, 0xa4cf, 2 },
		{ 0xac00, 0xd7a3, 2 },   { 0xf900, 0xfaff, 2 }, { 0xfe30, 0xfe6f, 2 },
		{ 0xff00, 0xff60, 2 },   { 0xffe0, 0xffe6, 2 }, { 0x1f300, 0x1faff, 2 },
		{ 0x20000, 0x3fffd, 2 },
	};
	size_t i;

	for (i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		if (cp >= blocks[i].first && cp <= blocks[i].last)
			return blocks[i].columns;
	return 1;
}

size_t text_fit(struct buf *out, const char *text, size_t cols)
{
	struct buf shown;
	size_t at = 0, used = 0, cut = 0, cut_used = 0, size, width;
	uint32_t cp;

	/* escapes are four columns for a byte at the worst, U+FFFD three bytes; beyond what fits
	 * nothing is looked at */
	buf_init(&shown, 8 * strlen(text) + 1);
	text_terminal(&shown, text);
	while (at < shown.len) {
		size = decode((const unsigned char *)shown.data + at, shown.len - at, &cp);
		width = columns(cp);
		if (used + width > cols)
			break;
		at += size;
		used += width;
		if (used < cols) { /* with room for the ellipsis behind it */
			cut = at;
			cut_used = used;
		}
	}
	if (at == shown.len) {
		buf_add(out, shown.data, shown.len);
	} else if (cols) {
		buf_add(out, shown.data, cut);
		buf_str(out, "\xe2\x80\xa6");
		used = cut_used + 1;
	}
	buf_done(&shown);
	return used;
}
