/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where functions begin and end: in the interpreters at hand, in damaged copies of one, and in code written
 * here by hand. And whether a place may be probed: this process is its own target.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "os/elf.h"
#include "os/proc.h"
#include "python/flow.h"
#include "python/handler.h"
#include "python/optable.h"
#include "python/sites.h"

#define PYTHON "/usr/bin/python3.11"
#define MINOR  11

/* --- a real one, and damaged copies --- */

struct copy {
	uint8_t *data;
	size_t size;
	uint64_t table_at; /* offset in the file */
	struct optable table;
};

static int memory_file(const uint8_t *data, size_t size)
{
	int fd = memfd_create("copy", 0);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	return fd;
}

static int copy_setup(void **state)
{
	struct copy *copy = calloc(1, sizeof(*copy));
	struct elf_image image;
	struct err err;
	struct elf *elf;
	int fd = open(PYTHON, O_RDONLY);

	*state = copy;
	if (fd < 0 || !insn_known())
		return 0;
	copy->size = lseek(fd, 0, SEEK_END);
	copy->data = malloc(copy->size);
	assert_int_equal(pread(fd, copy->data, copy->size, 0), copy->size);
	elf = elf__open(fd, &err);
	assert_non_null(elf);
	assert_int_equal(elf__load(elf, 1 << 28, &image), 0);
	assert_int_equal(optable_find(elf, &image, MINOR, &copy->table, &err), 0);
	copy->table_at = copy->table.at - elf_image_find(&image, copy->table.at)->vaddr +
			 elf_image_find(&image, copy->table.at)->offset;
	elf_image_done(&image);
	elf__close(elf);
	return 0;
}

static int copy_teardown(void **state)
{
	struct copy *copy = *state;

	free(copy->data);
	free(copy);
	return 0;
}

static void find(const struct copy *copy, size_t size, uint16_t minor, struct sites *ret_sites)
{
	struct err err = {};
	struct elf *elf = elf__open(memory_file(copy->data, size), &err);

	*ret_sites = (struct sites){ .method = SITES_NONE };
	if (!elf)
		return;
	sites_find(elf, minor, false, ret_sites, &err);
	elf__close(elf);
}

static int count(const struct sites *sites, enum site_kind kind)
{
	int i, cnt = 0;

	for (i = 0; i < sites->cnt; i++)
		cnt += sites->list[i].kind == kind;
	return cnt;
}

/* A copy with another handler for one opcode. */
static void find_with(struct copy *copy, uint8_t op, uint64_t handler, struct sites *ret_sites)
{
	uint8_t *at = copy->data + copy->table_at + 8 * op;
	uint64_t was;

	memcpy(&was, at, 8);
	assert_int_equal(was, copy->table.entry[op]);
	memcpy(at, &handler, 8);
	find(copy, copy->size, MINOR, ret_sites);
	memcpy(at, &was, 8);
}

static void test_found(void **state)
{
	struct copy *copy = *state;
	struct sites sites;
	int i;

	if (!copy->data)
		skip();
	find(copy, copy->size, MINOR, &sites);
	assert_int_equal(sites.method, SITES_HANDLERS);
	assert_int_equal(sites.missing, 0);
	assert_int_equal(sites.table, copy->table.at);
	for (i = 0; i < sites.cnt; i++) {
		assert_int_equal(sites.list[i].insn.probe, INSN_EMULATED);
		assert_memory_equal(sites.list[i].bytes, copy->data + sites.list[i].offset,
				    sites.list[i].insn.len);
	}
}

static void test_damaged_table(void **state)
{
	struct copy *copy = *state;
	const uint8_t *number = copy->table.row ? copy->table.row->number : NULL;
	struct sites sites;
	int by;

	if (!copy->data)
		skip();
	/* into the midst of an instruction: whatever is decoded there, no site comes of it */
	for (by = 1; by < 4; by++) {
		find_with(copy, number[OP_RETURN_VALUE],
			  copy->table.entry[number[OP_RETURN_VALUE]] + by, &sites);
		if (count(&sites, SITE_RETURN)) /* it was no midst: the next instruction */
			assert_true(by > 2);
		else
			assert_int_equal(sites.method, SITES_NONE);
	}
	/* the handler of another opcode */
	find_with(copy, number[OP_RESUME], copy->table.entry[100], &sites);
	assert_int_equal(count(&sites, SITE_BEGIN), 0);
	assert_int_equal(sites.method, SITES_NONE);
	assert_true(strlen(sites.why) > 0);
	/* what other opcodes lead to as well */
	find_with(copy, 100, copy->table.entry[number[OP_YIELD_VALUE]], &sites);
	assert_int_equal(count(&sites, SITE_YIELD), 0);
	/* not code at all, and an opcode that this version does not have: no table */
	find_with(copy, 100, 0x1234, &sites);
	assert_int_equal(sites.table, 0);
	find_with(copy, 200, copy->table.entry[100], &sites);
	assert_int_equal(sites.table, 0);
}

