# SPDX-License-Identifier: Apache-2.0
"""Processes that come and go, stop, are killed, get another's number, and are watched twice."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from conftest import (PYTHONS, SYSTEM, TARGETS, UNCOIL, computed, each_python, finish, stacks, state, uncoil,
                      wait_for)

RATE = 1000


def test_fork_storm(folder):
    """Hundreds of children a second: all of them followed, or told; no sample without a name."""
    result = uncoil("record", "-s", "-r", str(RATE), "-o", folder / "x.folded", "--", SYSTEM,
                    TARGETS / "forks.py", "2", timeout=60)
    assert result.code in (0, 3), result
    born, used = map(float, result.out.split()[-2:])
    seen = stacks(folder / "x.folded")
    assert born > 50 and seen.count("child") > 20
    # what is not sampled is told: samples, losses and CPU time without a tick are all there was
    told = sum(int(line.split()[0]) for line in result.err.split("\n")
               if re.match(r"\d+ samples( lost|' worth)", line))
    assert .5 * used * RATE < seen.total + told < 1.2 * used * RATE
    assert not any(frame.name.startswith("[name") for frames, _ in seen for frame in frames)


def can_choose_pids():
    try:
        with open("/proc/sys/kernel/ns_last_pid", "r+"):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not can_choose_pids(), reason="/proc/sys/kernel/ns_last_pid cannot be written")
@pytest.mark.parametrize("other", [False, True], ids=["fork", "exec of another Python"])
def test_reused_pid(folder, other):
    code = "import time\ndef second():\n    while time.process_time() < .2: pass\nsecond()"
    args = [list(PYTHONS.values())[-1], code] if other else []
    result = uncoil("record", "-s", "-t", "-r", str(RATE), "-o", folder / "x.folded", "--", SYSTEM,
                    TARGETS / "reused.py", *args, timeout=60)
    assert result.code == 0, result
    if b"reused" not in result.out:
        pytest.skip("the process id was always taken by somebody else")
    pid = result.out.split()[-1].decode()
    seen = stacks(folder / "x.folded")
    for name in ("first", "second"):
        assert seen.count(name) == pytest.approx(.2 * RATE, rel=.25), name
        assert {frames[0].name for frames, _ in seen.having(name)} == {f"process {pid}"}
    assert not [1 for frames, _ in seen.having("first") if "second" in {f.name for f in frames}]


@each_python
def test_two_recordings_of_one_target(target, recorder, folder, python):
    busy = target("busy.py", python=python)
    # one of them begins before and ends after the other
    outer = recorder("-r", "700", "-p", str(busy.pid), "-o", folder / "a.folded")
    result = uncoil("record", "-r", "300", "-d", "0.6", "-p", str(busy.pid), "-o",
                    folder / "b.folded")
    outer.send_signal(signal.SIGINT)
    assert result.code == 0 and finish(outer).code == 0
    for name in ("a.folded", "b.folded"):
        seen = stacks(folder / name)
        assert seen.total >= 10 and seen.count("spin") >= .98 * seen.total, name
    assert stacks(folder / "a.folded").total > stacks(folder / "b.folded").total
    busy.assert_computes()


def test_killed_target(target, recorder, folder, nothing_left):
    busy = target("busy.py")
    recording = recorder("-r", "500", "-p", str(busy.pid), "-o", folder / "x.folded")
    computed(busy.pid, .1)
    busy.kill()
    result = finish(recording)  # which ends by itself
    assert result.code == 0, result
    assert stacks(folder / "x.folded").count("spin") >= 10
    nothing_left()


def test_target_that_is_stopped_meanwhile(target, recorder, folder):
    """No CPU time, no samples: what was there before the stop is written in time."""
    busy = target("busy.py")
    recording = recorder("-r", "500", "-p", str(busy.pid), "-o", folder / "x.folded")
    computed(busy.pid, .1)
    busy.send_signal(signal.SIGSTOP)
    wait_for(lambda: state(busy.pid) == "T", "the stop")
    recording.send_signal(signal.SIGINT)
    result = finish(recording)
    assert result.code == 0, result
    seen = stacks(folder / "x.folded")
    assert 10 <= seen.total < 500 * 1.3 and seen.count("spin") >= .98 * seen.total
    assert state(busy.pid) == "T", "uncoil let it run on"
    busy.send_signal(signal.SIGCONT)
    busy.assert_computes()


def test_closed_terminal(busy, folder):
    """The terminal goes away under the recording: the file is written all the same."""
    pid, terminal = pty.fork()
    if not pid:
        os.execv(UNCOIL, [UNCOIL, "record", "-r", "500", "-p", str(busy.pid), "-o",
                          str(folder / "x.folded")])
    text = b""
    while b"recording " not in text:
        assert select.select([terminal], [], [], 20)[0], text
        text += os.read(terminal, 4096)
    computed(busy.pid, .1)
    os.close(terminal)
    ended = []
    wait_for(lambda: ended or ended.extend(filter(None, [os.waitpid(pid, os.WNOHANG)[0]])), "its end")
    assert os.listdir(folder) == ["x.folded"]
    assert stacks(folder / "x.folded").count("spin") >= 10
    busy.assert_computes()


@pytest.mark.parametrize("end", ["-d", "signal"])
def test_events_come_faster_than_they_are_taken(target, end):
    """uncoil's journal goes to a reader that takes less than the target makes it write: it ends all the
    same when it is to, with what stands in the ring then."""
    churn = target("churn.py")
    options = ["-d", ".3"] if end == "-d" else []
    recording = subprocess.Popen([UNCOIL, "record", "-q", "-r", "4000", "--ring-size", "65536", *options, "-p",
                                  str(churn.pid), "-f", "raw", "-o", "-"], stdout=subprocess.PIPE)
    fcntl.fcntl(recording.stdout, fcntl.F_SETPIPE_SZ, 4096)
    over, taken = time.monotonic() + 10, 0
    try:
        while True:
            chunk = os.read(recording.stdout.fileno(), 16384)
            taken += len(chunk)
            if not chunk: break
            assert time.monotonic() < over, "it goes on and on"
            time.sleep(len(chunk) / 200e3)
            if end == "signal" and taken > 20000: recording.send_signal(signal.SIGINT); end = None
        assert recording.wait() in (0, 3)
    finally:
        recording.kill()
        recording.wait()
        recording.stdout.close()
