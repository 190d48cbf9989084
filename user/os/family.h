/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNCOIL_OS_FAMILY_H
#define UNCOIL_OS_FAMILY_H

#include <sys/types.h>

/* The descendants of a process that live now, parents before their children, malloc'ed; the count,
 * or -errno. One whose parent has ended is its reaper's child, and not found. */
int family_of(pid_t pid, pid_t **ret_pids);

#endif
