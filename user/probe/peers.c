/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/peers.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peers.skel.h"

struct wanted {
	uint32_t tid;
	int32_t fd;
};

struct peers {
	struct peers_bpf *skel;
	struct bpf_link *link;
	bool refused; /* by the kernel: not tried again */
	struct wanted wanted[PEERS_MAX];
	uint32_t wanted_cnt;
	struct peer_fact *facts; /* of the last look */
	uint32_t fact_cnt;
};

struct peers *peers__new(void)
{
	return calloc(1, sizeof(struct peers));
}

void peers__free(struct peers *p)
{
	if (!p)
		return;
	bpf_link__destroy(p->link);
	peers_bpf__destroy(p->skel);
	free(p->facts);
	free(p);
}

void peers__want(struct peers *p, pid_t tid, int fd)
{
	if (p->wanted_cnt < PEERS_MAX)
		p->wanted[p->wanted_cnt++] = (struct wanted){ .tid = tid, .fd = fd };
}

static bool loaded(struct peers *p)
{
	libbpf_print_fn_t print;

	if (p->link || p->refused)
		return p->link;
	print = libbpf_set_print(NULL);
	p->skel = peers_bpf__open_and_load();
	if (p->skel)
		p->link = bpf_program__attach_iter(p->skel->progs.each_task, NULL);
	libbpf_set_print(print);
	p->refused = !p->link;
	return p->link;
}

static int fact_order(const void *a, const void *b)
{
	const struct peer_fact *x = a, *y = b;

	return (x->tid > y->tid) - (x->tid < y->tid);
}

/* Reads one pass's facts; a read gives whole ones, or the end of one that the next read goes on with. */
static void facts_read(struct peers *p, int fd, size_t cap)
{
	size_t len = 0;
	ssize_t got;

	while (len < cap) {
		got = read(fd, (char *)p->facts + len, cap - len);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got <= 0)
			break;
		len += got;
	}
	p->fact_cnt = len / sizeof(*p->facts);
	qsort(p->facts, p->fact_cnt, sizeof(*p->facts), fact_order);
}

void peers__look(struct peers *p)
{
	size_t cap = p->wanted_cnt * sizeof(*p->facts);
	struct wanted *w;
	int map, fd;

	free(p->facts);
	p->facts = NULL;
	p->fact_cnt = 0;
	if (!cap || !loaded(p))
		goto out;
	map = bpf_map__fd(p->skel->maps.wanted);
	p->facts = malloc(cap);
	for (w = p->wanted; p->facts && w < p->wanted + p->wanted_cnt; w++)
		bpf_map_update_elem(map, &w->tid, &w->fd, BPF_ANY);
	fd = p->facts ? bpf_iter_create(bpf_link__fd(p->link)) : -1;
	if (fd >= 0) {
		facts_read(p, fd, cap);
		close(fd);
	}
	for (w = p->wanted; w < p->wanted + p->wanted_cnt; w++)
		bpf_map_delete_elem(map, &w->tid);
out:
	p->wanted_cnt = 0;
}

const struct peer_fact *peers__of(const struct peers *p, pid_t tid, int fd, uint64_t inode)
{
	const struct peer_fact key = { .tid = tid }, *fact;

	if (!p->fact_cnt)
		return NULL;
	fact = bsearch(&key, p->facts, p->fact_cnt, sizeof(*fact), fact_order);
	if (!fact || fact->fd != fd || fact->inode != inode || fact->path_len > PEER_NAME_MAX ||
	    fact->peer_len > PEER_NAME_MAX)
		return NULL;
	return fact;
}
