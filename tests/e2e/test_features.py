# SPDX-License-Identifier: Apache-2.0
"""What a recording shows of a Python program, with every version of Python."""

import math
import re
import signal
import subprocess

import pytest

from conftest import (EVERY, PYTHONS, SYSTEM, TARGETS, UNCOIL, Stacks, Target, cpu_ns, each_python,
                      every_python, finish, marks, stacks, uncoil, wait_for)

LINES = marks("features.py")
THREADS = ["MainThread", "plain worker", "Arbeiter-ä-线程-\U0001f9f5"]


feature = pytest.mark.feature


@pytest.fixture(scope="module", params=EVERY)
def seen(request, tmp_path_factory):
    """One recording of all features: of so much CPU time, however busy the machine is."""
    where = tmp_path_factory.mktemp("features")
    target = Target([request.param, TARGETS / "features.py"])
    try:
        target.said(b"ready")
        recorder = Target([UNCOIL, "record", "-t", "-r", "1000", "-p", str(target.pid), "-o",
                           where / "x.folded", "-o", where / "x.txt"], stderr=subprocess.PIPE)
        assert recorder.stderr.readline().startswith(b"recording ")
        before = cpu_ns(target.pid)
        wait_for(lambda: cpu_ns(target.pid) > before + 900e6, "the target to use CPU time", 60)
        recorder.send_signal(signal.SIGINT)
        result = finish(recorder)
    finally:
        target.kill()
        target.wait()
        target.stdout.close()
    assert result.code == 0, result.err
    seen = stacks(where / "x.folded")
    seen.python, seen.pid, seen.err = request.param, target.pid, result.err
    seen.text = (where / "x.txt").read_text()
    return seen


def qualified(python, qualname):
    """What a function is shown as: co_qualname exists from 3.11 on."""
    return qualname if python.version >= (3, 11) else qualname.rsplit(".", 1)[-1]


@feature("thread names")
def test_all_threads_by_their_names(seen):
    names = {re.sub(r"thread \d+ ", "thread ", f"{f[1].name} ({f[1].file})") for f, _ in seen}
    assert {f"thread {seen.pid} (MainThread)"} <= {f"{f[1].name} ({f[1].file})" for f, _ in seen}
    assert names == {f"thread ({name})" for name in THREADS}
    assert {f[0].name for f, _ in seen} == {f"process {seen.pid}"}
    for name in THREADS:
        assert re.search(rf"^ +\d+ +[\d.]+% +{seen.pid} +\d+  {re.escape(name)}$", seen.text, re.M)


@feature("functions, generators, coroutines")
@pytest.mark.parametrize("qualname", [
    "Outer.Inner.method", "Outer.of_class", "closure.<locals>.local", "<lambda>", "multi",
    "generate.<locals>.<genexpr>", "generator", "run_async", "outer_coroutine", "inner_coroutine",
    "<module>", "comprehend.<locals>.<listcomp>", "Made.__init__"])
def test_qualified_names(seen, qualname):
    if "listcomp" in qualname and seen.python.version >= (3, 12):
        qualname = "comprehend"  # inlined since 3.12
    assert seen.count(qualified(seen.python, qualname)) >= 5


@feature("lines")
@pytest.mark.parametrize("name, below, line", [
    ("multi", "one", "multi-one"), ("multi", "two", "multi-two"),
    ("Outer.Inner.method", "spin", "method"), ("comprehend", "spin", "comprehend"),
    ("make", "Made.__init__", "make"),
    ("outer_coroutine", "inner_coroutine", "await"), ("inner_coroutine", "spin", "coroutine")])
def test_lines_of_callers(seen, name, below, line):
    if name == "comprehend" and seen.python.version < (3, 12):
        name = qualified(seen.python, "comprehend.<locals>.<listcomp>")
    below = qualified(seen.python, below)
    assert set(seen.lines(qualified(seen.python, name), below)) == {LINES[line]}


@feature("lines")
def test_lines_of_leaves(seen):
    exact, total = seen.lines("exact"), seen.count("exact")
    known = [LINES["exact-while"], LINES["exact-for"], LINES["exact-join"]]
    assert sum(exact[n] for n in known) >= .97 * total
    # and the line of its `def`, where 3.11+ says that a call begins (RESUME)
    assert set(exact) <= {known[0] - 2, known[0] - 1, *known}
    assert exact[known[1]] > .1 * total and exact[known[2]] > .1 * total
    spin = seen.lines("spin")
    assert spin[LINES["spin"]] >= .95 * sum(spin.values())
    # the line of its `def` is where 3.11+ says that a call begins (RESUME)
    assert set(spin) <= {LINES["spin"], LINES["spin"] - 1, LINES["spin"] - 2}


