/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row per feature, one probe function per row, each with the release and the commit that
 * brought it. Adding a feature is a function and a row.
 *
 * Three answers, not two: a kernel that says EPERM has not said no. Without privileges most rows
 * are "unknown", and it would be wrong to tell a user to get another kernel.
 */
#include "os/feature.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "os/uprobe_multi.h"

#define BTF_PATH   "/sys/kernel/btf/vmlinux"
#define PROBE_NAME "uncoil_probe"

static enum feature_state bpf_allowed(int *ret_errno);

/* A failure's meaning: not allowed to try is not "no". */
static enum feature_state verdict(int err, int *ret_errno)
{
	*ret_errno = err;
	if (err >= 0)
		return FEATURE_YES;
	return err == -EPERM || err == -EACCES ? FEATURE_UNKNOWN : FEATURE_NO;
}

/* For what is tried by making an object: success is a descriptor, which is not kept. */
static enum feature_state verdict_fd(int fd, int *ret_errno)
{
	int err = fd < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return verdict(err, ret_errno);
}

static int prog_load_as(enum bpf_prog_type type, const struct bpf_prog_load_opts *opts)
{
	static const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 }, /* r0 = 0 */
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return bpf_prog_load(type, PROBE_NAME, "GPL", insns, sizeof(insns) / sizeof(insns[0]),
			     opts);
}

static int prog_load(enum bpf_prog_type type)
{
	return prog_load_as(type, NULL);
}

/* libbpf takes any failure but the verifier's "unknown func" for a yes, EPERM too. So ask first
 * whether programs can be loaded at all. */
static enum feature_state probe_helper(enum bpf_prog_type type, enum bpf_func_id func,
				       int *ret_errno)
{
	enum feature_state state = bpf_allowed(ret_errno);
	int ret;

	if (state != FEATURE_YES)
		return FEATURE_UNKNOWN;
	ret = libbpf_probe_bpf_helper(type, func, NULL);
	return verdict(ret > 0 ? 0 : ret ? ret : -ENOTSUP, ret_errno);
}

/* Disabled from the start: nothing is ever measured. */
static int perf_open(bool inherit_thread)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = 1000000000,
		.disabled = 1,
		.inherit = inherit_thread,
		.inherit_thread = inherit_thread,
	};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* Added in: 5.4 commit 341dfcf8d78e ("btf: expose BTF info through sysfs") */
static enum feature_state probe_btf(int *ret_errno)
{
	return verdict_fd(open(BTF_PATH, O_RDONLY | O_CLOEXEC), ret_errno);
}

/* Added in: 3.18 commit 99c55f7d47c0 ("bpf: introduce BPF syscall and maps"). Here EPERM is the
 * answer: kernel.unprivileged_bpf_disabled, seccomp, a user namespace or lockdown. */
static enum feature_state bpf_allowed(int *ret_errno)
{
	int fd = prog_load(BPF_PROG_TYPE_TRACEPOINT);

	*ret_errno = fd < 0 ? -errno : 0;
	if (fd < 0)
		return FEATURE_NO;
	close(fd);
	return FEATURE_YES;
}

/* Added in: 5.8 commit 457f44363a88 ("bpf: Implement BPF ring buffer and verifier support for
 * it") */
static enum feature_state probe_ringbuf(int *ret_errno)
{
	return verdict_fd(
		bpf_map_create(BPF_MAP_TYPE_RINGBUF, PROBE_NAME, 0, 0, getpagesize(), NULL),
		ret_errno);
}

/* Added in: 4.9 commit 0515e5999a46 ("bpf: introduce BPF_PROG_TYPE_PERF_EVENT program type"). The
 * software clock, not cycles: virtual machines often have no hardware counters. */
static enum feature_state probe_cpu_clock(int *ret_errno)
{
	return verdict_fd(perf_open(false), ret_errno);
}

/* Added in: 5.13 commit 2b26f0aa0049 ("perf: Support only inheriting events if cloned with
 * CLONE_THREAD") */