static void test_other_version(void **state)
{
	struct copy *copy = *state;
	struct sites sites;
	uint16_t minor;

	if (!copy->data)
		skip();
	for (minor = 7; minor <= 16; minor++) {
		find(copy, copy->size, minor, &sites);
		assert_int_equal(sites.table != 0, minor == MINOR);
		assert_int_equal(sites.method, minor == MINOR ? SITES_HANDLERS
					       : minor <= 10  ? SITES_USDT /* Debian's has points */
							      : SITES_NONE);
	}
}

static void test_cut(void **state)
{
	struct copy *copy = *state;
	struct sites sites;
	size_t size;

	if (!copy->data)
		skip();
	for (size = 0; size < copy->size - 100000; size += copy->size / 7) {
		find(copy, size, MINOR, &sites);
		assert_int_equal(sites.method, SITES_NONE);
	}
}

static void test_no_calls(void **state)
{
	struct copy *copy = *state;
	struct sites sites;
	struct err err;
	struct elf *elf;
	int i;

	if (!copy->data)
		skip();
	elf = elf__open(memory_file(copy->data, copy->size), &err);
	assert_int_equal(sites_find(elf, MINOR, true, &sites, &err), 0);
	for (i = 0; i < sites.cnt; i++)
		assert_int_not_equal(sites.list[i].insn.kind, INSN_CALL);
	assert_int_equal(sites.method, SITES_HANDLERS);
	elf__close(elf);
}

/* --- code by hand --- */

#define TEXT 0x1000

static int choose(const char *code, size_t size, struct group *group,
		  struct choice choices[GROUP_MAX])
{
	struct elf_image image = { .cnt = 1 };
	struct flow *flow;
	int cnt;

	image.list[0] = (struct elf_segment){ TEXT, 0, size, true, (uint8_t *)code };
	flow = flow__new(&image);
	assert_non_null(flow);
	cnt = handler_choose(flow, group, choices);
	flow__free(flow);
	return cnt;
}

#define MOV        "\x48\x89\xc3" /* 3 bytes */
#define EXIT       "\xff\xe0"     /* jmp *%rax */
#define CODE(text) text, sizeof(text) - 1

static void test_one_path(void **state)
{
	struct group group = { .entry = { TEXT }, .cnt = 1 };
	struct choice choices[GROUP_MAX];

	/* mov; jne +3; mov; jmp *: the jne; the mov behind it is not on every path */
	assert_int_equal(choose(CODE(MOV "\x75\x03" MOV EXIT), &group, choices), 1);
	assert_int_equal(choices[0].addr, TEXT + 3);
	assert_int_equal(choices[0].number, 2);
	/* nothing that is emulated: the first that may be stepped */
	assert_int_equal(choose(CODE("\xc5\xf8\x77" MOV EXIT), &group, choices), 1);
	assert_int_equal(choices[0].addr, TEXT + 3);
	/* nothing at all */
	assert_int_equal(choose(CODE("\xc5\xf8\x77" EXIT), &group, choices), -ENOENT);
	/* leaves before the jump: the mov, stepped */
	assert_int_equal(choose(CODE(MOV EXIT "\x75\x00"), &group, choices), 1);
	assert_int_equal(choices[0].addr, TEXT);
}

static void test_loop(void **state)
{
	struct group group = { .entry = { TEXT }, .cnt = 1 };
	struct choice choices[GROUP_MAX];

	/* mov; jne -5 (to itself and again): passed more than once; then je, once */
	assert_int_equal(choose(CODE(MOV "\x75\xfb\x74\x00" EXIT), &group, choices), 1);
	assert_int_equal(choices[0].addr, TEXT + 5);
}

