/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the calls of a Python would be seen:
 *
 *	  Exact calls: probes on opcode handlers, found in the file
 *	    hit       file offset  instruction               probe     in the handler of, or function
 *	    begin     0x12b2b1     jg 0x52b2bb               emulated  RESUME_QUICK #6
 *	    …
 *	    safe      at all 7 places the process's code is the file's (mapped once)
 *	    cost      1.3 us a call, for 2 hits with an empty program
 *	    misses    …
 *
 * #6: the sixth instruction of the handler. The addresses in jumps are the file's own.
 */
#include "cmd/plan.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "probe/calibrate_uprobe.h"
#include "probe/uprobes.h"
#include "python/find.h"
#include "python/layout.h"
#include "python/sites.h"

static void row(const char *name, const char *text)
{
	printf("    %-8s  %s\n", name, text);
}

static void site_row(const struct site *site)
{
	char text[48], more[48] = "";

	if (site->semaphore)
		snprintf(more, sizeof(more), " (semaphore %#" PRIx64 ")", site->semaphore);
	else if (site->number > 1)
		snprintf(more, sizeof(more), " #%u", site->number);
	printf("    %-8s  %#-11" PRIx64 "  %-24s  %-8s  %s%s\n", site_kind_text(site->kind),
	       site->offset, insn_text(site->bytes, &site->insn, text),
	       site->insn.probe == INSN_EMULATED ? "emulated" : "stepped", site->name, more);
}

static void method_row(const struct sites *sites)
{
	fputs("\n  Exact calls: ", stdout);
	if (sites->method == SITES_USDT)
		puts("USDT points, hit at each begin and each end in this version");
	else if (sites->method == SITES_HANDLERS)
		puts("probes on opcode handlers, found in the file");
	else
		printf("none, sampling only: %s\n", sites->why);
	if (sites->table)
		printf("    table of 256 opcodes at %#" PRIx64 ", %u handlers\n", sites->table,
		       sites->handlers);
}

static bool has(const struct sites *sites, enum site_kind kind)
{
	int i;

	for (i = 0; i < sites->cnt; i++)
		if (sites->list[i].kind == kind)
			return true;
	return false;
}

static bool stepped(const struct sites *sites, enum site_kind kind)
{
	int i;

	for (i = 0; i < sites->cnt; i++)
		if (sites->list[i].kind == kind && sites->list[i].insn.probe == INSN_STEPPED)
			return true;
	return false;
}

/* Before 3.11 the ends are seen where the loop is left, or by the USDT point. */
static bool stands_in(const struct sites *sites, enum site_kind kind)
{
	if (sites->minor >= 11)
		return false;
	if (kind == SITE_LEAVE)
		return has(sites, SITE_USDT_END);
	return kind == SITE_RETURN || kind == SITE_YIELD || kind == SITE_DELEGATE;
}

static void misses(const struct sites *sites)
{
	int kind;

	if (sites->method == SITES_NONE) {
		row("misses",
		    "begins and ends of functions: there is sampling, and no count of calls");
		return;
	}
	for (kind = 0; kind < SITE_KIND_MAX; kind++)
		if (sites->missing >> kind & 1 && !stands_in(sites, kind))
			printf("    %-8s  no place for %s: %s\n", "lacks", site_kind_text(kind),
			       site_kind_what(kind));
	if (stepped(sites, SITE_YIELD))
		row("dear", "each yield: its handler has no instruction that the kernel emulates");
	if (sites->minor >= 11)
		row("misses",
		    "begins by throw() and close(), which only enter sees, among C's calls");
	if (sites->minor >= 11 && !has(sites, SITE_CLEAR))
		row("", "ends by exception: concluded from the thread's next hit");
	if (sites->minor >= 13)
		row("", "code that a JIT runs (off unless PYTHON_JIT=1): it passes no handler");
	if (sites->minor >= 13 && has(sites, SITE_CLEAR))
		row("note", "calls that the recursion limit refuses: hit by clear, not by begin");
	if (sites->minor >= 12)
		row("note",
		    "sys.settrace, sys.monitoring: a code object's first begin is hit twice");
	if (sites->minor <= 10) {
		row("note", "return, yield and exception are told apart by the frame, at each end");
		row("", "calls that the recursion limit refuses have a begin and an end too");
	}
}

