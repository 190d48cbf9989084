/* SPDX-License-Identifier: Apache-2.0 */
#include "python/sites.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "os/elf.h"
#include "os/stap.h"
#include "python/flow.h"
#include "python/handler.h"
#include "python/optable.h"

#define FILE_MAX (256u << 20) /* bytes of loadable segments; a libpython has 5 to 8 MB */
#define BIT(n)   (1u << (n))

/* Which opcodes mean the same, and in which versions they should be there. */
struct meaning {
	enum site_kind kind;
	uint16_t minor_first, minor_last;
	uint32_t opcodes;
};

static const struct meaning meanings[] = {
	{ SITE_BEGIN, 11, 99,
	  BIT(OP_RESUME) | BIT(OP_RESUME_QUICK) | BIT(OP_RESUME_CHECK) | BIT(OP_RESUME_CHECK_JIT) |
		  BIT(OP_INSTRUMENTED_RESUME) },
	{ SITE_RETURN, 8, 99,
	  BIT(OP_RETURN_VALUE) | BIT(OP_RETURN_CONST) | BIT(OP_INSTRUMENTED_RETURN_VALUE) |
		  BIT(OP_INSTRUMENTED_RETURN_CONST) },
	{ SITE_YIELD, 8, 99, BIT(OP_YIELD_VALUE) | BIT(OP_INSTRUMENTED_YIELD_VALUE) },
	{ SITE_DELEGATE, 8, 10, BIT(OP_YIELD_FROM) },
	{ SITE_MAKE, 11, 99, BIT(OP_RETURN_GENERATOR) },
	{ SITE_INIT, 13, 99, BIT(OP_EXIT_INIT_CHECK) },
};

/* Exported functions; before 3.11 LEAVE is looked for from ENTER on. */
struct function {
	enum site_kind kind;
	uint16_t minor_first;
	const char *name;
};

static const struct function functions[] = {
	{ SITE_ENTER, 8, "_PyEval_EvalFrameDefault" },
	{ SITE_CLEAR, 13, "_PyEval_FrameClearAndPop" },
	{ SITE_RAISE, 8, "PyTraceBack_Here" },
};
#define FUNCTION_CNT (sizeof(functions) / sizeof(functions[0]))

struct work {
	struct sites *sites;
	struct elf_image image;
	struct optable table;
	struct flow *flow;
	bool no_calls;
	uint64_t entries[256]; /* different ones, sorted */
	int entry_cnt;
	uint64_t loop, loop_sz; /* _PyEval_EvalFrameDefault; 0 = not exported */
};

const char *site_kind_text(enum site_kind kind)
{
	static const char *const words[] = {
#define X(kind, word, what) [SITE_##kind] = word,
		SITE_KINDS(X)
#undef X
	};

	return words[kind];
}

const char *site_kind_what(enum site_kind kind)
{
	static const char *const what[] = {
#define X(kind, word, what) [SITE_##kind] = what,
		SITE_KINDS(X)
#undef X
	};

	return what[kind];
}

static bool in_table(const struct work *w, uint64_t addr)
{
	int i;

	for (i = 0; i < w->entry_cnt; i++)
		if (w->entries[i] == addr)
			return true;
	return false;
}

/* A site at an address; the name is the caller's. NULL: no room, or not in the file. */
static struct site *site_add(struct work *w, enum site_kind kind, uint64_t vaddr)
{
	const struct elf_segment *segment = elf_image_find(&w->image, vaddr);
	struct site *site = &w->sites->list[w->sites->cnt];

	if (w->sites->cnt == SITES_MAX || !segment || !segment->is_exec)
		return NULL;
	*site = (struct site){ .kind = kind, .vaddr = vaddr };
	site->offset = vaddr - segment->vaddr + segment->offset;
	if (insn_decode(segment->data + (vaddr - segment->vaddr),
			segment->size - (vaddr - segment->vaddr), vaddr, &site->insn) ||
	    site->insn.probe == INSN_REFUSED)
		return NULL;
	memcpy(site->bytes, segment->data + (vaddr - segment->vaddr), site->insn.len);
	w->sites->cnt++;
	return site;
}

