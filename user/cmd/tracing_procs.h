/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a trace: those that were asked for, and with -s what they fork.
 *
 * A process that the kernel side tells of (EV_FORK, EV_EXEC) gets its image's number here, which is written
 * into the event: so the record that goes to the outputs has it. A forked child has its parent's Python at its
 * parent's addresses, and is attached to at once; after an exec nothing is known until cmd/answer.h has found
 * a Python. Nobody is stopped for that: what a child calls before its probes are in is not seen, and how long
 * that was is told (struct tracing_kin).
 */
#ifndef UNCOIL_CMD_TRACING_PROCS_H
#define UNCOIL_CMD_TRACING_PROCS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "events.h"

struct tracing;
struct tracing_proc;

/* Adds a process, which the kernel side follows from now on. -E2BIG, -ESRCH, or -errno. */
int tracing_proc_add(struct tracing *t, pid_t pid, struct tracing_proc **ret_proc);

/* NULL: none that is traced and lives; none at all. */
struct tracing_proc *tracing_proc_of_pid(struct tracing *t, pid_t pid);
struct tracing_proc *tracing_proc_of_image(struct tracing *t, uint32_t image);

/* Its Python is known (answers__python()): finds the places in it. 0, -EAGAIN: it has just
 * exec'ed, and is to be looked at again; or -errno with a sentence in t->err. */
int tracing_proc_ready(struct tracing *t, struct tracing_proc *proc);

/* CPU time that it has used since it was added, ns; that of one that has ended stays. */
uint64_t tracing_proc_cpu_ns(struct tracing_proc *proc);

void tracing_proc_ended(struct tracing *t, struct tracing_proc *proc);

/* EV_FORK: with -s gives it to the outputs, and attaches to the child. */
int tracing_forked(struct tracing *t, struct ev_fork *ev);

/* EV_EXEC: fills in the images. *ret_kept: it is for the outputs. */
int tracing_execed(struct tracing *t, struct ev_exec *ev, bool *ret_kept);

/* -s: the children that are there already. */
int tracing_children(struct tracing *t);

/* Attaches to processes whose Python was found meanwhile, and sweeps what was forked without -s. When again,
 * at the latest: tracing_look_ns(), 0 = whenever. */
int tracing_look(struct tracing *t);
uint64_t tracing_look_ns(const struct tracing *t);

#endif
