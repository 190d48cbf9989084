# SPDX-License-Identifier: Apache-2.0
"""The machine changes under a recording. These change it for everybody, so they are asked for:
UNCOIL_TEST_MACHINE=1."""

import contextlib
import os
import pathlib
import time

import pytest

from conftest import finish, stacks

CLOCK = pathlib.Path("/sys/devices/system/clocksource/clocksource0")
CPU = pathlib.Path("/sys/devices/system/cpu/cpu1/online")

pytestmark = pytest.mark.skipif(
    os.environ.get("UNCOIL_TEST_MACHINE") != "1",
    reason="a CPU taken offline and another clock source: they change the whole machine; run with "
           "UNCOIL_TEST_MACHINE=1")


@contextlib.contextmanager
def changed(path, value):
    before = path.read_text().strip()
    try:
        path.write_text(value)
    except OSError as error:
        pytest.skip(f"{path} cannot be written: {error}")
    try:
        assert path.read_text().strip() == value
        yield
    finally:
        path.write_text(before)


def check(recording, folder, busy):
    result = finish(recording)
    assert result.code == 0, result
    seen = stacks(folder / "x.folded")
    assert seen.total >= 100 and seen.count("spin") >= .98 * seen.total
    busy.assert_computes()


def test_clock_source_changes(busy, recorder, folder):
    others = [name for name in (CLOCK / "available_clocksource").read_text().split()
              if name != (CLOCK / "current_clocksource").read_text().strip()]
    if not others:
        pytest.skip("there is one clock source only")
    recording = recorder("-r", "500", "-d", "1.5", "-p", str(busy.pid), "-o", folder / "x.folded")
    time.sleep(.5)
    with changed(CLOCK / "current_clocksource", others[0]):
        check(recording, folder, busy)


def test_cpu_goes_offline(busy, recorder, folder):
    if not CPU.exists():
        pytest.skip("there is no second CPU that can be taken away")
    os.sched_setaffinity(busy.pid, {0, 1})
    recording = recorder("-r", "500", "-d", "2", "-p", str(busy.pid), "-o", folder / "x.folded")
    time.sleep(.5)
    with changed(CPU, "0"):
        check(recording, folder, busy)
