/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNCOIL_CMD_LOAD_H
#define UNCOIL_CMD_LOAD_H

struct err;
struct profile;

/* Reads a journal into a new profile. 0, or -errno with "cannot VERB PATH: why". */
int journal_load(const char *path, const char *verb, struct profile **ret_profile, struct err *err);

#endif
