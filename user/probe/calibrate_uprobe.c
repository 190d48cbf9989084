/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loop of two instructions, and a breakpoint in it: on the one that the kernel emulates (the jump back), or on
 * the one that it does not. Time with the breakpoint, by the number of turns, is the cost of a hit: without it a turn
 * takes no nanosecond. The loops are in uncoil's own file, so nothing has to be found and nothing can be wrong with
 * them; and a child runs them, which is probed as a target is, by its memory: uncoil itself has no breakpoint.
 *
 *	round     0     1     2     3  …           ns a hit, emulated, one machine, other work beside
 *	        655   612   614   1390 …   median  614
 *
 * The median of many short rounds, because one in which the child lost its CPU says nothing. What it leaves out:
 * a real program instead of the empty one, which is timed where it runs; and that in a real target the kernel's ways
 * through the hit are colder. `make bench`, part trace-floor, compares it with what calls cost.
 */
#include "probe/calibrate_uprobe.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "os/proc.h"
#include "probe/uprobes.h"

#define ROUNDS     15
#define EMULATED   256 /* turns a round: 0.2 ms */
#define STEPPED    64  /* 0.3 to 1.5 ms */
#define TIMEOUT_MS 2000
#define LEAST_NS   50 /* there was no trap in less */

/* The place of the breakpoint is a label in it. */
#if defined(__x86_64__)
#define LOOP(name, before, after)                                                         \
	__asm__(".pushsection .text\n"                                                    \
		".global " #name ", " #name "_at\n"                                       \
		".type " #name ", @function\n" #name ":\n" before "	dec %rdi\n" after \
		"	jne " #name "\n"                                                  \
		"	ret\n"                                                                  \
		".size " #name ", .-" #name "\n"                                          \
		".popsection");
LOOP(calibrate_emulated, "", "calibrate_emulated_at:\n")
LOOP(calibrate_stepped, "calibrate_stepped_at:\n	mov %rdi, %rax\n", "")
void calibrate_emulated(uint64_t turns);
void calibrate_stepped(uint64_t turns);
extern const char calibrate_emulated_at[], calibrate_stepped_at[];
#define HAS_LOOPS true
#else
static void calibrate_emulated(uint64_t turns)
{
}
static void calibrate_stepped(uint64_t turns)
{
}
static const char calibrate_emulated_at[1], calibrate_stepped_at[1];
#define HAS_LOOPS false
#endif

struct rounds {
	uint32_t emulated[ROUNDS], stepped[ROUNDS]; /* ns a hit */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static uint32_t turn_ns(void (*loop)(uint64_t), uint64_t turns)
{
	uint64_t start = now_ns();

	loop(turns);
	return (now_ns() - start) / turns;
}

/* In the child: waits until there are breakpoints, and tells what they cost. */
static void child_run(int parent_fd, pid_t parent)
{
	struct rounds rounds;
	char go;
	int i;

	/* not to be left behind, also not if the parent ended before this */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent || read(parent_fd, &go, 1) != 1)
		_exit(1);
	turn_ns(calibrate_emulated, EMULATED); /* warm; and room is made to step in */
	turn_ns(calibrate_stepped, STEPPED);
	for (i = 0; i < ROUNDS; i++) {
		rounds.emulated[i] = turn_ns(calibrate_emulated, EMULATED);
		rounds.stepped[i] = turn_ns(calibrate_stepped, STEPPED);
	}
	send(parent_fd, &rounds, sizeof(rounds), MSG_NOSIGNAL);
	_exit(0);
}

struct child {
	pid_t pid;
	int fd;
};

static int child_start(struct child *c)
{
	pid_t parent = getpid();
	int fds[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds))
		return -errno;
	c->pid = fork();
	err = c->pid < 0 ? -errno : 0;
	if (!c->pid) {
		close(fds[0]); /* or it would wait for itself */
		child_run(fds[1], parent);
	}
	close(fds[1]);
	c->fd = fds[0];
	if (err)
		close(c->fd);
	return err;
}

