# SPDX-License-Identifier: Apache-2.0
"""What grows: with the rate, with threads, with processes, with the length of a recording."""

import statistics
import subprocess
import time

from cost import per_run
from rig import PYTHON, ROOT, SETTLE, SHM, TARGET_CPU, KernelStats, Process, Target, Timer, Uncoil, cpu_ns, interval
from whole import high_water_kb

HOUR = 99 * 3600  # samples of an hour of one thread's CPU time at the default rate


def rates(kind, wanted, slices, say):
    """Per cent of the target's CPU time that on_tick takes beyond an empty program: its run time by the
    kernel's statistics, times the rate. At these rates a loss of speed would drown in the noise."""
    rows = []
    with KernelStats(), Target(kind) as target:
        for rate in wanted:
            seconds = max(0.1, 20 / rate)
            empty = statistics.median(per_run(target, Timer, rate, slices // 2, seconds))
            full = per_run(target, Uncoil, rate, slices, seconds)
            rows.append((rate, interval((value - empty) * rate / 1e4 for value in full)))
            say(f"{rate} Hz")
    return rows


def own(pids, tool, rate, slices, seconds):
    """us of uncoil's own CPU time per sample, one value a slice."""
    def read():
        return tool.ns(), sum(cpu_ns(pid) for pid in pids)

    found, last = [], read()
    for _ in range(slices):
        time.sleep(seconds)
        now = read()
        if now[1] > last[1]:
            found.append((now[0] - last[0]) / ((now[1] - last[1]) * rate / 1e9) / 1000)
        last = now
    return found


def many(threads, processes, rate, slices, say):
    """(on_tick's us beyond an empty program, uncoil's own us per sample, ms from its start until it
    records), with many threads and many processes."""
    targets = [Target("crowd", cpu=None, depth=threads, nice=0) for _ in range(processes)]
    try:
        time.sleep(0.3)
        pids = [target.pid for target in targets]
        more = [word for pid in pids[1:] for word in ("-p", pid)]
        with KernelStats():
            with Target("busy") as busy:
                empty = statistics.median(per_run(busy, Timer, rate, 3, 0.1))
            start = time.monotonic()
            with Uncoil(targets[0], rate, more=more) as tool:
                attach = (time.monotonic() - start) * 1000
                time.sleep(SETTLE)
                first = tool.ticks()
                found = own(pids, tool, rate, slices, 0.3)
                last = tool.ticks()
            tool.output.unlink()
    finally:
        for target in targets:
            target.end()
    say(f"{threads} threads, {processes} processes")
    return {"tick": (last[0] - first[0]) / (last[1] - first[1]) / 1000 - empty, "own": interval(found),
            "attach": attach}


def natives(threads, slices, say):
    """us of on_switch per run while two threads that are not Python's wait for each other, in a process
    of so many Python threads that sleep."""
    targets = ROOT / "tests/e2e/targets"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", SHM / "pair.so", targets / "pair.c", "-lpthread"], check=True)
    found = []
    with KernelStats(), Process([PYTHON, targets / "pair.py", SHM / "pair.so", threads], TARGET_CPU,
                                stdout=subprocess.PIPE) as pair:
        pair.popen.stdout.readline()
        with Uncoil(pair, 99, more=["--mode", "offcpu"]) as tool:
            time.sleep(SETTLE)
            last = tool.switches()
            for _ in range(slices):
                time.sleep(0.1)
                now = tool.switches()
                found.append((now[0] - last[0]) / max(1, now[1] - last[1]) / 1000)
                last = now
        tool.output.unlink()
    say(f"native threads beside {threads}")
    return interval(found)


def hour(samples, rate, more, say):
    """Peak resident memory in MB after so many samples, and after a tenth of them."""
    with Target("hops") as target:
        with Uncoil(target, rate, output="svg", more=more) as tool:
            start, early = cpu_ns(target.pid), 0
            while (taken := (cpu_ns(target.pid) - start) * rate / 1e9) < samples:
                time.sleep(0.05)
                if taken < samples / 10:
                    early = high_water_kb(tool.pid)
            late = high_water_kb(tool.pid)
        for path in tool.output.parent.glob(f"{tool.output.stem}*"):
            path.unlink()
    say("an hour's samples")
    return {"early": early / 1024, "late": late / 1024}
