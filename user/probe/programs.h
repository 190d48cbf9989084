/* SPDX-License-Identifier: Apache-2.0 */
/* The BPF programs of the sampler: which of the two objects this kernel gets, and why it refuses one. */
#ifndef UNCOIL_PROBE_PROGRAMS_H
#define UNCOIL_PROBE_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct uncoil_bpf;

/* The skeleton, open, to be set up and loaded; NULL and errno. plain_loops: as kernels without bpf_loop() need it. */
struct uncoil_bpf *programs_open(bool plain_loops);

/* 0, or -errno and a sentence: what the kernel does not offer, or the verifier's last words. */
int programs_load(struct uncoil_bpf *skel, struct err *err);

/* The program's name and the verifier's last line before its statistics, "on_tick: R2 unbounded memory
 * access", of what libbpf prints when a program is refused; "" if it is something else. */
void programs_refusal(const char *printed, char *ret_text, size_t size);

/* Raises uncoil's own limits of locked memory and open files, before anything is loaded. */
void programs_limits(void);

/* For other objects: from here on what libbpf has to say is kept, not printed; and why one was refused with
 * `code`, which is returned, or what is missing. */
void programs_listen(void);
int programs_refused(int code, struct err *err);

#endif
