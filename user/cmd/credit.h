/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits that go on while somebody wants to know of them: at the cut between two parts of a recording,
 * at each refresh of `top`. The kernel side counts a wait at the thread's next switch, as a whole; what
 * of it was given out before that is remembered here, by thread, and taken off when the count comes.
 */
#ifndef UNCOIL_CMD_CREDIT_H
#define UNCOIL_CMD_CREDIT_H

#include <stdint.h>

#include "probe/rest.h"

struct credit;

struct credits {
	struct credit *given;
	struct credit *fresh; /* while shares are given out */
};

void credits_free(struct credits *c);

/* Takes off a count what was given out of it. */
void credits_use(struct credits *c, const struct count_key *key, struct count_val *val);

/* Of a wait that goes on (wait_ns and runq_ns so far): what has not been given out yet, counted 0 times,
 * into *val. 0; 1: this thread has had its share already; -ENOMEM. Then, once all have: */
int credits_give(struct credits *c, const struct count_key *key, struct count_val *val);
void credits_turn(struct credits *c);

#endif
