/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of trace_stats.c as one JSON object, for programs:
 *
 *	{"version":1,"functions":[{"name":…,"calls":…,…,"callers":[{…}]}],"trace":{…}}
 *
 * Here `calls` are begins that are calls; the other ways to begin and to end stand beside, so that all add
 * up: calls + resumes + throws + before = returns + yields + raises + open + unseen.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "model/calls_table.h"
#include "sink/json.h"
#include "sink/trace.h"

struct writer {
	struct json json;
	struct calls *calls;
	struct trace_look look;
};

static void put_func(struct json *j, const struct call_row *row)
{
	json_field_str(j, "{", "name", row->name);
	json_field_str(j, ",", "module", row->module);
	json_field_str(j, ",", "file", row->path);
	fprintf(j->out, ",\"line\":%" PRId32, row->line);
}

static void put_callers(struct json *j, const struct call_row *row)
{
	const struct call_caller *caller;
	uint32_t i;

	fputs(",\"callers\":[", j->out);
	for (i = 0; i < row->caller_cnt; i++) {
		caller = &row->callers[i];
		fputs(i ? ",\n  " : "\n  ", j->out);
		if (caller->row)
			put_func(j, caller->row);
		else
			fputs("{\"name\":null", j->out);
		json_field_uint(j, ",", "calls", caller->calls);
		json_field_uint(j, ",", "self_ns", caller->self_ns);
		json_field_uint(j, ",", "total_ns", caller->total_ns);
		fputc('}', j->out);
	}
	fputc(']', j->out);
}

static void put_row(struct json *j, const struct call_row *row)
{
	const struct {
		const char *name;
		uint64_t value;
	} fields[] = {
		{ "calls", row->began[EV_BEGAN_CALL] },
		{ "resumes", row->began[EV_BEGAN_RESUME] },
		{ "throws", row->began[EV_BEGAN_THROW] },
		{ "before", row->began[EV_BEGAN_BEFORE] },
		{ "returns", row->ended[EV_ENDED_RETURN] },
		{ "yields", row->ended[EV_ENDED_YIELD] },
		{ "raises", row->ended[EV_ENDED_RAISE] },
		{ "open", row->ended[EV_ENDED_OPEN] },
		{ "unseen", row->ended[EV_ENDED_UNSEEN] },
		{ "self_ns", row->self_ns },
		{ "total_ns", row->total_ns },
		{ "p50_ns", call_row_percentile(row, 0.5) },
		{ "p99_ns", call_row_percentile(row, 0.99) },
		{ "max_ns", row->max_ns },
		{ "primitive", row->primitive },
	};
	size_t i;

	put_func(j, row);
	json_field_str(j, ",", "kind", call_kind_text(row->kind));
	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		json_field_uint(j, ",", fields[i].name, fields[i].value);
	put_callers(j, row);
	fputc('}', j->out);
}

static void *json_begin(FILE *out, struct calls *calls, const struct trace_look *look)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	json_init(&w->json, out);
	w->calls = calls;
	w->look = *look;
	return w;
}

static void put_all(struct json *j, const struct call_about *about, const struct call_table *table)
{
	const char *before = "\n ";
	struct buf line;
	uint32_t i;

	fputs("{\"version\":1,\"functions\":[", j->out);
	for (i = 0; i < table->row_cnt; i++) {
		if (!table->rows[i]->calls)
			continue; /* it is there as a caller */
		fputs(before, j->out);
		before = ",\n ";
		put_row(j, table->rows[i]);
	}
	fputs("],\n\"trace\":{\"uncoil\":\"" UNCOIL_VERSION "\"", j->out);
	trace_about_json(j, ",", about);
	fprintf(j->out, ",\"compensated\":%s", table->compensated ? "true" : "false");
	buf_init(&line, 1024);
	trace_compensation(about, table->compensated, &line);
	json_field_str(j, ",", "compensation", buf_text(&line));
	buf_done(&line);
	fputs("}}\n", j->out);
}

static int json_end(void *writer)
{
	struct writer *w = writer;
	struct call_table_options options = { .compensate = w->look.compensate, .modules = true };
	struct call_table *table = call_table_new(w->calls, &options);
	struct call_about *about = calls__about(w->calls);

	if (table && about)
		put_all(&w->json, about, table);
	else
		w->json.err = -ENOMEM;
	call_about_free(about);
	call_table_free(table);
	return w->json.err ? w->json.err : ferror(w->json.out) ? -EIO : 0;
}

static void json_free(void *writer)
{
	struct writer *w = writer;

	json_done(&w->json);
	free(w);
}

const struct trace_sink trace_json = {
	.name = "json",
	.suffixes = "", /* .json is a timeline's first; with --stats it is this one's */
	.what = "the table of stats, for programs",
	.begin = json_begin,
	.end = json_end,
	.free = json_free,
};
