/* SPDX-License-Identifier: Apache-2.0 */
#include "model/rank.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/buf.h"

#define KEY_MAX (1u << 20)

struct entry {
	struct rank_row row;
	uint32_t open; /* how often it is on the path being walked */
	char *name;    /* of a thread: it may be learnt later, and is no part of what it is */
	UT_hash_handle hh;
	char key[]; /* numbers, func, NUL, file, NUL */
};

struct key_head {
	int32_t kind, line, pid, tid;
};

struct rank {
	enum rank_by by;
	bool apart; /* waits are told apart by where */
	struct entry *entries;
	struct rank_row **rows;
	uint32_t row_cnt, row_cap;
	uint64_t sum[RANK_COLUMNS];
	struct buf key;
	struct entry **path; /* of the node that is being looked at */
	uint32_t path_cap;
};

struct rank *rank_new(enum rank_by by)
{
	struct rank *rank = calloc(1, sizeof(*rank));

	if (!rank)
		return NULL;
	rank->by = by;
	buf_init(&rank->key, KEY_MAX);
	return rank;
}

void rank_waits_apart(struct rank *rank)
{
	rank->apart = true;
}

void rank_free(struct rank *rank)
{
	struct entry *entry, *next;

	if (!rank)
		return;
	HASH_ITER (hh, rank->entries, entry, next) {
		HASH_DEL(rank->entries, entry);
		free(entry->name);
		free(entry);
	}
	buf_done(&rank->key);
	free(rank->rows);
	free(rank->path);
	free(rank);
}

static int row_add(struct rank *rank, struct rank_row *row)
{
	uint32_t cap = rank->row_cap ? rank->row_cap * 2 : 256;
	struct rank_row **grown;

	if (rank->row_cnt == rank->row_cap) {
		grown = realloc(rank->rows, cap * sizeof(struct rank_row *));
		if (!grown)
			return -ENOMEM;
		rank->rows = grown;
		rank->row_cap = cap;
	}
	rank->rows[rank->row_cnt++] = row;
	return 0;
}

/* The row with this text and these numbers, made if need be; NULL: out of memory. */
static struct entry *entry_of(struct rank *rank, const struct key_head *head, const char *func,
			      const char *file)
{
	struct entry *entry;

	buf_clear(&rank->key);
	buf_add(&rank->key, head, sizeof(*head));
	buf_add(&rank->key, func, strlen(func) + 1);
	buf_add(&rank->key, file, strlen(file) + 1);
	if (rank->key.err)
		return NULL;
	HASH_FIND(hh, rank->entries, rank->key.data, rank->key.len, entry);
	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry) + rank->key.len);
	if (!entry)
		return NULL;
	memcpy(entry->key, rank->key.data, rank->key.len);
	entry->row.kind = head->kind;
	entry->row.line = head->line;
	entry->row.pid = head->pid;
	entry->row.tid = head->tid;
	entry->row.func = entry->key + sizeof(*head);
	entry->row.file = entry->row.func + strlen(func) + 1;
	HASH_ADD_KEYPTR(hh, rank->entries, entry->key, rank->key.len, entry);
	if (!entry->hh.tbl) {
		free(entry);
		return NULL;
	}
	if (row_add(rank, &entry->row)) {
		HASH_DEL(rank->entries, entry);
		free(entry);
		return NULL;
	}
	return entry;
}

static bool is_counted(const struct report_node *node)
{
	return node->kind != FRAME_ROOT && node->kind != FRAME_PROCESS &&
	       node->kind != FRAME_THREAD;
}

/* "[lock] in f", with the file and line of f. */
static struct entry *wait_entry(struct rank *rank, const struct report_node *node)
{
	const struct report_node *at = node->parent;
	struct key_head head = { .kind = node->kind };
	struct entry *entry;
	struct buf text;

	if (rank->by == RANK_LINE)
		head.line = at->line;
	buf_init(&text, KEY_MAX);
	buf_str(&text, node->func);
	if (rank->by != RANK_FILE || !at->file[0])
		buf_fmt(&text, " in %s", at->func);
	entry = text.err ? NULL : entry_of(rank, &head, buf_text(&text), at->file);
	buf_done(&text);
	return entry;
}

static struct entry *node_entry(struct rank *rank, const struct report_node *node)
{
	struct key_head head = { .kind = node->kind };

	if (rank->apart && node->kind == FRAME_WAIT && node->parent && is_counted(node->parent))
		return wait_entry(rank, node);
	if (rank->by == RANK_LINE)
		head.line = node->line;
	/* a remark has no file: as one of files it stands for itself */
	return entry_of(rank, &head, rank->by == RANK_FILE && node->file[0] ? "" : node->func,
			node->file);
}

