# SPDX-License-Identifier: Apache-2.0
"""uncoil top at a real terminal: tmux types and looks."""

import fcntl
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
import unicodedata

import pytest

from conftest import CONTROL, UNCOIL, WAIT, state, uncoil, wait_for

needs_tmux = pytest.mark.skipif(not shutil.which("tmux"),
                                reason="SKIPPED: tmux is not installed (scripts/setup test)")
pytestmark = needs_tmux


class Terminal:
    """A shell in a tmux of its own."""

    def __init__(self, folder, cols=100, rows=24):
        self.tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        self.folder = folder
        env = {**os.environ, "PS1": "$ ", "LC_ALL": "C.UTF-8"}
        env.pop("TMUX", None)
        self.run("-u", "new-session", "-d", "-x", str(cols), "-y", str(rows), "bash --norc",
                 env=env)
        self.type("printf 'before%s\\n' -all", "Enter")
        self.until("before-all")

    def run(self, *args, **more):
        return subprocess.run([*self.tmux, *args], check=True, timeout=WAIT, capture_output=True,
                              text=True, **more).stdout

    def type(self, *keys):
        self.run("send-keys", "--", *keys)

    def screen(self):
        return self.run("capture-pane", "-p")

    def until(self, *patterns, seconds=3 * WAIT):
        """Waits until the screen matches all of them; returns it."""
        def matches():
            text = self.screen()
            return all(re.search(p, text, re.M) for p in patterns) and text
        try:
            return wait_for(matches, patterns, seconds)
        except AssertionError:
            pytest.fail(f"never {patterns} on the screen, but:\n{self.screen()}")

    def top(self, *args):
        """Starts top, and what notes how it ended, between two notes of the terminal's state."""
        command = " ".join([UNCOIL, "top", *args])
        self.type(f"stty -g >{self.folder}/a; {command}; echo \"rc=$?=\"; stty -g >{self.folder}/b; "
                  "echo 'do''ne'", "Enter")

    def assert_restored(self):
        text = self.until(r"^done$")
        assert "before-all" in text, f"not the screen that was there before:\n{text}"
        assert (self.folder / "a").read_text() == (self.folder / "b").read_text()
        modes = self.run("display-message", "-p", "#{cursor_flag} #{alternate_on} #{wrap_flag}")
        assert modes.split() == ["1", "0", "1"]
        return text


def top_pid():
    mine = [int(p.parent.name) for p in pathlib.Path("/proc").glob("[0-9]*/cmdline")
            if p.exists() and read(p).startswith(UNCOIL.encode() + b"\0top\0")]
    return mine


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.fixture
def terminal(folder):
    term = Terminal(folder)
    yield term
    subprocess.run([*term.tmux, "kill-server"], capture_output=True, timeout=WAIT, check=False)


@pytest.fixture
def wide(folder):
    """Rows of waits are long: a reason, a function, a file."""
    term = Terminal(folder, 160, 40)
    yield term
    subprocess.run([*term.tmux, "kill-server"], capture_output=True, timeout=WAIT, check=False)


@pytest.fixture
def spread(target):
    return target("spread.py")


def pid_of_top(target):
    """Of the top that watches this target."""
    pid, = [p for p in top_pid() if str(target.pid).encode() in
            read(pathlib.Path(f"/proc/{p}/cmdline")).split(b"\0")]
    return pid


