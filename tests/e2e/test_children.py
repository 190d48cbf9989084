# SPDX-License-Identifier: Apache-2.0
"""Processes that fork, exec, and exec themselves."""

import re
import signal

import pytest

from conftest import PYTHONS, TARGETS, each_python, finish, stacks, uncoil

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
    assert seen.count("[no interpreter found]") < .05 * seen.total


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
