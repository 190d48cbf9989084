# SPDX-License-Identifier: Apache-2.0
"""The outputs in the programs that people open them with. Each test replays a journal - the golden
ones, and one of a real Python whose names are as bad as names can be - and compares what the
consumer counts with what the folded output of the same journal says. As root: it records.

    scripts/run-pytest tests/formats
"""

import collections
import json
import os
import pathlib
import re
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = TOP / "tests/golden"
UNCOIL = os.environ.get("UNCOIL", str(TOP / "uncoil"))
# recordings that count samples; those of waits are measured times: test_time.py; calls: test_calls.py
GOLDEN_NAMES = sorted(path.parent.name for path in GOLDEN.glob("*/journal") if not path.parent.name.startswith(("waits", "calls")))
WAIT = 120  # seconds; what takes longer hangs


def run(*command, **more):
    result = subprocess.run([str(arg) for arg in command], capture_output=True, timeout=WAIT,
                            **more)
    assert result.returncode == 0, result.stderr.decode("utf-8", "replace")[-2000:]
    return result.stdout.decode()


@pytest.fixture(scope="session")
def consumers():
    """The folder with speedscope and the trace processor."""
    got = subprocess.run([TOP / "scripts/get-consumers"], capture_output=True, text=True)
    if got.returncode:
        pytest.skip(got.stderr.strip().splitlines()[-1])
    return pathlib.Path(got.stdout.strip())


@pytest.fixture(scope="session")
def live_journal(tmp_path_factory):
    """A second of tests/e2e/targets/hostile.py."""
    journal = tmp_path_factory.mktemp("live") / "live.uncoil"
    target = subprocess.Popen(["/usr/bin/python3", "-IS", TOP / "tests/e2e/targets/hostile.py"],
                              stdout=subprocess.PIPE)
    try:
        assert target.stdout.readline() == b"ready\n"
        run(UNCOIL, "record", "-q", "-p", target.pid, "-d", "1", "-r", "999",
            "--timeline", "-o", journal)
    finally:
        target.kill()
        target.wait()
    return journal


@pytest.fixture(params=[*GOLDEN_NAMES, "live"])
def journal(request):
    if request.param == "live":
        return request.getfixturevalue("live_journal")
    return GOLDEN / request.param / "journal"


@pytest.fixture
def replay(journal, tmp_path):
    """replay(suffix, option...) -> the path of that output."""
    def write(suffix, *options):
        path = tmp_path / f"out{suffix}"
        run(UNCOIL, "replay", "-q", *options, journal, "-o", path)
        return path
    return write


def folded(path):
    """Counter of stacks, root first: of (name, line, file), as folded has them."""
    stacks = collections.Counter()
    for line in path.read_text().splitlines():
        stack, count = line.rsplit(" ", 1)
        frames = []
        for frame in stack.split(";"):
            match = re.fullmatch(r"(.*) \((.*):(\d+)\)", frame)
            frames.append((match[1], int(match[3]), match[2]) if match else (frame, 0, ""))
        stacks[tuple(frames)] += int(count)
    assert stacks
    return stacks


def printable(name):
    """A name as folded shows it."""
    return re.sub("[\x00-\x1f\x7f-\x9f;\u2028-\u202e\u2066-\u2069]",
                  lambda m: f"\\x{ord(m[0]):02x}" if ord(m[0]) < 256 else f"\\u{ord(m[0]):04x}", name)


@pytest.fixture
def query(consumers):
    """query(trace, sql...) -> a list of rows, each a dict, for each statement."""
    def ask(trace, *sql):
        return json.loads(run("node", TOP / "tests/formats/trace-processor.mjs",
                              consumers / "trace-processor", trace, *sql))
    return ask
