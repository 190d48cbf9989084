/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pprof's profile.proto (repository google/pprof, proto/profile.proto; the comments there are the
 * specification), gzip'ed: what `go tool pprof`, speedscope, Perfetto, Grafana and Parca read.
 *
 * A sample names locations, leaf first; a location is a function and a line; a function names
 * strings. Protobuf lets the fields of a message come in any order, so samples are written while
 * the tree is walked and the tables they speak of afterwards: nothing but the tables is held.
 *
 * Process and thread (-t) are labels here, not frames, so that pprof can group by them (-tagroot)
 * or leave them. Addresses are not set: Python has none that mean anything to a reader.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/index.h"
#include "base/pb.h"
#include "base/text.h"
#include "sink/about.h"
#include "sink/gz.h"
#include "sink/sink.h"
#include "sink/walk.h"

#define MESSAGE_MAX (64u << 20)
#define NS_PER_S    1000000000ULL

/* Field numbers, by message. */
enum {
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLE = 2,
	PROFILE_MAPPING = 3,
	PROFILE_LOCATION = 4,
	PROFILE_FUNCTION = 5,
	PROFILE_STRING = 6,
	PROFILE_TIME_NANOS = 9,
	PROFILE_DURATION_NANOS = 10,
	PROFILE_PERIOD_TYPE = 11,
	PROFILE_PERIOD = 12,
	PROFILE_COMMENT = 13,
	PROFILE_DEFAULT_TYPE = 14,
	VALUE_TYPE = 1,
	VALUE_UNIT = 2,
	SAMPLE_LOCATIONS = 1,
	SAMPLE_VALUES = 2,
	SAMPLE_LABEL = 3,
	LABEL_KEY = 1,
	LABEL_STR = 2,
	LABEL_NUM = 3,
	MAPPING_ID = 1,
	MAPPING_FILENAME = 5,
	MAPPING_HAS_FUNCTIONS = 7,
	MAPPING_HAS_FILENAMES = 8,
	MAPPING_HAS_LINES = 9,
	LOCATION_ID = 1,
	LOCATION_MAPPING = 2,
	LOCATION_LINE = 4,
	LINE_FUNCTION = 1,
	LINE_LINE = 2,
	LINE_COLUMN = 3,
	FUNCTION_ID = 1,
	FUNCTION_NAME = 2,
	FUNCTION_FILENAME = 4,
	FUNCTION_START_LINE = 5,
};

struct location {
	uint32_t function; /* index */
	int32_t line, column;
};

struct function {
	uint32_t name, file; /* strings */
	int32_t first_line;
	uint32_t zero;
};

struct profile_out {
	const struct report *report;
	struct gz gz;
	struct index strings, functions, locations;
	struct buf msg, part, text; /* a message, one inside it, a clean string */
	uint64_t *path;             /* location ids by depth; 0: a frame that is a label */
	uint64_t id;                /* of what is being written from a table */
	int err;
};

static uint64_t string_of(struct profile_out *p, const char *text)
{
	buf_clear(&p->text);
	if (text_clean(&p->text, text, strlen(text)))
		p->err = -ENOMEM;
	return index_of(&p->strings, buf_text(&p->text), p->text.len, NULL);
}

/* Writes p->msg as a field of the profile and empties it. */
static void put_msg(struct profile_out *p, uint32_t field)
{
	buf_clear(&p->part);
	pb_msg(&p->part, field, &p->msg);
	if (p->part.err)
		p->err = -ENOMEM;
	gz_add(&p->gz, buf_text(&p->part), p->part.len);
	buf_clear(&p->msg);
}

static void put_uint(struct profile_out *p, uint32_t field, uint64_t value)
{
	buf_clear(&p->part);
	pb_uint(&p->part, field, value);
	gz_add(&p->gz, buf_text(&p->part), p->part.len);
}

static void put_value_type(struct profile_out *p, uint32_t field, const char *type,
			   const char *unit)
{
	pb_uint(&p->msg, VALUE_TYPE, string_of(p, type));
	pb_uint(&p->msg, VALUE_UNIT, string_of(p, unit));
	put_msg(p, field);
}

