/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/json.h"

#include <errno.h>
#include <inttypes.h>

#include "base/text.h"

#define TEXT_MAX_BYTES (8u << 20)

void json_init(struct json *j, FILE *out)
{
	*j = (struct json){ .out = out };
	buf_init(&j->text, TEXT_MAX_BYTES);
}

void json_done(struct json *j)
{
	buf_done(&j->text);
}

void json_str(struct json *j, const char *text)
{
	buf_clear(&j->text);
	if (text_json(&j->text, text))
		j->err = -ENOMEM;
	fwrite(buf_text(&j->text), 1, j->text.len, j->out);
}

void json_field_str(struct json *j, const char *before, const char *name, const char *text)
{
	fprintf(j->out, "%s\"%s\":", before, name);
	json_str(j, text);
}

void json_field_uint(struct json *j, const char *before, const char *name, uint64_t value)
{
	fprintf(j->out, "%s\"%s\":%" PRIu64, before, name, value);
}
