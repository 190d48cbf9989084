# SPDX-License-Identifier: Apache-2.0
"""What the BPF programs do, judged by what the kernel counts of them."""

import contextlib
import ctypes
import json
import mmap
import os
import pathlib
import platform
import re
import struct
import subprocess
import time

import pytest

from conftest import PROGRAMS, SYSTEM, TARGETS, TOP, cpu_ns, finish, stacks, wait_for

BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
BPF_MAP_UPDATE_ELEM, BPF_MAP_GET_FD_BY_ID, BPF_ENABLE_STATS = 2, 14, 32


def bpf(command, attributes):
    """bpf(2); its result."""
    libc = ctypes.CDLL(None, use_errno=True)
    attr = ctypes.create_string_buffer(attributes, 128)
    result = libc.syscall(BPF, command, attr, 128)
    assert result >= 0, os.strerror(ctypes.get_errno())
    return result


def map_open(pid, name):
    """A descriptor of the map of that name which the process holds."""
    ids = {int(found[1]) for path in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir()
           for found in [re.search(r"^map_id:\s+(\d+)$", path.read_text(), re.M)] if found}
    shown = subprocess.run(["/usr/sbin/bpftool", "map", "show", "-j"], capture_output=True, check=True,
                           timeout=60)
    found = [m["id"] for m in json.loads(shown.stdout) if m["id"] in ids and m.get("name", "") == name]
    assert len(found) == 1, (name, found)
    return bpf(BPF_MAP_GET_FD_BY_ID, struct.pack("<I", found[0]))


@contextlib.contextmanager
def switched_off(pid):
    """A function: `ready` of uncoil's programs is 0, 1. Nothing that happens at 0 is heard of."""
    fd = map_open(pid, "uncoil_b.bss")
    info = subprocess.run(["/usr/sbin/bpftool", "btf", "dump", "file", TOP / ".output/uncoil.bpf.o"],
                          capture_output=True, check=True, timeout=60).stdout.decode()
    section = info[info.index("DATASEC '.bss'"):].split("\n[")[0]
    at = int(re.search(r"offset=(\d+) size=4 \(VAR 'ready'\)", section)[1])
    with mmap.mmap(fd, mmap.PAGESIZE) as page:
        def ready(value):
            page[at:at + 4] = struct.pack("<I", value)
        yield ready
    os.close(fd)


@pytest.fixture
def run_times():
    """run_times(pid) -> {program type: (ns, runs)} of its programs that ran most."""
    fd = bpf(BPF_ENABLE_STATS, bytes(4))  # BPF_STATS_RUN_TIME

    def read(pid):
        found = {}
        for path in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
            facts = dict(re.findall(r"^(\w+):\s+(\d+)$", path.read_text(), re.M))
            if "prog_type" in facts:
                mine = int(facts["run_cnt"]), int(facts["run_time_ns"])
                kind = int(facts["prog_type"])
                found[kind] = max(found.get(kind, (0, 0)), mine)
        return {kind: (ns, runs) for kind, (runs, ns) in found.items()}

    yield read
    os.close(fd)


TRACING = 26  # BPF_PROG_TYPE_TRACING: on_switch runs most


def test_native_threads_beside_many_python_threads(target, recorder, folder, run_times):
    """That a thread has no thread state is found out once, not at each of its switches."""
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", folder / "pair.so", TARGETS / "pair.c", "-lpthread"],
                   check=True, timeout=60)
    cost = {}
    for threads in (0, 300):
        pair = target("pair.py", folder / "pair.so", str(threads))
        tool = recorder("--mode", "offcpu", "-p", str(pair.pid), "-o", folder / "x.folded")
        before = run_times(tool.pid)[TRACING]
        after = wait_for(lambda start=before, pid=tool.pid: [now for now in [run_times(pid)[TRACING]]
                                                             if now[1] > start[1] + 30000], "switches")[0]
        cost[threads] = (after[0] - before[0]) / (after[1] - before[1])
        tool.terminate()
        assert finish(tool).code in (0, 3)
        pair.kill()
        seen = stacks(folder / "x.folded")
        natives = seen.count("[not a Python thread]")
        assert natives and seen.count("[thread state not found]") < .05 * natives, seen.names()
    assert cost[300] < 5 * cost[0], cost  # 300 reads more would be 20 times


def possible_cpus():
    return int(pathlib.Path("/sys/devices/system/cpu/possible").read_text().strip().split("-")[-1]) + 1


def threads_told(path):
    """(serial, tid) of each thread that a journal tells of."""
    records = re.findall(r"^\tRECORD_([A-Z_]+),", (TOP / "user/model/record.h").read_text(), re.M)
    data, at, found = path.read_bytes(), 8, set()
    while at < len(data):
        kind, length, _ = struct.unpack_from("<III", data, at)
        if kind == records.index("RING") and struct.unpack_from("<H", data, at + 12)[0] == 3:  # EV_THREAD
            found.add(struct.unpack_from("<II", data, at + 12 + 28)[0:1] +
                      struct.unpack_from("<I", data, at + 12 + 24))
        at += 12 + length
    return found


