/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the flame graphs that test_flame.py opens in a browser: make_svg DIRECTORY
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sink/sink.h"
#include "unit/report_fixture.h"

static const struct report_target one_target[] = {
	{ 4242,
	  "/srv/venv/bin/python /srv/venv/bin/gunicorn shop.wsgi:application --workers 4 "
	  "--bind 127.0.0.1:8000 --secret ****",
	  "CPython 3.11.2" },
};
static const struct report_target three_targets[] = {
	{ 4242, "gunicorn: master [shop.wsgi]", "CPython 3.11.2" },
	{ 4250, "gunicorn: worker [shop.wsgi]", "CPython 3.11.2" },
	{ 4251, "gunicorn: worker [shop.wsgi]", "CPython 3.11.2" },
};
static const struct report_remark remarks[] = {
	{ 37, "samples lost: the ring buffer was full", true },
	{ 12, "samples had no Python frame", false },
	{ 3, "stacks were cut at 512 frames", false },
};

static int save(const struct fixture *f, const char *dir, const char *name)
{
	char path[4096];
	FILE *out;
	int err;

	snprintf(path, sizeof(path), "%s/%s.svg", dir, name);
	out = fopen(path, "w");
	if (!out)
		return -errno;
	err = sink_flame.write(&f->report, out);
	if (fclose(out) && !err)
		err = -EIO;
	if (err)
		fprintf(stderr, "%s: error %d\n", path, -err);
	return err;
}

/* A web application, each kind of frame, names long and short. */
static struct fixture *normal(void)
{
	struct fixture *f = fixture_new(200);
	struct report_node *n = f->report.root, *process, *thread, *serve, *view, *x;

	f->report.targets = three_targets;
	f->report.target_cnt = 3;
	f->report.remarks = remarks;
	f->report.remark_cnt = 3;
	process = FRAME(f, n, FRAME_PROCESS, "process 4250 (gunicorn)", "", 0, 0);
	thread = FRAME(f, process, FRAME_THREAD, "thread 4250 (MainThread)", "", 0, 0);
	n = FRAME(f, thread, FRAME_APP, "<module>", "manage.py", 22, 4);
	n = FRAME(f, n, FRAME_LIBRARY, "WSGIApplication.run", "gunicorn/app/base.py", 231, 10);
	n = FRAME(f, n, FRAME_LIBRARY, "Arbiter.run", "gunicorn/arbiter.py", 202, 0);
	n = FRAME(f, n, FRAME_LIBRARY, "SyncWorker.handle_request", "gunicorn/workers/sync.py", 177,
		  25);
	serve = FRAME(f, n, FRAME_LIBRARY, "WSGIHandler.__call__", "django/core/handlers/wsgi.py",
		      124, 40);
	view = FRAME(f, serve, FRAME_APP, "catalogue_view", "shop/views.py", 88, 120);
	view->path = "/srv/shop/src/shop/views.py";
	x = FRAME(f, view, FRAME_APP, "price_with_every_discount_that_could_possibly_apply",
		  "shop/pricing.py", 41, 410);
	x = FRAME(f, x, FRAME_APP, "Discount.matches.<locals>.<lambda>", "shop/pricing.py", 77,
		  260);
	FRAME(f, x, FRAME_STDLIB, "Decimal.__new__", "_pydecimal.py", 540, 190);
	FRAME(f, x, FRAME_STDLIB, "lru_cache.<locals>.wrapper", "functools.py", 512, 22);
	x = FRAME(f, view, FRAME_LIBRARY, "QuerySet._fetch_all", "django/db/models/query.py", 1881,
		  95);
	x = FRAME(f, x, FRAME_LIBRARY, "SQLCompiler.execute_sql",
		  "django/db/models/sql/compiler.py", 1562, 160);
	FRAME(f, x, FRAME_STDLIB, "Connection.execute", "sqlite3/dbapi2.py", 61, 205);
	x = FRAME(f, view, FRAME_LIBRARY, "Template.render", "jinja2/environment.py", 1299, 70);
	x = FRAME(f, x, FRAME_APP, "root", "templates/catalogue.html", 14, 66);
	FRAME(f, x, FRAME_STDLIB, "escape", "html/__init__.py", 19, 48);
	FRAME(f, x, FRAME_MARK, "[truncated]", "", 0, 9);
	x = FRAME(f, serve, FRAME_LIBRARY, "SessionMiddleware.process_request",
		  "django/contrib/sessions/middleware.py", 21, 33);
	x = FRAME(f, x, FRAME_STDLIB, "loads", "json/__init__.py", 346, 8);
	x = FRAME(f, x, FRAME_STDLIB, "JSONDecoder.decode", "json/decoder.py", 337, 14);
	FRAME(f, x, FRAME_STDLIB, "JSONDecoder.raw_decode", "json/decoder.py", 355, 77);
	x = FRAME(f, serve, FRAME_APP, "warenkorb_übersicht", "shop/übersicht.py", 7, 51);
	FRAME(f, x, FRAME_APP, "計算_合計", "shop/合計.py", 3, 64);
	thread = FRAME(f, process, FRAME_THREAD, "thread 4257 (metrics)", "", 0, 0);
	n = FRAME(f, thread, FRAME_STDLIB, "Thread._bootstrap", "threading.py", 1002, 2);
	n = FRAME(f, n, FRAME_STDLIB, "Thread.run", "threading.py", 975, 3);
	n = FRAME(f, n, FRAME_APP, "push_forever", "shop/metrics.py", 19, 31);
	FRAME(f, n, FRAME_STDLIB, "dumps", "json/__init__.py", 183, 66);
	FRAME(f, thread, FRAME_MARK, "[no Python frame]", "", 0, 12);
	return f;
}

