/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damage: an interpreter's file whose opcode table or code is not what it was, and places that are not where
 * they should be. What is found then must not be amid an instruction, and what does not agree with a process
 * must be refused there: a breakpoint amid an instruction kills it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "os/elf.h"
#include "os/proc.h"
#include "python/flow.h"
#include "python/optable.h"
#include "python/sites.h"

#define PYTHON "/usr/bin/python3.11"
#define MINOR  11
#define TRIES  12

static uint8_t
	*data; /* the file; NULL: there is none, or nothing is known of this machine's code */
static size_t size;
static struct elf *elf;
static struct elf_image image;
static struct flow *flow;
static struct optable table;
static uint64_t table_at; /* offset in the file */

static pid_t pid; /* runs it */
static uint64_t dev, inode;

/* The same numbers in each run. */
static uint32_t any(uint32_t below)
{
	static uint64_t state = 88172645463325252ULL;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32) % below;
}

static int on_map(void *ctx, const struct proc_map *map)
{
	if (!map->path || strcmp(map->path, PYTHON))
		return 0;
	dev = map->dev;
	inode = map->inode;
	return 1;
}

static void process_start(void)
{
	int go[2];

	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (!pid) {
		dup2(go[1], STDOUT_FILENO);
		execl(PYTHON, PYTHON, "-c", "import os, signal\nos.write(1, b'!')\nsignal.pause()",
		      NULL);
		_exit(1);
	}
	close(go[1]);
	assert_int_equal(read(go[0], &(char){ 0 }, 1), 1);
	close(go[0]);
	assert_int_equal(proc_maps_each(pid, on_map, NULL), 1);
}

static int setup(void **state)
{
	struct err err;
	int fd = open(PYTHON, O_RDONLY);

	if (fd < 0 || !insn_known())
		return 0;
	size = lseek(fd, 0, SEEK_END);
	data = malloc(size);
	assert_int_equal(pread(fd, data, size, 0), size);
	elf = elf__open(fd, &err);
	assert_non_null(elf);
	assert_int_equal(elf__load(elf, 1 << 28, &image), 0);
	assert_int_equal(optable_find(elf, &image, MINOR, &table, &err), 0);
	table_at = table.at - elf_image_find(&image, table.at)->vaddr +
		   elf_image_find(&image, table.at)->offset;
	flow = flow__new(&image);
	assert_non_null(flow);
	process_start();
	return 0;
}

static int teardown(void **state)
{
	if (!data)
		return 0;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	flow__free(flow);
	elf_image_done(&image);
	elf__close(elf);
	free(data);
	return 0;
}

static void find(struct sites *ret_sites)
{
	struct err err = {};
	struct elf *copy;
	int fd = memfd_create("copy", 0);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	copy = elf__open(fd, &err);
	assert_non_null(copy);
	assert_int_equal(sites_find(copy, MINOR, false, ret_sites, &err), 0);
	elf__close(copy);
}

static int verify(struct sites *sites, struct err *err)
{
	struct sites_state state = {};

	*err = (struct err){};
	sites->dev = dev;
	sites->inode = inode;
	return sites_verify(pid, sites, &state, err);
}

/* Whatever the table says, no place is amid an instruction; and a method that lacks what it needs is none. */
static void test_table(void **state)
{
	const uint8_t used[] = { OP_RESUME, OP_RETURN_VALUE, OP_YIELD_VALUE, OP_RETURN_GENERATOR };
	struct sites sites;
	struct err err;
	uint64_t was, now;
	int i, j, op, none = 0;

	if (!data)
		skip();
	for (i = 0; i < TRIES; i++) {
		op = i % 3 ? table.row->number[used[any(4)]] : (int)any(180);
		memcpy(&was, data + table_at + 8 * op, 8);
		now = i % 2 ? was + 1 + any(40) : table.entry[any(180)] + any(20);
		memcpy(data + table_at + 8 * op, &now, 8);
		find(&sites);
		memcpy(data + table_at + 8 * op, &was, 8);
		none += sites.method == SITES_NONE;
		for (j = 0; sites.method == SITES_HANDLERS && j < sites.cnt; j++)
			assert_true(flow__in_step(flow, sites.list[j].vaddr));
		if (sites.method == SITES_NONE)
			assert_true(sites.why[0] != '\0');
		else
			assert_int_equal(verify(&sites, &err), 0);
	}
	assert_true(none > 0 && none < TRIES);
}

/* Places found in a file whose code is another's are not those of the process: where a byte differs, it is
 * refused. */
static void test_code(void **state)
{
	struct sites right, sites;
	struct err err;
	int i, differ, refused = 0;

	if (!data)
		skip();
	find(&right);
	assert_int_equal(verify(&right, &err), 0);
	for (i = 0; i < TRIES; i++) {
		const struct site *site = &right.list[i % right.cnt];
		uint64_t at = site->offset + any(site->insn.len);
		uint8_t was = data[at];
		int j;

		data[at] ^= 1 + any(255);
		find(&sites);
		data[at] = was;
		differ = 0;
		for (j = 0; j < sites.cnt; j++)
			differ |= memcmp(sites.list[j].bytes, data + sites.list[j].offset,
					 sites.list[j].insn.len);
		if (!sites.cnt)
			continue;
		assert_int_equal(verify(&sites, &err), differ ? -ESTALE : 0);
		assert_int_equal(differ != 0, err.msg[0] != '\0');
		refused += differ != 0;
	}
	assert_true(refused > 0);
}

/* Each place in turn, a few bytes from where it is. */
static void test_offsets(void **state)
{
	struct sites sites;
	struct err err;
	int i, by, refused = 0;

	if (!data)
		skip();
	find(&sites);
	for (i = 0; i < sites.cnt; i++) {
		struct site *site = &sites.list[i];

		for (by = -15; by <= 15; by++) {
			bool same = !memcmp(site->bytes, data + site->offset + by, site->insn.len);

			site->offset += by;
			assert_int_equal(verify(&sites, &err), same ? 0 : -ESTALE);
			site->offset -= by;
			refused += !same;
		}
	}
	assert_true(refused > 25 * sites.cnt);
	/* far outside of its code */
	sites.list[0].offset += 1ULL << 40;
	assert_true(verify(&sites, &err) < 0);
	assert_true(err.msg[0] != '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_code),
		cmocka_unit_test(test_offsets),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
