/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BPF_LINK_CREATE for many uprobes of one file at once (Linux 6.6), said to bpf(2) itself: neither the
 * headers nor the libbpf that uncoil is built with (6.1, 1.1) know it.
 */
#ifndef UNCOIL_OS_UPROBE_MULTI_H
#define UNCOIL_OS_UPROBE_MULTI_H

#include <stdint.h>

/* enum bpf_attach_type of include/uapi/linux/bpf.h, v6.6: what a program must be loaded with, as its
 * expected attach type, to be attached like this; and then it can't be attached in any other way. */
#define UPROBE_MULTI_ATTACH_TYPE 48

/* union bpf_attr, link_create and its uprobe_multi, include/uapi/linux/bpf.h, v6.6. */
struct uprobe_multi_attr {
	uint32_t prog_fd;
	uint32_t target_fd;   /* 0 */
	uint32_t attach_type; /* UPROBE_MULTI_ATTACH_TYPE */
	uint32_t flags;       /* 0 */
	uint64_t path;        /* pointer to the path */
	uint64_t offsets;     /* pointer to cnt uint64_t: bytes into the file */
	uint64_t semaphores;  /* pointer to cnt uint64_t (ref_ctr_offsets), or 0 */
	uint64_t cookies;     /* pointer to cnt uint64_t, or 0 */
	uint32_t cnt;
	uint32_t multi_flags; /* 0: at the instruction, not at the return */
	uint32_t pid;         /* of one process; 0 = of all */
	uint32_t pad;         /* 0 */
};
_Static_assert(sizeof(struct uprobe_multi_attr) == 64, "union bpf_attr");

/* The link's descriptor, to be closed, or -errno. */
int uprobe_multi_link(const struct uprobe_multi_attr *attr);

#endif
