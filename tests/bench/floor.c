/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor PID FILE OFFSET[:SEMAPHORE] ...: an empty BPF program at each of these places of a file, in one process, put
 * there as uncoil puts its own: what is left of a trace's cost if it does nothing. Prints "on"; for each further line of
 * input takes them out ("off") or puts them in again ("on"); ends with its input.
 */
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "probe/uprobes.h"

static int prog_load(bool multi)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = uprobes_attach_type(multi));
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 }, /* r0 = 0 */
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return bpf_prog_load(BPF_PROG_TYPE_KPROBE, "empty", "GPL", insns, 2, &opts);
}

int main(int argc, char **argv)
{
	struct uprobes u = { .multi = uprobes_multi() };
	struct uprobe_point points[UPROBES_MAX] = {};
	int fd = prog_load(u.multi), cnt = argc - 3, i;
	struct err err = {};
	char line[16], *end;

	if (cnt < 1 || cnt > UPROBES_MAX || fd < 0) {
		fprintf(stderr, "usage: floor PID FILE OFFSET[:SEMAPHORE] ...; as root\n");
		return 2;
	}
	for (i = 0; i < cnt; i++) {
		points[i].prog_fd = fd;
		points[i].offset = strtoull(argv[i + 3], &end, 0);
		points[i].semaphore = *end == ':' ? strtoull(end + 1, NULL, 0) : 0;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	do {
		if (u.cnt) {
			uprobes_detach(&u);
			puts("off");
			continue;
		}
		if (uprobes_attach(&u, strtol(argv[1], NULL, 10), argv[2], points, cnt, &err)) {
			fprintf(stderr, "floor: %s\n", err.msg);
			return 1;
		}
		puts("on");
	} while (fgets(line, sizeof(line), stdin));
	return 0;
}
