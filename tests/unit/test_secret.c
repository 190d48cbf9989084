/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/secret.h"

/* The line for arguments that are parted by '|' in `args`. */
static void check(const char *args, const char *want)
{
	size_t i, len = strlen(args) + 1;
	struct buf out;
	char *bytes;

	bytes = malloc(len);
	assert_non_null(bytes);
	memcpy(bytes, args, len);
	for (i = 0; i < len; i++)
		if (bytes[i] == '|')
			bytes[i] = '\0';
	buf_init(&out, 1 << 20);
	assert_int_equal(secret_cmdline(&out, bytes, len), 0);
	assert_string_equal(buf_text(&out), want);
	buf_done(&out);
	free(bytes);
}

static void keeps(const char *args)
{
	char want[1024];
	size_t i;

	assert_true(strlen(args) < sizeof(want));
	for (i = 0; i <= strlen(args); i++)
		want[i] = args[i] == '|' ? ' ' : args[i];
	check(args, want);
}

static void test_options(void **state)
{
	check("x|--password=hunter2", "x --password=***");
	check("x|--password|hunter2|app:app", "x --password *** app:app");
	check("x|--password=two words", "x '--password=***'");
	check("x|--password= two words", "x '--password= ***'");
	check("x|-password|hunter2", "x -password ***");
	check("x|--token|abc|--workers|4", "x --token *** --workers 4");
	check("x|--secret|abc", "x --secret ***");
	check("x|--api-key|abc", "x --api-key ***");
	check("x|--apikey=abc", "x --apikey=***");
	check("x|--auth|abc", "x --auth ***");
	check("x|--auth-token|abc", "x --auth-token ***");
	check("x|--passwd|abc|--pwd|def", "x --passwd *** --pwd ***");
	check("x|--credentials|abc", "x --credentials ***");
	check("x|--credential=abc", "x --credential=***");
	check("x|--private-key|abc|--access-key=def", "x --private-key *** --access-key=***");
	check("x|--dsn|postgres://db/x", "x --dsn ***");
	check("x|--cookie|sid=1; b=2", "x --cookie ***");
	check("x|--db.password=abc", "x --db.password=***");
	check("x|--set=db.password=abc", "x --set=db.password=***");
	check("x|--set|auth.redisPassword=abc", "x --set auth.redisPassword=***");
	check("x|--clientSecret=abc", "x --clientSecret=***");
	check("x|--jwtToken=abc", "x --jwtToken=***");
	check("x|--role-secret-id|abc", "x --role-secret-id ***");
	check("x|--password|-dash", "x --password ***");
	check("x|--password|--verbose", "x --password --verbose");
	check("x|--password", "x --password");
	check("x|--password=", "x --password=");
	check("x|--password=|next", "x --password= next");
	check("x|--password||next", "x --password  ***");
	check("x|--pw|abc|--pw=def", "x --pw *** --pw=***");
	check("x|--login=me:abc|--login=me|--login|me", "x --login=*** --login=me --login me");
	check("openssl|rsa|-passin|pass:abc|-in|k.pem", "openssl rsa -passin *** -in k.pem");
}

/* Of programs that are written in Python, or are run by those. */
static void test_options_of_programs(void **state)
{
	check("python3|/usr/bin/http|-a|me:abc|https://x.org/",
	      "python3 /usr/bin/http -a *** https://x.org/");
	check("https|-ame:abc|x.org", "https -a*** x.org");
	check("/usr/bin/mycli|-u|me|-pabc|db", "/usr/bin/mycli -u me -p*** db");
	check("mycli|-p|abc|db", "mycli -p *** db");
	check("supervisorctl|-u|me|-p|abc|status", "supervisorctl -u me -p *** status");
	check("twine|upload|-u|me|-p|abc|dist/x.whl", "twine upload -u me -p *** dist/x.whl");
	check("mitmdump|--proxyauth|me:abc|-p|8080", "mitmdump --proxyauth *** -p 8080");
	check("docker|login|-u|me|-p|abc|x.org", "docker login -u me -p *** x.org");
	keeps("docker|run|-p|80:80|x");
	keeps("http|-p|Hh|https://x.org/");
	keeps("bash|--login|script");
}

static void test_options_that_are_none(void **state)
{
	keeps("gunicorn|--workers|4|--bind|127.0.0.1:8000|app:app");
	keeps("x|--password-file|/run/secrets/db");
	keeps("x|--password-file=/run/secrets/db");
	keeps("x|--token-ttl|30|--auth-type|basic");
	keeps("x|--max-tokens|4096|--tokenizer|bert");
	keeps("x|--author|bob|--passive|--bypass|x");
	keeps("x|--no-auth|app:app");
	keeps("x|--require-auth=true|--auth=off");
	keeps("x|--key|value|--keyfile|server.key");
	keeps("x|--cookie-secure=yes|--cookie-name|sid");
	keeps("x|-p|8000|-t|4|-s");
	keeps("x|--compass|north|--pass-through|x");
}

