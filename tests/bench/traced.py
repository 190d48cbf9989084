# SPDX-License-Identifier: Apache-2.0
"""What a call costs its process under `uncoil trace`, beside the floor (floor.py): the same places with an empty
program."""

import json
import os
import pathlib
import signal
import statistics
import subprocess
import tempfile

import rig
from floor import Caller, Floor

MODES = {
    "stats": ["--stats", "-f", "json"],
    "timeline": ["-f", "perfetto"],
    "min-duration": ["-f", "perfetto", "--min-duration", "10s"],
    "idle": ["-f", "perfetto", "--match", "no_such_function"],
}


class Tracer(rig.Process):
    """uncoil trace, once its probes are in."""

    def __init__(self, caller, mode, out):
        super().__init__([rig.UNCOIL, "trace", "-p", caller.pid, "--max-overhead", "0", *MODES[mode], "-o", out],
                         rig.TOOL_CPU, stderr=subprocess.PIPE, text=True)
        if not self.popen.stderr.readline().startswith("tracing"):
            raise RuntimeError(f"trace {mode} did not begin")

    def stop(self):
        """Its exit code, its CPU time in s and what it said."""
        self.popen.send_signal(signal.SIGINT)
        said = self.popen.stderr.read()
        _, status, usage = os.wait4(self.pid, 0)
        self.popen.returncode = os.waitstatus_to_exitcode(status)
        rig.Process.running.discard(self)
        return self.popen.returncode, usage.ru_utime + usage.ru_stime, said


def window(caller, mode, out):
    tracer = Tracer(caller, mode, out)
    try:
        ns = caller.window()
    finally:
        code, _, said = tracer.stop()
    if code not in (0, 3):
        raise RuntimeError(f"trace {mode}: {said}")
    return ns, code == 3


def measure(python, blocks):
    """Blocks off, floor, each mode, floor, off. {mode: (interval of cost in ns, interval of its ratio to the floor's,
    lost in so many blocks)}, the floor's cost under "floor"."""
    cost = {mode: [] for mode in ["floor", *MODES]}
    ratio = {mode: [] for mode in MODES}
    lost = dict.fromkeys(MODES, 0)
    with tempfile.TemporaryDirectory(prefix="uncoil-bench-", dir="/dev/shm") as name, Caller(python) as caller, \
            Floor(caller) as floor:
        out = pathlib.Path(name) / "out"
        floor.turn("off")
        for _ in range(blocks):
            off = caller.window()
            floor.turn("on")
            empty = caller.window()
            floor.turn("off")
            took = {}
            for mode in MODES:
                took[mode], short = window(caller, mode, out)
                lost[mode] += short
            floor.turn("on")
            empty = statistics.mean([empty, caller.window()])
            floor.turn("off")
            off = statistics.mean([off, caller.window()])
            cost["floor"].append(empty - off)
            for mode, ns in took.items():
                cost[mode].append(ns - off)
                ratio[mode].append((ns - off) / (empty - off))
    return {"floor": rig.interval(cost["floor"]),
            **{mode: (rig.interval(cost[mode]), rig.interval(ratio[mode]), lost[mode]) for mode in MODES}}


def after(python, cycles):
    """What a call costs more once a trace has ended: ns, interval."""
    more = []
    with tempfile.TemporaryDirectory(prefix="uncoil-bench-") as name, Caller(python) as caller:
        for _ in range(cycles):
            before = caller.window()
            window(caller, "stats", pathlib.Path(name) / "out")
            more.append(caller.window() - before)
    return rig.interval(more)


def throughput(python, seconds):
    """A timeline of a process that does nothing but call, for so long: calls, calls/s, lost, own CPU s per million."""
    with tempfile.TemporaryDirectory(prefix="uncoil-bench-", dir="/dev/shm") as name, Caller(python) as caller:
        out = pathlib.Path(name) / "out.jsonl"
        caller.popen.stdin.write(f"{int(seconds * 25000000)}\n")
        caller.popen.stdin.flush()
        command = [rig.UNCOIL, "trace", "-p", caller.pid, "--max-overhead", "0", "-d", seconds, "-f", "raw", "-o", out]
        with rig.Process(command, rig.TOOL_CPU, stderr=subprocess.DEVNULL) as tracer:
            _, status, usage = os.wait4(tracer.pid, 0)
            tracer.popen.returncode = os.waitstatus_to_exitcode(status)
        end = subprocess.run([rig.UNCOIL, "replay", out, "-q", "-f", "jsonl", "-o", "-"], capture_output=True).stdout
        last = json.loads(end[end.rstrip(b"\n").rindex(b"\n") + 1:])
        return {"calls": last["calls"], "seconds": last["traced_ns"] / 1e9, "lost": sum(last["lost"].values()),
                "cpu": usage.ru_utime + usage.ru_stime}
