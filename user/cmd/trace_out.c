/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/trace_out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "cmd/cmd.h"
#include "cmd/option_words.h"
#include "model/journal.h"
#include "model/match.h"
#include "sink/sink.h"

struct writing {
	struct output *output;
	void *writer; /* the sink's; NULL: not begun, or a journal */
};

struct trace_out {
	struct calls *calls;
	struct trace_ask ask;
	struct writing *writings;
	int cnt;
	bool begun;
	struct match own; /* of a replay: what RECORD_TRACE says */
	struct match *match;
	int failed;             /* an output's error: -errno, */
	const char *failed_why; /* with a sentence, or NULL */
	struct output *failed_output;
};

static bool choose(struct output *o, const struct trace_ask *ask)
{
	o->trace = NULL;
	if (ask->format) {
		o->trace = trace_sink_by_name(ask->format);
		return o->trace || !strcmp(ask->format, "raw");
	}
	if (output_is_journal(o->path))
		return true;
	o->trace = trace_sink_by_suffix(o->path);
	if (ask->stats && (!o->trace || sink_suffix_of(o->path, ".json")))
		o->trace = o->trace ? &trace_json : &trace_stats;
	return o->trace != NULL;
}

/* Without -o: tables to where they are read, all else into a file. */
static void output_make(struct output *o, const struct trace_ask *ask)
{
	const struct trace_sink *sink = ask->format  ? trace_sink_by_name(ask->format)
					: ask->stats ? &trace_stats
						     : trace_sinks[0];
	const char *suffix = sink ? sink->suffixes : ".uncoil"; /* up to the first space */

	*o = (struct output){ .path = "-" };
	if (sink != &trace_stats && sink != &trace_json)
		o->path = option_default_path(ask->command, true, suffix, strcspn(suffix, " "));
}

/* Does a name among several tell another format than -f? It was not meant so then. */
static bool disagree(const struct output *o, int cnt)
{
	const struct trace_sink *named = trace_sink_by_suffix(o->path);

	if (cnt == 1)
		return false;
	return output_is_journal(o->path) ? o->trace != NULL : named && named != o->trace;
}

static int chosen_check(const struct output *o, int cnt, const struct trace_ask *ask)
{
	if (!o->trace && !ask->raw)
		return cmd_usage(ask->command, "a replay writes no journal; it has one");
	if (ask->format && disagree(o, cnt))
		return cmd_usage(ask->command,
				 "-f says %s, and the name '%s' says another format; leave -f "
				 "away, or name the file otherwise",
				 ask->format, o->path);
	if (ask->stats && o->trace && o->trace->each)
		return cmd_usage(ask->command,
				 "--stats takes sums only, and '%s' would be a timeline (%s)",
				 o->path, o->trace->name);
	return 0;
}

int trace_out_choose(struct output *outputs, int *cnt, const struct trace_ask *ask)
{
	bool sums = false;
	int i, k, code;

	if (!*cnt)
		output_make(&outputs[(*cnt)++], ask);
	for (i = 0; i < *cnt; i++) {
		if (!choose(&outputs[i], ask) && ask->format)
			return cmd_usage(ask->command, "a trace has no format '%s' (%s%s)",
					 ask->format, trace_sink_names(), ask->raw ? ", raw" : "");
		if (!choose(&outputs[i], ask))
			return cmd_usage(ask->command,
					 "the name '%s' tells no format of a trace; add -f, or a "
					 "suffix like .pftrace",
					 outputs[i].path);
		code = chosen_check(&outputs[i], *cnt, ask);
		if (code)
			return code;
		sums |= !outputs[i].trace || !outputs[i].trace->each;
		for (k = 0; k < i; k++)
			if (output_is_same(&outputs[k], &outputs[i]))
				return cmd_usage(ask->command, "'%s' is given twice",
						 outputs[i].path);
	}
	if (ask->look.callers && !sums)
		return cmd_usage(ask->command,
				 "--callers is for sums; add --stats, or an output of "
				 "sums (.txt, .pstats, -f json)");
	return 0;
}

/* Keeps the first failure of an output; the code ends the trace. */
static int failed(struct trace_out *t, struct output *o, int code, const char *why)
{
	if (code && !t->failed) {
		t->failed = code;
		t->failed_why = why;
		t->failed_output = o;
	}
	return code;
}