static void test_variables(void **state)
{
	check("env|API_KEY=abc|x", "env API_KEY=*** x");
	check("env|AWS_SECRET_ACCESS_KEY=abc", "env AWS_SECRET_ACCESS_KEY=***");
	check("env|PGPASSWORD=abc|psql", "env PGPASSWORD=*** psql");
	check("env|MYSQL_PWD=abc", "env MYSQL_PWD=***");
	check("env|REDISCLI_AUTH=abc", "env REDISCLI_AUTH=***");
	check("env|DB_PASS=a b c|x", "env 'DB_PASS=***' x");
	check("docker|run|-e|GITHUB_TOKEN=abc|img", "docker run -e GITHUB_TOKEN=*** img");
	check("env|DATABASE_URL=postgres://u:p@h/db", "env DATABASE_URL=postgres://u:***@h/db");
	keeps("env|PWD=/home/me|OLDPWD=/tmp|PATH=/bin:/usr/bin|LANG=C.UTF-8");
	keeps("env|SECRET_KEY_FILE=/run/key|AUTH_ENABLED=1");
	check("env|AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "env AWS_ACCESS_KEY_ID=***");
}

static void test_urls(void **state)
{
	check("x|postgres://user:pass@host/db", "x postgres://user:***@host/db");
	check("x|postgresql+psycopg2://u:p@h:5432/db", "x postgresql+psycopg2://u:***@h:5432/db");
	check("x|-b|redis://:pass@host:6379/0", "x -b redis://:***@host:6379/0");
	check("x|--broker=amqp://u:p@h//", "x --broker=amqp://u:***@h//");
	check("x|mongodb://u:p@a:1,b:2/db", "x mongodb://u:***@a:1,b:2/db");
	check("x|ftp://u:p/w@host/f", "x ftp://u:***@host/f");
	check("x|ftp://u:p@ss@host/f", "x ftp://u:***@host/f");
	check("x|http://u:p#?w@host/f", "x http://u:***@host/f");
	check("x|http://h/p?token=abc&x=1", "x http://h/p?***");
	check("x|http://h/?q", "x http://h/?***");
	check("x|localhost:80/search?q=abc", "x localhost:80/search?***");
	check("x|http://h/#access_token=abc", "x http://h/#access_token=***");
	check("x|jdbc:mysql://h/db?user=a&password=b", "x jdbc:mysql://h/db?***");
	check("x|https://ghp_abcdefghijklmnopqrst@github.com/a/b", "x https://***@github.com/a/b");
	check("x|https://0123456789abcdef0123@sentry.io/1", "x https://***@sentry.io/1");
	check("x|https://hooks.slack.com/services/T01/B02/aB3dE5fG7hI9jK1lM3nO5pQ7",
	      "x https://hooks.slack.com/services/***");
	check("x|root:pw@tcp(127.0.0.1:3306)/db", "x root:***@tcp(127.0.0.1:3306)/db");
	keeps("x|http://127.0.0.1:8000/a/b.html|https://pypi.org/simple/");
	keeps("x|http://registry:4873/@scope/pkg|https://unpkg.com/@scope/pkg@1.2");
	keeps("x|ssh://git@github.com/a/b|git@github.com:a/b.git|postgres://user@host/db");
	keeps("x|unix:/run/app.sock|--bind=[::1]:80|http://[::1]:80/x");
}

static void test_headers(void **state)
{
	check("curl|--header|Authorization: Basic dXNlcjpwYXNz|http://h/",
	      "curl --header 'Authorization: ***' http://h/");
	check("curl|-H|authorization:Bearer x y", "curl -H 'authorization:***'");
	check("curl|-H|Authorization:|Bearer|abc|http://h/",
	      "curl -H Authorization: Bearer *** http://h/");
	check("curl|-H|X-Api-Key: abc", "curl -H 'X-Api-Key: ***'");
	check("curl|-H|X-Custom-Token: abc", "curl -H 'X-Custom-Token: ***'");
	check("curl|-H|Cookie: a=b; c=d", "curl -H 'Cookie: ***'");
	check("curl|--header=Cookie: a=b", "curl '--header=Cookie: ***'");
	check("x|Bearer abc", "x 'Bearer ***'");
	check("x|bearer|abc|d", "x bearer *** d");
	keeps("x|myproject.auth:app|token:app|secret.service:create");
}

static void test_looks(void **state)
{
	check("x|eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl_-x", "x ***");
	check("x|AKIAIOSFODNN7EXAMPLE", "x ***");
	check("x|--k=ghp_abcdefghijklmnopqrstuvwxyz0123456789", "x --k=***");
	check("x|github_pat_11ABCDEFG0abcdefghij_klm", "x ***");
	check("x|glpat-abcdefghij0123456789", "x ***");
	check("x|xoxb-1234567890-abcdef", "x ***");
	check("x|sk_live_abcdefghijklmnop", "x ***");
	check("x|wJalrXUtnF3MI/K7MDENG/bPxRf1CYzX4mPL3K3Y", "x ***");
	check("x|0123456789abcdef0123456789abcdef", "x ***");
	check("x|3f786850e387550fdab836ed7e6dc881de23001b", "x ***");
	check("x|aGVsbG8gd29ybGQgMTIzNDU2Nzg5MGFiY2RlZg==", "x ***");
	check("x|k=q1w2e3r4t5y6u7i8o9p0a1s2d3f4g5h6", "x k=***");
	check("x|-----BEGIN RSA PRIVATE KEY-----\nabc", "x '***'");
}

static void test_looks_that_are_none(void **state)
{
	keeps("/usr/bin/python3.11|-m|flask|--app|demo|run");
	keeps("x|/nix/store/0c6kzph7l0dcbfmjap64f0czdafn3b7x-python3-3.11.9/bin/python3");
	keeps("x|/tmp/3f786850e387550fdab836ed7e6dc881de23001b/f");
	keeps("x|123e4567-e89b-12d3-a456-426614174000|/v/123e4567-e89b-12d3-a456-426614174000");
	keeps("x|img@sha256:3f786850e387550fdab836ed7e6dc881de23001b3f786850e387550fdab836ed");
	keeps("x|reg.io/a/img:v1@sha256:3f786850e387550fdab836ed7e6dc881de23001b3f786850e387550fda");
	keeps("x|sha256:3f786850e387550fdab836ed7e6dc881de23001b3f786850e387550fdab836ed");
	keeps("x|test_that_a_very_long_name_with_2_digits_stays_readable");
	keeps("x|com.example.VeryLongPackageName.AnotherVeryLongClassName2Test");
	keeps("x|my-service-7d9c5b8f6d-x2k4q|--hostname=ip-10-0-12-34.eu-west-1.compute.internal");
	keeps("x|src/MyProject/Components/Widget2/index.ts|../a/../b|./run.sh|~/x");
	keeps("celery|-A|proj|worker|-n|worker1@%h|--loglevel=INFO");
	keeps("uvicorn|main:app|--host|0.0.0.0|--port|8000|--reload");
	keeps("x|a@b.example|x:1|12:34");
}

static void test_programs(void **state)
{
	check("mysql|-uroot|-phunter2|db", "mysql -uroot -p*** db");
	check("/usr/bin/mysqldump|-p'a b'|db", "/usr/bin/mysqldump '-p'***'' db");
	check("mysql|-p|db", "mysql -p db");
	check("sudo|mysql|-phunter2", "sudo mysql -p***");
	check("sh|-c|mysql -phunter2 -e 'select 1'", "sh -c 'mysql -p*** -e 'select 1''");
	check("curl|-u|bob:pw|http://h/", "curl -u *** http://h/");
	check("curl|--user=bob:pw|http://h/", "curl --user=*** http://h/");
	check("sshpass|-p|pw|ssh|h", "sshpass -p *** ssh h");
	check("redis-cli|-a|pw|ping", "redis-cli -a *** ping");
	keeps("gunicorn|-u|www-data|-p|8000|app:app");
	keeps("python3|mysqlclient.py|-p8000");
}

static void test_text(void **state)
{
	check("python3|-c|password = 'hunter2'; print(1)",
	      "python3 -c 'password = '***'; print(1)'");
	check("python3|-c|connect(password=\"a b\", timeout=3)",
	      "python3 -c 'connect(password=\"***\", timeout=3)'");
	check("python3|-c|os.environ['API_TOKEN'] = 'x'; f()",
	      "python3 -c 'os.environ['API_TOKEN'] = '***'; f()'");
	check("python3|-c|c('host=db password=hunter2 user=u')",
	      "python3 -c 'c('host=db password=*** user=u')'");
	check("sh|-c|PASSWORD=abc cmd --workers 4", "sh -c 'PASSWORD=*** cmd --workers 4'");
	check("sh|-c|cmd --token 'a b' x", "sh -c 'cmd --token '***' x'");
	check("sh|-c|curl -H \"Authorization: Bearer abc\" http://h/",
	      "sh -c 'curl -H \"Authorization: ***\" http://h/'");
	check("x|{\"user\": \"u\", \"password\": \"p q\", \"n\": 1}",
	      "x '{\"user\": \"u\", \"password\": \"***\", \"n\": 1}'");
	check("x|{\"apiKey\":\"p\"}", "x {\"apiKey\":\"***\"}");
	/* a title that a process gave itself: one argument, the old ones' places empty */
	check("gunicorn: worker --token abc [app:app]||||",
	      "'gunicorn: worker --token *** [app:app]'");
	keeps("python3|-c|print(1)");
	check("python3|-c|import os; print(os.getpid())",
	      "python3 -c 'import os; print(os.getpid())'");
}

static void test_python_code_is_cut(void **state)
{
	char args[600], want[200];
	char code[401], shown[161];
	size_t i;

	memset(code, 'x', 400);
	code[400] = '\0';
	snprintf(args, sizeof(args), "python3|-Ic|%s|arg", code);
	snprintf(want, sizeof(want), "python3 -Ic %.80s\xe2\x80\xa6 arg", code);
	check(args, want);
	/* not cut: the script's own -c, another program's */
	snprintf(args, sizeof(args), "sh|-c|%s", code);
	keeps(args);
	snprintf(args, sizeof(args), "python3|run.py|-c|%s", code);
	keeps(args);
	/* characters, not bytes */
	for (i = 0; i < 200; i++)
		memcpy(code + 2 * i, "\xc3\xa9", 2);
	memcpy(shown, code, 160);
	shown[160] = '\0';
	snprintf(args, sizeof(args), "python3|-c|%s", code);
	snprintf(want, sizeof(want), "python3 -c %s\xe2\x80\xa6", shown);
	check(args, want);
}

static void test_line_is_bounded(void **state)
{
	static char bytes[200000];
	struct buf out;
	size_t i;

	/* "é é é ..." as one word after another: a cut must not split one */
	for (i = 0; i + 3 <= sizeof(bytes); i += 3)
		memcpy(bytes + i, "\xc3\xa9", 3);
	buf_init(&out, 1 << 20);
	assert_int_equal(secret_cmdline(&out, bytes, sizeof(bytes)), 0);
	assert_true(out.len <= SECRET_LINE_MAX && out.len > SECRET_LINE_MAX - 8);
	assert_string_equal(out.data + out.len - 3, "\xe2\x80\xa6");
	assert_true(out.data[out.len - 4] == '\xa9' || out.data[out.len - 4] == ' ');
	/* exactly full: nothing is cut */
	buf_clear(&out);
	memset(bytes, 'x', SECRET_LINE_MAX);
	bytes[SECRET_LINE_MAX] = '\0';
	assert_int_equal(secret_cmdline(&out, bytes, SECRET_LINE_MAX + 1), 0);
	assert_int_equal(out.len, SECRET_LINE_MAX);
	assert_int_equal(out.data[SECRET_LINE_MAX - 1], 'x');
	buf_done(&out);
}

static void test_webhooks(void **state)
{
	check("x|https://hooks.slack.com/services/T0AAAAAAA/B0AAAAAAA/abcdefghij",
	      "x https://hooks.slack.com/services/***");
	check("x|-u|'https://discord.com/api/webhooks/123/abc?wait=true' y",
	      "x -u ''https://discord.com/api/webhooks/***' y'");
	keeps("x|https://hooks.slack.com/|https://api.slack.com/services/x");
}

static void test_header_whose_value_is_another_word(void **state)
{
	check("curl|-H|Authorization: Bearer|abc|x.org",
	      "curl -H 'Authorization: Bearer' *** x.org");
	check("curl|-H|Authorization: Bearer abc|x.org", "curl -H 'Authorization: ***' x.org");
}

static void test_edges(void **state)
{
	char *argv[] = { "x", "--token", "abc", "a b", "", NULL };
	struct buf out;

	buf_init(&out, 1024);
	assert_int_equal(secret_cmdline(&out, "", 0), 0);
	assert_int_equal(secret_cmdline(&out, "\0\0", 2), 0);
	assert_string_equal(buf_text(&out), "");
	assert_int_equal(secret_argv(&out, 5, argv), 0);
	assert_string_equal(buf_text(&out), "x --token *** 'a b'");
	buf_done(&out);
	buf_init(&out, 3);
	assert_int_equal(secret_argv(&out, 5, argv), -E2BIG);
	assert_int_equal(out.err, -E2BIG);
	buf_done(&out);
	check("x||y", "x '' y");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_options_of_programs),
		cmocka_unit_test(test_options_that_are_none),
		cmocka_unit_test(test_variables),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_looks),
		cmocka_unit_test(test_looks_that_are_none),
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_python_code_is_cut),
		cmocka_unit_test(test_line_is_bounded),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_webhooks),
		cmocka_unit_test(test_header_whose_value_is_another_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
