/* SPDX-License-Identifier: Apache-2.0 */
/* A report while it is made: for report.c, which builds the tree, and report_lists.c, which reads the
 * lists off it. */
#ifndef UNCOIL_MODEL_REPORT_IMPL_H
#define UNCOIL_MODEL_REPORT_IMPL_H

#include "model/choice.h"
#include "model/profile_impl.h"
#include "model/report.h"

struct text {
	UT_hash_handle hh;
	char text[];
};

struct child_key {
	struct report_node *parent;
	const char *func, *file, *path;
	uint64_t kind_line, column;
};

struct function_key {
	const char *func, *file;
	uint64_t kind;
};

struct function {
	struct function_key key;
	uint64_t self, total;
	uint32_t open; /* how often it is on the path being walked */
	UT_hash_handle hh;
};

struct tree_node {
	struct report_node node;
	struct child_key key;
	struct function *function;
	UT_hash_handle hh;
};

/* A report and all that it owns. */
struct built {
	struct report report;
	struct text *texts;
	struct tree_node *nodes;
	struct function *functions;
	struct report_target *targets;
	struct report_thread *threads;
	struct report_self *selves;
	struct report_remark *remarks;
	struct report_node **leaves; /* by stack's number: where it ends in the tree, */
	const char **waits_for;      /* and the name of what it waits for */
	struct report_event *events;
	struct choice choice;
	bool no_memory;
};

/* The program's name of a thread, or the kernel's; never NULL. */
const char *report_thread_name(const struct thread *thread);

int report_text_order(const char *a, const char *b);

/* Fill in the report's functions, and its targets and threads, from the finished tree. */
void report_functions(struct built *b);
void report_targets(struct built *b, const struct profile *p);

#endif
