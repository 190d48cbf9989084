/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/pftrace.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

#define SEQUENCE 1 /* all packets are of one */

void pftrace_init(struct pftrace *p, FILE *out)
{
	struct buf *bufs[] = { &p->packet, &p->interned, &p->msg, &p->part, &p->text };
	size_t i;

	*p = (struct pftrace){ .out = out };
	for (i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
		buf_init(bufs[i], PFTRACE_MESSAGE_MAX);
}

void pftrace_done(struct pftrace *p)
{
	struct buf *bufs[] = { &p->packet, &p->interned, &p->msg, &p->part, &p->text };
	size_t i;

	for (i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
		buf_done(bufs[i]);
}

void pftrace_add(struct pftrace *p, uint32_t field)
{
	pb_msg(&p->packet, field, &p->msg);
	buf_clear(&p->msg);
}

const char *pftrace_clean(struct pftrace *p, const char *text)
{
	buf_clear(&p->text);
	text_clean(&p->text, text, strlen(text));
	return buf_text(&p->text);
}

void pftrace_end(struct pftrace *p)
{
	pb_uint(&p->packet, PACKET_SEQUENCE, SEQUENCE);
	buf_clear(&p->part);
	pb_msg(&p->part, TRACE_PACKET, &p->packet);
	if (p->packet.err || p->interned.err || p->msg.err || p->part.err || p->text.err)
		p->err = -ENOMEM;
	fwrite(buf_text(&p->part), 1, p->part.len, p->out);
	buf_clear(&p->packet);
}

void pftrace_begin(struct pftrace *p, uint64_t ts_ns)
{
	pb_uint(&p->packet, PACKET_TIMESTAMP, ts_ns);
	pb_uint(&p->packet, PACKET_SEQUENCE_FLAGS, FLAG_NEEDS);
	if (p->interned.len)
		pb_msg(&p->packet, PACKET_INTERNED_DATA, &p->interned);
	buf_clear(&p->interned);
}

void pftrace_string(struct pftrace *p, uint32_t field, uint64_t iid, const char *text)
{
	buf_clear(&p->part);
	pb_uint(&p->part, STRING_IID, iid);
	pb_str(&p->part, STRING_STR, text);
	pb_msg(&p->interned, field, &p->part);
}

uint64_t pftrace_iid(struct pftrace *p, struct index *strings, uint32_t field, const char *text)
{
	uint64_t iid;
	bool fresh;

	iid = 1ULL + index_of_str(strings, pftrace_clean(p, text), &fresh);
	if (fresh)
		pftrace_string(p, field, iid, buf_text(&p->text));
	if (strings->err)
		p->err = -ENOMEM;
	return iid;
}

void pftrace_annotate(struct pftrace *p, uint64_t name, uint32_t field, uint64_t value)
{
	buf_clear(&p->part);
	pb_uint(&p->part, ANNOTATION_NAME_IID, name);
	pb_uint(&p->part, field, value);
	pb_msg(&p->msg, EVENT_ANNOTATION, &p->part);
}

void pftrace_clock(struct pftrace *p, uint64_t start_ns, int64_t start_unix_ns)
{
	const struct {
		uint64_t id, ns;
	} clocks[] = { { CLOCK_IS_MONOTONIC, start_ns }, { CLOCK_IS_REALTIME, start_unix_ns } };
	int i;

	for (i = 0; i < 2; i++) {
		buf_clear(&p->part);
		pb_uint(&p->part, CLOCK_ID, clocks[i].id);
		pb_uint(&p->part, CLOCK_TIMESTAMP, clocks[i].ns);
		pb_msg(&p->msg, SNAPSHOT_CLOCK, &p->part);
	}
	pb_uint(&p->msg, SNAPSHOT_PRIMARY, CLOCK_IS_MONOTONIC);
	pftrace_add(p, PACKET_CLOCK_SNAPSHOT);
	pftrace_end(p);
}

void pftrace_track(struct pftrace *p, uint64_t track, const char *name)
{
	pb_uint(&p->msg, TRACK_UUID, track);
	pb_str(&p->msg, TRACK_NAME, name);
	pftrace_add(p, PACKET_TRACK_DESCRIPTOR);
	pftrace_end(p);
}

void pftrace_line(struct pftrace *p, uint64_t track, uint64_t ts_ns, const char *line)
{
	pb_uint(&p->msg, EVENT_TYPE, TYPE_INSTANT);
	pb_uint(&p->msg, EVENT_TRACK, track);
	pb_str(&p->msg, EVENT_CATEGORY, "uncoil");
	pb_str(&p->msg, EVENT_NAME, line);
	pb_uint(&p->packet, PACKET_TIMESTAMP, ts_ns);
	pftrace_add(p, PACKET_TRACK_EVENT);
	pftrace_end(p);
}
