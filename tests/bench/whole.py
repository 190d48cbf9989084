# SPDX-License-Identifier: Apache-2.0
"""What a whole run costs: time to attach, memory, size, and the time to build."""

import os
import re
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from rig import ROOT, SHM, UNCOIL, Target, Uncoil, cpu_ns, first_stack_ns, interval, percentile


def attach_once(target):
    """ms from just before fork and exec of uncoil to the tick that took the first stack with frames
    (the tick's own timestamp; both are CLOCK_MONOTONIC)."""
    path = SHM / "attach.uncoil"
    start = time.monotonic_ns()
    done = subprocess.run([UNCOIL, "record", "-q", "-p", str(target.pid), "-r", "1000", "-d", "0.05",
                           "-f", "raw", "-o", path], check=False, capture_output=True)
    first = first_stack_ns(path) if done.returncode in (0, 3) else None
    if first is None:
        raise RuntimeError(f"no stack was taken: {done.stderr.decode()}")
    return (first - start) / 1e6


def attach(runs, say):
    """Section 4. User space is woken as that tick ends."""
    found = []
    # nice 0: uncoil is not pinned here, and a favoured target would take its CPU where others are busy
    with Target("busy", nice=0) as target:
        for number in range(runs):
            found.append(attach_once(target))
            if number % 10 == 9:
                say(f"attach: run {number + 1} of {runs}")
    return {"ms": interval(found), "p99": percentile(found, 0.99), "max": max(found)}


def high_water_kb(pid):
    """VmHWM: peak resident memory since exec (ru_maxrss would count the harness before exec)."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) if match else 0


def memory(seconds, output, say):
    """Section 5: peak resident memory in MB while recording, and while writing the output, 16 busy
    threads in ever new stacks at 1 kHz; and the CPU time of the whole run, start to end."""
    peak = cpu = 0
    with Target("threads", cpu=None, nice=0) as target:
        used = cpu_ns(target.pid)
        with Uncoil(target, 1000, output=output, more=["-d", seconds]) as tool:
            while tool.popen.poll() is None:
                try:
                    peak = max(peak, high_water_kb(tool.pid))
                    cpu = cpu_ns(tool.pid)
                except OSError:
                    pass
                time.sleep(0.002)
            words = tool.popen.stderr.read().decode(errors="replace")
        used = cpu_ns(target.pid) - used
        tool.output.unlink()
    say(f"memory, .{output}")
    return {"mb": peak / 1024, "cpu_ms": cpu / 1e6, "target_s": used / 1e9, "words": words.strip()}


def build():
    """Section 6: `make -j2` of a copy of the tree from nothing: seconds, CPU seconds, bytes."""
    with tempfile.TemporaryDirectory(prefix="uncoil-build-") as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(ROOT, copy, symlinks=True,
                        ignore=lambda path, names: {".git", ".output", "uncoil", "demo-out"} & set(names)
                        if Path(path) == ROOT else set())
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(["make", "-j2", "O=.output", "uncoil"], cwd=copy, env=environment,
                              check=False, capture_output=True)
        seconds = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise RuntimeError(f"the copy does not build: {done.stderr.decode()[-300:]}")
        size = (copy / "uncoil").stat().st_size
    return {"seconds": seconds, "bytes": size,
            "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def idle(seconds):
    """CPU time of uncoil per second while its target sleeps, in ms: what the polling costs."""
    with Target("threads", cpu=None) as target:
        os.kill(target.pid, 19)  # SIGSTOP
        with Uncoil(target, 1000) as tool:
            time.sleep(0.3)
            found = []
            for _ in range(5):
                before = cpu_ns(tool.pid)
                time.sleep(seconds / 5)
                found.append((cpu_ns(tool.pid) - before) / 1e6 / (seconds / 5))
        os.kill(target.pid, 18)
    return statistics.median(found)