static void name_add(struct site *site, const char *name)
{
	size_t len = strlen(site->name);

	snprintf(site->name + len, sizeof(site->name) - len, "%s%s", len ? ", " : "", name);
}

/* --- handlers --- */

/* The group's different entries, and in names[i] the opcodes that have entry i. -ENOENT: one of these
 * handlers is another opcode's too. */
static int group_fill(const struct work *w, const struct meaning *meaning, struct group *group,
		      uint32_t names[GROUP_MAX])
{
	uint64_t at;
	int op, i, k;

	for (op = 0; op < OPCODE_MAX; op++) {
		if (!(meaning->opcodes & BIT(op)) || !w->table.row->number[op])
			continue;
		at = w->table.entry[w->table.row->number[op]];
		for (i = 0; i < group->cnt && group->entry[i] != at; i++)
			;
		if (i == GROUP_MAX)
			return -ENOENT;
		if (i == group->cnt) {
			group->entry[group->cnt++] = at;
			names[i] = 0;
		}
		names[i] |= BIT(op);
	}
	for (k = 0; k < 256; k++) {
		for (op = 0; op < OPCODE_MAX; op++)
			if (w->table.row->number[op] == k && meaning->opcodes & BIT(op))
				break;
		for (i = 0; op == OPCODE_MAX && i < group->cnt; i++)
			if (group->entry[i] == w->table.entry[k])
				return -ENOENT;
	}
	return group->cnt ? 0 : -ENOENT;
}

static int meaning_find(struct work *w, const struct meaning *meaning)
{
	struct group group = { .no_calls = w->no_calls };
	struct choice choices[GROUP_MAX];
	uint64_t foreign[257];
	uint32_t names[GROUP_MAX];
	struct site *site;
	int i, e, op, cnt;

	cnt = group_fill(w, meaning, &group, names);
	if (cnt)
		goto out;
	for (i = 0; i < w->entry_cnt; i++) {
		for (e = 0; e < group.cnt && group.entry[e] != w->entries[i]; e++)
			;
		if (e == group.cnt)
			foreign[group.foreign_cnt++] = w->entries[i];
	}
	if (w->loop && !in_table(w, w->loop))
		foreign[group.foreign_cnt++] = w->loop;
	group.foreign = foreign;
	cnt = handler_choose(w->flow, &group, choices);
	for (i = 0; i < cnt; i++) {
		site = site_add(w, meaning->kind, choices[i].addr);
		if (!site) {
			cnt = -ENOENT;
			break;
		}
		site->number = choices[i].number;
		site->behind_call = choices[i].behind_call;
		for (e = 0; e < group.cnt; e++)
			site->opcodes |= choices[i].entries & BIT(e) ? names[e] : 0;
		for (op = 0; op < OPCODE_MAX; op++)
			if (site->opcodes & BIT(op))
				name_add(site, opcode_names[op]);
	}
out:
	if (cnt < 0)
		w->sites->missing |= BIT(meaning->kind);
	return cnt == -ENOMEM ? -ENOMEM : 0;
}

/* --- exported functions --- */

/* Instructions of a prologue that leave the first three arguments where they are: besides those of a kind
 * that cannot touch them, sub $…,%rsp; test %rdi,%rdi; mov %rsp,%rbp. */
static bool keeps_arguments(const uint8_t *at, const struct insn *insn)
{
	static const uint8_t known[][3] = { { 0x48, 0x81, 0xec },
					    { 0x48, 0x83, 0xec },
					    { 0x48, 0x85, 0xff },
					    { 0x48, 0x89, 0xe5 } };
	size_t i;

	if (insn->kind == INSN_PUSH || insn->kind == INSN_NOP || insn->kind == INSN_ENDBR)
		return true;
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (insn->len >= 3 && !memcmp(at, known[i], 3))
			return true;
	return false;
}