static int put_comment(void *ctx, const char *line)
{
	struct profile_out *p = ctx;

	put_uint(p, PROFILE_COMMENT, string_of(p, line));
	return p->err;
}

static void put_head(struct profile_out *p)
{
	const struct report *report = p->report;

	string_of(p, ""); /* string 0 must be */
	if (report->unit == REPORT_NS) {
		put_value_type(p, PROFILE_SAMPLE_TYPE, report->waits_only ? "offcpu" : "wall",
			       "nanoseconds");
	} else {
		put_value_type(p, PROFILE_SAMPLE_TYPE, "samples", "count");
		put_value_type(p, PROFILE_SAMPLE_TYPE, "cpu", "nanoseconds");
		put_value_type(p, PROFILE_PERIOD_TYPE, "cpu", "nanoseconds");
		put_uint(p, PROFILE_PERIOD, report->rate_hz ? NS_PER_S / report->rate_hz : 0);
		put_uint(p, PROFILE_DEFAULT_TYPE, string_of(p, "samples"));
	}
	put_uint(p, PROFILE_TIME_NANOS, report->start_unix_ns);
	put_uint(p, PROFILE_DURATION_NANOS, report->duration_ns);
	if (about_lines(report, put_comment, p))
		p->err = -ENOMEM;
	/* one mapping that has all there is to know: pprof must not look for symbols in a binary */
	pb_uint(&p->msg, MAPPING_ID, 1);
	pb_uint(&p->msg, MAPPING_FILENAME, string_of(p, "Python"));
	pb_uint(&p->msg, MAPPING_HAS_FUNCTIONS, 1);
	pb_uint(&p->msg, MAPPING_HAS_FILENAMES, 1);
	pb_uint(&p->msg, MAPPING_HAS_LINES, 1);
	put_msg(p, PROFILE_MAPPING);
}

static uint64_t location_of(struct profile_out *p, const struct report_node *node)
{
	struct function function = { .name = string_of(p, node->func),
				     .file = string_of(p, node->path),
				     .first_line = node->first_line };
	struct location location = { .line = node->line, .column = node->column };

	location.function = index_of(&p->functions, &function, sizeof(function), NULL);
	return index_of(&p->locations, &location, sizeof(location), NULL) + 1;
}

static void add_label(struct profile_out *p, const char *key, const char *str, uint64_t num)
{
	buf_clear(&p->part);
	pb_uint(&p->part, LABEL_KEY, string_of(p, key));
	if (str)
		pb_uint(&p->part, LABEL_STR, string_of(p, str));
	else
		pb_uint(&p->part, LABEL_NUM, num);
	pb_msg(&p->msg, SAMPLE_LABEL, &p->part);
}

static void add_labels(struct profile_out *p, const struct report_node *node)
{
	for (; node; node = node->parent) {
		if (node->kind != FRAME_PROCESS && node->kind != FRAME_THREAD)
			continue;
		add_label(p, node->kind == FRAME_THREAD ? "tid" : "pid", NULL, node->id);
		if (node->name && node->name[0])
			add_label(p, node->kind == FRAME_THREAD ? "thread" : "process", node->name,
				  0);
	}
}

static bool is_label(const struct report_node *node)
{
	return node->kind == FRAME_ROOT || node->kind == FRAME_PROCESS ||
	       node->kind == FRAME_THREAD;
}

static void put_sample(struct profile_out *p, const struct report_node *node, uint32_t depth)
{
	static const struct report_node none = {
		.kind = FRAME_MARK, .func = "[no frame]", .file = "", .path = ""
	};
	uint32_t rate_hz = p->report->rate_hz;
	uint64_t any = 0;
	uint32_t i;

	buf_clear(&p->part);
	for (i = depth + 1; i-- > 0;) {
		if (p->path[i])
			pb_varint(&p->part, p->path[i]);
		any |= p->path[i];
	}
	if (!any)
		pb_varint(&p->part, location_of(p, &none));
	pb_msg(&p->msg, SAMPLE_LOCATIONS, &p->part);
	buf_clear(&p->part);
	pb_varint(&p->part, node->self);
	if (p->report->unit == REPORT_SAMPLES)
		pb_varint(&p->part,
			  rate_hz ? (uint64_t)((unsigned __int128)node->self * NS_PER_S / rate_hz)
				  : 0);
	pb_msg(&p->msg, SAMPLE_VALUES, &p->part);
	add_labels(p, node);
	put_msg(p, PROFILE_SAMPLE);
}