static enum feature_state probe_inherit_thread(int *ret_errno)
{
	return verdict_fd(perf_open(true), ret_errno);
}

/* Added in: 5.15 commits b89fbfbb854c ("bpf: Implement minimal BPF perf link") and 7adfc6c9b315
 * ("bpf: Add bpf_get_attach_cookie() BPF helper to access bpf_cookie value") */
static enum feature_state probe_perf_link(int *ret_errno)
{
	enum feature_state state;
	int fd, err;

	state = probe_helper(BPF_PROG_TYPE_PERF_EVENT, BPF_FUNC_get_attach_cookie, ret_errno);
	if (state != FEATURE_YES)
		return state;
	fd = prog_load(BPF_PROG_TYPE_PERF_EVENT);
	if (fd < 0)
		return verdict(-errno, ret_errno);
	/* -1 is no perf event. A kernel that knows the link type gets as far as to notice. */
	err = bpf_link_create(fd, -1, BPF_PERF_EVENT, NULL) < 0 ? -errno : 0;
	close(fd);
	return verdict(err == -EBADF ? 0 : err ? err : -EINVAL, ret_errno);
}

/* Added in: 5.17 commit e6f2dd0f8067 ("bpf: Add bpf_loop helper") */
static enum feature_state probe_bpf_loop(int *ret_errno)
{
	return probe_helper(BPF_PROG_TYPE_PERF_EVENT, BPF_FUNC_loop, ret_errno);
}

/* Added in: 4.17 commit c4f6699dfcb8 ("bpf: introduce BPF_RAW_TRACEPOINT"). tp_btf programs attach
 * to the same points. */
static enum feature_state probe_raw_tracepoint(int *ret_errno)
{
	enum feature_state state;
	int fd = prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT);

	if (fd < 0)
		return verdict(-errno, ret_errno);
	state = verdict_fd(bpf_raw_tracepoint_open("sched_process_exit", fd), ret_errno);
	close(fd);
	return state;
}

/* Added in: 4.17 commit 33ea4b24277b ("perf/core: Implement the 'perf_uprobe' PMU") */
static enum feature_state probe_uprobe_pmu(int *ret_errno)
{
	return verdict_fd(open("/sys/bus/event_source/devices/uprobe/type", O_RDONLY | O_CLOEXEC),
			  ret_errno);
}

/* Added in: 6.6 commits 89ae89f53d20 ("bpf: Add multi uprobe link") and b733eeade420 ("bpf: Add pid
 * filter support for uprobe_multi link"), which ran the program for one thread of the process only; it
 * is for all of them since 6.10 commit 46ba0e49b642 ("bpf: fix multi-uprobe PID filtering logic"), with
 * which a pid below 0 became invalid. A kernel without the one or the other counts as without. */
static enum feature_state probe_uprobe_multi(int *ret_errno)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = UPROBE_MULTI_ATTACH_TYPE);
	const uint64_t offset = 0;
	struct uprobe_multi_attr attr = {
		.attach_type = UPROBE_MULTI_ATTACH_TYPE,
		.path = (uintptr_t) "/", /* no regular file */
		.offsets = (uintptr_t)&offset,
		.cnt = 1,
	};
	int fd, err;

	fd = prog_load_as(BPF_PROG_TYPE_KPROBE, &opts);
	if (fd < 0)
		return verdict(-errno, ret_errno);
	attr.prog_fd = fd;
	err = uprobe_multi_link(&attr);
	if (err == -EBADF) { /* it knows the kind of link, and looked at the file */
		attr.pid = -1;
		err = uprobe_multi_link(&attr);
		err = err == -EINVAL ? 0 : -ENOTSUP;
	} else if (err >= 0) { /* it linked to "/": nothing that can be understood */
		close(err);
		err = -EINVAL;
	}
	close(fd);
	return verdict(err, ret_errno);
}

