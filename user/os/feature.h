/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this kernel can do and what this process may do. A kernel is asked by trying, never by its
 * version: distributions carry features back, and containers take them away.
 */
#ifndef UNCOIL_OS_FEATURE_H
#define UNCOIL_OS_FEATURE_H

#include <stdbool.h>
#include <stddef.h>

struct err;

enum feature_state {
	FEATURE_UNKNOWN, /* could not be tried; the errno says why (-EPERM: not allowed to look) */
	FEATURE_YES,
	FEATURE_NO,
};

enum feature_need {
	FEATURE_REQUIRED, /* nothing can be recorded without it */
	FEATURE_OPTIONAL, /* recording falls back without it; `why` says to what */
	FEATURE_UNUSED,   /* not used by any command yet; shown because people ask */
};

enum feature_id {
	FEAT_PRIVILEGES,
	FEAT_BTF,
	FEAT_BPF,
	FEAT_RINGBUF,
	FEAT_CPU_CLOCK,
	FEAT_RAW_TRACEPOINT,
	FEAT_INHERIT_THREAD,
	FEAT_PERF_LINK, /* with cookie */
	FEAT_LOOP,
	FEAT_MAP_FILES,
	FEAT_UPROBE,
	FEAT_UPROBE_MULTI, /* with a filter for a process, not for a thread */
	FEAT_TRACEFS,
	FEAT_MAX
};

struct feature {
	const char *name; /* "BPF ring buffer" */
	const char *why;  /* what uncoil does with it, and what it does without */
	enum feature_need need;
	const char *hint; /* what to do where it is missing; NULL: nothing, it is unused */
	/* Tries it once: the state, and in *ret_errno 0 or the -errno that led to the answer. */
	enum feature_state (*probe)(int *ret_errno);
};

/* All features, FEAT_MAX of them, by enum feature_id. Static; nothing is tried by the call. */
const struct feature *feature_table(size_t *ret_cnt);

/* The state of a row of feature_table(). Tried at the first call and remembered; not thread-safe.
 * ret_errno may be NULL. Takes milliseconds, a tracepoint's detaching up to 50. */
enum feature_state feature_state(const struct feature *feature, int *ret_errno);

/* Whether it is known to be there: what a loader asks. */
bool feature_has(enum feature_id id);

struct privilege {
	const char *name; /* "CAP_BPF" */
	int cap;          /* its number, linux/capability.h */
	bool needed;      /* by record; CAP_SYS_ADMIN stands in where `by_admin` says so */
	bool by_admin;
	const char *why;
	const char *hint; /* what to do where it is missing */
};

/* Capabilities that matter to uncoil. Static. */
const struct privilege *privilege_table(size_t *ret_cnt);

/* Whether this process has the capability, itself or through CAP_SYS_ADMIN where that includes it.
 * Effective set of /proc/self/status, read anew at each call; false if that cannot be read. */
bool privilege_held(const struct privilege *privilege);

/* 0 if nothing that is quick to see forbids recording: privileges, the pid namespace, kernel BTF. -EPERM: not allowed;
 * -ENOTSUP: this kernel cannot. The sentence says exactly what is missing and what to do. The other
 * features are tried only when loading fails, or by doctor: some tries take the kernel 100 ms. */
int feature_require(struct err *err);

/* After a failure: 0 if every required feature is there, else -EPERM or -ENOTSUP and the sentence. */
int feature_explain(struct err *err);

#endif
