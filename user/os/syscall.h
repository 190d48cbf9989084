/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of the architecture that uncoil is built for, by number. */
#ifndef UNCOIL_OS_SYSCALL_H
#define UNCOIL_OS_SYSCALL_H

/* "futex"; NULL: no such number when this was built. */
const char *syscall_name(int nr);

#endif
