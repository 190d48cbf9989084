# SPDX-License-Identifier: Apache-2.0
"""uncoil diff: from two recordings of one program to the table and the picture."""

import pathlib
import re
import subprocess

import pytest

from conftest import CONTROL, SYSTEM, TARGETS, TOP, uncoil

GOLDEN = TOP / "tests/golden"
ONE, OTHER = GOLDEN / "threads-3.11/journal", GOLDEN / "recursion-3.8/journal"

PROGRAM = """
import sys, time
def slow(n):
    end = time.thread_time() + n
    while time.thread_time() < end: pass
def steady(n):
    end = time.thread_time() + n
    while time.thread_time() < end: pass
for _ in range(30):
    slow(float(sys.argv[1]) / 30); steady(.3 / 30)
"""


def record(folder, name, seconds):
    path = folder / name
    result = uncoil("record", "-r", "999", "-o", path, "--", SYSTEM, "-c", PROGRAM, str(seconds))
    assert result.code in (0, 3), result.err
    return path


def changed(text):
    """function -> (A, B, change, low, high) of the table of own times."""
    own = text.split("\nOwn time (self): ")[1].split("\n\n")[0]
    rows = re.findall(r"^ +([\d.]+) % +([\d.]+) % +([-+][\d.]+) +([-+][\d.]+) \.\. +([-+][\d.]+)"
                      r"   +(\S+)", own, re.M)
    return {r[5]: tuple(map(float, r[:5])) for r in rows}


def test_a_change_is_found(folder):
    """One function takes four times as long: its share goes from 1/3 to 2/3, and the other's down."""
    a, b = record(folder, "a.uncoil", .15), record(folder, "b.uncoil", .6)
    result = uncoil("diff", a, b, "-o", folder / "d.svg")
    assert result.code in (0, 3), result.err
    text = result.out.decode()
    rows = changed(text)
    assert set(rows) >= {"slow", "steady"}
    for name, before, after in [("slow", 1 / 3, 2 / 3), ("steady", 2 / 3, 1 / 3)]:
        was, now, change, low, high = rows[name]
        assert abs(was - 100 * before) < 12 and abs(now - 100 * after) < 12
        assert low <= change <= high and abs(change - (now - was)) < .02
        assert (low > 0) == (name == "slow") and (high < 0) == (name == "steady")
    subprocess.run(["xmllint", "--noout", folder / "d.svg"], check=True, timeout=20)
    picture = (folder / "d.svg").read_text()
    assert re.search(r'class="f d\d[^>]*>(?:(?!</svg>).)*<title>slow ', picture, re.S)
    # and what is compared with itself has not changed
    text = uncoil("diff", a, a).out.decode()
    assert not changed(text) and "none of" in text


def test_measured_times_are_not_tested(folder):
    """Of waits the time is measured: no interval is made up. Modes are not mixed. What is left out is
    told, and waits for work are shown with -i."""
    path = folder / "wall.uncoil"
    result = uncoil("record", "--mode", "wall", "-o", path, "--", SYSTEM, "-c",
                    "import time, select\nfor i in range(9): time.sleep(.02); sum(range(200000))\n"
                    "select.epoll().poll(.05)")
    assert result.code in (0, 3), result.err
    text = uncoil("diff", path, path).out.decode()
    assert "no test of chance" in text and "samples" not in text.split("\n")[0]
    assert "Newcombe" not in text
    for side in "AB":
        left = re.search(fr"^{side}: (\d+) ms of waiting for work .* -i shows them$", text, re.M)
        assert left and 40 < int(left[1]), text
    with_idle = uncoil("diff", "-i", path, path, "-o", folder / "idle.svg").out.decode()
    assert "waiting for work" not in with_idle
    assert "[epoll]" in (folder / "idle.svg").read_text()
    uncoil("diff", path, path, "-o", folder / "busy.svg")
    picture = (folder / "busy.svg").read_text()
    assert "[epoll]" not in picture and "ms of waiting for work" in picture
    result = uncoil("diff", path, ONE)
    assert result.code == 1 and not result.out
    assert 'A was recorded as "wall clock" and B as "on-CPU"' in result.err


def test_all_and_rows():
    few = uncoil("diff", ONE, OTHER, "-n", "2").out.decode()
    assert re.search(r"^and \d+ more \(-n\)$", few, re.M) and not CONTROL.search(few)
    every = uncoil("diff", ONE, OTHER, "-a", "-n", "1000").out.decode()
    assert " ~  " in every and "~: may be chance" in every and "more (-n)" not in every


@pytest.mark.parametrize("args, words, code", [
    ([], "two journals are needed", 2), ([ONE], "two journals are needed", 2),
    ([ONE, ONE, ONE], "is a third", 2), ([ONE, ONE, "-n", "0"], "'0' is no number of rows", 2),
    ([ONE, ONE, "-o", "x.folded"], "'x.folded' must end in .svg", 2),
    ([ONE, ONE, "-o", "x"], "'x' must end in .svg", 2), ([ONE, "--al"], "two journals", 2),
    ([ONE, ONE, "--bll"], "--bll", 2), ([ONE, "/nonexistent\x1b"], r"cannot read /nonexistent\x1b: No", 1),
    ([ONE, "/dev/null"], "cannot read /dev/null", 1), ([ONE, TARGETS], "Is a directory", 1),
    ([ONE, TOP / "README.md"], "cannot read", 1),
    ([ONE, ONE, "-o", "/nonexistent/x.svg"], "cannot write /nonexistent/x.svg", 1)], ids=str)
def test_wrong(folder, args, words, code):
    result = uncoil("diff", *args, cwd=folder)
    assert result.code == code and not result.out, result
    assert len(result.err.strip().split("\n")) == 1 and words in result.err, result.err
    assert not list(pathlib.Path(folder).iterdir())


def test_full_disk(folder):
    with open("/dev/full", "w") as full:
        result = uncoil("diff", ONE, OTHER, stdout=full)
    assert result.code == 1 and "cannot write to standard output" in result.err
