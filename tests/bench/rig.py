# SPDX-License-Identifier: Apache-2.0
"""The rig: targets and tools as pinned processes, the clocks that are read, medians and intervals.

Other programs share the machine, so nothing here is judged by wall time where CPU time will do: a
target counts its own work per second of its own CPU time, a tool's CPU time is read from its process
clock (nanoseconds, exact at the moment of reading). What CPU time cannot hide - caches and the host's
frequency - is met by pairs that lie close in time, in ABBA order, and by medians over many of them.
"""

import atexit
import ctypes
import mmap
import os
import platform
import random
import re
import shutil
import signal
import statistics
import struct
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / ".output"
UNCOIL = OUT / "tests/bench/uncoil"  # a copy made by scripts/bench
UNCOIL_FULL = OUT / "tests/bench/full/uncoil-bench"  # one that walks every stack: MEMO_NS=0
TIMER = OUT / "tests/bench/timer"
PYTHON = "/usr/bin/python3"
TARGET = Path(__file__).with_name("target.py")
SHM = Path(tempfile.mkdtemp(prefix="uncoil-bench-", dir="/dev/shm"))
atexit.register(shutil.rmtree, SHM, ignore_errors=True)
CPUS = sorted(os.sched_getaffinity(0))
TARGET_CPU = CPUS[-1]
TOOL_CPU = CPUS[0]
SETTLE = 0.15  # seconds between a tool's first tick and the window
BPF_PROG_TYPE_PERF_EVENT, BPF_PROG_TYPE_TRACING = "7", "26"

rng = random.Random(1)


# --- numbers


def interval(values, resamples=4000):
    """(median, low, high): the median and its 95 % bootstrap interval."""
    values = list(values)
    middle = statistics.median(values)
    if len(values) < 3:
        return middle, min(values), max(values)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(resamples))
    return middle, medians[int(resamples * 0.025)], medians[int(resamples * 0.975)]


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


# --- clocks


def cpu_ns(pid):
    """CPU time of a whole process, user and system, all threads (see clock_getcpuclockid(3))."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def others_busy(seconds=0.5):
    """CPUs' worth of work that others do now (nothing of ours may run): what the numbers suffer from."""
    def read():
        ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        return sum(ticks), ticks[3] + ticks[4]

    total, idle = read()
    time.sleep(seconds)
    total2, idle2 = read()
    return len(CPUS) * (1 - (idle2 - idle) / (total2 - total))


class KernelStats:
    """Turns the kernel's BPF run-time statistics on while it is open (bpf(2), BPF_ENABLE_STATS)."""

    NUMBERS = {"x86_64": 321, "aarch64": 280}
    BPF_ENABLE_STATS = 32

    def __enter__(self):
        libc = ctypes.CDLL(None, use_errno=True)
        attr = ctypes.create_string_buffer(128)  # type 0: BPF_STATS_RUN_TIME
        self.fd = libc.syscall(self.NUMBERS[platform.machine()], self.BPF_ENABLE_STATS, attr, 4)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "bpf(BPF_ENABLE_STATS)")
        return self

    def __exit__(self, *_):
        os.close(self.fd)


# --- processes


def children_end():
    """Ends whatever was started and still runs."""
    for process in list(Process.running):
        process.end()


class Process:
    """A child pinned to one CPU; `with` ends it."""

    running = set()

    def __init__(self, command, cpu, nice=0, **options):
        def prepare():
            os.sched_setaffinity(0, {cpu} if cpu is not None else set(CPUS))
            if nice:
                os.nice(nice)

        self.popen = subprocess.Popen([str(word) for word in command], preexec_fn=prepare, **options)
        self.pid = self.popen.pid
        Process.running.add(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self, sig=signal.SIGKILL):
        Process.running.discard(self)
        if self.popen.poll() is None:
            self.popen.send_signal(sig)
        try:
            return self.popen.wait(60)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()


