/* SPDX-License-Identifier: Apache-2.0 */
/* A socket that a thread sleeps on, in words, for `dump`. */
#ifndef UNCOIL_CMD_PEER_H
#define UNCOIL_CMD_PEER_H

#include <stdint.h>

#include "probe/peers.h"

struct buf;

/* All text is clean UTF-8. */
struct peer {
	const char *kind;    /* "tcp", "udp", "unix", or "socket" for what is none of these */
	char *peer;          /* "127.0.0.1:5432", "[::1]:80", a UNIX socket's path; NULL: none */
	char *path;          /* a UNIX socket's own path; NULL: none */
	uint16_t local_port; /* 0: none */
};

/* NULL: out of memory. */
struct peer *peer_new(const struct peer_fact *fact);
void peer_free(struct peer *peer); /* takes NULL */

/* Appends "tcp 127.0.0.1:5432", "udp :53", "unix /run/x", as it is, not escaped. */
int peer_text(const struct peer *peer, struct buf *out);

#endif
