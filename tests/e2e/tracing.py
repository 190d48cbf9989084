# SPDX-License-Identifier: Apache-2.0
"""uncoil trace under test: started, seen to be there, stopped; and targets that work when they are told."""
import functools
import json
import os
import select
import signal
import subprocess

import pytest

from conftest import TARGETS, UNCOIL, WAIT, Result, Target, wait_for

FILES = [TARGETS / name for name in ("kinds.py", "oracle.py", "suspends.py", "chance.py")]


class Tracer(Target):
    """An uncoil trace whose probes are in."""

    def __init__(self, pid, *args, file=None, overhead="0"):
        self.file = file
        command = [UNCOIL, "trace", "-p", str(pid), "--max-overhead", overhead, *map(os.fspath, args)]
        if file:
            command += ["-o", os.fspath(file)]
        super().__init__(command, stderr=subprocess.PIPE)
        self.first = self.line()
        if not self.first.startswith(b"tracing "):
            rest = self.communicate(timeout=WAIT)[1]
            raise AssertionError(f"no trace: {(self.first + rest).decode()}")

    def line(self):
        assert select.select([self.stderr], [], [], WAIT)[0], "it says nothing"
        return self.stderr.readline()

    def end(self, stop=signal.SIGINT):
        """Ends it, or waits for its end; its Result."""
        if stop:
            self.send_signal(stop)
        try:
            out, err = self.communicate(timeout=WAIT)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"{self.args} hangs")
        assert self.returncode >= 0, f"it died of signal {-self.returncode}: {err!r}"
        return Result(self.returncode, out, err.decode(), 0, self.pid)


@pytest.fixture
def tracer():
    """tracer(pid, args..., file=PATH) -> Tracer."""
    started = []

    def begin(*args, **options):
        started.append(Tracer(*args, **options))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT)
        process.stdout.close()
        process.stderr.close()


class Worker(Target):
    """A target that has said "ready", works for each byte that it gets, and says "done"."""

    def __init__(self, *command, **popen):
        super().__init__(list(map(os.fspath, command)), stdin=subprocess.PIPE, **popen)
        self.said(b"ready\n")

    def begin(self, times=1, byte=b"w"):
        self.stdin.write(byte * times)
        self.stdin.flush()

    def done(self, times=1):
        for _ in range(times):
            assert self.stdout.readline() == b"done\n"

    def work(self, times=1):
        self.begin(times)
        self.done(times)

    def finish(self):
        """Ends it; what it says at its end."""
        self.stdin.close()
        rest = self.stdout.read()
        assert self.wait(WAIT) == 0, rest
        return rest


@pytest.fixture
def worker():
    """worker(command...) -> Worker."""
    started = []

    def begin(*command, **popen):
        started.append(Worker(*command, **popen))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT)
        for pipe in (process.stdin, process.stdout):
            pipe.close()


def truth(mode, sections):
    """truth.py's arguments."""
    return [TARGETS / "truth.py", mode, sections, *FILES]


@functools.lru_cache(maxsize=None)
def counted(python, sections):
    """What Python itself counts in a run of its own (oracle.py)."""
    out = subprocess.run([python, *truth("count", sections)], stdout=subprocess.PIPE, check=True,
                         timeout=WAIT).stdout
    return json.loads(out)


def lines_of(path):
    """The objects of a file of lines."""
    text = path.read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def calls_of(path):
    return [line for line in lines_of(path) if line["type"] == "call"]


def gone(pid):
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), f"{pid} to be gone")