/* A function's arguments are wanted along with the hit. Where that is not proved for the place that was
 * chosen, it is the function's first instruction, whatever that costs. */
static uint64_t arguments_place(const struct work *w, uint64_t entry, uint64_t chosen,
				uint32_t *number)
{
	uint64_t addr = entry, first = 0;
	const struct elf_segment *segment;
	const uint8_t *at;
	struct insn insn;
	uint32_t n = 1;

	for (; addr < chosen; addr += insn.len, n++) {
		segment = elf_image_find(&w->image, addr);
		if (!segment)
			return chosen;
		at = segment->data + (addr - segment->vaddr);
		if (insn_decode(at, segment->size - (addr - segment->vaddr), addr, &insn))
			return chosen;
		if (!first && insn.kind != INSN_ENDBR) {
			first = addr;
			*number = n;
		}
		if (!keeps_arguments(at, &insn))
			return first;
	}
	*number = n;
	return chosen;
}

static int function_find(struct work *w, const struct function *function, uint64_t entry)
{
	struct group group = {
		.entry = { entry }, .cnt = 1, .no_calls = w->no_calls, .is_called = true
	};
	struct choice choices[GROUP_MAX];
	struct site *site = NULL;
	int cnt = -ENOENT;

	if (entry)
		cnt = handler_choose(w->flow, &group, choices);
	if (cnt == 1)
		site = site_add(w, function->kind,
				arguments_place(w, entry, choices[0].addr, &choices[0].number));
	if (site) {
		site->number = choices[0].number;
		name_add(site, function->name);
	} else {
		w->sites->missing |= BIT(function->kind);
	}
	return cnt == -ENOMEM ? -ENOMEM : 0;
}

static int exit_find(struct work *w)
{
	struct choice choices[GROUP_MAX];
	struct site *site;
	int i, cnt = -ENOENT;

	if (w->loop)
		cnt = handler_choose_exit(w->flow, w->entries, w->entry_cnt, w->loop, w->loop_sz,
					  w->no_calls, choices);
	for (i = 0; i < cnt; i++) {
		site = site_add(w, SITE_LEAVE, choices[i].addr);
		if (!site) {
			cnt = -ENOENT;
			break;
		}
		name_add(site, "_PyEval_EvalFrameDefault");
		site->behind_call = choices[i].behind_call;
	}
	if (cnt < 0)
		w->sites->missing |= BIT(SITE_LEAVE);
	return cnt == -ENOMEM ? -ENOMEM : 0;
}

/* --- USDT --- */

/* Are function__entry and function__return hit once for each begin and each end? 3.11 lost the entry, 3.12
 * both: what a binary of 3.11 to 3.14 still has of them never fires. In 3.15 they are back, but the entry is
 * hit where a generator is made, and not by throw(); the return by frames that never entered: the handlers
 * tell these apart. */
static bool points_count(uint16_t minor)
{
	return minor <= 10;
}

static int on_point(void *ctx, const struct stap_point *point)
{
	static const struct {
		const char *name;
		enum site_kind kind;
	} points[] = { { "function__entry", SITE_USDT_BEGIN },
		       { "function__return", SITE_USDT_END } };
	const struct elf_segment *segment;
	struct work *w = ctx;
	struct site *site;
	size_t i;

	for (i = 0; i < 2; i++) {
		if (strcmp(point->provider, "python") != 0 ||
		    strcmp(point->name, points[i].name) != 0)
			continue;
		site = site_add(w, points[i].kind, point->pc);
		if (!site)
			continue;
		name_add(site, points[i].name);
		segment = point->semaphore ? elf_image_find(&w->image, point->semaphore) : NULL;
		if (segment)
			site->semaphore = point->semaphore - segment->vaddr + segment->offset;
	}
	return 0;
}

/* --- all of it --- */