static void test_shared_tail(void **state)
{
	/* a: jmp tail (+3)   b: mov   tail: jne, jmp * */
	static const char code[] = "\xeb\x03" MOV "\x75\x00" EXIT;
	const uint64_t a[] = { TEXT }, b[] = { TEXT + 2 };
	struct group group = { .entry = { TEXT, TEXT + 2 }, .cnt = 2 };
	struct choice choices[GROUP_MAX];

	/* both of one meaning: each once; the tail would do for both, and costs less than a step */
	assert_int_equal(choose(CODE(code), &group, choices), 1);
	assert_int_equal(choices[0].addr, TEXT + 5);
	assert_int_equal(choices[0].entries, 3);
	/* the other one is foreign: what they share is out */
	group = (struct group){ .entry = { TEXT + 2 }, .cnt = 1, .foreign = a, .foreign_cnt = 1 };
	assert_int_equal(choose(CODE(code), &group, choices), 1);
	assert_int_equal(choices[0].addr, TEXT + 2);
	group = (struct group){ .entry = { TEXT }, .cnt = 1, .foreign = b, .foreign_cnt = 1 };
	assert_int_equal(choose(CODE(code), &group, choices), 1);
	assert_int_equal(choices[0].addr, TEXT);
	/* code that nobody knows leads to it: out as well */
	assert_int_equal(choose(CODE(MOV "\x75\x00" EXIT "\x90" MOV "\xeb\xf5"),
				&(struct group){ .entry = { TEXT + 3 }, .cnt = 1 }, choices),
			 -ENOENT);
}

static void test_into_another(void **state)
{
	/* a: mov, and on into b, which the table leads to as well: jne; jmp * */
	static const char code[] = MOV "\x75\x00" EXIT;
	const uint64_t b[] = { TEXT + 3 };
	struct group group = { .entry = { TEXT }, .cnt = 1, .foreign = b, .foreign_cnt = 1 };
	struct choice choices[GROUP_MAX];

	assert_int_equal(choose(CODE(code), &group, choices), 1);
	assert_int_equal(choices[0].addr, TEXT);
}

static void test_falls_back(void **state)
{
	/* a special handler that gives up into the midst of the plain one, past what only that executes:
	 *	special: jne plain+3; jmp *       plain: mov; mid: je; jmp * */
	static const char code[] = "\x75\x05" EXIT MOV "\x74\x00" EXIT;
	struct group group = { .entry = { TEXT, TEXT + 4 }, .cnt = 2 };
	struct choice choices[GROUP_MAX];
	int i;

	assert_int_equal(choose(CODE(code), &group, choices), 2);
	for (i = 0; i < 2; i++)
		assert_int_equal(choices[i].addr, choices[i].entries == 1 ? TEXT : TEXT + 4);
}

static void test_called(void **state)
{
	/* jmp to a function's entry is a call of it */
	struct group group = { .entry = { TEXT + 2 }, .cnt = 1, .is_called = true };
	struct choice choices[GROUP_MAX];

	assert_int_equal(choose(CODE("\xeb\x00\x53\xc3"), &group, choices), 1);
	assert_int_equal(choices[0].addr, TEXT + 2);
	/* amid an instruction */
	group.entry[0] = TEXT + 1;
	assert_int_equal(choose(CODE("\xeb\x00\x53\xc3"), &group, choices), -ENOENT);
}

static void test_ways_out(void **state)
{
	static const char code[] = "\x53\x75\x0f" EXIT /* the loop: push; jne refused; jmp * */
		MOV "\xeb\x05"                         /* 5 a: mov; jmp out */
		MOV EXIT                               /* 10 b: mov; jmp * */
				   "\x74\x00\xc3"      /* 15 out: je; ret */
				   "\x31\xc0\xc3"      /* 18 refused: xor; ret */
				   "\xeb\xf8";         /* 21 c: jmp out */
	const uint64_t entries[] = { TEXT + 5, TEXT + 10, TEXT + 21 };
	struct elf_image image = { .cnt = 1 };
	struct choice choices[GROUP_MAX];
	struct flow *flow;
	int i;

	image.list[0] = (struct elf_segment){ TEXT, 0, sizeof(code) - 1, true, (uint8_t *)code };
	flow = flow__new(&image);
	assert_non_null(flow);
	/* a's and c's ways are joined at out; whoever is refused never was in a handler */
	assert_int_equal(handler_choose_exit(flow, entries, 3, TEXT, sizeof(code), false, choices),
			 2);
	for (i = 0; i < 2; i++)
		assert_true(choices[i].addr == TEXT + 15 || choices[i].addr == TEXT + 18);
	/* only b, which never leaves: the loop refuses, or stays */
	assert_int_equal(handler_choose_exit(flow, entries + 1, 1, TEXT, 5, false, choices), 1);
	assert_int_equal(choices[0].addr, TEXT + 18);
	flow__free(flow);
}

/* --- may it be probed? --- */

/* A page of code of its own: lea 1(%rdi,%rdi,2),%eax; ret. On other machines nothing is known of code. */
#if defined(__x86_64__)
#define VICTIM ".byte 0x8d, 0x44, 0x7f, 0x01, 0xc3\n"
#else
#define VICTIM ""
#endif
__asm__(".pushsection .text.victim, \"ax\"\n.balign 4096\nvictim_code:\n" VICTIM
	".balign 4096\n.popsection\n");