static struct fixture *hostile(void)
{
	static const char *const names[] = {
		"</script><script>document.title=\"pwned\"</script>",
		"<img src=x onerror=\"document.title='pwned'\">",
		"]]><script>document.title=\"pwned\"</script>",
		"\" onload=\"document.title='pwned'\" x=\"",
		"&amp;&lt;b&gt;&#60;i&#62;",
		"\033]0;pwned\007\033[31mred\033[0m\n\r\ttab",
		"</title></svg><foreignObject><iframe src=\"javascript:alert(1)\">",
		"\xe2\x80\xaegnp.exe\xe2\x80\xa8 \xef\xbf\xbe bidi",
		"\xf0\x9f\x90\x8d\xf0\x9f\x90\x8d snake; drop table frames \xe2\x90\x80",
		"bad \xff\xfe utf-8 \xed\xa0\x80",
		"<!--",
		"constructor",
		"__proto__",
		"(((((((a+)+)+)+$",
		"",
	};
	static struct report_target target[] = {
		{ 1, "python -c '</text><script>document.title=\"pwned\"</script>'",
		  "<b>3.11</b>" },
	};
	static struct report_remark remark[] = {
		{ 1, "</text><script>document.title=\"pwned\"</script>", true },
	};
	struct fixture *f = fixture_new(100);
	struct report_node *n;
	size_t i;

	f->report.targets = target;
	f->report.target_cnt = 1;
	f->report.remarks = remark;
	f->report.remark_cnt = 1;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		n = FRAME(f, f->report.root, FRAME_APP, names[i], names[(i + 1) % 5], 1, 10);
		n->path = names[i];
		FRAME(f, n, FRAME_LIBRARY, names[i], "x.py", 2, 50);
	}
	return f;
}

/* `frames` frames: stacks of 100, side by side; none too narrow to be drawn. */
static struct fixture *big(uint32_t frames, uint64_t samples)
{
	static char names[97][32];
	struct fixture *f = fixture_new(frames);
	struct report_node *n = NULL;
	uint64_t each = samples / (frames / 100);
	uint32_t i;

	f->report.targets = one_target;
	f->report.target_cnt = 1;
	for (i = 0; i < 97; i++)
		snprintf(names[i], sizeof(names[i]), "function_%" PRIu32, i);
	for (i = 0; i < frames; i++) {
		n = i % 100 ? n : f->report.root;
		n = FRAME(f, n, FRAME_APP + i % 3, names[(i * 31 + i / 100) % 97], "pkg/mod.py",
			  1 + i % 400, i % 100 == 99 ? each : 0);
	}
	return f;
}

static struct fixture *empty(void)
{
	struct fixture *f = fixture_new(1);

	f->report.targets = one_target;
	f->report.target_cnt = 1;
	return f;
}

/* Some frames are below what is drawn. */
static struct fixture *narrow(void)
{
	struct fixture *f = fixture_new(1000);
	struct report_node *n;
	uint32_t i;

	f->report.targets = one_target;
	f->report.target_cnt = 1;
	FRAME(f, f->report.root, FRAME_APP, "busy", "busy.py", 1, 199900);
	n = FRAME(f, f->report.root, FRAME_APP, "rare", "rare.py", 1, 0);
	for (i = 0; i < 10; i++)
		FRAME(f, n, FRAME_STDLIB, "rarer", "rare.py", (int32_t)i + 2, 10);
	return f;
}

int main(int argc, char **argv)
{
	static const char *const names[] = {
		"normal", "hostile", "big", "huge", "empty", "narrow"
	};
	struct fixture *f[6];
	int err = 0, i;

	if (argc != 2)
		return 2;
	f[0] = normal();
	f[1] = hostile();
	f[2] = big(5000, 50000);
	f[3] = big(20000, 1000000);
	f[4] = empty();
	f[5] = narrow();
	for (i = 0; i < 6; i++) {
		if (save(f[i], argv[1], names[i]))
			err = 1;
		free(f[i]);
	}
	return err;
}