def columns(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


SHARE = r" +\d+\.\d% +\d+\.\d% \| +\d+\.\d% +\d+\.\d% +\d+  "
MANY = SHARE.removesuffix(r"\d+  ") + r"[1-9]\d+  "
# of waits: "12.34 ms" instead of a count
TIME = SHARE.removesuffix(r"\d+  ") + r"(?:0|[\d.]+ [mun]?s)  "


def test_no_secret_of_the_command(wide, target):
    process = target("busy.py", "--password", "hunter2")
    wide.top("-p", str(process.pid))
    assert "hunter2" not in wide.until(r"^uncoil top  pid \d+ .*busy.py --password \*\*\*")
    wide.type("q")


def test_views_and_keys(terminal, spread, nothing_left):
    terminal.top("-p", str(spread.pid))
    text = terminal.until(r"^uncoil top  pid \d+ /usr/bin/python3.11 ", r"^on-CPU, 99 Hz .* 0 lost",
                          SHARE + r"spin \(.*spread.py\)$", r"evil\\x1b\[2J\\x0a\\u202e \(")
    assert not CONTROL.search(text)
    terminal.type("3")
    # on a busy machine samples are few: with enough of both threads the rare ones are there too, and
    # no single one decides who is first
    terminal.until(r"by thread", MANY + r"MainThread \(thread \d+ of process \d+\)$",
                   MANY + r"worker\\x1b\[31m \(thread")
    terminal.type("2")
    terminal.until(r"by line", SHARE + r"spin \(.*spread.py:\d+\)$")
    terminal.type("4")
    terminal.until(r"by file", SHARE + r".*spread.py$", SHARE + "threading.py$")
    terminal.type("Tab")
    terminal.until(r"by function")
    terminal.type("t")
    # a thread may have had no CPU in the last seconds, and then all that is below it has 100 % too
    terminal.until(r"sorted by total$",
                   r"function *\n(?: +\d+\.\d% 100\.0% .*\n)* +\d+\.\d% (?:100\.0|9\d\.\d)% .* work \(")
    terminal.type("n")
    terminal.until(r"sorted by name", r"function *\n.* <module> \(")
    terminal.type("/")
    terminal.type("SPI")
    text = terminal.until(r"filter: SPI_", SHARE + r"spin \(")
    terminal.type("Enter")
    text = terminal.until(r"filter: SPI$")
    assert not re.search(SHARE + r"(evil|work)", text)
    terminal.type("Escape")
    terminal.until(SHARE + r"work \(")
    terminal.type("Space")
    terminal.until("PAUSED")
    counts = re.findall(r"% +(\d+)  ", terminal.screen())
    before = int(re.search(r"(\d+) samples", terminal.screen())[1])
    # the recording goes on, the table stands still; reversed twice it is drawn anew
    wait_for(lambda: (terminal.type("r", "r"),
                      int(re.search(r"(\d+) samples", terminal.screen())[1]) > before)[-1],
             "more samples")
    text = terminal.until(r"sorted by name +PAUSED")
    assert re.findall(r"% +(\d+)  ", text) == counts
    terminal.type("?")
    terminal.until(r"^q +quit", "any key closes")
    terminal.type("x")
    terminal.until(SHARE + "work")
    terminal.type("Space")
    terminal.until(r"^(?!.*PAUSED)on-CPU")
    terminal.type("q")
    assert "rc=0=" in terminal.assert_restored()
    nothing_left()
    spread.assert_computes()


def test_some_threads(terminal, spread):
    """Rows, shares and the count of samples are of the chosen thread alone."""
    terminal.top("-r", "250", "--thread", "'worker*'", "-p", str(spread.pid))
    terminal.until(r"^on-CPU, 250 Hz, some threads  ", SHARE + r"Thread.run \(threading.py\)$")
    terminal.type("3")
    text = terminal.until(r"by thread", MANY + r"worker\\x1b\[31m \(thread")
    assert "MainThread" not in text

    def counts_agree():  # unless the screen is looked at while it is drawn
        text = terminal.screen()
        return int(re.search(r"(\d+) samples", text)[1]) == sum(map(int, re.findall(r"% +(\d+)  \w", text)))

    wait_for(counts_agree, "the first line to count what the rows have")
    terminal.type("q")
    text = terminal.assert_restored()
    assert re.search(r"\d+ samples of other threads are left out \(--thread\)", text)


def test_gil_only(terminal, spread):
    terminal.top("-g", "-r", "250", "-p", str(spread.pid))
    terminal.until(r"^holding the GIL, 250 Hz  ", SHARE + r"spin \(.*spread.py\)$")
    terminal.type("q")
    terminal.assert_restored()


def place(reason, function, file=r"\(.*gil.py\)"):
    return TIME + rf"\[{reason}\] in {function} {file}$"


def seconds_of(text, pattern):
    """What the column of time says in this row."""
    row = re.search(pattern, text, re.M)[0]
    number, unit = re.search(r"% +([\d.]+) ([mun]?s)  ", row).groups()
    return float(number) * {"s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}[unit]


def test_waits(wide, target, nothing_left):
    """What it waits for now, and where: of a wait that goes on too."""
    process = target("gil.py")
    wide.top("--mode", "offcpu", "-p", str(process.pid))
    text = wide.until(r"^off-CPU, without idle  .* [1-9]\d* waits, 0 lost  by function",
                          place("sleep", "<module>"), place("sleep", "sleeps"), place("GIL", "spins"))
    assert not CONTROL.search(text)
    # the main thread sleeps all the time: its wait grows before it is over
    before = seconds_of(text, place("sleep", "<module>"))
    wait_for(lambda: seconds_of(wide.screen(), place("sleep", "<module>")) > before + .5, "the wait to grow")
    wide.type("2")
    wide.until("by line", place("sleep", "sleeps", r"\(.*gil.py:20\)"))
    wide.type("3")
    wide.until("by thread", TIME + r"\[sleep\] in sleeps \(thread \d+ of process \d+\)$",
                   TIME + rf"\[sleep\] in MainThread \(thread {process.pid} of process {process.pid}\)$")
    wide.type("4")
    wide.until("by file", TIME + r"\[sleep\] \(.*gil.py\)$")
    wide.type("1")
    wide.type("/")
    wide.type("[gil]")
    wide.type("Enter")
    text = wide.until(r"filter: \[gil\]$", place("GIL", "spins"))
    assert "[sleep]" not in text
    wide.type("?")
    wide.until("what f waits for, itself", r"\[run queue\]: it was woken", "are left out but with -i")
    wide.type("x")
    wide.type("q")
    assert "rc=0=" in wide.assert_restored()
    nothing_left()
    assert process.poll() is None


def test_wall(wide, target):
    """CPU time and waits together: a thread's total is its share of all time."""
    process = target("gil.py")
    wide.top("--mode", "wall", "-p", str(process.pid))
    wide.until(r"^wall clock, 99 Hz, without idle  .* \d+ samples, \d+ waits, 0 lost",
                   TIME + r"spins \(.*gil.py\)$", place("GIL", "spins"), place("sleep", "<module>"))
    wide.type("3")
    wide.until("by thread")

    def totals_are_even():
        totals = [float(share) for share in re.findall(
            r"^ +[\d.]+% +[\d.]+% \| +[\d.]+% +([\d.]+)% +[\d.]+ ?[mun]?s?  \w+ \(thread", wide.screen(), re.M)]
        return len(totals) == 5 and all(abs(total - 20) < 1 for total in totals)
    wait_for(totals_are_even, "each of five threads to have a fifth")
    wide.type("q")
    wide.assert_restored()


def test_idle_waits(wide, target, folder):
    process = target("waits.py", env={**os.environ, "UNCOIL_DISK": str(folder)})
    wide.top("--mode", "offcpu", "-p", str(process.pid))
    text = wide.until(r"without idle", TIME + r"\[lock\] in ",
                          TIME + r"\[socket read 127.0.0.1:\d+\] in reads_socket")
    assert "[epoll]" not in text and "[socket accept" not in text
    wide.type("q")
    wide.assert_restored()
    wide.type("clear", "Enter")
    wide.top("-i", "--mode", "offcpu", "-p", str(process.pid))
    wide.until(r"^off-CPU  \d+ s", TIME + r"\[epoll\] in loops", TIME + r"\[socket accept")
    wide.type("q")
    wide.until("^done$")


def test_resize(terminal, spread):
    terminal.top("-p", str(spread.pid))
    terminal.until(SHARE + "spin")
    for cols, rows in [(40, 8), (200, 60), (10, 3), (100, 24)]:
        terminal.run("resize-window", "-x", str(cols), "-y", str(rows))
        text = terminal.until(r"^uncoil to" if rows > 5 else r"^q quit")
        assert all(columns(line) <= cols for line in text.split("\n"))
        if cols >= 100:
            terminal.until(SHARE + r"spin \(.*spread.py\)$", r"^q quit .* pause$")
    terminal.type("q")
    terminal.assert_restored()


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGQUIT", "crash"])
def test_ends(terminal, spread, nothing_left, how):
    """However it ends, the terminal is as it was and nothing is left in the kernel."""
    terminal.top("-p", str(spread.pid))
    terminal.until(SHARE + "spin")
    if how == "Ctrl-C":
        terminal.type("C-c")
    else:
        os.kill(pid_of_top(spread), {"SIGTERM": signal.SIGTERM, "SIGQUIT": signal.SIGQUIT,
                                     "crash": signal.SIGSEGV}[how])
    text = terminal.assert_restored()
    assert ("rc=139=" if how == "crash" else "rc=0=") in text
    nothing_left()
    spread.assert_computes()


def test_suspend(terminal, spread):
    terminal.top("-p", str(spread.pid))
    terminal.until(SHARE + "spin")
    pid = pid_of_top(spread)
    for _ in range(2):
        terminal.type("C-z")
        terminal.until(r"Stopped")
        assert state(pid) == "T"
        assert "before-all" in terminal.screen()
        assert terminal.run("display-message", "-p", "#{alternate_on}").strip() == "0"
        terminal.type("fg", "Enter")
        terminal.until(r"^uncoil top ", SHARE + "spin")
        terminal.run("clear-history")
    os.kill(pid, signal.SIGSTOP)  # which nobody can catch
    terminal.until("Stopped")
    terminal.type("fg", "Enter")
    terminal.until(r"^uncoil top ", SHARE + "spin")
    terminal.type("q")
    wait_for(lambda: state(pid) is None, "its end")
    terminal.type("stty -g >" + str(terminal.folder / "b") + "; echo no''w", "Enter")
    terminal.until("^now$")
    assert (terminal.folder / "a").read_text() == (terminal.folder / "b").read_text()


def test_terminal_closed(terminal, spread, nothing_left):
    terminal.top("-p", str(spread.pid))
    terminal.until(SHARE + "spin")
    pid = pid_of_top(spread)
    terminal.run("kill-server")
    wait_for(lambda: state(pid) in (None, "Z"), "top to end")
    nothing_left()
    spread.assert_computes()


def test_terminal_closed_unheard(spread, nothing_left):
    """The same, to one who ignores SIGHUP, as under nohup: it is told by the terminal itself."""
    main, other = pty.openpty()

    def begin():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.setsid()

    process = subprocess.Popen([UNCOIL, "top", "-p", str(spread.pid)], stdin=other, stdout=other,
                               stderr=subprocess.DEVNULL, preexec_fn=begin)
    os.close(other)
    wait_for(lambda: b"uncoil top" in os.read(main, 65536), "the first screen")
    os.close(main)
    try:
        assert process.wait(WAIT) in (0, 3)
    finally:
        if process.poll() is None:
            process.kill()
    nothing_left()
    spread.assert_computes()


def test_target_ends(terminal, start, target):
    process = target("spread.py")
    terminal.top("-p", str(process.pid))
    terminal.until(SHARE + "spin")
    process.kill()
    process.wait(WAIT)
    terminal.until("ENDED", SHARE + "spin")
    terminal.type("q")
    terminal.assert_restored()


def test_failure_is_told_on_the_screen_that_was(terminal):
    terminal.top("-p", "4194301")
    assert "uncoil top: there is no process 4194301" in terminal.assert_restored()


def test_mistyped(terminal):
    terminal.type("clear; ./uncoil tpo; ./uncoil top --hlep; ./uncoil top -p; echo 'do''ne'".replace(
        "./uncoil", UNCOIL), "Enter")
    text = re.sub(r"\n(?=\S)", "", terminal.until("done"))  # as the window wrapped it
    assert "there is no command 'tpo'" in text and "--hlep" in text and "requires an argument" in text


@pytest.mark.parametrize("args, words, code", [
    ([], "no process given", 2), (["-p", "x"], "'x' is no process id", 2),
    (["-p", "1", "-r", "0"], "the rate must be", 2), (["-p", "1", "--mode", "off"], "there is no mode 'off'", 2), (["-p", "1", "x"], "'x' is one word too many", 2),
    (["-p", "1"], "must be a terminal", 1)], ids=str)
def test_wrong(args, words, code):
    result = uncoil("top", *args)
    assert result.code == code and not result.out and words in result.err
    assert len(result.err.strip().split("\n")) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_terminal_that_takes_nothing(spread, nothing_left, number):
    """A connection that hangs: the terminal is there and does not read."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 200, 200, 0, 0))
    settings = termios.tcgetattr(other)
    process = subprocess.Popen([UNCOIL, "top", "-p", str(spread.pid)], stdin=other, stdout=other,
                               stderr=subprocess.DEVNULL, preexec_fn=os.setsid)
    try:
        # nobody reads `main`: it is full once no more can be written
        wait_for(lambda: (os.write(main, b"r"), not select.select([], [other], [], .02)[1])[-1],
                 "a terminal that is full")
        time.sleep(.5)
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(WAIT) in (0, 3)
        assert termios.tcgetattr(other) == settings
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(main)
        os.close(other)
    nothing_left()


def test_tasks(terminal, target):
    """--async: a row for each asyncio task."""
    process = target("named.py")
    terminal.top("--async", "-p", str(process.pid))
    terminal.type("/")
    terminal.type("task")
    terminal.until(r"filter: task", SHARE + "task three$", SHARE + "tasks of short$")
    terminal.type("Escape", "q")
    terminal.assert_restored()