SWARM = """
import sys, threading, time
print("ready", flush=True)
sys.stdin.readline()
swarm = [threading.Thread(target=time.sleep, args=(.1,)) for _ in range(20)]
[t.start() for t in swarm]
[t.join() for t in swarm]
print("done", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("used", ["2^22 - 3", "all but 3"])
def test_numbers_of_threads(start, recorder, folder, used):
    """No two threads have one number, none has number 0, and there are more than 2^22 of each CPU."""
    swarm = start(SYSTEM, "-c", SWARM, stdin=subprocess.PIPE, bufsize=0)
    swarm.said(b"ready")
    tool = recorder("--mode", "offcpu", "-p", str(swarm.pid), "-o", folder / "x.uncoil")
    cpus = possible_cpus()
    count = (1 << 22) - 3 if used[0] == "2" else (1 << 32 - (cpus - 1).bit_length()) - 1 - 3
    value = ctypes.create_string_buffer(struct.pack("<II", count, 2000) * cpus)
    key, fd = ctypes.create_string_buffer(bytes(4)), map_open(tool.pid, "serials")
    bpf(BPF_MAP_UPDATE_ELEM, struct.pack("<IIQQQ", fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0))
    os.close(fd)
    swarm.stdin.write(b"\n")
    swarm.said(b"done")
    tool.terminate()
    result = finish(tool)
    told = threads_told(folder / "x.uncoil")
    serials = [serial for serial, _ in told]
    assert 0 not in serials and len(set(serials)) == len({tid for _, tid in told}) == len(serials)
    if used[0] == "2":
        assert result.code == 0, result.err
        assert len(serials) >= 21
    else:
        assert result.code == 3 and "of their numbers, was full" in result.err, result.err
        assert len(serials) <= 1 + 3 * cpus


DOZES = """
import time
print("ready", flush=True)
while True:
    end = time.thread_time_ns() + 20_000_000
    while time.thread_time_ns() < end: pass
    time.sleep(.01)
"""


def test_switches_that_are_not_heard_of(start, recorder, folder):
    """A sleep between two moments of computing is no CPU time because nobody heard of it."""
    dozes = start(SYSTEM, "-c", DOZES)
    dozes.said(b"ready")
    tool = recorder("--mode", "offcpu", "-i", "-p", str(dozes.pid), "-f", "summary", "-o", folder / "x.txt")
    with switched_off(tool.pid) as ready:
        before = cpu_ns(dozes.pid)
        for _ in range(12):
            ready(0)
            time.sleep(.08)
            ready(1)
            time.sleep(.04)
        used = cpu_ns(dozes.pid) - before
    tool.terminate()
    result = finish(tool)
    said = re.search(r"^ *([\d.]+) (ms|s) .* (?:MainThread|python3.11)$", (folder / "x.txt").read_text(), re.M)
    found = float(said[1]) * (1e9 if said[2] == "s" else 1e6)
    assert .85 * used < found < 1.12 * used, (found / used, result.err)


@pytest.fixture
def loads(folder):
    """The program of targets/loads.c."""
    library = os.environ.get("LIBUNCOIL", TOP / ".output/libuncoil.a")
    if library == TOP / ".output/libuncoil.a":
        subprocess.run(["make", "-s", "-C", TOP, ".output/libuncoil.a"], check=True, timeout=300)
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-I", TOP / "user", "-I", TOP / "bpf", "-I", TOP / ".output", "-o",
                    folder / "loads", TARGETS / "loads.c", library, "-lbpf", "-lelf", "-lz", "-lm"],
                   check=True, timeout=60)
    return folder / "loads"


def test_another_layout_for_the_same_image(busy, start, loads):
    """A layout that is found out later reaches every CPU, those too that have the first one."""
    tool = start(loads, str(busy.pid), stdin=subprocess.PIPE, bufsize=0)
    said = b""
    for word in (b"wrong", b"right"):
        said += tool.said(word)
        used = cpu_ns(busy.pid)
        wait_for(lambda start=used: cpu_ns(busy.pid) > start + 100_000_000, "the target to compute")
        tool.stdin.write(b"\n")
    said += tool.said(b".")
    wrong, right = (tuple(map(int, pair)) for pair in re.findall(rb"(\d+) of (\d+)", said))
    assert wrong[0] == 0 < wrong[1] and right[0] > .9 * right[1] > 0, said


def test_loads_without_bpf_loop(loads):
    """Before Linux 5.17 the verifier follows each loop turn by turn: once, not for each way to it."""
    done = subprocess.run([loads], capture_output=True, check=True, timeout=60)
    looked_at = {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", done.stdout.decode())}
    assert looked_at.keys() == PROGRAMS
    assert max(looked_at.values()) < 100_000, looked_at
