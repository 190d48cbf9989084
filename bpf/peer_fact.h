/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What bpf/peers.bpf.c tells user/probe/peers.c. */
#ifndef UNCOIL_PEER_FACT_H
#define UNCOIL_PEER_FACT_H

#include <linux/types.h>

#include "events.h"

#define PEERS_MAX     8192 /* threads asked for at a time */
#define PEER_NAME_MAX 108  /* sockaddr_un.sun_path */

/* The socket that a thread has as the descriptor that was asked for. */
struct peer_fact {
	__u32 tid;
	__s32 fd;
	__u64 inode;
	struct wait wait; /* flags, mode, and what follows these; the others are 0 */
	__u16 path_len;   /* of a UNIX socket: its own name, */
	__u16 peer_len;   /* and that of the one it is connected to; 0: it has none */
	__u32 pad;
	char path[PEER_NAME_MAX]; /* raw: an abstract name begins with NUL */
	char peer[PEER_NAME_MAX];
};
_Static_assert(sizeof(struct peer_fact) == 280, "control");

#endif