static void put_samples(struct profile_out *p)
{
	const struct report_node *node = p->report->root;
	uint32_t depth = 0;

	for (; node && !p->err && !p->gz.err; node = walk_next(node, true, &depth)) {
		p->path[depth] = is_label(node) ? 0 : location_of(p, node);
		if (node->self)
			put_sample(p, node, depth);
	}
}

static int put_location(void *ctx, const void *key, size_t len)
{
	const struct location *location = key;
	struct profile_out *p = ctx;

	buf_clear(&p->part);
	pb_uint(&p->part, LINE_FUNCTION, location->function + 1ULL);
	if (location->line > 0)
		pb_uint(&p->part, LINE_LINE, location->line);
	if (location->column > 0)
		pb_uint(&p->part, LINE_COLUMN, location->column);
	pb_uint(&p->msg, LOCATION_ID, ++p->id);
	pb_uint(&p->msg, LOCATION_MAPPING, 1);
	pb_msg(&p->msg, LOCATION_LINE, &p->part);
	put_msg(p, PROFILE_LOCATION);
	return p->err;
}

/* No system_name: where it equals the name, pprof takes "<module>" and "f.<locals>.<lambda>" for C++
 * templates and cuts out what is between the brackets (internal/symbolizer, demangleSingleFunction). */
static int put_function(void *ctx, const void *key, size_t len)
{
	const struct function *function = key;
	struct profile_out *p = ctx;

	pb_uint(&p->msg, FUNCTION_ID, ++p->id);
	pb_uint(&p->msg, FUNCTION_NAME, function->name);
	pb_uint(&p->msg, FUNCTION_FILENAME, function->file);
	if (function->first_line > 0)
		pb_uint(&p->msg, FUNCTION_START_LINE, function->first_line);
	put_msg(p, PROFILE_FUNCTION);
	return p->err;
}

static int put_string(void *ctx, const void *key, size_t len)
{
	struct profile_out *p = ctx;

	buf_add(&p->msg, key, len);
	put_msg(p, PROFILE_STRING);
	return p->err;
}

static int pprof_write(const struct report *report, FILE *out)
{
	struct profile_out *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->report = report;
	buf_init(&p->msg, MESSAGE_MAX);
	buf_init(&p->part, MESSAGE_MAX);
	buf_init(&p->text, MESSAGE_MAX);
	p->path = calloc((size_t)walk_levels(report->root) + 1, sizeof(*p->path));
	p->err = p->path ? gz_begin(&p->gz, out) : -ENOMEM;
	if (p->err)
		goto out;
	put_head(p);
	put_samples(p);
	index_each(&p->locations, put_location, p);
	p->id = 0;
	index_each(&p->functions, put_function, p);
	index_each(&p->strings, put_string, p);
	if (p->strings.err || p->functions.err || p->locations.err)
		p->err = -ENOMEM;
	err = gz_end(&p->gz);
	if (!p->err)
		p->err = err ? err : ferror(out) ? -EIO : 0;
out:
	err = p->err;
	index_done(&p->strings);
	index_done(&p->functions);
	index_done(&p->locations);
	buf_done(&p->msg);
	buf_done(&p->part);
	buf_done(&p->text);
	free(p->path);
	free(p);
	return err;
}

const struct sink sink_pprof = {
	.name = "pprof",
	.suffixes = ".pb.gz .pprof",
	.what = "pprof's profile.proto, for go tool pprof, speedscope, Grafana, Parca",
	.write = pprof_write,
};
