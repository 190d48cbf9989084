/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probes multi|perf PID PATH OFFSET[:SEMAPHORE] ...: puts breakpoints there and prints "on NS", or the sentence
 * that says why not, and ends with status 1. The n-th point's cookie is n, and its hits are counted under it.
 * Then it obeys a line each: "counts" prints them all, "off" takes the breakpoints out and prints "off NS", "on" puts
 * them in again, "sweep" takes them out of children and prints "swept" and an errno; and at the end of its input
 * it ends without taking anything out.
 * probes multi|perf calibrate: prints what a hit costs, emulated and stepped, and what attaching, detaching and
 * all of it took, in ns.
 */
#include <bpf/bpf.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "os/feature.h"
#include "probe/calibrate_uprobe.h"
#include "probe/uprobes.h"

#define INSN(code_, dst, src, off_, imm_)     \
	((struct bpf_insn){ .code = (code_),  \
			    .dst_reg = (dst), \
			    .src_reg = (src), \
			    .off = (off_),    \
			    .imm = (imm_) })
#define CALL(helper)       INSN(BPF_JMP | BPF_CALL, 0, 0, 0, helper)
#define MOV(dst, src)      INSN(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)
#define MOV_IMM(dst, imm_) INSN(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm_)

/* counts[cookie]++; without cookies counts[0]++. */
static int prog_load(int map, bool multi, bool cookies)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = uprobes_attach_type(multi));
	const struct bpf_insn insns[] = {
		cookies ? CALL(BPF_FUNC_get_attach_cookie) : MOV_IMM(0, 0),
		INSN(BPF_STX | BPF_MEM | BPF_W, 10, 0, -4, 0),
		INSN(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, map),
		INSN(0, 0, 0, 0, 0),
		MOV(2, 10),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -4),
		CALL(BPF_FUNC_map_lookup_elem),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2, 0),
		MOV_IMM(1, 1),
		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 0, 1, 0, BPF_ADD),
		MOV_IMM(0, 0),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};

	return bpf_prog_load(BPF_PROG_TYPE_KPROBE, "count", "GPL", insns,
			     sizeof(insns) / sizeof(insns[0]), &opts);
}

static void counts_print(int map, int cnt)
{
	uint64_t count;
	int i;

	for (i = 0; i < cnt; i++)
		if (!bpf_map_lookup_elem(map, &i, &count))
			printf("%" PRIu64 "%c", count, i + 1 < cnt ? ' ' : '\n');
}

static int calibrate(bool multi)
{
	struct uprobe_calibration c;
	struct err err = {};
	int code = calibrate_uprobe(multi, &c, &err);

	if (code)
		fprintf(stderr, "%d %s\n", code, err.msg);
	else
		printf("%u %u %" PRIu64 " %" PRIu64 " %u\n", c.emulated_ns, c.stepped_ns,
		       c.attach_ns, c.detach_ns, c.took_ns);
	return code ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct uprobe_point points[UPROBES_MAX + 8] = {};
	struct uprobes u = {};
	struct err err = {};
	char line[16];
	int i, map, cnt = argc - 4;
	bool on;
	char *end;

	if (argc == 3 && !strcmp(argv[2], "calibrate"))
		return calibrate(!strcmp(argv[1], "multi"));
	if (cnt < 1 || cnt > UPROBES_MAX + 8)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	u.multi = !strcmp(argv[1], "multi");
	map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "counts", 4, 8, UPROBES_MAX, NULL);
	for (i = 0; i < cnt; i++) {
		points[i].offset = strtoull(argv[i + 4], &end, 0);
		points[i].semaphore = *end == ':' ? strtoull(end + 1, NULL, 0) : 0;
		points[i].cookie = i;
		/* two programs, as of two kinds of point */
		points[i].prog_fd = i < 2 ? prog_load(map, u.multi, feature_has(FEAT_PERF_LINK))
					  : points[i - 2].prog_fd;
		if (map < 0 || points[i].prog_fd < 0) {
			perror("bpf");
			return 2;
		}
	}
	snprintf(line, sizeof(line), "on");
	do {
		line[strcspn(line, "\n")] = 0;
		on = !strcmp(line, "on");
		if (on &&
		    uprobes_attach(&u, strtol(argv[2], NULL, 10), argv[3], points, cnt, &err)) {
			printf("%d %d %s\n", u.cnt, u.cookies, err.msg);
			return 1;
		}
		if (on)
			printf("on %" PRIu64 " %d\n", u.attach_ns, u.cnt);
		if (!strcmp(line, "counts"))
			counts_print(map, cnt);
		if (!strcmp(line, "off")) {
			uprobes_detach(&u);
			printf("off %" PRIu64 "\n", u.detach_ns);
		}
		if (!strcmp(line, "sweep"))
			printf("swept %d\n", uprobes_sweep(&u, argv[3], points, cnt, &err));
	} while (fgets(line, sizeof(line), stdin));
	return 0;
}
