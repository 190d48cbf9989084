# SPDX-License-Identifier: Apache-2.0
"""What a review found in the answers and the model: each of these went wrong once."""

import pathlib
import re
import signal

from conftest import SYSTEM, each_python, finish, stacks, uncoil, wait_for


def test_command_line_of_invalid_utf8(start, folder):
    """Each byte becomes three: the record is cut after that, and the recording goes on."""
    target = start(SYSTEM, "-c", "print('ready', flush=True)\nwhile True: pass",
                   b"\xff" * 4090, cwd="/")
    target.said(b"ready")
    result = uncoil("record", "-d", ".4", "-r", "200", "-p", str(target.pid), "-o", folder / "x.txt",
                    "-o", folder / "x.uncoil")
    assert result.code == 0, result.err
    assert "did not hold" not in result.err
    assert "\ufffd" in (folder / "x.txt").read_text()
    assert uncoil("replay", folder / "x.uncoil", "-o", folder / "y.txt").code == 0


LONG = 9000


@each_python
def test_long_line_table(start, folder, python):
    """A line table longer than what comes along the ring is read again, whole."""
    script = folder / "long.py"
    script.write_text("def long(a):\n" + "    a = (a + 1) % 1000\n" * LONG +
                      "    print('ready', flush=True)\n    while True:\n        a = hot(a)\n"
                      "def hot(a):\n    for i in range(10000):\n        a += i\n    return a\n"
                      "long(1)\n")
    target = start(python, script)
    target.said(b"ready")
    result = uncoil("record", "-d", ".5", "-r", "500", "-p", str(target.pid),
                    "-o", folder / "x.folded", "-o", folder / "x.uncoil")
    assert result.code == 0, result.err
    seen = stacks(folder / "x.folded").lines("long", "hot")
    assert sum(seen.values()) > 50
    assert set(seen) == {LONG + 4}
    assert "partly read" not in result.err
    assert uncoil("replay", folder / "x.uncoil", "-o", folder / "y.folded").code == 0
    assert (folder / "x.folded").read_bytes() == (folder / "y.folded").read_bytes()


def test_child_forked_before_the_interpreter_is_found(folder):
    """python -S -E forks at once: user space cannot have looked by then."""
    script = folder / "fork.py"
    script.write_text("import os, time\n"
                      "def work():\n"
                      "    end = time.monotonic() + .5\n"
                      "    while time.monotonic() < end: pass\n"
                      "for i in range(4):\n"
                      "    if not os.fork():\n"
                      "        work(); os._exit(0)\n"
                      "for i in range(4): os.wait()\n")
    for _ in range(5):
        result = uncoil("record", "-s", "-t", "-r", "200", "-o", folder / "x.folded", "-f", "folded",
                        "--", SYSTEM, "-S", "-E", "-I", script)
        assert result.code in (0, 3), result.err
        seen = stacks(folder / "x.folded")
        (folder / "x.folded").unlink()
        assert len({frames[0] for frames, _ in seen.having("work")}) == 4, result.err


def test_exec_shows_the_root_once(folder):
    result = uncoil("record", "-r", "200", "-o", folder / "x.txt", "--", "/bin/sh", "-c",
                    f"exec {SYSTEM} -c 'import time\nend = time.monotonic() + .5\n"
                    "while time.monotonic() < end: pass'")
    assert result.code == 0, result.err
    text = (folder / "x.txt").read_text()
    assert text.count("CPython 3.11") == 1
    assert "no Python found" not in text


def test_thousand_threads_end_in_time(start, recorder, folder):
    """Names cost a bounded time, and those that were read are right."""
    target = start(SYSTEM, "-c", "import threading, time\n"
                   "go = threading.Event()\n"
                   "def work():\n"
                   "    go.wait()\n"
                   "    while True: sum(range(100000)); time.sleep(.1)\n"
                   "for i in range(1000):\n"
                   "    threading.Thread(target=work, name=f'n-{i}', daemon=True).start()\n"
                   "print('ready', flush=True)\ntime.sleep(.5)\ngo.set()\ntime.sleep(1000)\n")
    target.said(b"ready")
    recording = recorder("-t", "-r", "2000", "-p", str(target.pid), "-o", folder / "x.folded")
    wait_for(lambda: sum(int(path.read_text().split()[0]) for path in
                         pathlib.Path(f"/proc/{target.pid}/task").glob("*/schedstat")) > 1e9,
             "a second of CPU time")
    recording.send_signal(signal.SIGINT)
    result = finish(recording)
    assert result.code in (0, 3), result.err
    seen = {frames[1].name: frames[1].file for frames, _ in stacks(folder / "x.folded") if frames[1].name}
    named = [name for name in seen.values() if name and name.startswith("n-")]
    unnamed = [name for name in seen.values() if not name]
    told = re.search(r"(\d+) threads whose names were not read", result.err)
    assert len(named) + len(unnamed) > 30, result.err
    assert len(unnamed) <= int(told[1] if told else 0), (unnamed, result.err)


def test_stacks_without_end(start, folder):
    """A program that makes a new stack with every sample fills the profile, not the machine."""
    target = start(SYSTEM, "-c", "import types\n"
                   "print('ready', flush=True)\n"
                   "i = 0\n"
                   "while True:\n"
                   "    i += 1\n"
                   "    d = {}\n"
                   "    exec(f'def f{i}(n):\\n return f(n-1) if n else sum(range(300))', d)\n"
                   "    d['f'] = d[f'f{i}']\n"
                   "    d['f'](100)\n")
    target.said(b"ready")
    result = uncoil("record", "-d", "2", "-r", "2000", "-p", str(target.pid),
                    "-o", folder / "x.folded", "-o", folder / "x.uncoil")
    assert result.code in (0, 3), result.err
    replayed = uncoil("replay", folder / "x.uncoil", "-o", folder / "y.folded")
    assert replayed.code == result.code
    assert (folder / "x.folded").read_bytes() == (folder / "y.folded").read_bytes()