#define TELL_EACH(what)                                                                            \
	struct trace_out *t = ctx;                                                                 \
	struct writing *w;                                                                         \
	int err = 0;                                                                               \
                                                                                                   \
	for (w = t->writings; w < t->writings + t->cnt && !err; w++)                               \
		if (w->writer && w->output->trace->what)                                           \
			err = failed(t, w->output, w->output->trace->what(w->writer, what), NULL); \
	return err

static int tell_call(void *ctx, const struct call *call)
{
	TELL_EACH(call);
}

static int tell_mark(void *ctx, const struct call_mark *mark)
{
	TELL_EACH(mark);
}

static int tell_span(void *ctx, const struct call_span *span)
{
	TELL_EACH(span);
}

static bool keep(void *ctx, const struct call_func *func)
{
	struct trace_out *t = ctx;

	return match_takes(t->match, func->module[0] ? func->module : NULL, func->name);
}

static int pattern(void *ctx, const char *text, struct err *err)
{
	struct trace_out *t = ctx;

	return t->match == &t->own ? match_add(&t->own, text, err) : 0;
}

struct trace_out *trace_out_new(struct output *outputs, int cnt, const struct trace_ask *ask,
				struct match *match, struct err *err)
{
	struct call_told told = { .call = tell_call,
				  .mark = tell_mark,
				  .span = tell_span,
				  .keep = keep,
				  .pattern = pattern };
	struct trace_out *t = calloc(1, sizeof(*t));
	int i, code = 0;

	if (!t)
		goto no_memory;
	told.ctx = told.keep_ctx = t;
	t->match = match ? match : &t->own;
	t->ask = *ask;
	t->writings = calloc(cnt, sizeof(*t->writings));
	t->calls = calls__new(&told);
	if (!t->writings || !t->calls)
		goto no_memory;
	for (i = 0; i < cnt && !code; i++) {
		t->writings[t->cnt++].output = &outputs[i];
		code = output_open(&outputs[i], err);
		if (!code && !outputs[i].trace && journal_begin(outputs[i].file))
			code = output_fail(&outputs[i], -errno, NULL, err);
	}
	if (!code)
		return t;
	trace_out_free(t);
	return NULL;
no_memory:
	trace_out_free(t);
	err_set(err, -ENOMEM, "out of memory");
	return NULL;
}

/* What was recorded, and how, is known: the sinks can begin, if it has what they need. */
static int begin(struct trace_out *t)
{
	struct call_about *a = calls__about(t->calls);
	struct writing *w;
	int err = a ? 0 : -ENOMEM;

	t->begun = true;
	for (w = t->writings; !err && w < t->writings + t->cnt; w++) {
		const struct trace_sink *sink = w->output->trace;

		if (!sink)
			continue;
		if (sink->each && !a->each)
			err = failed(t, w->output, -EINVAL,
				     "the trace has sums alone, not each call: trace without "
				     "--stats, or write stats, json or pstats");
		else if (t->ask.look.callers && !a->callers)
			err = failed(t, w->output, -EINVAL,
				     "the trace has no callers: trace with --callers");
		else
			w->writer = sink->begin(w->output->file, t->calls, &t->ask.look);
		if (!err && !w->writer)
			err = failed(t, w->output, -ENOMEM, NULL);
	}
	call_about_free(a);
	return err;
}

/* What stdio could not write, as soon as it is known: a disk that is full does not get emptier. */
static int streams(struct trace_out *t)
{
	struct writing *w;

	for (w = t->writings; w < t->writings + t->cnt; w++)
		if (ferror(w->output->file))
			return failed(t, w->output, errno ? -errno : -EIO, NULL);
	return 0;
}

static int journals(struct trace_out *t, enum record_type type, const void *data, size_t len)
{
	struct writing *w;
	int code = 0;

	for (w = t->writings; w < t->writings + t->cnt && !code; w++)
		if (!w->output->trace && journal_write(w->output->file, type, data, len))
			code = failed(t, w->output, errno ? -errno : -EIO, NULL);
	return code;
}

