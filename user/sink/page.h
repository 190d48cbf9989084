/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page that flame graphs are drawn on: one SVG file that needs nothing else, is complete as a
 * picture, and becomes interactive where its script may run. A sink says what is written above the
 * frames, and of each frame its colour and its details; all else is the same for all.
 *
 *	page_init()               measures
 *	page_begin()              needs the number of lines that follow, for the picture's height
 *	page_open() page_close()  one line of the header each
 *	page_legend() ...
 *	page_frames()
 *	page_end()
 *	page_done()
 */
#ifndef UNCOIL_SINK_PAGE_H
#define UNCOIL_SINK_PAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "model/report.h"

/* Pixels. */
#define PAGE_MARGIN     10
#define PAGE_LINE       17  /* of the header */
#define PAGE_CHAR_WIDTH 7.3 /* of the 12 pixel monospace font, rounded up */

struct page {
	const struct report_node *root; /* with its descendants: what is drawn */
	FILE *out;
	enum report_unit unit;     /* of their numbers: the script shows it */
	bool seen[FRAME_KIND_MAX]; /* the kinds of frames that are drawn */
	uint32_t levels, drawn;    /* of frames */
	uint64_t undrawn;          /* samples (or ns) in frames too narrow to draw */
	uint64_t *left; /* by depth: samples (or ns) to the left of the next frame there */
	struct buf raw, text, class; /* scratch: a label, and escaped text; a frame's classes */
	int y;                       /* of the next header line */
	int err;
};

struct page_look {
	/* The classes that give a frame its colour. Comes before the same frame's details(). */
	void (*class)(void *ctx, const struct report_node *node, struct buf *out);
	/* The second line of its title, and more. */
	void (*details)(void *ctx, const struct report_node *node);
};

/* 0 or page->err; page_done() all the same. */
int page_init(struct page *page, const struct report_node *root, enum report_unit unit, FILE *out);
int page_done(struct page *page); /* 0, -ENOMEM, or -EIO when the stream failed */

/* Up to the heading. The picture's height is said first of all: `lines` of header follow, the legend
 * is one of them, and below the frames so many pixels are wanted. `title` is the document's, `head`
 * what is read above the header; both hostile text. `css` is added to flame.css. */
void page_begin(struct page *page, int lines, int below, const char *title, const char *head,
		const char *css);
void page_end(struct page *page);

/* A line of the header; its content comes between. */
void page_open(struct page *page, const char *class);
void page_close(struct page *page);
void page_line(struct page *page, const char *text);

/* What a report says is lost, or else left out or odd, each after `prefix`; how many lines that is. */
uint32_t page_remarks(struct page *page, const struct report *report, bool loss,
		      const char *prefix);

/* The legend's entries, each at its x, are written between these. */
void page_legend_open(struct page *page);
void page_legend(struct page *page, const char *class, double x, const char *text);
void page_legend_close(struct page *page);

/* The script's bar, and below it the frames. */
void page_frames(struct page *page, const struct page_look *look, void *ctx);

/* Text of a target is hostile: it gets into the page through this only. */
void page_xml(struct page *page, const char *text);

double page_percent(const struct page *page, uint64_t part); /* of the root's total */
double page_finest(void); /* per cent: narrower frames are not drawn */

#endif
