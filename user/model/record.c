/* SPDX-License-Identifier: Apache-2.0 */
#include "model/record.h"

#include <string.h>

#include "base/buf.h"
#include "base/text.h"

char *record_string(const uint8_t **at, size_t *left)
{
	struct buf clean;
	char *text;
	uint32_t len;

	if (*left < sizeof(len))
		return NULL;
	memcpy(&len, *at, sizeof(len));
	if (len > RECORD_STRING_MAX || len > *left - sizeof(len))
		return NULL;
	buf_init(&clean, 4 * RECORD_STRING_MAX);
	text_clean(&clean, *at + sizeof(len), len); /* a journal's word is not trusted either */
	text = strdup(buf_text(&clean));
	buf_done(&clean);
	*at += sizeof(len) + len;
	*left -= sizeof(len) + len;
	return text;
}
