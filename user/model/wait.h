/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a thread waited: from the facts that the kernel side copied at the switch (struct wait) to a
 * name. What a system call waits on decides: the same read() is "[socket read 10.0.0.7:5432]",
 * "[pipe read]" or "[disk read]".
 */
#ifndef UNCOIL_MODEL_WAIT_H
#define UNCOIL_MODEL_WAIT_H

#include <stdbool.h>

#include "base/buf.h"
#include "events.h"

#define WAIT_RUNQ_TEXT    "[run queue]"
#define WAIT_UNKNOWN_TEXT "[waiting, stack not known]"

/* Appends the name. */
int wait_text(const struct wait *wait, struct buf *out);

/* Appends the other end of an internet socket, "127.0.0.1:5432" or "[::1]:80", or its own port, ":8080",
 * if it has none. */
int wait_peer_text(const struct wait *wait, struct buf *out);

/* Is it a wait for work to come, rather than for work to be done: an event loop's, a server's
 * accept()? Left out of profiles unless asked for (-i). */
bool wait_is_idle(const struct wait *wait);

#endif
