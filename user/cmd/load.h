/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNCOIL_CMD_LOAD_H
#define UNCOIL_CMD_LOAD_H

#include <stddef.h>

#include "model/record.h"

struct err;
struct profile;

typedef int (*journal_fn)(void *ctx, enum record_type type, const void *data, size_t len);

/* Gives each record of a journal to fn until it returns non-zero: what is positive is returned as it is. 0,
 * or -errno with "cannot VERB PATH: why"; fn leaves the why of its own in *fn_why. */
int journal_each(const char *path, const char *verb, journal_fn fn, void *ctx,
		 const struct err *fn_why, struct err *err);

/* Reads a journal into a new profile. 0, or -errno with "cannot VERB PATH: why". */
int journal_load(const char *path, const char *verb, struct profile **ret_profile, struct err *err);

#endif
