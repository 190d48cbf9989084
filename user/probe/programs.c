/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <zlib.h>

#include "base/err.h"
#include "os/feature.h"
#include "plain.skel.h"
#include "uncoil.skel.h"

#define WINDOW_GZIP (15 + 16) /* zlib.h, inflateInit2(): the largest window, and a gzip header */

#define LOG_BEGIN "-- BEGIN PROG LOAD LOG --\n"
#define LOG_END   "-- END PROG LOAD LOG --"

/* libbpf's way to say what went wrong has no context of its own. */
static char refusal[256];

void programs_refusal(const char *printed, char *ret_text, size_t size)
{
	const char *name = strstr(printed, "prog '"), *log = strstr(printed, LOG_BEGIN);
	const char *end, *line;
	char *at;

	*ret_text = '\0';
	if (!name || !log || name > log)
		return;
	name += strlen("prog '");
	log += strlen(LOG_BEGIN);
	end = strstr(log, "\nprocessed ");
	if (!end)
		end = strstr(log, LOG_END);
	if (!end)
		end = log + strlen(log);
	while (end > log && end[-1] == '\n')
		end--;
	for (line = end; line > log && line[-1] != '\n'; line--)
		;
	snprintf(ret_text, size, "%.*s: %.*s", (int)strcspn(name, "'"), name, (int)(end - line),
		 line);
	for (at = ret_text; *at; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
}

static int libbpf_says(enum libbpf_print_level level, const char *format, va_list args)
{
	char *text;

	/* the first program that is refused; those that follow are refused for its sake */
	if (level != LIBBPF_WARN || *refusal || vasprintf(&text, format, args) < 0)
		return 0;
	programs_refusal(text, refusal, sizeof(refusal));
	free(text);
	return 0;
}

/* Locked memory is charged to a limit before Linux 5.11, and each timer and link is a file descriptor. */
void programs_limits(void)
{
	struct rlimit files, locked = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_MEMLOCK, &locked);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

void programs_listen(void)
{
	*refusal = '\0';
	libbpf_set_print(libbpf_says);
}

/* The object for kernels without bpf_loop(), which few are: it lies here packed. NULL: no memory. Kept
 * to the end, since libbpf is free to look at it for as long as the skeleton lives. */
static void *plain_unpack(void)
{
	static void *object;
	z_stream z = { .next_in = (unsigned char *)plain_object_gz,
		       .avail_in = sizeof(plain_object_gz),
		       .avail_out = PLAIN_OBJECT_SIZE };
	void *room;

	if (object)
		return object;
	room = malloc(PLAIN_OBJECT_SIZE);
	z.next_out = room;
	if (room && inflateInit2(&z, WINDOW_GZIP) == Z_OK) {
		if (inflate(&z, Z_FINISH) == Z_STREAM_END)
			object = room;
		inflateEnd(&z);
	}
	if (!object)
		free(room);
	return object;
}

/* The programs without bpf_loop() are another object with the same maps, knobs and programs
 * (bpf/emit.bpf.h): the same skeleton does for both. */
struct uncoil_bpf *programs_open(bool plain_loops)
{
	struct uncoil_bpf *skel;
	void *plain;
	int err;

	programs_listen();
	if (!plain_loops)
		return uncoil_bpf__open();
	skel = calloc(1, sizeof(*skel));
	plain = plain_unpack();
	err = skel && plain ? uncoil_bpf__create_skeleton(skel) : -ENOMEM;
	if (!err) {
		skel->skeleton->data = plain;
		skel->skeleton->data_sz = PLAIN_OBJECT_SIZE;
		err = bpf_object__open_skeleton(skel->skeleton, NULL);
	}
	if (!err) {
		bpf_program__set_autoload(skel->progs.direct_find, false);
		return skel;
	}
	uncoil_bpf__destroy(skel);
	errno = -err;
	return NULL;
}

/* Has the kernel side find out how to read a process's memory without a call; it does without where that
 * fails (bpf/direct.bpf.h). */
static void direct_find(struct uncoil_bpf *skel)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	uint64_t words[2] __attribute__((aligned(16)));
	int fd = bpf_program__fd(skel->progs.direct_find);

	if (fd < 0 || getrandom(words, sizeof(words), 0) != sizeof(words))
		return;
	skel->bss->direct_probe[0] = (uintptr_t)words;
	memcpy(&skel->bss->direct_probe[1], words, sizeof(words));
	if (bpf_prog_test_run_opts(fd, &opts))
		skel->bss->direct_base = 0;
	memset(skel->bss->direct_probe, 0, sizeof(skel->bss->direct_probe));
}

int programs_refused(int code, struct err *err)
{
	int missing = feature_explain(err);

	if (missing)
		return missing;
	if (*refusal)
		return err_set(err, code, "this kernel refuses uncoil's BPF program %s", refusal);
	return err_set(err, code, "the kernel refuses the BPF programs: %s (see `uncoil doctor`)",
		       err_str(code));
}

int programs_load(struct uncoil_bpf *skel, struct err *err)
{
	int code = uncoil_bpf__load(skel);

	if (code)
		return programs_refused(code, err);
	direct_find(skel);
	return 0;
}
