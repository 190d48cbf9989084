/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors. Functions return 0 (or a positive count) on success and -errno on failure. Where the
 * user will need more than a number, the function also takes a struct err and leaves one sentence
 * in it: what failed, on what, why, what to do. Only user/cmd/ prints it.
 */
#ifndef UNCOIL_BASE_ERR_H
#define UNCOIL_BASE_ERR_H

#define ERR_MSG_MAX 1024

struct err {
	char msg[ERR_MSG_MAX]; /* "" = nothing was said; no trailing period or newline */
};

/* Writes the sentence and returns `code` (a negative errno), so that a failing line reads
 * `return err_set(err, -ENOENT, "...")`. err may be NULL. Text that comes from a target must go
 * through text_terminal() first. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The errno's text for a negative or positive code: "No such file or directory". */
const char *err_str(int code);

#endif