/* Added in: 4.1 commit 4282d60689d4 ("tracefs: Add new tracefs file system") */
static enum feature_state probe_tracefs(int *ret_errno)
{
	static const char *const paths[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	struct statfs st;
	size_t i;
	int err = -ENOENT;

	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (statfs(paths[i], &st))
			err = -errno;
		else if (st.f_type == TRACEFS_MAGIC)
			return verdict(0, ret_errno);
	}
	return verdict(err, ret_errno);
}

/* Added in: 4.3 commit bdb4d100afe9 ("procfs: always expose /proc/<pid>/map_files/ and make it
 * readable"), for CAP_SYS_ADMIN; 5.9 commit 12886f8ab10c ("proc: allow access in init userns for
 * map_files with CAP_CHECKPOINT_RESTORE"). The right, not the kernel, is what is usually missing:
 * EPERM is a no. */
static enum feature_state probe_map_files(int *ret_errno)
{
	enum feature_state state;
	struct dirent *entry;
	DIR *dir;
	int fd;

	dir = opendir("/proc/self/map_files");
	if (!dir)
		return verdict(-errno, ret_errno);
	do {
		errno = 0;
		entry = readdir(dir);
	} while (entry && entry->d_name[0] == '.');
	if (!entry) {
		state = verdict(errno ? -errno : -ENOENT, ret_errno);
		goto out;
	}
	fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
	state = verdict_fd(fd, ret_errno) == FEATURE_YES ? FEATURE_YES : FEATURE_NO;
out:
	closedir(dir);
	return state;
}

/* Appends the names of the capabilities that are needed and not held: "CAP_BPF and CAP_PERFMON". */
static size_t privileges_missing(struct buf *out)
{
	const struct privilege *table;
	const char *missing[8];
	size_t cnt, i, missing_cnt = 0;

	table = privilege_table(&cnt);
	for (i = 0; i < cnt && missing_cnt < sizeof(missing) / sizeof(missing[0]); i++)
		if (table[i].needed && !privilege_held(&table[i]))
			missing[missing_cnt++] = table[i].name;
	for (i = 0; out && i < missing_cnt; i++)
		buf_fmt(out, "%s%s", !i ? "" : i + 1 == missing_cnt ? " and " : ", ", missing[i]);
	return missing_cnt;
}

/* Added in: 5.8 commits a17b53c4a4b5 ("bpf, capability: Introduce CAP_BPF") and 980737282232
 * ("capabilities: Introduce CAP_PERFMON to kernel and user space") */
static enum feature_state probe_privileges(int *ret_errno)
{
	*ret_errno = privileges_missing(NULL) ? -EPERM : 0;
	return *ret_errno ? FEATURE_NO : FEATURE_YES;
}

