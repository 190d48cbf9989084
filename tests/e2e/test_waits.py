# SPDX-License-Identifier: Apache-2.0
"""Off-CPU time: where threads wait, for what and how long, and that nothing of it is missing."""

import collections
import ctypes
import errno
import json
import os
import re
import signal
import struct
import subprocess

import pytest

from conftest import (SYSTEM, TARGETS, Stacks, cpu_ns, each_python, finish, got, maps, stacks, uncoil,
                      wait_for)
from test_journal import RING, TIMES, records

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
    plain = {re.sub(r" :?[\d.:]+\]$", "]", name) for name in threads}
    assert len(plain) >= 15
    wrong = {}
    for name, leaves in threads.items():
        want = name.split("] ")[0].rstrip("]") + "]"
        if name == "MainThread":
            want = "[sleep]"
        right = leaves[want]
        rest = sum(leaves.values()) - right - leaves["[run queue]"] - leaves["[GIL]"]
        if name == "[disk sync]":
            # and what else the disk makes it wait for: more than that on some
            if not right:
                wrong[name] = leaves
            continue
        if right < .5 * sum(leaves.values()) or rest > .05 * right:
            wrong[name] = leaves
    assert not wrong


def test_peers_are_named(reasons):
    threads, _ = reasons
    for name, leaves in threads.items():
        if name.startswith(("[socket read", "[socket wait")):
            assert leaves[name] > .5 * sum(leaves.values()), (name, leaves)


def test_peers_of_threads_that_never_run(start, folder):
    """Asleep when the recording begins, and when it ends: no switch tells of them."""
    process = start(SYSTEM, TARGETS / "peers.py", str(folder))
    want = json.loads(process.said(b"ready\n").split(b"\n")[0])
    result = uncoil("record", "--mode", "wall", "-t", "-i", "-d", ".3", "-p", str(process.pid), "-o",
                    folder / "x.folded")
    assert result.code in (0, 3), result.err
    threads = by_thread(stacks(folder / "x.folded"))
    for name, socket in want.items():
        does = "accept" if "listens" in name else "wait" if "timed" in name else "read"
        end = socket["peer"] or f":{socket['local_port']}"
        leaf = f"[unix socket {does}]" if socket["kind"] == "unix" else f"[socket {does} {end}]"
        assert set(threads[name]) == {leaf}, name


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
                    folder / "x.folded", "-o", folder / "x.speedscope.json")
    assert result.code in (0, 3), result.err
    lasted = json.loads((folder / "x.speedscope.json").read_text())["uncoil"]["durationNs"] / 1000
    seen = stacks(folder / "x.folded")
    wall = collections.Counter()
    for frames, us in seen:
        wall[frames[1].name] += us
    assert len(wall) == 5
    assert all(abs(us - lasted) <= .01 * lasted for us in wall.values()), (wall, lasted)
    threads = by_thread(seen)
    spins, sleeps = threads["spins"], threads["sleeps"]
    # of two that compute, one waits for the GIL at any time, or for a CPU (they share one name here)
    assert .02 * sum(spins.values()) < spins["[GIL]"] < .6 * sum(spins.values()), spins
    assert spins["[GIL]"] + spins["spins"] + spins["[run queue]"] > .9 * sum(spins.values()), spins
    assert sleeps["[sleep]"] > .1 * sum(sleeps.values()), sleeps
    assert sleeps["[sleep]"] + sleeps["[GIL]"] + sleeps["[run queue]"] > .9 * sum(sleeps.values())
    assert threads["MainThread"]["[sleep]"] >= .99 * sum(threads["MainThread"].values())
    assert not seen.count("[waiting, stack not known]") > .05 * seen.total  # each one's first wait


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


@pytest.mark.parametrize("python", [got("free-threaded-3.14")])
def test_gil_mode_needs_a_gil(target, assert_failed, folder, python):
    spins = target("busy.py", python=python)
    result = uncoil("record", "-g", "-d", ".2", "-p", str(spins.pid), "-o", folder / "x.folded")
    assert_failed(result, str(spins.pid), "without a GIL", folder=folder)
    result = uncoil("record", "-g", "-d", ".5", "-o", folder / "x.folded", "--", python,
                    TARGETS / "busy.py", stdout=subprocess.DEVNULL)
    assert result.code == 1 and "without a GIL" in result.err, result.err
    with_gil = target("busy.py", python=python, env={"PYTHON_GIL": "1"})
    result = uncoil("record", "-g", "-r", "999", "-d", ".3", "-p", str(with_gil.pid), "-o", folder / "x.folded")
    assert result.code in (0, 3), result.err
    assert stacks(folder / "x.folded").count("spin") > 5


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


def test_no_such_mode(busy, assert_failed, folder):
    result = uncoil("record", "--mode", "of\x1bcpu", "-p", str(busy.pid), "-o", folder / "x.svg")
    assert_failed(result, "there is no mode", "cpu, wall, offcpu, gil", code=2, folder=folder)


EV_THREAD, EV_TIMES = 3, 7


def events(journal):
    """(kind, serial) of each event, and serials that a record at the end gives the times of."""
    seen = []
    for _, kind, data in records(journal):
        if kind == RING:
            seen.append((struct.unpack_from("<H", data)[0], struct.unpack_from("<I", data, 28)[0]))
        elif kind == TIMES:
            seen.append((EV_TIMES, struct.unpack_from("<I", data)[0]))
    return seen


