/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that reads a live interpreter, against every interpreter at hand: live_python.py says
 * what its objects are, and the same is read out of its memory. No root is needed: the interpreters
 * are children of this program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "events.h"
#include "python/mem.h"
#include "python/module_name.h"
#include "python/object.h"
#include "python/table.h"
#include "python/threads.h"

#define DICT_MAX     65536
#define MODULE_READS 64 /* once the key is known, however large the dict */

struct live {
	struct mem_process m;
	pid_t pid;
	FILE *facts;
	int input; /* closing it ends the child */
	struct py_abi abi;
	uint64_t interp;
	struct module_key key;
	struct py_code code;                                       /* the last one told */
	unsigned int codes, lines, dicts, attrs, threads, modules; /* checked */
};

static void live_start(struct live *l, const char *python)
{
	char file[] = __FILE__, relative[4096], script[PATH_MAX];
	int in[2], out[2];

	snprintf(relative, sizeof(relative), "%s/live_python.py", dirname(file));
	/* a Python in a root of its own takes it along to the same place there */
	assert_non_null(realpath(relative, script));
	assert_int_equal(pipe(in) | pipe(out), 0);
	l->pid = fork();
	assert_true(l->pid >= 0);
	if (!l->pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[0]);
		close(in[1]);
		close(out[0]);
		close(out[1]);
		execl(python, python, "-I", script, NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	l->input = in[1];
	l->facts = fdopen(out[0], "r");
	assert_non_null(l->facts);
	mem_process_init(&l->m, l->pid);
}

static void live_stop(struct live *l)
{
	code_done(&l->code);
	fclose(l->facts);
	close(l->input);
	waitpid(l->pid, NULL, 0);
}

static uint64_t number(const char *text)
{
	assert_non_null(text);
	return strtoull(text, NULL, 10);
}

static void on_version(struct live *l, char *args)
{
	uint64_t major = number(strsep(&args, "\t"));
	uint64_t minor = number(strsep(&args, "\t"));
	enum py_build build = *args == 't'   ? PY_BUILD_FREE_THREADED
			      : *args == 'd' ? PY_BUILD_DEBUG
					     : PY_BUILD_RELEASE;
	size_t i;

	for (i = 0; i < sizeof(py_rows) / sizeof(py_rows[0]); i++) {
		const struct py_row *r = &py_rows[i];

		if (r->major == major && r->minor == minor && r->build == build)
			l->abi = (struct py_abi){ r->major,          r->minor, r->off,  r->lines,
						  r->str_kind_shift, r->live,  r->build };
	}
	assert_int_equal(l->abi.major, 3);
}

static void on_code(struct live *l, char *args)
{
	uint64_t addr = number(strsep(&args, "\t"));
	uint64_t firstlineno = number(strsep(&args, "\t"));
	const char *name = strsep(&args, "\t");
	struct code_raw raw;
	struct buf store;

	code_done(&l->code);
	buf_init(&store, 2 << 20);
	assert_int_equal(code_read(&l->m.mem, &l->abi, addr, &store, &raw), 0);
	assert_int_equal(store.err, 0);
	assert_int_equal(code_decode(&l->abi, &raw, &l->code), 0);
	assert_int_equal(l->code.firstlineno, firstlineno);
	assert_string_equal(l->code.name, name);
	assert_string_equal(l->code.filename, args);
	assert_false(l->code.name_missing || l->code.name_cut);
	assert_false(l->code.filename_missing || l->code.filename_cut);
	assert_false(l->code.lines_missing || l->code.lines_cut);
	assert_int_not_equal(code_check(&l->abi, raw.facts, raw.name), 0);
	buf_done(&store);
	l->codes++;
}

/* For the code told last: every instruction's line. */
static void on_lines(struct live *l, char *args)
{
	char *pair;

	while ((pair = strsep(&args, " "))) {
		uint32_t lasti = (uint32_t)strtoul(strsep(&pair, ":"), NULL, 10);
		int32_t line = (int32_t)strtol(pair, NULL, 10);
		int32_t got = code_line(&l->abi, &l->code, lasti);

		if (got != line)
			fail_msg("%s at %u: line %d, not %d", l->code.name, lasti, got, line);
		l->lines++;
	}
	assert_int_equal(code_line(&l->abi, &l->code, EV_LASTI_NONE), l->code.firstlineno);
	assert_int_equal(code_line(&l->abi, &l->code, (uint32_t)-2), l->code.firstlineno);
}

struct expect {
	char *pairs; /* "key:value ...", in the dict's order */
	unsigned int cnt;
};

static int expect_entry(void *ctx, uint64_t key, uint64_t value)
{
	struct expect *e = ctx;
	char *pair = strsep(&e->pairs, " ");

	assert_non_null(pair);
	assert_int_equal(key, number(strsep(&pair, ":")));
	assert_int_equal(value, number(pair));
	e->cnt++;
	return 0;
}

static int stop_at_once(void *ctx, uint64_t key, uint64_t value)
{
	return 7;
}

static void on_dict(struct live *l, char *args)
{
	uint64_t addr = number(strsep(&args, "\t"));
	struct expect e = { strcmp(args, "-") ? args : NULL };

	assert_int_equal(object_dict_each(&l->m.mem, &l->abi, addr, DICT_MAX, expect_entry, &e), 0);
	assert_null(e.pairs);
	if (!e.cnt)
		return;
	assert_int_equal(object_dict_each(&l->m.mem, &l->abi, addr, DICT_MAX, stop_at_once, NULL),
			 7);
	assert_int_equal(object_dict_each(&l->m.mem, &l->abi, addr, e.cnt - 1, stop_at_once, NULL),
			 -E2BIG);
	l->dicts++;
}

static void on_attr(struct live *l, char *args)
{
	uint64_t addr = number(strsep(&args, "\t"));
	uint64_t want = number(strsep(&args, "\t")), got = 0;
	int err;

	err = object_attr(&l->m.mem, &l->abi, addr, "attr", &got);
	if (err != (want ? 0 : -ENOENT) || got != want)
		fail_msg("%s: %d, 0x%lx, not 0x%lx", args, err, (unsigned long)got,
			 (unsigned long)want);
	l->attrs++;
}

/* Its name follows, if it has one. */
static void on_module(struct live *l, char *args)
{
	uint64_t addr = number(strsep(&args, "\t"));
	const char *want = args;
	struct module_key fresh = { 0 };
	struct mem_limited mem;
	struct buf name, again;
	int err, slow;

	buf_init(&name, 1024);
	buf_init(&again, 1024);
	mem_limited_init(&mem, &l->m.mem, l->key.addr ? MODULE_READS : UINT64_MAX);
	err = module_name(&mem.mem, &l->abi, &l->key, addr, &name);
	if (err != (want ? 0 : -ENOENT) || strcmp(buf_text(&name), want ? want : "") != 0)
		fail_msg("%s: %d, '%s'", want ? want : "no name", err, buf_text(&name));
	assert_int_not_equal(l->key.addr, 0);
	/* and as the first one that is asked about */
	slow = module_name(&l->m.mem, &l->abi, &fresh, addr, &again);
	if (slow != -E2BIG) {
		assert_int_equal(slow, err);
		assert_string_equal(buf_text(&again), buf_text(&name));
	}
	buf_done(&name);
	buf_done(&again);
	l->modules++;
}

static void on_thread(struct live *l, char *args)
{
	uint64_t ident = number(strsep(&args, "\t"));
	struct buf name;

	buf_init(&name, 1024);
	assert_int_equal(threads_name(&l->m.mem, &l->abi, l->interp, ident, &name), 0);
	assert_string_equal(buf_text(&name), args);
	buf_done(&name);
	l->threads++;
}

static void on_nothread(struct live *l, uint64_t ident)
{
	struct buf name;

	buf_init(&name, 1024);
	assert_int_equal(threads_name(&l->m.mem, &l->abi, l->interp, ident, &name), -ENOENT);
	/* a wrong interpreter is no crash either */
	assert_int_equal(threads_name(&l->m.mem, &l->abi, 0, ident, &name), -EFAULT);
	assert_int_equal(name.len, 0);
	buf_done(&name);
}

/* The facts tell of the state at the end: all are read before any is checked. */
static void live_check(struct live *l)
{
	char *facts = NULL, *rest, *line;
	bool ended = false;
	size_t len = 0, cap = 1 << 24, got;

	facts = malloc(cap);
	assert_non_null(facts);
	do {
		got = fread(facts + len, 1, 1, l->facts);
		len += got;
	} while (got && len < cap - 1 && (len < 5 || memcmp(facts + len - 5, "\nend\n", 5) != 0));
	facts[len] = '\0';
	for (rest = facts; (line = strsep(&rest, "\n"));) {
		char *kind = strsep(&line, "\t");

		if (!strcmp(kind, "version"))
			on_version(l, line);
		else if (!strcmp(kind, "interp"))
			l->interp = number(line);
		else if (!strcmp(kind, "code"))
			on_code(l, line);
		else if (!strcmp(kind, "lines"))
			on_lines(l, line);
		else if (!strcmp(kind, "dict"))
			on_dict(l, line);
		else if (!strcmp(kind, "attr"))
			on_attr(l, line);
		else if (!strcmp(kind, "module"))
			on_module(l, line);
		else if (!strcmp(kind, "thread"))
			on_thread(l, line);
		else if (!strcmp(kind, "nothread"))
			on_nothread(l, number(line));
		else if (!strcmp(kind, "end"))
			ended = true;
	}
	free(facts);
	assert_true(ended);
}

static void check_python(const char *python)
{
	struct live l = { 0 };

	print_message("%s: ", python);
	live_start(&l, python);
	live_check(&l);
	print_message("%u code objects, %u lines, %u dicts, %u attributes, %u threads, %u "
		      "modules\n",
		      l.codes, l.lines, l.dicts, l.attrs, l.threads, l.modules);
	assert_true(l.codes > 20 && l.lines > 500 && l.dicts > 5 && l.attrs > 20 && l.threads > 5);
	assert_true(l.modules > 80);
	live_stop(&l);
}

/* Those that scripts/get-pythons made; most are in roots of their own, which only root may enter. */
static unsigned int check_got_pythons(void)
{
	const char *dir = getenv("UNCOIL_PYTHONS");
	unsigned int checked = 0;
	char pattern[4096];
	glob_t g;
	size_t i;

	snprintf(pattern, sizeof(pattern), "%s/bin/*python3*", dir ? dir : ".output/pythons");
	if (glob(pattern, 0, NULL, &g))
		return 0;
	for (i = 0; i < g.gl_pathc; i++) {
		if (geteuid() != 0 && !strstr(g.gl_pathv[i], "/free-threaded-")) {
			print_message("%s: not looked at, chroot needs root\n", g.gl_pathv[i]);
			continue;
		}
		check_python(g.gl_pathv[i]);
		checked++;
	}
	globfree(&g);
	return checked;
}

static void test_live(void **state)
{
	static const int minors[] = { 8, 9, 10, 11, 12, 13, 14, 15 };
	const char *root = getenv("PYENV_ROOT"), *home = getenv("HOME");
	unsigned int checked = 0;
	char pattern[4096];
	glob_t g;
	size_t i, k;

	for (i = 0; i < sizeof(minors) / sizeof(minors[0]); i++) {
		snprintf(pattern, sizeof(pattern), "%s%s/versions/3.%d.*/bin/python3.%d",
			 root   ? root
			 : home ? home
				: "",
			 root ? "" : "/.pyenv", minors[i], minors[i]);
		if (glob(pattern, 0, NULL, &g) == 0) {
			for (k = 0; k < g.gl_pathc; k++, checked++)
				check_python(g.gl_pathv[k]);
			globfree(&g);
		}
		snprintf(pattern, sizeof(pattern), "/usr/bin/python3.%d", minors[i]);
		if (access(pattern, X_OK) == 0) {
			check_python(pattern);
			checked++;
		}
	}
	checked += check_got_pythons();
	if (!checked) {
		print_message(
			"SKIPPED: no Python 3.8 - 3.15 in pyenv, /usr/bin or .output/pythons\n");
		skip();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_live) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
