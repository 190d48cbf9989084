/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loads: loads the BPF programs as a kernel without bpf_loop() and cookies does; prints how many
 * instructions the verifier looked at for each.
 * loads PID: follows the process with a layout that finds no frames; on a line of input, as the same
 * image with the right one; on another, prints the whole stacks since then, and all.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "probe/programs.h"
#include "probe/sampler.h"
#include "python/find.h"
#include "python/layout.h"
#include "python/mem.h"
#include "uncoil.skel.h"

static int load(void)
{
	struct uncoil_bpf *skel = programs_open(true);
	struct bpf_program *prog;

	if (!skel)
		return 1;
	skel->rodata->has_cookie = 0;
	skel->rodata->trace_switches = 1;
	bpf_map__set_max_entries(skel->maps.ring, 4096);
	if (uncoil_bpf__load(skel))
		return 1;
	bpf_object__for_each_program(prog, skel->obj)
	{
		struct bpf_prog_info info = {};
		__u32 len = sizeof(info);

		if (!bpf_program__autoload(prog))
			continue;
		if (bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len))
			return 1;
		printf("%s %u\n", bpf_program__name(prog), info.verified_insns);
	}
	uncoil_bpf__destroy(skel);
	return 0;
}

struct tally {
	uint64_t framed, all;
};

static int count(void *ctx, const struct count_key *key, const struct count_val *val)
{
	struct tally *tally = ctx;

	(void)key;
	tally->all += val->count;
	if (!val->flags)
		tally->framed += val->count;
	return 0;
}

static void line_said(const char *word)
{
	puts(word);
	fflush(stdout);
	while (getchar() != '\n')
		;
}

static int pass(void *ctx, void *data, size_t len)
{
	return 0;
}

static struct tally taken(struct sampler *s)
{
	struct tally tally = {};

	sampler__flip(s);
	sampler__consume(s, 0, pass, NULL);
	sampler__drain(s, count, &tally);
	return tally;
}

static int follow(pid_t pid)
{
	struct sampler_options options = { .rate_hz = 999, .ring_bytes = 1 << 20 };
	struct sampler *s = sampler__new(&options);
	struct py_layout layout;
	struct py_found found;
	struct mem_process mem;
	struct py_cfg right, wrong;
	struct err err = {};
	struct tally tally;

	mem_process_init(&mem, pid);
	if (python_find(pid, &found, &err) || layout_fill(&found, &mem.mem, &layout, &err) ||
	    layout_cfg(&found, &layout, &right))
		goto failed;
	wrong = right;
	wrong.code_type++;
	if (!s || sampler__load(s, &err) || sampler__follow(s, pid, 1, &wrong, false) ||
	    sampler__attach(s, pid, false, &err) || sampler__start(s))
		goto failed;
	line_said("wrong");
	tally = taken(s);
	printf("%lu of %lu.\n", tally.framed, tally.all);
	if (sampler__follow(s, pid, 1, &right, true))
		goto failed;
	taken(s); /* and those that were taken until now */
	line_said("right");
	tally = taken(s);
	printf("%lu of %lu.\n", tally.framed, tally.all);
	sampler__free(s);
	return 0;
failed:
	fprintf(stderr, "loads: %s\n", err.msg);
	return 1;
}

int main(int argc, char **argv)
{
	return argc > 1 ? follow(strtol(argv[1], NULL, 10)) : load();
}