static const struct feature features[FEAT_MAX] = {
	[FEAT_PRIVILEGES] = {
		.name = "capabilities",
		.why = "the least set that may load BPF programs and read another process",
		.need = FEATURE_REQUIRED,
		.hint = "run uncoil with sudo, or give it the capabilities that are \"no\" above",
		.probe = probe_privileges,
	},
	[FEAT_BTF] = {
		.name = "kernel BTF",
		.why = "finds the kernel's own fields by name, whatever kernel this is",
		.need = FEATURE_REQUIRED,
		.hint = "mount /sys here; if it is mounted, use a kernel with CONFIG_DEBUG_INFO_BTF=y",
		.probe = probe_btf,
	},
	[FEAT_BPF] = {
		.name = "bpf() allowed",
		.why = "loads the programs that take the samples",
		.need = FEATURE_REQUIRED,
		.hint = "run uncoil as root on the host: a container, a user namespace or kernel lockdown forbids bpf()",
		.probe = bpf_allowed,
	},
	[FEAT_RINGBUF] = {
		.name = "BPF ring buffer",
		.why = "carries stacks from the kernel to uncoil",
		.need = FEATURE_REQUIRED,
		.hint = "use Linux 5.8 or newer; \"unknown\": run uncoil with sudo",
		.probe = probe_ringbuf,
	},
	[FEAT_CPU_CLOCK] = {
		.name = "perf CPU clock",
		.why = "the timer that asks for a sample",
		.need = FEATURE_REQUIRED,
		.hint = "run uncoil as root on the host: a container's seccomp filter or kernel.perf_event_paranoid forbids perf_event_open()",
		.probe = probe_cpu_clock,
	},
	[FEAT_RAW_TRACEPOINT] = {
		.name = "raw tracepoints",
		.why = "follow fork, exec and exit of the process",
		.need = FEATURE_REQUIRED,
		.hint = "use Linux 4.17 or newer; \"unknown\": run uncoil with sudo",
		.probe = probe_raw_tracepoint,
	},
	[FEAT_INHERIT_THREAD] = {
		.name = "perf inherit_thread",
		.why = "timers pass on to new threads but not to child processes; without it "
		       "children are sampled too, and filtered",
		.need = FEATURE_OPTIONAL,
		.hint = "nothing must be done; Linux 5.13 has it",
		.probe = probe_inherit_thread,
	},
	[FEAT_PERF_LINK] = {
		.name = "BPF perf link",
		.why = "a timer carries a cookie, so that a second timer on one thread is told "
		       "apart; without it a thread born while attaching may count twice",
		.need = FEATURE_OPTIONAL,
		.hint = "nothing must be done; Linux 5.15 has it, and \"unknown\" needs sudo",
		.probe = probe_perf_link,
	},
	[FEAT_LOOP] = {
		.name = "bpf_loop()",
		.why = "checks the stack walk once at load; without it loading takes 50 ms longer",
		.need = FEATURE_OPTIONAL,
		.hint = "nothing must be done; Linux 5.17 has it, and \"unknown\" needs sudo",
		.probe = probe_bpf_loop,
	},
	[FEAT_MAP_FILES] = {
		.name = "map_files",
		.why = "opens an interpreter's file that was deleted or replaced since it started",
		.need = FEATURE_OPTIONAL,
		.hint = "run uncoil with sudo, outside of user namespaces",
		.probe = probe_map_files,
	},
	[FEAT_UPROBE] = {
		.name = "uprobes",
		.why = "trace sees calls by them; without them trace does not work, all else does",
		.need = FEATURE_OPTIONAL,
		.hint = "a kernel with CONFIG_UPROBES and CONFIG_PERF_EVENTS",
		.probe = probe_uprobe_pmu,
	},
	[FEAT_UPROBE_MULTI] = {
		.name = "uprobe_multi links",
		.why = "put all probes into a process at once; without it one by one, and each "
		       "takes long to go",
		.need = FEATURE_OPTIONAL,
		.hint = "Linux 6.10 or later",
		.probe = probe_uprobe_multi,
	},
	[FEAT_TRACEFS] = {
		.name = "tracefs",
		.why = "not needed: no command reads it",
		.need = FEATURE_UNUSED,
		.probe = probe_tracefs,
	},
};

const struct feature *feature_table(size_t *ret_cnt)
{
	*ret_cnt = FEAT_MAX;
	return features;
}

enum feature_state feature_state(const struct feature *feature, int *ret_errno)
{
	/* A fact about the kernel we run on: the one thing a static may remember. */
	static struct {
		bool tried;
		enum feature_state state;
		int err;
	} cache[FEAT_MAX];
	size_t i = feature - features;
	libbpf_print_fn_t print;

	if (!cache[i].tried) {
		/* libbpf reports each failed try; here failing is an answer. */
		print = libbpf_set_print(NULL);
		cache[i].state = feature->probe(&cache[i].err);
		libbpf_set_print(print);
		cache[i].tried = true;
	}
	if (ret_errno)
		*ret_errno = cache[i].err;
	return cache[i].state;
}

bool feature_has(enum feature_id id)
{
	return feature_state(&features[id], NULL) == FEATURE_YES;
}

