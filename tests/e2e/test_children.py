# SPDX-License-Identifier: Apache-2.0
"""Processes that fork, exec, and exec themselves."""

import collections
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from conftest import (GOT_FOLDER, PYTHONS, SYSTEM, TARGETS, cpu_ns, each_python, finish, got, maps, stacks,
                      uncoil, wait_for)

RATE = 1000
FAMILY = TARGETS / "family.py"
EXPECTED = .12 * RATE  # of each function in family.py
ALL = list(PYTHONS.values())


def next_python(python):
    return ALL[(ALL.index(python) + 1) % len(ALL)]


def record(folder, *args, options=("-s",)):
    result = uncoil("record", *options, "-r", str(RATE), "-o", folder / "x.folded", "--", *args)
    assert result.code == 0, result.err
    return result, stacks(folder / "x.folded")


def assert_near(count, result, expected=EXPECTED, rel=.1):
    """As many samples as expected, but for those that a busy machine gave no tick for: these are told."""
    told = re.search(r"(\d+) samples' worth of CPU time not sampled", result.err)
    less = min(int(told[1]), .5 * expected) if told else 0
    assert expected * (1 - rel) - less <= count <= expected * (1 + rel), (count, expected, result.err)


def used(result):
    """CPU seconds of the parent and of its children, as the target says."""
    return list(map(float, result.out.split()[1:]))


@pytest.mark.feature("children")
@each_python
@pytest.mark.parametrize("mode", ["fork", "multiprocessing"])
def test_forked_children(folder, python, mode):
    result, seen = record(folder, python, FAMILY, mode)
    for name in ("parent_function", "child_function", "grandchild_function"):
        assert_near(seen.count(name), result)
    assert_near(seen.total, result, sum(used(result)) * RATE, .06)


@pytest.mark.feature("children")
@each_python
@pytest.mark.parametrize("other", [False, True], ids=["same", "other"])
def test_children_that_exec(folder, python, other):
    child = next_python(python) if other else python
    result, seen = record(folder, python, FAMILY, "subprocess", child)
    for name in ("parent_function", "child_function", "grandchild_function"):
        assert_near(seen.count(name), result)
    # milliseconds, but on a busy machine uncoil itself waits for a CPU first
    assert seen.count("[no interpreter found]") < .2 * seen.total


@pytest.mark.feature("children")
@each_python
@pytest.mark.parametrize("mode", ["fork", "subprocess"])
def test_without_s_children_are_not_seen(folder, python, mode):
    result, seen = record(folder, python, FAMILY, mode, python, options=())
    assert_near(seen.count("parent_function"), result)
    assert not {"child_function", "grandchild_function"} & seen.names()
    assert_near(seen.total, result, used(result)[0] * RATE)


@pytest.mark.feature("children")
@each_python
@pytest.mark.parametrize("script", ["'{}' '{}' exec-grandchild", "'{}' '{}' exec-grandchild; :"])
def test_command_is_a_shell(folder, python, script):
    result, seen = record(folder, "sh", "-c", script.format(python, FAMILY))
    assert_near(seen.count("grandchild_function"), result)


@pytest.mark.feature("children")
@each_python
@pytest.mark.parametrize("other", [False, True], ids=["same", "other"])
def test_target_that_execs_itself(target, recorder, folder, python, other):
    child = next_python(python) if other else python
    parent = target("family.py", "exec-self", child, "--wait", python=python)
    recording = recorder("-r", str(RATE), "-p", str(parent.pid), "-o", folder / "x.folded")
    parent.send_signal(signal.SIGUSR1)
    result = finish(recording)
    assert result.code == 0, result.err
    seen = stacks(folder / "x.folded")
    for name in ("parent_function", "child_function"):
        assert_near(seen.count(name), result)


@pytest.fixture
def elders(target):
    """Targets whose whole family ends with the test."""
    started = []

    def begin(*args, **options):
        started.append(target("elders.py", *args, start_new_session=True, **options))
        return started[-1]

    yield begin
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)


@each_python
@pytest.mark.parametrize("mode", ["cpu", "wall"])
def test_children_that_exist_already(elders, folder, python, mode):
    parent = elders("old", python=python)
    result = uncoil("record", "-s", "-t", "--mode", mode, "-r", str(RATE), "-d", "1", "-p", str(parent.pid), "-o",
                    folder / "x.folded", "-o", folder / "x.txt")
    assert result.code == 0, result.err
    assert "recording 4 processes" in result.err  # a shell is one of them
    seen = stacks(folder / "x.folded")
    assert {"child_function", "grandchild_function"} <= seen.names()
    assert "parent_function" in seen.names() or mode == "cpu"  # it sleeps
    processes = {frames[0].name for frames, _ in seen}
    # those of the family that run Python; in cpu mode, those that compute
    assert len(processes) == (3 if mode == "wall" else 2), processes


