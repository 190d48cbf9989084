/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which threads a report is about: all, or those that --thread names (report_options.only). A pattern is
 * a thread's id, or a glob that its name fits as the report shows it. Of a thread that is not chosen
 * nothing is in the report but its part of one number: what was left out.
 */
#ifndef UNCOIL_MODEL_CHOICE_H
#define UNCOIL_MODEL_CHOICE_H

#include <stdbool.h>
#include <stdint.h>

struct profile;
struct report_options;

struct choice {
	bool all;
	uint32_t *serials; /* of the chosen threads, in order */
	uint32_t cnt;
	uint64_t left_out;      /* what the others have, in the report's unit: the caller's sum */
	const char **unmatched; /* patterns that no thread fits */
	uint32_t unmatched_cnt;
};

/* 0 or -ENOMEM; choice_done() is due in any case. */
int choice_make(struct choice *c, const struct profile *p, const struct report_options *options);
void choice_done(struct choice *c);

/* Does a thread fit one of the patterns? With NULL for its name: does its id? */
bool choice_fits(const char *const *only, uint32_t only_cnt, int32_t tid, const char *name);

/* Of a thread in a profile that goes on. */
enum choice_state {
	CHOICE_FITS,
	CHOICE_NOT,
	CHOICE_NOT_YET, /* not by the kernel's name, and the program's is not known */
};
enum choice_state choice_of(const struct profile *p, const char *const *only, uint32_t only_cnt,
			    uint32_t serial);

bool choice_has(const struct choice *c, uint32_t serial);

#endif