static const struct privilege privileges[] = {
	{ "CAP_BPF", CAP_BPF, true, true, "load BPF programs, make maps", "run uncoil with sudo" },
	{ "CAP_PERFMON", CAP_PERFMON, true, true,
	  "attach them to timers and tracepoints, let them read memory", "run uncoil with sudo" },
	{ "CAP_SYS_PTRACE", CAP_SYS_PTRACE, true, false,
	  "read names from the memory of other users' processes", "run uncoil with sudo" },
	{ "CAP_CHECKPOINT_RESTORE", CAP_CHECKPOINT_RESTORE, false, true,
	  "open an interpreter's file that was deleted or replaced", "run uncoil with sudo" },
	{ "CAP_SYS_ADMIN", CAP_SYS_ADMIN, false, false,
	  "stands in for CAP_BPF, CAP_PERFMON and CAP_CHECKPOINT_RESTORE",
	  "not needed where the others are held; else run uncoil with sudo" },
};

const struct privilege *privilege_table(size_t *ret_cnt)
{
	*ret_cnt = sizeof(privileges) / sizeof(privileges[0]);
	return privileges;
}

static uint64_t cap_effective(void)
{
	unsigned long long caps = 0;
	char line[256];
	FILE *status;

	status = fopen("/proc/self/status", "re");
	if (!status)
		return 0;
	while (fgets(line, sizeof(line), status))
		if (sscanf(line, "CapEff: %llx", &caps) == 1)
			break;
	fclose(status);
	return caps;
}

bool privilege_held(const struct privilege *privilege)
{
	uint64_t caps = cap_effective();

	if (privilege->by_admin && caps >> CAP_SYS_ADMIN & 1)
		return true;
	return caps >> privilege->cap & 1;
}

/* The sentence for a required row that is not there, by which row it is. */
static int require_failed(const struct feature *feature, int code, struct err *err)
{
	if (feature->probe == probe_btf)
		return err_set(err, -ENOTSUP,
			       "cannot open " BTF_PATH " (%s): this kernel was built without "
			       "CONFIG_DEBUG_INFO_BTF, or /sys is not mounted here",
			       err_str(code));
	if (feature->probe == bpf_allowed && code == -EPERM)
		return err_set(err, -EPERM,
			       "the kernel refuses bpf() although the capabilities are there: a "
			       "container, a user namespace or kernel lockdown forbids it; run "
			       "uncoil on the host");
	if (feature->probe == probe_cpu_clock && (code == -EPERM || code == -EACCES))
		return err_set(err, -EPERM,
			       "the kernel refuses perf_event_open() although the capabilities are "
			       "there: a container's seccomp filter forbids it; run uncoil on the "
			       "host");
	return err_set(err, code == -EPERM || code == -EACCES ? -EPERM : -ENOTSUP,
		       "this kernel offers no %s (%s), which record needs: Linux 5.10 or newer "
		       "has it",
		       feature->name, err_str(code));
}

/* PROC_PID_INIT_INO in include/linux/proc_ns.h: the same on every Linux */
#define PID_NS_INIT_INO 0xEFFFFFFCu

/* Known not to be the one whose process ids BPF programs see? */
static bool pid_ns_is_inner(void)
{
	struct stat st;

	return !stat("/proc/self/ns/pid", &st) && st.st_ino != PID_NS_INIT_INO;
}

int feature_require(struct err *err)
{
	struct buf missing;
	int code, ret = 0;

	buf_init(&missing, 256);
	if (privileges_missing(&missing))
		ret = err_set(err, -EPERM,
			      "this needs %s, which this process does not have: run it "
			      "with sudo",
			      buf_text(&missing));
	else if (pid_ns_is_inner())
		ret = err_set(err, -ENOTSUP,
			      "uncoil must run in the initial pid namespace: its BPF programs see "
			      "the host's process ids (start it on the host, or the container with "
			      "--pid=host)");
	else if (feature_state(&features[FEAT_BTF], &code) != FEATURE_YES)
		ret = require_failed(&features[FEAT_BTF], code, err);
	buf_done(&missing);
	return ret;
}

int feature_explain(struct err *err)
{
	int i, code;

	for (i = 0; i < FEAT_MAX; i++)
		if (features[i].need == FEATURE_REQUIRED &&
		    feature_state(&features[i], &code) != FEATURE_YES)
			return require_failed(&features[i], code, err);
	return 0;
}
