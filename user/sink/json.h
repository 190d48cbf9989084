/* SPDX-License-Identifier: Apache-2.0 */
/* JSON, written: the few shapes that several formats share. Errors stay (json.err). */
#ifndef UNCOIL_SINK_JSON_H
#define UNCOIL_SINK_JSON_H

#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"

struct json {
	FILE *out;
	struct buf text;
	int err; /* -ENOMEM */
};

void json_init(struct json *j, FILE *out);
void json_done(struct json *j);

/* A string, quoted; what is no UTF-8 in it becomes U+FFFD. */
void json_str(struct json *j, const char *text);

/* `before"name":value`: `before` is a comma, or what begins the object. */
void json_field_str(struct json *j, const char *before, const char *name, const char *text);
void json_field_uint(struct json *j, const char *before, const char *name, uint64_t value);

#endif