int victim_code(int n);

static struct sites victim;
static uint64_t victim_start; /* of its mapping */

static int on_map(void *ctx, const struct proc_map *map)
{
	uint64_t at = (uintptr_t)victim_code;

	if (at < map->start || at >= map->end)
		return 0;
	victim = (struct sites){ .dev = map->dev, .inode = map->inode, .cnt = 1 };
	victim.list[0].offset = at - map->start + map->offset;
	victim_start = map->start;
	return 1;
}

static void victim_set(void)
{
	struct site *site = &victim.list[0];

	assert_int_equal(proc_maps_each(getpid(), on_map, NULL), 1);
	snprintf(site->name, sizeof(site->name), "victim");
	assert_int_equal(insn_decode((void *)victim_code, 16, 0, &site->insn), 0);
	memcpy(site->bytes, (void *)victim_code, site->insn.len);
}

static void patch(void *page, size_t at, uint8_t byte)
{
	assert_int_equal(mprotect(page, 4096, PROT_READ | PROT_WRITE), 0);
	((uint8_t *)page)[at] = byte;
	assert_int_equal(mprotect(page, 4096, PROT_READ | PROT_EXEC), 0);
}

static int verify(pid_t pid, struct sites_state *state, struct err *err)
{
	*err = (struct err){};
	*state = (struct sites_state){};
	return sites_verify(pid, &victim, state, err);
}

static void test_verify(void **unused)
{
	uint8_t *page = (uint8_t *)victim_code, *again, first = 0x8d;
	struct sites_state state;
	struct err err;
	pid_t pid;
	int fd;

	if (!insn_known())
		skip();
	victim_set();
	assert_int_equal(verify(getpid(), &state, &err), 0);
	assert_string_equal(err.msg, "");
	assert_int_equal(state.mappings, 1);
	assert_int_equal(state.shared, 0);
	/* elsewhere in the file there is something else */
	victim.list[0].offset += 2;
	assert_int_equal(verify(getpid(), &state, &err), -ESTALE);
	assert_non_null(strstr(err.msg, "victim"));
	victim.list[0].offset -= 2;
	/* a breakpoint; any other byte; and as it was */
	patch(page, 0, 0xcc);
	assert_int_equal(verify(getpid(), &state, &err), 0);
	assert_int_equal(state.shared, 1);
	patch(page, 0, first ^ 1);
	assert_int_equal(verify(getpid(), &state, &err), -ESTALE);
	patch(page, 0, first);
	assert_int_equal(verify(getpid(), &state, &err), 0);
	/* a second mapping, right and wrong */
	fd = open("/proc/self/exe", O_RDONLY);
	again = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd,
		     victim.list[0].offset & ~4095ULL);
	assert_true(again != MAP_FAILED);
	assert_int_equal(verify(getpid(), &state, &err), 0);
	assert_int_equal(state.mappings, 2);
	patch(again, victim.list[0].offset & 4095, first ^ 1);
	assert_int_equal(verify(getpid(), &state, &err), -ESTALE);
	munmap(again, 4096);
	close(fd);
	/* it cannot be read; another file; nobody */
	assert_int_equal(mprotect(page, 4096, PROT_NONE), 0);
	assert_int_equal(verify(getpid(), &state, &err), -EFAULT);
	assert_int_equal(mprotect(page, 4096, PROT_READ | PROT_EXEC), 0);
	victim.inode++;
	assert_int_equal(verify(getpid(), &state, &err), -ESTALE);
	assert_non_null(strstr(err.msg, "no longer"));
	victim.inode--;
	pid = fork();
	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	assert_true(verify(pid, &state, &err) < 0);
	assert_true(err.msg[0] != '\0');
	assert_int_equal(victim_code(2), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_found, copy_setup, copy_teardown),
		cmocka_unit_test_setup_teardown(test_damaged_table, copy_setup, copy_teardown),
		cmocka_unit_test_setup_teardown(test_other_version, copy_setup, copy_teardown),
		cmocka_unit_test_setup_teardown(test_cut, copy_setup, copy_teardown),
		cmocka_unit_test_setup_teardown(test_no_calls, copy_setup, copy_teardown),
		cmocka_unit_test(test_one_path),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_shared_tail),
		cmocka_unit_test(test_into_another),
		cmocka_unit_test(test_falls_back),
		cmocka_unit_test(test_called),
		cmocka_unit_test(test_ways_out),
		cmocka_unit_test(test_verify),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