def test_threads_that_end_with_the_recording(target, folder):
    """Each thread's times come, from its own end or from the recording's: also if it ends between the
    last switch that counts and the moment when nothing is listened to any more."""
    brief = target("brief.py", "800")
    result = uncoil("record", "--mode", "wall", "-d", ".4", "-p", str(brief.pid), "-o", folder / "x.uncoil")
    assert result.code in (0, 3), result.err
    seen = events((folder / "x.uncoil").read_bytes())
    threads = {serial for kind, serial in seen if kind == EV_THREAD}
    timed = {serial for kind, serial in seen if kind == EV_TIMES}
    assert len(threads) > 820
    assert not threads - timed


EXECS = """
import os, sys, time
end = time.thread_time() + .25
while time.thread_time() < end: pass
if len(sys.argv) > 1: os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""


@pytest.mark.parametrize("lives_on", [False, True], ids=["ends", "lives on"])
def test_time_before_an_exec_is_not_counted_again(folder, lives_on):
    """Also where no switch comes between the exec and the end: a thread of a real-time policy that
    computes is hardly ever switched away from."""
    result = uncoil("record", "--mode", "wall", "-i", *(["-d", ".6"] if lives_on else []), "-o", folder / "x.folded",
                    "--", "chrt", "-f", "1", SYSTEM, "-c", EXECS, EXECS.replace(".25", ".7" if lives_on else ".25"))
    assert result.code in (0, 3), result.err
    lasted = float(re.search(r"in ([\d.]+) s", result.err)[1])
    assert .3e6 < stacks(folder / "x.folded").total < 1.1e6 * lasted, (lasted, result.err)


def map_fill(number, keys):
    """Zero entries with these 32-bit keys into the BPF hash map of this id, until it is full."""
    libc = ctypes.CDLL(None, use_errno=True)

    def bpf(command, attr):
        attr = ctypes.create_string_buffer(attr, 128)
        return libc.syscall(321, command, attr, 128)

    fd = bpf(14, struct.pack("<I", int(number)))  # BPF_MAP_GET_FD_BY_ID
    assert fd >= 0
    value = ctypes.create_string_buffer(4096)
    for number in keys:
        key = ctypes.c_uint32(number)
        # BPF_MAP_UPDATE_ELEM
        if bpf(2, struct.pack("<IIQQQ", fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0)) < 0:
            assert ctypes.get_errno() == errno.E2BIG
            break
    os.close(fd)


POOL = """
import signal, threading, time
def naps():
    for _ in range(100): time.sleep(.001)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("ready", flush=True)
signal.sigwait([signal.SIGUSR1])
threads = [threading.Thread(target=naps) for _ in range(10)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_no_room_for_another_thread(start, recorder, folder):
    """A thread that the table has no room for is lost, and counted; it does not fill the ring."""
    pool = start(SYSTEM, "-c", POOL)
    pool.said(b"ready")
    recording = recorder("--mode", "wall", "-p", str(pool.pid), "-o", folder / "x.uncoil")
    map_fill(maps(recording)["threads"], range(1 << 30, (1 << 30) + 20000))
    pool.send_signal(signal.SIGUSR1)
    result = finish(recording)
    assert result.code == 3
    lost = int(re.search(r"(\d+) samples lost: the table of threads, or of their numbers, was full", result.err)[1])
    assert lost > 500
    told = [serial for kind, serial in events((folder / "x.uncoil").read_bytes()) if kind == EV_THREAD]
    assert len(told) < 10, (told, result.err)


EVER_NEW_WAITS = """
import time
print("ready", flush=True)
while True:
    scope = {"sleep": time.sleep}
    exec("def nap(): sleep(.0001)", scope)
    scope["nap"]()
"""


def test_waits_whose_stacks_have_no_room(start, recorder, folder):
    """They are told as waits, and there are no samples in this mode that could be lost."""
    naps = start(SYSTEM, "-c", EVER_NEW_WAITS)
    naps.said(b"ready")
    recording = recorder("--mode", "offcpu", "--ring-size", "65536", "-p", str(naps.pid), "-o", folder / "x.folded")
    recording.send_signal(signal.SIGSTOP)
    used = cpu_ns(naps.pid)
    wait_for(lambda: cpu_ns(naps.pid) > used + 30e6, "waits that nobody reads")
    recording.send_signal(signal.SIGCONT)
    recording.send_signal(signal.SIGINT)
    result = finish(recording)
    assert result.code == 3
    assert re.search(r"^\d+ waits lost: the ring buffer ", result.err, re.M), result.err
    assert "samples lost" not in result.err, result.err


@pytest.mark.parametrize("python", [pytest.param(SYSTEM, id="debian-3.11"), got("sid-3.14")])
def test_names_of_threads_that_end(target, folder, python):
    """Each thread has its own name or the kernel's, never that of one that came after it."""
    names = target("names.py", "30", python=python)
    result = uncoil("record", "--mode", "wall", "-t", "-i", "-d", ".8", "-p", str(names.pid), "-o", folder / "x.folded")
    assert result.code == 0, result.err
    named = {"reader": set(), "writer": set()}
    for frames, _ in stacks(folder / "x.folded"):
        name = re.match(r"(reader|writer)-\d+", frames[1].file)
        for frame in frames[2:]:
            if name and frame.name in named:
                assert frame.name == name[1], frames
                named[name[1]].add(name[0])
    assert len(named["reader"]) > 3 and len(named["writer"]) > 3, named