static void child_end(const struct child *c)
{
	close(c->fd);
	kill(c->pid, SIGKILL);
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int child_ask(const struct child *c, struct rounds *ret)
{
	struct pollfd poll_in = { .fd = c->fd, .events = POLLIN };
	uint64_t end = now_ns() + TIMEOUT_MS * 1000000ULL, now;
	int got;

	if (send(c->fd, "g", 1, MSG_NOSIGNAL) != 1)
		return -errno;
	do {
		now = now_ns();
		if (now >= end)
			return -ETIME;
		got = poll(&poll_in, 1, (end - now) / 1000000 + 1);
	} while (!got || (got < 0 && errno == EINTR));
	if (got < 0)
		return -errno;
	return read(c->fd, ret, sizeof(*ret)) == sizeof(*ret) ? 0 : -ECHILD;
}

struct place {
	uint64_t addr, offset;
};

static int place_look(void *ctx, const struct proc_map *map)
{
	struct place *place = ctx;

	if (place->addr < map->start || place->addr >= map->end)
		return 0;
	place->offset = place->addr - map->start + map->offset;
	return 1;
}

static int place_offset(const char *at, uint64_t *ret)
{
	struct place place = { .addr = (uintptr_t)at };
	int err = proc_maps_each(getpid(), place_look, &place);

	*ret = place.offset;
	return err < 0 ? err : err ? 0 : -ENOENT;
}

static int prog_load(bool multi)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = uprobes_attach_type(multi));
	static const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 }, /* r0 = 0 */
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "uncoil_empty", "GPL", insns,
			       sizeof(insns) / sizeof(insns[0]), &opts);

	return fd < 0 ? -errno : fd;
}

static int order(const void *pa, const void *pb)
{
	const uint32_t *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

static uint32_t median(uint32_t rounds[ROUNDS])
{
	qsort(rounds, ROUNDS, sizeof(rounds[0]), order);
	return rounds[ROUNDS / 2];
}

/* Attaches to the child, lets it run, and fills in what came of it. */
static int measure(const struct child *c, int prog_fd, bool multi, struct uprobe_calibration *ret,
		   struct err *err)
{
	struct uprobe_point points[2] = { { .prog_fd = prog_fd }, { .prog_fd = prog_fd } };
	struct uprobes u = { .multi = multi };
	struct rounds rounds;
	int code;

	code = place_offset(calibrate_emulated_at, &points[0].offset);
	if (!code)
		code = place_offset(calibrate_stepped_at, &points[1].offset);
	if (code)
		return err_set(err, code, "cannot find uncoil's own code in /proc/self/maps: %s",
			       err_str(code));
	code = uprobes_attach(&u, c->pid, "/proc/self/exe", points, 2, err);
	if (code)
		return code;
	code = child_ask(c, &rounds);
	uprobes_detach(&u);
	if (code)
		return err_set(err, code, "a child of uncoil did not measure a breakpoint: %s",
			       err_str(code));
	ret->emulated_ns = median(rounds.emulated);
	ret->stepped_ns = median(rounds.stepped);
	ret->rounds = ROUNDS;
	ret->attach_ns = u.attach_ns;
	ret->detach_ns = u.detach_ns;
	if (ret->emulated_ns < LEAST_NS || ret->stepped_ns < LEAST_NS)
		return err_set(err, -EIO,
			       "a child of uncoil ran over a breakpoint and nothing came of it");
	return 0;
}

int calibrate_uprobe(bool multi, struct uprobe_calibration *ret, struct err *err)
{
	uint64_t start = now_ns();
	struct child child = {};
	int prog_fd, code;

	memset(ret, 0, sizeof(*ret));
	if (!HAS_LOOPS)
		return err_set(err, -ENOTSUP,
			       "not known how to measure a breakpoint on this processor");
	prog_fd = prog_load(multi);
	if (prog_fd < 0)
		return err_set(err, prog_fd,
			       "the kernel refuses an empty program for breakpoints: %s",
			       err_str(prog_fd));
	code = child_start(&child);
	if (code) {
		err_set(err, code, "cannot start a child to measure a breakpoint on: %s",
			err_str(code));
	} else {
		code = measure(&child, prog_fd, multi, ret, err);
		child_end(&child);
	}
	close(prog_fd);
	ret->took_ns = now_ns() - start;
	return code;
}
