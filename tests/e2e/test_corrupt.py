# SPDX-License-Identifier: Apache-2.0
"""A target whose interpreter state is ruined: the recording ends in time, the target goes on, and each
sample is either right or says what it lacks."""

import re

import pytest

from conftest import each_python, stacks, uncoil

CUT, UNREADABLE, UNSETTLED = "[deeper frames cut]", "[unreadable frame]", "[call in progress]"


@each_python
@pytest.mark.parametrize("how, marks", [
    # in 3.11 and 3.12 a stack whose root does not fit is not believed at all (bpf/walk.bpf.h)
    ("cycle", {CUT, UNSETTLED}), ("garbage", {UNREADABLE, UNSETTLED}),
    ("kernel", {UNREADABLE, UNSETTLED})])
def test_frames(target, folder, python, how, marks):
    ruined = target("corrupt.py", how, python=python)
    result = uncoil("record", "-r", "500", "-d", "0.8", "-p", str(ruined.pid), "-o",
                    folder / "x.folded")
    assert result.code == 0 and result.seconds < 10, result
    seen = stacks(folder / "x.folded")
    marked = sum(count for frames, count in seen if frames[0].name in marks)
    assert marked >= 3 and marked >= .9 * seen.total  # the rest: moments of others
    assert re.search(r"^\d+ samples (of stacks deeper|with a frame that could|in the midst)",
                     result.err, re.M)
    assert all(len(frames) <= 513 for frames, _ in seen)
    ruined.assert_computes()


@each_python
def test_lengths(target, folder, python):
    """A name and a line table that claim 2^62 bytes."""
    ruined = target("corrupt.py", "name", python=python)
    result = uncoil("record", "-r", "500", "-d", "0.8", "-p", str(ruined.pid), "-o",
                    folder / "x.folded")
    assert result.code == 0 and result.seconds < 10, result
    seen = stacks(folder / "x.folded")  # asserts that no control character is in it
    assert any(name == "spin" or name.startswith("huge_") for name in seen.names())
    assert max(map(len, (folder / "x.folded").open())) < 20000
    assert "samples in functions whose line table was only partly read" in result.err
    ruined.assert_computes()


@each_python
def test_list_of_threads(target, folder, python):
    """The main thread's state cannot be found in the list: its samples are lost, and counted as that.
    Before 3.12 it needs no list: it is the GIL's holder."""
    ruined = target("corrupt.py", "threads", python=python)
    result = uncoil("record", "-r", "500", "-d", "0.8", "-p", str(ruined.pid), "-o",
                    folder / "x.folded")
    assert result.seconds < 10, result
    seen = stacks(folder / "x.folded")
    if result.code == 0 and python.version < (3, 12):
        assert seen.count("spin") > .9 * seen.total
    else:
        assert result.code == 3, result
        assert seen.count("[thread state not found]") >= 3 and seen.having("spin")
        assert "not found among the first 512 thread states" in result.err
    ruined.assert_computes()
