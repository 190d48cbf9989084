/* SPDX-License-Identifier: Apache-2.0 */
/* The part of `uncoil doctor` that says how the calls of a Python would be seen. */
#ifndef UNCOIL_CMD_PLAN_H
#define UNCOIL_CMD_PLAN_H

#include <sys/types.h>

struct py_found;
struct py_layout;
struct uprobe_calibration;

/* cost: measured if it has not been yet (no rounds), which takes 100 ms. */
void plan_print(pid_t pid, const struct py_found *found, const struct py_layout *layout,
		struct uprobe_calibration *cost);

#endif