static int by_address(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void entries_fill(struct work *w)
{
	int i, cnt = 0;

	memcpy(w->entries, w->table.entry, sizeof(w->entries));
	qsort(w->entries, 256, sizeof(*w->entries), by_address);
	for (i = 0; i < 256; i++)
		if (!i || w->entries[i] != w->entries[i - 1])
			w->entries[cnt++] = w->entries[i];
	w->entry_cnt = cnt;
}

static bool has_kind(const struct sites *sites, enum site_kind kind)
{
	int i;

	for (i = 0; i < sites->cnt; i++)
		if (sites->list[i].kind == kind)
			return true;
	return false;
}

static void method_set(struct sites *sites)
{
	bool handlers;

	if (sites->minor >= 11)
		handlers = has_kind(sites, SITE_BEGIN) && has_kind(sites, SITE_RETURN) &&
			   has_kind(sites, SITE_YIELD);
	else
		handlers = has_kind(sites, SITE_ENTER) && has_kind(sites, SITE_LEAVE);
	if (has_kind(sites, SITE_USDT_BEGIN) && has_kind(sites, SITE_USDT_END))
		sites->method = SITES_USDT;
	else if (handlers)
		sites->method = SITES_HANDLERS;
	else
		sites->method = SITES_NONE;
	if (sites->method == SITES_NONE && !sites->why[0])
		snprintf(sites->why, sizeof(sites->why),
			 "it is not proved for every begin and end where it is seen once");
}

static int handlers_find(struct work *w, const struct elf_symbol *symbols)
{
	size_t i;
	int err = 0;

	for (i = 0; i < sizeof(meanings) / sizeof(meanings[0]) && !err; i++)
		if (w->sites->minor >= meanings[i].minor_first &&
		    w->sites->minor <= meanings[i].minor_last)
			err = meaning_find(w, &meanings[i]);
	for (i = 0; i < FUNCTION_CNT && !err; i++)
		if (w->sites->minor >= functions[i].minor_first)
			err = function_find(w, &functions[i], symbols[i].value);
	if (!err && w->sites->minor <= 10)
		err = exit_find(w);
	return err;
}

int sites_find(struct elf *elf, uint16_t minor, bool no_calls, struct sites *ret_sites,
	       struct err *err)
{
	struct elf_symbol symbols[FUNCTION_CNT] = {};
	struct work w = { .sites = ret_sites, .no_calls = no_calls };
	struct err why = {};
	size_t i;
	int code;

	*ret_sites = (struct sites){ .minor = minor };
	if (!insn_known()) {
		snprintf(ret_sites->why, sizeof(ret_sites->why),
			 "the instructions of this machine are not known yet; x86-64's are");
		ret_sites->method = SITES_NONE;
		return 0;
	}
	code = elf__load(elf, FILE_MAX, &w.image);
	if (code) {
		err_set(err, code, "its code cannot be read: %s", err_str(code));
		goto out;
	}
	for (i = 0; i < FUNCTION_CNT; i++)
		symbols[i].name = functions[i].name;
	elf__symbols(elf, symbols, FUNCTION_CNT);
	w.loop = symbols[0].value;
	w.loop_sz = symbols[0].size;
	if (points_count(minor))
		stap_each(elf, on_point, &w);
	code = optable_find(elf, &w.image, minor, &w.table, &why);
	if (code) {
		snprintf(ret_sites->why, sizeof(ret_sites->why), "%.*s",
			 (int)sizeof(ret_sites->why) - 1, why.msg);
		code = code == -ENOMEM ? code : 0;
		goto out;
	}
	ret_sites->table = w.table.at;
	ret_sites->handlers = w.table.distinct;
	entries_fill(&w);
	w.flow = flow__new(&w.image);
	code = w.flow ? handlers_find(&w, symbols) : -errno;
	if (code == -E2BIG) {
		snprintf(ret_sites->why, sizeof(ret_sites->why), "there is too much code in it");
		code = 0;
	}
out:
	if (code == -ENOMEM)
		err_set(err, code, "out of memory");
	if (!code)
		method_set(ret_sites);
	flow__free(w.flow);
	elf_image_done(&w.image);
	return code;
}
