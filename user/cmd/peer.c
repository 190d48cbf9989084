/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/peer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/text.h"
#include "model/wait.h"

static const char *kind_of(const struct wait *wait)
{
	if (wait->family == AF_UNIX)
		return "unix";
	if (wait->family == AF_INET || wait->family == AF_INET6)
		return wait->type == SOCK_STREAM  ? "tcp"
		       : wait->type == SOCK_DGRAM ? "udp"
						  : "socket";
	return "socket";
}

/* A UNIX socket's name as /proc/net/unix has it: an abstract one begins with '@', which stands for
 * each NUL in it. */
static char *name_of(const char *raw, size_t len)
{
	char text[PEER_NAME_MAX + 1];
	struct buf clean;
	char *copy;
	size_t i;

	if (!len)
		return NULL;
	if (raw[0])
		len = strnlen(raw, len);
	for (i = 0; i < len; i++)
		text[i] = raw[i] ? raw[i] : '@';
	buf_init(&clean, 4 * PEER_NAME_MAX);
	text_clean(&clean, text, len);
	copy = strdup(buf_text(&clean));
	buf_done(&clean);
	return copy;
}

struct peer *peer_new(const struct peer_fact *fact)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	struct buf text;

	if (!peer)
		return NULL;
	peer->kind = kind_of(&fact->wait);
	if (fact->wait.family == AF_UNIX) {
		peer->peer = name_of(fact->peer, fact->peer_len);
		peer->path = name_of(fact->path, fact->path_len);
		return peer;
	}
	peer->local_port = fact->wait.local_port;
	if (!fact->wait.port)
		return peer;
	buf_init(&text, 128);
	wait_peer_text(&fact->wait, &text);
	peer->peer = strdup(buf_text(&text));
	buf_done(&text);
	return peer;
}

void peer_free(struct peer *peer)
{
	if (!peer)
		return;
	free(peer->peer);
	free(peer->path);
	free(peer);
}

int peer_text(const struct peer *peer, struct buf *out)
{
	buf_str(out, peer->kind);
	if (peer->peer || peer->path)
		return buf_fmt(out, " %s", peer->peer ? peer->peer : peer->path);
	if (peer->local_port)
		return buf_fmt(out, " :%u", peer->local_port);
	return out->err;
}
