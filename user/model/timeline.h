/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened when: the profile's events with a time become the report's. So far these are samples
 * (EV_TICK); what has a duration joins here, as another kind.
 */
#ifndef UNCOIL_MODEL_TIMELINE_H
#define UNCOIL_MODEL_TIMELINE_H

#include <stdint.h>

#include "model/report.h"

struct profile;

/* In order of time; to be freed with free(). `leaves` are the tree's nodes by stack number, NULL for
 * a stack that is not in the tree: its events are left out. NULL: out of memory. */
struct report_event *timeline_new(const struct profile *p, struct report_node *const *leaves,
				  const struct report_thread *threads, uint32_t thread_cnt,
				  uint64_t *ret_cnt);

#endif
