# SPDX-License-Identifier: Apache-2.0
"""Off-CPU time: where threads wait, for what and how long, and that nothing of it is missing."""

import collections
import os
import re
import subprocess

import pytest

from conftest import SYSTEM, TARGETS, Stacks, each_python, finish, stacks, uncoil

MODES = ["cpu", "wall", "offcpu", "gil"]


def by_thread(seen):
    """thread's name -> leaf -> microseconds; of recordings with -t."""
    found = collections.defaultdict(collections.Counter)
    for frames, count in seen:
        name = f"{frames[1].name} ({frames[1].file}:{frames[1].line})" if frames[1].line else \
            f"{frames[1].name} ({frames[1].file})"
        found[re.fullmatch(r"thread \d+ \((.*)\)", name)[1]][frames[-1].name] += count
    return found


@pytest.fixture(scope="module")
def reasons(tmp_path_factory):
    """One recording of a process whose threads each wait for one thing."""
    from conftest import Target
    folder = tmp_path_factory.mktemp("waits")
    os.environ["UNCOIL_DISK"] = str(folder)
    process = Target([SYSTEM, str(TARGETS / "waits.py")])
    try:
        process.said(b"ready")
        result = uncoil("record", "--mode", "offcpu", "-t", "-i", "-d", "2", "-p", str(process.pid), "-o",
                        folder / "x.folded", "-o", folder / "x.uncoil")
        assert result.code == 0, result.err
        yield by_thread(stacks(folder / "x.folded")), folder
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_each_wait_has_its_reason(reasons):
    threads, _ = reasons
    # from outside, a socket's peer is not known: so the first wait of a thread, which was read there
    plain = {re.sub(r" :?[\d.:]+\]$", "]", name) for name in threads}
    assert len(plain) >= 15
    wrong = {}
    for name, leaves in threads.items():
        want = name.split("] ")[0].rstrip("]") + "]"
        if name == "MainThread":
            want = "[sleep]"
        right = leaves[want] + leaves[re.sub(r" :?[\d.:]+\]$", "]", want)]
        right += leaves["[socket read]"] if name == "[unix socket read]" else 0
        rest = sum(leaves.values()) - right - leaves["[run queue]"] - leaves["[GIL]"]
        if name == "[disk sync]":
            # what else the disk makes it wait for; and some disks never make anybody wait
            continue
        if right < .5 * sum(leaves.values()) or rest > .05 * right:
            wrong[name] = leaves
    assert not wrong


def test_peers_are_named(reasons):
    threads, _ = reasons
    for name, leaves in threads.items():
        if name.startswith(("[socket read", "[socket wait")):
            assert leaves[name] > .5 * sum(leaves.values()), (name, leaves)


def test_peers_behind_one_descriptor(target, recorder, folder):
    """A descriptor's number is soon another connection's: its peer is not the last one's."""
    peers = target("asks.py", "15", stdin=subprocess.PIPE, bufsize=0)
    tool = recorder("--mode", "offcpu", "-p", str(peers.pid), "-o", folder / "x.folded")
    peers.stdin.write(b"\n")
    said = peers.said(b".")
    tool.terminate()
    assert finish(tool).code == 0
    truth = {port: int(us) for port, us in re.findall(r"(\d+):(\d+)", said.decode().split("waited")[1])}
    found = collections.Counter()
    for frames, us in stacks(folder / "x.folded").having("ask"):
        match = re.fullmatch(r"\[socket read 127\.0\.0\.1:(\d+)\]", frames[-1].name)
        if match:
            found[match[1]] += us
    assert found.keys() == truth.keys()
    quick = min(truth, key=truth.get)
    # what it waited for, by its own clock, has run queues in it
    share = truth[quick] / sum(truth.values())
    assert .02 < found[quick] / found.total() < share + .1, (found, truth)


def test_replay_says_the_same(reasons, folder):
    _, made = reasons
    assert uncoil("replay", "-q", "-t", "-i", made / "x.uncoil", "-o", folder / "y.folded").code == 0
    assert (folder / "y.folded").read_bytes() == (made / "x.folded").read_bytes()


def test_idle_is_left_out_unless_asked_for(reasons, folder):
    _, made = reasons
    result = uncoil("replay", "-t", made / "x.uncoil", "-o", folder / "y.folded")
    threads = by_thread(stacks(folder / "y.folded"))
    leaves = set().union(*threads.values())
    assert "[epoll]" not in leaves and "[poll]" not in leaves and "[sleep]" in leaves
    told = int(re.search(r"(\d+) ms of waiting for work .* -i shows them", result.err)[1])
    assert told > 3000, result.err


