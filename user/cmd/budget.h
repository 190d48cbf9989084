/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --max-overhead, while a recording goes on. The rate is settled before the first sample and stays
 * (docs/notes.md says why); what can be held back meanwhile is uncoil's own CPU time. What it came to
 * is estimated all the time, and told.
 */
#ifndef UNCOIL_CMD_BUDGET_H
#define UNCOIL_CMD_BUDGET_H

struct recording;

/* Unless -r was given: calibrates (1 ms), and lowers the rate to what the bound allows. */
void budget_begin(struct recording *r);

/* Once all is attached and runs: what came before was the start. Calibrates if that was not done yet:
 * a rate that is given need not wait for it. */
void budget_started(struct recording *r);

/* Says if the rate is lower than usual, or dearer than the bound. */
void budget_warn(const struct recording *r);

/* Once a second it sees what has come together, and how often the ring is looked at from now on. */
void budget_look(struct recording *r);

/* Puts this part's RECORD_OVERHEAD. 0, or -errno with a sentence. */
int budget_tell(struct recording *r);

#endif
