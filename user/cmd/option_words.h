/* SPDX-License-Identifier: Apache-2.0 */
/* Words of a command line that several commands take: durations, per cent, threads, default names. */
#ifndef UNCOIL_CMD_OPTION_WORDS_H
#define UNCOIL_CMD_OPTION_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct argp_state;

#define OPTION_THREAD_HELP                                                                         \
	"Show only threads of this name, or with this id; NAME may have * and ?. Repeatable. All " \
	"are recorded, and what is left out is counted"

/* The command's name, from argv[0] as "uncoil NAME". */
const char *option_command(const struct argp_state *state);

/* Prints the usage sentence `fmt`, which has one %s for `arg`, and exits with EXIT_USAGE: the first wrong
 * word ends the parsing. */
int option_wrong(struct argp_state *state, const char *fmt, const char *arg)
	__attribute__((format(printf, 2, 0)));

/* The parsers return false if the text is none. What they take is in the sentences for option_wrong(). */

/* A number of seconds, fractions too, from 1 ms to a year. */
bool option_seconds(const char *text, uint64_t *ret_ns);
#define OPTION_SECONDS_WRONG "the duration must be a number of seconds, not '%s'"

/* A whole number of seconds, or of what its suffix says: 60, 60s, 5m, 1h; to a year. */
bool option_span(const char *text, uint64_t *ret_ns);

/* A number with its unit, fractions too: 250ns, 1.5us, 1ms, 2s; from 1 ns to an hour. */
bool option_time(const char *text, uint64_t *ret_ns);

/* Per cent up to `max`, in millionths of the whole: 0, or no less than 0.001 %. */
bool option_percent(const char *text, uint32_t max, uint32_t *ret_millionths);

/* Size of a ring buffer. */
bool option_ring(const char *text, uint32_t *ret_bytes);
#define OPTION_RING_WRONG "the ring's size must be a power of two from 65536 to 268435456, not '%s'"

/* One --thread, to the end of a list of up to REPORT_ONLY_MAX. 0, or EXIT_USAGE with its sentence
 * printed. */
int option_thread(const char *command, const char *arg, const char **only, uint32_t *cnt);

/* An output's name where none was given: "uncoil-COMMAND[-TIME]SUFFIX", which writes over no other
 * if it has the time. Static, overwritten by the next call. */
const char *option_default_path(const char *command, bool timed, const char *suffix,
				size_t suffix_len);

#endif