static void safety(pid_t pid, const struct sites *sites)
{
	struct sites_state state;
	struct err err = {};
	int code;

	code = sites_verify(pid, sites, &state, &err);
	if (code) {
		row("REFUSED", err.msg);
		return;
	}
	printf("    %-8s  at all %d places the process's code is the file's (mapped %s)\n", "safe",
	       sites->cnt, state.mappings == 1 ? "once" : "more than once");
	if (state.shared)
		printf("    %-8s  on %u of them sits another uprobe already; they share\n", "",
		       state.shared);
}

/* The hits of a function that is called and returns, having been called before: RESUME is specialised then. Adds
 * that of one kind, at the cheapest of its places. */
static void hit_add(const struct sites *sites, enum site_kind kind, int *emulated, int *steps)
{
	bool is_there = false, is_emulated = false;
	int i;

	for (i = 0; i < sites->cnt; i++) {
		if (sites->list[i].kind != kind)
			continue;
		is_there = true;
		is_emulated |= sites->list[i].insn.probe == INSN_EMULATED;
	}
	*emulated += is_emulated;
	*steps += is_there && !is_emulated;
}

static void costs(const struct sites *sites, struct uprobe_calibration *c)
{
	int emulated = 0, steps = 0;
	struct err err = {};

	if (sites->method == SITES_NONE)
		return;
	if (!c->rounds && calibrate_uprobe(uprobes_multi(), c, &err)) {
		printf("    %-8s  not measured: %s\n", "cost", err.msg);
		return;
	}
	if (sites->method == SITES_USDT) {
		hit_add(sites, SITE_USDT_BEGIN, &emulated, &steps);
		hit_add(sites, SITE_USDT_END, &emulated, &steps);
	} else if (sites->minor <= 10) {
		hit_add(sites, SITE_ENTER, &emulated, &steps);
		hit_add(sites, SITE_LEAVE, &emulated, &steps);
	} else {
		hit_add(sites, SITE_BEGIN, &emulated, &steps);
		hit_add(sites, has(sites, SITE_CLEAR) ? SITE_CLEAR : SITE_RETURN, &emulated,
			&steps);
	}
	printf("    %-8s  %.1f us a call, for %d hits with an empty program\n", "cost",
	       (emulated * (double)c->emulated_ns + steps * (double)c->stepped_ns) / 1e3,
	       emulated + steps);
	printf("    %-8s  measured now: a hit %.2f us emulated, %.1f us stepped; attaching %.0f ms, "
	       "detaching %.0f\n",
	       "", c->emulated_ns / 1e3, c->stepped_ns / 1e3, c->attach_ns / 1e6,
	       c->detach_ns / 1e6);
}

void plan_print(pid_t pid, const struct py_found *found, const struct py_layout *layout,
		struct uprobe_calibration *cost)
{
	struct sites sites;
	struct err err = {};
	int i;

	if (sites_find_process(pid, found, layout->abi.live.type_dealloc, &sites, &err)) {
		printf("\n  Exact calls: none, sampling only: %s\n", err.msg);
		return;
	}
	method_row(&sites);
	if (sites.cnt)
		printf("    %-8s  %-11s  %-24s  %-8s  %s\n", "hit", "file offset", "instruction",
		       "probe", "in the handler of, or function");
	for (i = 0; i < sites.cnt; i++)
		site_row(&sites.list[i]);
	if (sites.cnt)
		safety(pid, &sites);
	costs(&sites, cost);
	misses(&sites);
}
