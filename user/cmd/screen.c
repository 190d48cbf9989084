/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/screen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/err.h"
#include "cmd/top_view.h"

/* Another screen, no cursor, no line wrap; and back. What comes of a write is not asked here: a
 * terminal that is gone needs no restoring. */
#define ENTER "\x1b[?1049h\x1b[?25l\x1b[?7l"
#define LEAVE "\x1b[m\x1b[?7h\x1b[?25h\x1b[?1049l"
#define HOME  "\x1b[H"

/* A terminal may take nothing for as long as it likes (a connection that hangs), and must not hold up who
 * drains the ring and hears signals: it is written to without blocking, through a description of uncoil's
 * own, for the other one is shared with the shell. What it does not take in time is dropped; the next screen
 * begins with CAN, which ends a sequence that was cut. */
#define WRITE_MS 200
#define CANCEL   "\x18"

static struct termios before;
static volatile sig_atomic_t is_lent;
static volatile sig_atomic_t end_signal, suspend, resized, resumed;
static bool gone;
static int terminal = -1;
static unsigned char keys[64];
static size_t key_cnt;

static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };

/* False: not all of it was taken. */
static bool put(const char *text, size_t len)
{
	struct pollfd output = { .fd = terminal, .events = POLLOUT };
	ssize_t taken;

	while (len) {
		taken = write(terminal, text, len);
		if (taken < 0 && errno == EAGAIN) {
			if (poll(&output, 1, WRITE_MS) <= 0)
				return false;
			continue;
		}
		if (taken < 0) {
			gone = gone || errno != EINTR;
			return false;
		}
		text += taken;
		len -= taken;
	}
	return true;
}

static void say(const char *text)
{
	put(text, strlen(text));
}

static void on_end(int sig)
{
	end_signal = sig;
}

static void on_suspend(int sig)
{
	suspend = 1;
}

static void on_resize(int sig)
{
	resized = 1;
}

static void on_resume(int sig)
{
	resumed = 1;
}

/* Only what a signal handler may call. The handler is gone by now: the signal comes once more. */
static void on_crash(int sig)
{
	screen_end();
	raise(sig);
}

static void lend(void)
{
	struct termios raw = before;

	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN); /* ISIG stays: Ctrl-C, Ctrl-Z */
	raw.c_iflag &= ~(tcflag_t)(IXON);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	is_lent = 1;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	say(ENTER);
}

void screen_end(void)
{
	if (!is_lent)
		return;
	is_lent = 0;
	say(CANCEL LEAVE);
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

int screen_require(struct err *err)
{
	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		return 0;
	return err_set(
		err, -ENOTTY,
		"standard input and output must be a terminal; `uncoil record` writes files");
}

static void handle(const int *signals, size_t cnt, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags }, old;
	size_t i;

	for (i = 0; i < cnt; i++)
		if (!sigaction(signals[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
}

int screen_begin(struct err *err)
{
	static const int stop[] = { SIGTSTP }, resume[] = { SIGCONT }, size[] = { SIGWINCH };

	if (tcgetattr(STDIN_FILENO, &before))
		return err_set(err, -errno, "cannot ask for the terminal's settings: %s",
			       err_str(errno));
	terminal = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (terminal < 0)
		terminal = STDOUT_FILENO; /* another user's: it may block then */
	handle(ending, sizeof(ending) / sizeof(ending[0]), on_end, SA_RESTART);
	handle(crashes, sizeof(crashes) / sizeof(crashes[0]), on_crash, SA_RESETHAND | SA_NODEFER);
	handle(stop, 1, on_suspend, SA_RESTART);
	handle(resume, 1, on_resume, SA_RESTART);
	handle(size, 1, on_resize, SA_RESTART);
	lend();
	return 0;
}

int screen_ended(void)
{
	if (end_signal)
		return end_signal;
	return gone ? -1 : 0;
}

bool screen_changed(void)
{
	bool changed = resized;

	resized = 0;
	if (suspend) {
		suspend = 0;
		screen_end();
		/* stops here; not by SIGTSTP again, whose handler is ours */
		raise(SIGSTOP);
		/* who had the terminal meanwhile may have changed it for good: that is kept */
		tcgetattr(STDIN_FILENO, &before);
		resumed = 1;
	}
	if (!resumed)
		return changed;
	/* also after a SIGSTOP from elsewhere, which nobody hears of before it is over */
	resumed = 0;
	lend();
	return true;
}

void screen_size(unsigned int *ret_rows, unsigned int *ret_cols)
{
	struct winsize size = {};

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	*ret_rows = size.ws_row ? size.ws_row : 24;
	*ret_cols = size.ws_col ? size.ws_col : 80;
}

/* Sequences that keys send: ECMA-48's cursor keys, in both of a terminal's modes, and DEC's VT220
 * editing keys. */
static const struct {
	const char *sequence;
	int key;
} sequences[] = {
	{ "\x1b[A", KEY_UP },   { "\x1bOA", KEY_UP },       { "\x1b[B", KEY_DOWN },
	{ "\x1bOB", KEY_DOWN }, { "\x1b[5~", KEY_PAGE_UP }, { "\x1b[6~", KEY_PAGE_DOWN },
	{ "\x1b[H", KEY_HOME }, { "\x1bOH", KEY_HOME },     { "\x1b[1~", KEY_HOME },
	{ "\x1b[F", KEY_END },  { "\x1bOF", KEY_END },      { "\x1b[4~", KEY_END },
};

static void keys_drop(size_t cnt)
{
	key_cnt -= cnt;
	memmove(keys, keys + cnt, key_cnt);
}

/* A sequence that is not known: passed over up to its final byte (ECMA-48, 5.4). */
static size_t unknown_len(void)
{
	size_t i = 2;

	while (i < key_cnt && keys[i] >= 0x20 && keys[i] < 0x40)
		i++;
	return i < key_cnt ? i + 1 : key_cnt;
}

int screen_key(void)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	size_t i, len;
	ssize_t got;
	int key;

	if (!gone && key_cnt < sizeof(keys) && poll(&input, 1, 0) > 0) {
		got = read(STDIN_FILENO, keys + key_cnt, sizeof(keys) - key_cnt);
		if (got > 0)
			key_cnt += got;
		else if (!got || (errno != EINTR && errno != EAGAIN))
			gone = true; /* readable and nothing to read: hung up */
	}
	if (!key_cnt)
		return KEY_NONE;
	if (keys[0] != 0x1b || key_cnt == 1) {
		key = keys[0] == 0x1b ? KEY_ESCAPE : keys[0];
		keys_drop(1);
		return key;
	}
	for (i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
		len = strlen(sequences[i].sequence);
		if (len <= key_cnt && !memcmp(keys, sequences[i].sequence, len)) {
			keys_drop(len);
			return sequences[i].key;
		}
	}
	if (keys[1] == '[' || keys[1] == 'O') {
		keys_drop(unknown_len());
		return KEY_NONE;
	}
	keys_drop(1); /* Escape, and another key */
	return KEY_ESCAPE;
}

void screen_put(const char *text, size_t len)
{
	struct pollfd output = { .fd = terminal, .events = POLLOUT };

	if (gone || poll(&output, 1, 0) <= 0)
		return; /* it still has the last one to show */
	if (put(CANCEL HOME, strlen(CANCEL HOME)))
		put(text, len);
}