class Target(Process):
    """target.py, and the page that it reports its progress in."""

    count = 0

    def __init__(self, kind, cpu=TARGET_CPU, depth=21, nice=-10):
        Target.count += 1
        path = SHM / f"page{Target.count}"
        path.write_bytes(bytes(4096))
        with open(path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 4096)
        self.depth = depth
        struct.pack_into("<Q", self.page, 8, depth)
        super().__init__([PYTHON, TARGET, kind, path], cpu, nice)
        # switch: until it has found its pace
        self.wait_turns({"busy": 3, "hops": 3, "switch": 100}.get(kind, 1))

    def turn(self):
        return struct.unpack_from("<Q", self.page, 0)[0]

    def wait_turns(self, count):
        want, end = self.turn() + count, time.monotonic() + 20
        while self.turn() < want:
            if time.monotonic() > end or self.popen.poll() is not None:
                raise RuntimeError("the target does not run")
            time.sleep(0.002)

    def read(self):
        """(units of work done, the thread's CPU time in ns, depth), as of one moment."""
        while True:
            turn = self.turn()
            work, cpu, depth = struct.unpack_from("<QQQ", self.page, 32 + 32 * (turn & 1))
            if self.turn() == turn:
                return work, cpu, depth

    def depth_set(self, depth):
        struct.pack_into("<Q", self.page, 8, depth)
        while self.read()[2] != depth:
            time.sleep(0.002)


class Tool(Process):
    """What is attached to a target during a window: its own CPU time, and the samples it took."""

    def ns(self):
        return cpu_ns(self.pid)

    def ticks(self):
        """(run time in ns, runs) of its perf_event program, by the kernel's statistics."""
        if not hasattr(self, "fdinfo"):
            self.fdinfo = next(f for f in Path(f"/proc/{self.pid}/fdinfo").iterdir()
                               if f"prog_type:\t{BPF_PROG_TYPE_PERF_EVENT}\n" in f.read_text())
        text = self.fdinfo.read_text()
        return tuple(int(re.search(rf"{key}:\t(\d+)", text)[1]) for key in ("run_time_ns", "run_cnt"))


    def switches(self):
        """(run time in ns, runs) of its sched_switch program, which of those that trace runs most."""
        if not hasattr(self, "tracing"):
            self.tracing = [f for f in Path(f"/proc/{self.pid}/fdinfo").iterdir()
                            if f"prog_type:\t{BPF_PROG_TYPE_TRACING}\n" in f.read_text()]
        found = [tuple(int(re.search(rf"{key}:\t(\d+)", text)[1]) for key in ("run_time_ns", "run_cnt"))
                 for text in (f.read_text() for f in self.tracing)]
        return max(found, key=lambda pair: pair[1])


class Timer(Tool):
    def __init__(self, target, rate, cpu=TOOL_CPU):
        super().__init__([TIMER, target.pid, rate, 600], cpu, stdout=subprocess.PIPE)
        if self.popen.stdout.readline() != b"ready\n":
            raise RuntimeError("the bare timer does not attach")


class EmptySwitch(Tool):
    """An empty program on sched_switch."""

    def __init__(self, target, rate=0, cpu=TOOL_CPU):
        super().__init__([TIMER, "switch", 0, 600], cpu, stdout=subprocess.PIPE)
        if self.popen.stdout.readline() != b"ready\n":
            raise RuntimeError("the empty sched_switch program does not attach")


class Uncoil(Tool):
    count = 0

    def __init__(self, target, rate, cpu=TOOL_CPU, output="uncoil", more=(), program=UNCOIL):
        Uncoil.count += 1
        self.output = SHM / f"out{Uncoil.count}.{output}"
        super().__init__([program, "record", "-p", target.pid, "-r", rate, "-o", self.output, *more],
                         cpu, stderr=subprocess.PIPE)
        line = self.popen.stderr.readline()
        if not line.startswith(b"recording"):
            raise RuntimeError(f"uncoil does not attach: {line.decode()}")

    def end(self, sig=signal.SIGINT):
        return super().end(sig)


