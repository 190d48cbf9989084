/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text from a target is hostile: a function may be called </script>, a thread may carry escape
 * sequences, a file name need not be UTF-8. text_clean() stands at the door and makes valid UTF-8
 * without NUL of anything; the others escape such text for one place each.
 */
#ifndef UNCOIL_BASE_TEXT_H
#define UNCOIL_BASE_TEXT_H

#include <stddef.h>

struct buf;

/* Appends `len` bytes as valid UTF-8 (Unicode 15, section 3.9, table 3-7): each maximal ill-formed
 * part becomes U+FFFD, a NUL byte becomes U+2400. All else is kept, control characters too. */
int text_clean(struct buf *out, const void *bytes, size_t len);

/* Of clean UTF-8, the bytes up to `max` that do not split a character. */
size_t text_cut(const char *text, size_t len, size_t max);

/* The rest take any NUL-terminated bytes (ill-formed UTF-8 becomes U+FFFD) and append: */

/* for a terminal line: control characters (C0, DEL, C1, and the bidirectional overrides
 * U+202A..U+202E, U+2066..U+2069, line/paragraph separators) as \xNN or \uNNNN */
int text_terminal(struct buf *out, const char *text);

/* for XML character data and attribute values: & < > " ' escaped, characters that XML 1.0 forbids
 * and those that text_terminal() escapes shown the same way */
int text_xml(struct buf *out, const char *text);

/* for a frame of a folded stack: as text_terminal(), and ';' as \x3b */
int text_folded(struct buf *out, const char *text);

/* for a JSON or JavaScript string inside <script>: quoted, with < > & and U+2028/9 as \uNNNN */
int text_json(struct buf *out, const char *text);

/* for one line of a screen, as text_terminal(), and cut to `cols` columns with "\u2026" where it is
 * longer. Returns how many columns it takes. */
size_t text_fit(struct buf *out, const char *text, size_t cols);

#endif
