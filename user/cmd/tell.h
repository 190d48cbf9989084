/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNCOIL_CMD_TELL_H
#define UNCOIL_CMD_TELL_H

#include <stdbool.h>
#include <stdio.h>

struct err;
struct options;
struct report;

/* Writes every output, then gives each its name; one that cannot be written leaves none named. */
int outputs_write(struct options *o, const struct report *report, struct err *err);

/* One line for each --thread that no thread fits. */
void unmatched_tell(const struct report *report, FILE *out, const char *begin);

/* Prints what is missing and where the outputs are, unless -q. Was data lost? */
bool report_tell(const struct report *report, const struct options *o);

#endif
