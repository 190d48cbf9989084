/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a trace: what the kernel side has summed up, as records. */
#ifndef UNCOIL_CMD_TRACING_SUMS_H
#define UNCOIL_CMD_TRACING_SUMS_H

#include "cmd/answer.h"

struct tracing;

/* Gives put() RECORD_SUMS, RECORD_EDGES and RECORD_TRACE_STATS. 0, -ENOMEM or what put() returned. */
int tracing_sums(struct tracing *t, record_put_fn put, void *ctx);

#endif