@feature("deep recursion")
def test_deep_recursion_is_cut_at_the_root(seen):
    deep = seen.having("bottom")
    assert deep
    for frames, _ in deep:
        assert frames[2].name == "[deeper frames cut]"
        assert len(frames) == 3 + 512
        assert {f.name for f in frames[3:-1]} == {"deep"} and frames[-1].name == "bottom"
    count = seen.count("[deeper frames cut]")
    assert f"{count} samples of stacks deeper than 512 frames" in seen.err


@feature("freed code")
def test_code_that_is_gone(seen):
    gone = {f for frames, _ in seen for f in frames if f.name.startswith("gone_")}
    assert gone
    assert all(f.file == "<gone>" and f.line == int(f.name[5:]) + 2 for f in gone), gone
    assert seen.count("[name not read]") <= .01 * seen.total


@feature("functions, generators, coroutines")
def test_names_that_are_not_ascii(seen):
    found = {f for frames, _ in seen for f in frames if f.name == "größe_函数_\U00020000"}
    assert {(f.file, f.line) for f in found} == {("/tmp/dätei_файл_\U0001f40d.py", 2)}


def test_nothing_else(seen):
    bad = {frame for frames, _ in seen for frame in frames
           if frame.name.startswith("[") and frame.name != "[deeper frames cut]"}
    wrong = sum(count for frames, count in seen if set(frames) & bad)
    assert wrong <= .01 * seen.total, bad


@feature("counts and shares")
@every_python
def test_counts_and_shares(start, folder, python):
    result = uncoil("record", "-r", "2000", "-o", folder / "x.folded", "--", python,
                    TARGETS / "shares.py", ".5")
    assert result.code == 0, result.err
    used = float(result.out.split()[1])
    seen = stacks(folder / "x.folded")
    # a machine that is taken away while a tick is due gives one for several: that is told
    told = re.search(r"(\d+) samples' worth of CPU time not sampled", result.err)
    assert seen.total + int(told[1] if told else 0) == pytest.approx(used * 2000, rel=.06)
    assert seen.total > .8 * used * 2000
    seven, three = seen.count("seven"), seen.count("three")
    n = seven + three
    assert n > .85 * seen.total
    assert abs(seven / n - .7) < 4 * math.sqrt(.7 * .3 / n)


@feature("births of threads")
@each_python
@pytest.mark.parametrize("attach", [True, False], ids=["attach", "command"])
def test_no_tick_of_a_thread_is_lost_or_counted_twice(target, folder, python, attach):
    """Threads born of threads while uncoil attaches and while it records. What lives shorter than a
    tick is not sampled, but its CPU time is told: together they are what was due."""
    options = ["-r", "2000", "-o", folder / "x.folded"]
    if attach:
        storm = target("storm.py", ".7", "20000", python=python)
        before = cpu_ns(storm.pid)
        result = uncoil("record", *options, "-p", str(storm.pid))
        used = float(storm.said(b"used").split()[1]) - before / 1e9
    else:
        result = uncoil("record", *options, "--", python, TARGETS / "storm.py", ".5", "20000")
        used = float(result.out.split()[-1])
    assert result.code in (0, 3), result.err
    seen = stacks(folder / "x.folded")
    told = re.search(r"(\d+) samples' worth of CPU time not sampled", result.err)
    assert seen.total + int(told[1] if told else 0) == pytest.approx(used * 2000, rel=.12)
    assert result.code == (3 if told and int(told[1]) > seen.total else 0)


BRIEF = """def brief():
    while clock() < end: pass
from time import process_time as clock
end = clock() + .025
brief()
"""


@feature("script of 25 ms")
@every_python
def test_a_script_that_ends_at_once(folder, python):
    for run in range(6 if python in PYTHONS.values() else 3):
        result = uncoil("record", "-r", "1000", "-o", "-", "-f", "folded", "--", python, "-c", BRIEF)
        assert result.code == 0, result.err
        seen = Stacks(result.out)
        lines = seen.lines("brief")
        # a tick that finds the CPU taken away comes late, for several: that is told
        told = re.search(r"(\d+) samples' worth of CPU time not sampled", result.err)
        assert lines[2] + int(told[1] if told else 0) >= 18 and lines[2] >= 9, (run, result)
        assert set(lines) == {2}, (run, result)
        assert seen.lines("<module>", "brief") == {5: lines[2]}


def test_functions_only(busy):
    result = uncoil("record", "-F", "-d", "0.2", "-r", "500", "-p", str(busy.pid), "-f", "folded",
                    "-o", "-")
    assert re.fullmatch(rb"<module> \(\S+busy.py\);spin \(\S+busy.py\) \d+\n", result.out)


def test_two_processes(target, folder):
    both = [target("busy.py", python=SYSTEM), target("busy.py", python=list(PYTHONS.values())[-1])]
    result = uncoil("record", "-t", "-d", "0.4", "-r", "500", "-p", str(both[0].pid), "-p",
                    str(both[1].pid), "-o", folder / "x.folded")
    assert result.code == 0
    assert {f[0].name for f, _ in stacks(folder / "x.folded")} == {
        f"process {p.pid}" for p in both}
