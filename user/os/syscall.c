/* SPDX-License-Identifier: Apache-2.0 */
#include "os/syscall.h"

#include <stddef.h>

/* From the kernel's own header, made at build time: [0] = "read", ... */
static const char *const names[] = {
#include "syscalls.h"
};

const char *syscall_name(int nr)
{
	return nr >= 0 && (size_t)nr < sizeof(names) / sizeof(names[0]) ? names[nr] : NULL;
}