int trace_out_apply(struct trace_out *t, enum record_type type, const void *data, size_t len,
		    bool *ret_output, struct err *err)
{
	int code = 0;

	if (!t->begun && type != RECORD_META && type != RECORD_TRACE)
		code = begin(t);
	errno = 0;
	if (!code)
		code = calls__apply(t->calls, type, data, len, err);
	if (!code)
		code = streams(t);
	if (!code)
		code = journals(t, type, data, len);
	if (ret_output)
		*ret_output = t->failed;
	if (t->failed && t->failed != -ENOMEM)
		return output_fail(t->failed_output, t->failed, t->failed_why, err);
	if (code == -ENOMEM)
		err_set(err, code, "out of memory");
	return code;
}

struct calls *trace_out_calls(struct trace_out *t)
{
	return t->calls;
}

int trace_out_finish(struct trace_out *t, struct err *err)
{
	static int (*const steps[])(struct output *, struct err *) = { output_flush, output_link,
								       output_name };
	struct writing *w;
	size_t step;
	int code = 0;

	for (w = t->writings; w < t->writings + t->cnt && !code; w++) {
		if (!w->writer)
			continue;
		errno = 0;
		code = w->output->trace->end(w->writer);
		if (code == -EIO && errno)
			code = -errno;
		if (code)
			output_fail(w->output, code, NULL, err);
	}
	for (step = 0; step < sizeof(steps) / sizeof(steps[0]); step++)
		for (w = t->writings; w < t->writings + t->cnt && !code; w++)
			code = steps[step](w->output, err);
	return code;
}

static void tell_account(const struct call_about *a)
{
	struct buf text;
	uint32_t i;

	for (i = 0; i < a->unfitted_cnt; i++) {
		fputs("no thread matches '", stderr);
		cmd_show(stderr, a->unfitted[i]);
		fputs("'\n", stderr);
	}
	if (a->let_go) {
		fputs("let go: ", stderr);
		cmd_show(stderr, a->let_go);
		fputc('\n', stderr);
	}
	if (!a->has_account)
		return;
	buf_init(&text, 4096);
	trace_overhead(a, &text);
	fprintf(stderr, "overhead: %s\n", buf_text(&text));
	buf_done(&text);
}

static void tell_outputs(struct trace_out *t, const struct call_about *a)
{
	struct writing *w;

	for (w = t->writings; w < t->writings + t->cnt; w++) {
		if (!strcmp(w->output->path, "-"))
			continue;
		cmd_show(stderr, w->output->path);
		fprintf(stderr, ": %s of %" PRIu64 " calls of %" PRIu64 " functions in %.1f s\n",
			w->output->trace ? w->output->trace->name : "journal", a->calls, a->funcs,
			a->duration_ns / 1e9);
		if (w->output->trace && w->output->trace->callers && !a->callers) {
			cmd_show(stderr, w->output->path);
			fputs(": without callers, which were not traced (--callers)\n", stderr);
		}
	}
}

int trace_out_tell(struct trace_out *t)
{
	struct call_about *a = calls__about(t->calls);
	bool lost;
	uint32_t i;

	if (!a) {
		fprintf(stderr, "uncoil %s: out of memory\n", t->ask.command);
		return EXIT_FAILED;
	}
	lost = a->lost;
	for (i = 0; i < a->remark_cnt && !t->ask.quiet; i++) {
		fprintf(stderr, "%" PRIu64 " ", a->remarks[i].count);
		cmd_show(stderr, a->remarks[i].text);
		fputc('\n', stderr);
	}
	if (!t->ask.quiet) {
		if (a->traced_ns < a->duration_ns)
			fprintf(stderr, "traced: %.1f %% of the time\n",
				100.0 * a->traced_ns / a->duration_ns);
		tell_account(a);
		if (!a->calls)
			fputs("no calls: the processes called no function that was asked for\n",
			      stderr);
		tell_outputs(t, a);
	}
	call_about_free(a);
	return lost ? EXIT_LOST : EXIT_DONE;
}

void trace_out_free(struct trace_out *t)
{
	struct writing *w;

	if (!t)
		return;
	for (w = t->writings; w && w < t->writings + t->cnt; w++) {
		if (w->writer)
			w->output->trace->free(w->writer);
		output_done(w->output);
	}
	calls__free(t->calls);
	match_done(&t->own);
	free(t->writings);
	free(t);
}