class Austin(Tool):
    program = None  # set once scripts/get-austin has fetched it

    def __init__(self, target, rate, cpu=TOOL_CPU):
        self.path = SHM / "austin.out"
        self.path.unlink(missing_ok=True)
        super().__init__([Austin.program, "-i", 1000000 // rate, "-x", 600, "-p", target.pid,
                          "-o", self.path], cpu, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while self.size() < 20000:
            if time.monotonic() > end or self.popen.poll() is not None:
                raise RuntimeError("Austin does not sample this target")
            time.sleep(0.01)

    def size(self):
        return self.path.stat().st_size if self.path.exists() else 0

    def samples(self, start, end):
        """Lines written between two sizes of its output: one a sample, there being one thread."""
        with open(self.path, "rb") as file:
            file.seek(start)
            return file.read(end - start).count(b"\n")

    def end(self, sig=signal.SIGINT):
        return super().end(sig)


class Perf(Tool):
    """perf record with stacks by frame pointers, which is all that it can do in the interrupt: CPython as
    distributions build it has none, so its stacks are short, and none of their frames is Python's. What it
    does at its end (reading all samples again) lies outside of every window."""

    def __init__(self, target, rate, cpu=TOOL_CPU):
        self.path = SHM / "perf.data"
        self.path.unlink(missing_ok=True)
        super().__init__(["perf", "record", "-e", "cpu-clock", "-F", rate, "-g", "-B", "-N", "-p", target.pid,
                          "-o", self.path], cpu, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while self.size() < 20000:
            if time.monotonic() > end or self.popen.poll() is not None:
                raise RuntimeError("perf does not sample this target")
            time.sleep(0.01)

    def size(self):
        return self.path.stat().st_size if self.path.exists() else 0

    def end(self, sig=signal.SIGINT):
        code = super().end(sig)
        self.path.unlink(missing_ok=True)
        return code


# --- journals (user/model/journal.h, record.h, bpf/events.h)

# as user/model/record.h numbers them
RECORDS = re.findall(r"^\tRECORD_([A-Z_]+),", (ROOT / "user/model/record.h").read_text(), re.M)
RECORD_RING, RECORD_STATS, RECORD_OVERHEAD = map(RECORDS.index, ("RING", "STATS", "OVERHEAD"))
EV_STACK = 1


def journal(path):
    """Yields (record type, payload)."""
    data = path.read_bytes()
    at = 8
    if data[:at] != b"UNCOILJ\n":
        raise RuntimeError(f"{path} is not a journal")
    while at + 12 <= len(data):
        kind, length, _ = struct.unpack_from("<III", data, at)
        yield kind, data[at + 12:at + 12 + length]
        at += 12 + length


def first_stack_ns(path):
    """CLOCK_MONOTONIC of the tick that took the first stack that has frames; None if there is none."""
    for kind, data in journal(path):
        if kind == RECORD_RING and struct.unpack_from("<H", data)[0] == EV_STACK:
            ts_ns, frames = struct.unpack_from("<Q", data, 8)[0], struct.unpack_from("<I", data, 44)[0]
            if frames:
                return ts_ns
    return None


def samples_taken(path):
    """(samples, samples lost, ticks expected) by the journal's own statistics."""
    names = re.findall(r"X\((\w+), \"", (ROOT / "bpf/shared.h").read_text())
    for kind, data in journal(path):
        if kind == RECORD_STATS:
            stats = dict(zip(names, struct.unpack_from(f"<{len(names)}Q", data, 24)))
            lost = sum(value for name, value in stats.items() if name.startswith("DROP_"))
            return stats["SAMPLES"], lost, struct.unpack_from("<Q", data, 8)[0]
    raise RuntimeError(f"{path} has no statistics")


def overhead_told(path):
    """The share of the target's CPU time that a journal says the recording cost, without its start."""
    for kind, data in journal(path):
        if kind == RECORD_OVERHEAD:
            cpu, own, _, ticks, tick_ns, _, switch_ns, bare = struct.unpack_from("<7QI", data)
            return (ticks * bare + tick_ns + switch_ns + own) / cpu
    raise RuntimeError(f"{path} does not say what it cost")
