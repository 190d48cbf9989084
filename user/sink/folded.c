/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folded stacks: what flamegraph.pl, inferno, speedscope and grep read. One line a stack,
 *
 *	<module> (app.py:3);Server.run (server.py:41);parse (json.py:7) 42
 *
 * the root left out, since every reader draws its own. There is no header line: a reader would
 * take it for a stack. A line is the longest thing held; its beginning is shared by all stacks
 * below a frame, so it is kept and cut back, never built again.
 *
 * Nanoseconds are written as whole microseconds, which every reader can add up. What rounding cuts
 * off one line is carried to the next, so that the sum of all lines is the total, rounded, and many
 * short stacks do not vanish; a line that would say 0 is left out.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/text.h"
#include "sink/sink.h"
#include "sink/walk.h"

#define LINE_MAX_BYTES (64u << 20)

static void cut(struct buf *b, size_t len)
{
	if (len < b->len) {
		b->len = len;
		b->data[len] = '\0';
	}
}

static int add_frame(struct buf *line, const struct report_node *node)
{
	if (line->len)
		buf_str(line, ";");
	text_folded(line, node->func);
	if (!node->file[0])
		return line->err;
	buf_str(line, " (");
	text_folded(line, node->file);
	if (node->line > 0)
		buf_fmt(line, ":%" PRId32, node->line);
	if (node->column > 0)
		buf_fmt(line, ":%" PRId32, node->column);
	return buf_str(line, ")");
}

/* What a line says of `n`; *carry is what earlier ones did not say. */
static uint64_t line_amount(enum report_unit unit, uint64_t n, uint64_t *carry)
{
	uint64_t sum = n + *carry;

	if (unit == REPORT_SAMPLES)
		return n;
	*carry = sum % 1000;
	return sum / 1000;
}

static int folded_write(const struct report *report, FILE *out)
{
	const struct report_node *node = report->root;
	uint64_t amount, carry = 500; /* half a microsecond: the total is rounded, not cut */
	uint32_t depth = 0;
	struct buf line;
	size_t *len; /* of the line with a path down to each depth */
	int err = 0;

	buf_init(&line, LINE_MAX_BYTES);
	len = calloc((size_t)walk_levels(report->root) + 1, sizeof(*len));
	if (!len)
		return -ENOMEM;
	for (; node; node = walk_next(node, true, &depth)) {
		cut(&line, depth ? len[depth - 1] : 0);
		if (depth && add_frame(&line, node)) {
			err = -ENOMEM;
			goto out;
		}
		len[depth] = line.len;
		amount = node->self ? line_amount(report->unit, node->self, &carry) : 0;
		if (!amount)
			continue;
		/* samples on the root have no frame at all, but no sample goes unsaid */
		fprintf(out, "%s %" PRIu64 "\n", depth ? line.data : "[no frame]", amount);
	}
	if (ferror(out))
		err = -EIO;
out:
	free(len);
	buf_done(&line);
	return err;
}

const struct sink sink_folded = {
	.name = "folded",
	.suffixes = ".folded .collapsed",
	.what = "folded stacks, one line each, for flamegraph.pl, speedscope and grep",
	.write = folded_write,
};
