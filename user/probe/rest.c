/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/rest.h"

/* One wait, `over` or still going on, under the stack that it is of. */
static int wait_give(const struct rest *r, pid_t tid, const struct thread_seen *thread,
		     const struct rest_to *to, struct ev_wait *ev)
{
	struct count_key key = { .thread = thread->serial,
				 .image = thread->image,
				 .hash = ev->hash };
	struct count_val val = { .count = 1, .wait_ns = ev->wait_ns, .runq_ns = ev->runq_ns };
	int err = key.hash ? to->count(to->ctx, &key, &val) : 0;

	if (err || !to->event)
		return err;
	ev->hdr = (struct ev_hdr){ .kind = EV_WAIT,
				   .size = sizeof(*ev),
				   .ts_ns = r->end_ns,
				   .image = thread->image,
				   .tid = tid,
				   .thread = thread->serial };
	if (!r->is_end)
		ev->flags |= EV_WAIT_SHARE;
	return to->event(to->ctx, ev, sizeof(*ev));
}

/* One that is over, and whose thread has not been switched since. */
static int over_give(const struct rest *r, pid_t tid, struct thread_seen *thread,
		     const struct rest_to *to)
{
	uint64_t over = thread->over_ns, runq = r->known ? r->delay_ns - thread->run_delay : 0;
	struct ev_wait ev = { .hash = thread->over_hash, .start_ns = thread->over_start_ns };

	if (runq > over)
		runq = over;
	ev.wait_ns = over - runq;
	ev.runq_ns = runq;
	thread->times.wait_ns += ev.wait_ns;
	thread->times.runq_ns += ev.runq_ns;
	return wait_give(r, tid, thread, to, &ev);
}

/* What it still waits for may be the run queue too; that shows only when it runs again. */
static int open_give(const struct rest *r, pid_t tid, struct thread_seen *thread,
		     const struct rest_to *to, uint64_t since, uint64_t rest)
{
	struct ev_wait ev = {
		.hash = thread->hash, .start_ns = since, .wait_ns = rest, .flags = EV_WAIT_OPEN
	};

	thread->times.wait_ns += rest;
	/* has it run before the start, after it was seen asleep? Then it waits somewhere else */
	if (!thread->since_ns && (!r->known || r->exec_ns != thread->exec_ns))
		ev.hash = 0;
	return wait_give(r, tid, thread, to, &ev);
}

int rest_give(const struct rest *r, pid_t tid, struct thread_seen *thread, const struct rest_to *to)
{
	uint64_t since = thread->since_ns > r->start_ns ? thread->since_ns : r->start_ns;
	uint64_t rest = r->end_ns > since ? r->end_ns - since : 0;
	int err = 0;

	if (thread->over_ns)
		err = over_give(r, tid, thread, to);
	if (err)
		return err;
	if (thread->is_off)
		err = open_give(r, tid, thread, to, since, rest);
	else
		thread->times.cpu_ns += rest;
	return err ?: to->times(to->ctx, thread);
}
