/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports built by hand. Nodes come from one array, so a fixture is freed by free(); totals are
 * kept as nodes are added. Children stay in the order they were added in: the canonical order is
 * the caller's business, as it is the model's in the program.
 */
#ifndef UNCOIL_TESTS_REPORT_FIXTURE_H
#define UNCOIL_TESTS_REPORT_FIXTURE_H

#include <stdlib.h>

#include "model/report.h"

struct fixture {
	struct report report;
	uint32_t node_cnt, node_max;
	struct report_node nodes[];
};

static inline struct fixture *fixture_new(uint32_t node_max)
{
	struct fixture *f = calloc(1, sizeof(*f) + (size_t)(node_max + 1) * sizeof(f->nodes[0]));

	if (!f)
		abort();
	f->node_max = node_max + 1;
	f->node_cnt = 1;
	f->nodes[0] =
		(struct report_node){ .kind = FRAME_ROOT, .func = "all", .file = "", .path = "" };
	f->report.mode = "on-CPU";
	f->report.rate_hz = 99;
	f->report.duration_ns = 30000000000;
	f->report.start_unix_ns = 1700000000000000000;
	f->report.root = &f->nodes[0];
	return f;
}

static inline struct report_node *fixture_add(struct fixture *f, struct report_node *parent,
					      struct report_node node)
{
	struct report_node *added, *up, **link = &parent->child;

	if (f->node_cnt == f->node_max)
		abort();
	added = &f->nodes[f->node_cnt++];
	*added = node;
	added->file = node.file ? node.file : "";
	added->path = node.path ? node.path : added->file;
	added->parent = parent;
	while (*link)
		link = &(*link)->next;
	*link = added;
	for (up = added; up; up = up->parent)
		up->total += added->self;
	f->report.samples += added->self;
	return added;
}

#define FRAME(f, parent, kind_, func_, file_, line_, self_) \
	fixture_add(f, parent,                              \
		    (struct report_node){ .kind = (kind_),  \
					  .func = (func_),  \
					  .file = (file_),  \
					  .line = (line_),  \
					  .self = (self_) })

#endif
