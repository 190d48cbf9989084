/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is at the other end of the sockets that threads sleep on (bpf/peers.bpf.c). Threads are named
 * first, all are looked at in one pass, then each is asked for:
 *
 *	peers__want(p, tid, fd) ... -> peers__look(p) -> peers__of(p, tid, fd, inode) ...
 *
 * A pass costs what the host has threads, not sockets: 10,000 take some milliseconds. What cannot
 * be had (no privileges, another pid namespace) is not there, and no error.
 */
#ifndef UNCOIL_PROBE_PEERS_H
#define UNCOIL_PROBE_PEERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "peer_fact.h"

struct peers;

/* NULL: out of memory. Nothing is loaded before there is something to look for. */
struct peers *peers__new(void);
void peers__free(struct peers *p); /* takes NULL */

/* More than PEERS_MAX are not looked for. */
void peers__want(struct peers *p, pid_t tid, int fd);

/* Looks at what was wanted since the last look, whose answers are forgotten. */
void peers__look(struct peers *p);

/* The socket with this inode that the thread had as fd; NULL: not known. */
const struct peer_fact *peers__of(const struct peers *p, pid_t tid, int fd, uint64_t inode);

#endif
