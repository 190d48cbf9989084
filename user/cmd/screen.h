/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A terminal that is lent to uncoil and given back as it was: after q, Ctrl-C, SIGTERM, a closed
 * window, a suspension and a crash alike (but for kill -9).
 *
 * No ncurses: uncoil is one static file that is copied to hosts whose terminfo may lack the
 * terminal at hand, and what it needs are ten sequences that every terminal in use understands,
 * xterm, the Linux console, tmux and screen among them (ECMA-48; xterm's ctlseqs for 1049 and 7).
 */
#ifndef UNCOIL_CMD_SCREEN_H
#define UNCOIL_CMD_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

struct err;

/* 0: standard input and output are a terminal; otherwise a sentence. */
int screen_require(struct err *err);

/* Takes the terminal over: another screen, keys one by one, signals remembered. */
int screen_begin(struct err *err);
void screen_end(void);

/* A signal that ends the program, or -1: the terminal is gone; 0: neither. */
int screen_ended(void);

/* To be called now and then: suspends uncoil if Ctrl-Z asked for it, and comes back after it. True:
 * all must be drawn anew (resized, continued). */
bool screen_changed(void);

void screen_size(unsigned int *ret_rows, unsigned int *ret_cols);

/* The next key (cmd/top_view.h), KEY_NONE if none is waiting. Never waits. */
int screen_key(void);

/* Writes a whole screen over the one before. */
void screen_put(const char *text, size_t len);

#endif
