/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNCOIL_SINK_FLAME_DIFF_H
#define UNCOIL_SINK_FLAME_DIFF_H

#include <stdio.h>

struct compare;

/* The differential flame graph: one SVG, interactive like sink_flame's. `names`: what the two
 * recordings are called, hostile text. 0, -ENOMEM, or -EIO when the stream failed. */
int flame_diff_write(const struct compare *compare, const char *const names[2], FILE *out);

#endif