def test_without_s_children_that_exist_are_not_seen(elders, folder):
    parent = elders("old")
    result = uncoil("record", "-r", str(RATE), "-d", "0.5", "-p", str(parent.pid), "-o", folder / "x.folded")
    assert result.code == 0, result.err
    assert stacks(folder / "x.folded").total < 10


def test_children_born_while_uncoil_attaches(elders, folder, recorder):
    parent = elders("storm", "20")
    recording = recorder("-s", "-t", "-r", str(RATE), "-p", str(parent.pid), "-o", folder / "x.folded")
    born = set(re.findall(rb"\d+", parent.said(b"done").split(b"born")[1]))
    assert len(born) == 20
    time.sleep(2)
    # CPU time since "recording": each of them is sampled, once a tick
    before = {pid: cpu_ns(int(pid)) for pid in born}
    wait_for(lambda: all(cpu_ns(int(pid)) > before[pid] + 40e6 for pid in born), "each child to compute")
    recording.send_signal(signal.SIGINT)
    result = finish(recording)
    assert result.code == 0, result.err
    used = {pid: cpu_ns(int(pid)) / 1e9 for pid in born}
    counts = collections.Counter()
    for frames, count in stacks(folder / "x.folded"):
        counts[re.match(r"process (\d+)", frames[0].name)[1].encode()] += count
    assert all(counts[pid] >= 30 for pid in born), (counts, born)
    assert all(counts[pid] <= used[pid] * RATE * 1.05 + 5 for pid in born), (counts, used)


@pytest.mark.parametrize("other", [got("bookworm-3.11d")])
def test_interpreter_that_is_written_anew(folder, other):
    """One path, one inode, twice the same interpreter and then another one: what was found in the file
    before is not believed of what is in it now."""
    (folder / "burn.py").write_text("import sys, time\n" + "".join(
        f"def {name}():\n    while time.process_time() < .1: pass\n" for name in ("first", "again", "other")) +
        "globals()[sys.argv[1]]()\n")
    inner = GOT_FOLDER.parent / "bookworm/usr/bin/python3.11d"
    script = (f"cat {SYSTEM} > python; chmod 755 python; ./python -S burn.py first; ./python -S burn.py again;"
              f"cat {inner} > python; ./python -S burn.py other")
    result = uncoil("record", "-s", "-r", str(RATE), "-o", folder / "x.folded", "--", "sh", "-c", script,
                    cwd=folder, env={**os.environ, "PYTHONHOME": "/usr"})
    assert result.code in (0, 3), result.err
    seen = stacks(folder / "x.folded")
    for name in ("first", "again", "other"):
        assert seen.count(name) > 20, (name, result.err)


def test_threads_that_start_later_in_a_child_that_exists(start, folder, recorder):
    """The kernel swaps the timers of threads that take turns on a CPU: none of them is a second one."""
    parent = start(SYSTEM, TARGETS / "heirs.py")
    child = int(re.search(rb"ready (\d+)\n", parent.said(b"\n"))[1])
    recording = recorder("-s", "-r", str(RATE), "-p", str(parent.pid), "-o", folder / "x.folded")
    os.kill(child, signal.SIGUSR1)
    result = finish(recording)
    assert result.code == 0, result.err
    assert "second timer" not in result.err
    assert_near(stacks(folder / "x.folded").count("spin"), result, 4 * .15 * RATE)


ZOMBIES = """
import os, time
born = [os.fork() or os._exit(0) for _ in range(3)]
print("ready", *born, flush=True)
while True: time.sleep(.1)
"""


def test_children_that_have_ended_are_not_followed(start, folder, recorder):
    """Their pids may soon be other processes'."""
    parent = start(SYSTEM, "-c", ZOMBIES)
    born = set(map(int, parent.said(b"\n").split()[1:]))
    recording = recorder("-s", "-p", str(parent.pid), "-o", folder / "x.folded")
    dump = subprocess.run(["/usr/sbin/bpftool", "map", "dump", "id", maps(recording)["procs"], "-j"],
                          capture_output=True, check=True)
    followed = {entry["formatted"]["key"] for entry in json.loads(dump.stdout)}
    assert parent.pid in followed and not born & followed
    recording.send_signal(signal.SIGINT)
    assert finish(recording).code == 0