@each_python
def test_wall_time_is_whole(target, folder, python):
    """Every thread that is there for all of the recording gets all of its time, sleeping ones too."""
    gil = target("gil.py", python=python)
    result = uncoil("record", "--mode", "wall", "-t", "-i", "-d", "1", "-p", str(gil.pid), "-o",
                    folder / "x.folded")
    assert result.code in (0, 3), result.err
    seen = stacks(folder / "x.folded")
    wall = collections.Counter()
    for frames, us in seen:
        wall[frames[1].name] += us
    assert len(wall) == 5
    assert max(wall.values()) - min(wall.values()) <= .01 * max(wall.values()), wall
    assert 1e6 <= max(wall.values()) < 1.5e6
    threads = by_thread(seen)
    spins, sleeps = threads["spins"], threads["sleeps"]
    # of two that compute, one waits for the GIL at any time, or for a CPU (they share one name here)
    assert .02 * sum(spins.values()) < spins["[GIL]"] < .6 * sum(spins.values()), spins
    assert spins["[GIL]"] + spins["spins"] + spins["[run queue]"] > .9 * sum(spins.values()), spins
    assert sleeps["[sleep]"] > .1 * sum(sleeps.values()), sleeps
    assert sleeps["[sleep]"] + sleeps["[GIL]"] + sleeps["[run queue]"] > .9 * sum(sleeps.values())
    assert threads["MainThread"]["[sleep]"] >= .99 * sum(threads["MainThread"].values())
    assert not seen.count("[waiting, stack not known]") > .02 * seen.total


def test_lines_of_waits(target, folder):
    gil = target("gil.py")
    uncoil("record", "--mode", "offcpu", "-d", "0.5", "-p", str(gil.pid), "-o", folder / "x.folded")
    text = (TARGETS / "gil.py").read_text().split("\n")
    sleeping = text.index("    while True: time.sleep(.02)") + 1
    assert set(stacks(folder / "x.folded").lines("sleeps", "[sleep]")) == {sleeping}


@each_python
def test_gil_mode_sees_only_the_holder(target, folder, python):
    gil = target("gil.py", python=python)
    result = uncoil("record", "-g", "-r", "999", "-d", "1", "-p", str(gil.pid), "-o", folder / "x.folded")
    assert result.code in (0, 3), result.err
    seen = stacks(folder / "x.folded")
    assert seen.count("spins") > .9 * seen.total
    assert seen.count("hashes") < .05 * seen.total
    # one holder at a time: no more than one second in a second
    assert 5 < seen.total < 1.1 * 999 * 1.5


def test_threads_that_come_and_go(folder):
    result = uncoil("record", "--mode", "wall", "-i", "-o", folder / "x.folded", "--", SYSTEM,
                    TARGETS / "comers.py")
    assert result.code in (0, 3), result.err
    lived = float(result.out.split(b"lived ")[1])
    seen = stacks(folder / "x.folded")
    naps = sum(us for frames, us in seen if frames[-1].name == "[sleep]" and
               any(f.name == "naps" for f in frames))
    assert naps == pytest.approx(40 * 50000, rel=.05)
    joins = sum(us for frames, us in seen if frames[-1].name in ("[lock]", "[run queue]", "[GIL]") and
                frames[0].name == "<module>")
    assert .5 * lived * 1e6 < joins < 1.05 * lived * 1e6


def test_command_that_sleeps_is_seen_whole(folder):
    result = uncoil("record", "--mode", "offcpu", "-o", "-", "-f", "folded", "--", SYSTEM, "-c",
                    "def nap(): time.sleep(.3)\nimport time\nnap()")
    assert result.code == 0, result.err
    seen = Stacks(result.out)
    assert sum(us for frames, us in seen if frames[-1].name == "[sleep]") == pytest.approx(300000, rel=.1)
    assert all(f.name in ("<module>", "nap") for frames, _ in seen.having("nap") for f in frames[:-1])


@pytest.mark.parametrize("mode", MODES)
def test_modes_say_what_they_are(busy, mode):
    result = uncoil("record", "--mode", mode, "-d", ".2", "-p", str(busy.pid), "-f", "summary", "-o", "-")
    assert result.code in (0, 3), result.err
    said = {"cpu": b"on-CPU", "wall": b"wall clock", "offcpu": b"off-CPU", "gil": b"holding the GIL"}
    assert said[mode] in result.out


@pytest.mark.parametrize("mode", ["wall", "offcpu"])
def test_timelines_are_of_cpu_time(busy, assert_failed, folder, mode):
    result = uncoil("record", "--mode", mode, "-p", str(busy.pid), "-o", folder / "x.pftrace")
    assert_failed(result, "timelines", "not with --mode wall or offcpu", code=2, folder=folder)


def test_no_such_mode(busy, assert_failed, folder):
    result = uncoil("record", "--mode", "of\x1bcpu", "-p", str(busy.pid), "-o", folder / "x.svg")
    assert_failed(result, "there is no mode", "cpu, wall, offcpu, gil", code=2, folder=folder)