static int path_room(struct rank *rank, uint32_t depth)
{
	uint32_t cap = rank->path_cap ? rank->path_cap * 2 : 1024;
	struct entry **grown;

	if (depth < rank->path_cap)
		return 0;
	grown = realloc(rank->path, cap * sizeof(struct entry *));
	if (!grown)
		return -ENOMEM;
	rank->path = grown;
	rank->path_cap = cap;
	return 0;
}

static int node_enter(struct rank *rank, unsigned int column, const struct report_node *node,
		      uint32_t depth)
{
	struct entry *entry = NULL;

	if (path_room(rank, depth))
		return -ENOMEM;
	if (is_counted(node)) {
		entry = node_entry(rank, node);
		if (!entry)
			return -ENOMEM;
		entry->row.at[column].self += node->self;
		if (!entry->open++)
			entry->row.at[column].total += node->total;
	}
	rank->path[depth] = entry;
	return 0;
}

static void node_leave(struct rank *rank, uint32_t depth)
{
	if (rank->path[depth])
		rank->path[depth]->open--;
}

static int put_tree(struct rank *rank, unsigned int column, const struct report *report)
{
	const struct report_node *node = report->root;
	uint32_t depth = 0;
	int err = 0;

	while (node && !err) {
		err = node_enter(rank, column, node, depth);
		if (err)
			break;
		if (node->child) {
			node = node->child;
			depth++;
			continue;
		}
		for (;;) {
			node_leave(rank, depth);
			if (node->next || !node->parent)
				break;
			node = node->parent;
			depth--;
		}
		node = node->next;
	}
	while (err && depth--)
		node_leave(rank, depth);
	return err;
}

static int thread_named(struct entry *entry, const char *name)
{
	char *copy;

	if (!strcmp(entry->row.func, name))
		return 0;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	free(entry->name);
	entry->row.func = entry->name = copy;
	return 0;
}

static int put_threads(struct rank *rank, unsigned int column, const struct report *report)
{
	struct key_head head = { .kind = FRAME_THREAD };
	struct entry *entry;
	uint32_t i;

	for (i = 0; i < report->thread_cnt; i++) {
		head.pid = report->threads[i].pid;
		head.tid = report->threads[i].tid;
		entry = entry_of(rank, &head, "", "");
		if (!entry || thread_named(entry, report->threads[i].name))
			return -ENOMEM;
		entry->row.at[column].self += report->threads[i].samples;
		entry->row.at[column].total += report->threads[i].samples;
	}
	return 0;
}

/* One thread's rows: its own, and one for each thing that it waits for. */
static int put_thread(struct rank *rank, unsigned int column, const struct report_node *thread)
{
	struct key_head head = { .kind = FRAME_THREAD,
				 .pid = thread->parent->id,
				 .tid = thread->id };
	struct key_head wait = { .kind = FRAME_WAIT, .pid = thread->parent->id, .tid = thread->id };
	struct entry *mine = entry_of(rank, &head, "", ""), *entry;
	const struct report_node *node = thread;
	bool is_row;

	if (!mine || thread_named(mine, thread->name))
		return -ENOMEM;
	mine->row.at[column].total += thread->total;
	for (;;) {
		/* a remark that stands for a thread's time has a row too */
		is_row = node->kind == FRAME_WAIT ||
			 (node->kind == FRAME_MARK && node->parent == thread && !node->child);
		entry = is_row ? entry_of(rank, &wait, node->func, "") : mine;
		if (!entry)
			return -ENOMEM;
		entry->row.at[column].self += node->self;
		if (entry != mine) {
			entry->row.at[column].total += node->self;
			entry->row.thread = &mine->row;
		}
		if (node->child) {
			node = node->child;
			continue;
		}
		while (node != thread && !node->next)
			node = node->parent;
		if (node == thread)
			return 0;
		node = node->next;
	}
}

static int put_threads_apart(struct rank *rank, unsigned int column, const struct report *report)
{
	const struct report_node *process, *thread;
	int err = 0;

	for (process = report->root->child; process; process = process->next)
		for (thread = process->child; thread && !err; thread = thread->next)
			if (process->kind == FRAME_PROCESS && thread->kind == FRAME_THREAD)
				err = put_thread(rank, column, thread);
	return err;
}

int rank_put(struct rank *rank, unsigned int column, const struct report *report)
{
	uint32_t i;

	for (i = 0; i < rank->row_cnt; i++)
		rank->rows[i]->at[column] = (struct rank_value){ 0 };
	rank->sum[column] = report->root->total;
	if (rank->by == RANK_THREAD && rank->apart)
		return put_threads_apart(rank, column, report);
	return rank->by == RANK_THREAD ? put_threads(rank, column, report)
				       : put_tree(rank, column, report);
}

struct rank_row *const *rank_rows(const struct rank *rank, uint32_t *ret_cnt)
{
	*ret_cnt = rank->row_cnt;
	return rank->rows;
}

uint64_t rank_sum(const struct rank *rank, unsigned int column)
{
	return rank->sum[column];
}
