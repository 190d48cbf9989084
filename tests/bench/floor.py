# SPDX-License-Identifier: Apache-2.0
"""The floor of exact tracing: what a call costs while an empty program sits where a trace would see it."""

import re
import statistics
import subprocess
import sys

import rig

sys.path.insert(0, str(rig.ROOT / "tests/e2e"))
import uprobes  # noqa: E402
from conftest import GOT, PYTHONS  # noqa: E402

FLOOR = rig.OUT / "tests/bench/floor"
CALLS = rig.ROOT / "tests/bench/calls.py"
WINDOW_NS = 40_000_000  # of the target's CPU time, with probes and without
WINDOWS = 5  # in a row, between attaching and detaching
ONLY = set()  # names of interpreters; none: all


def interpreters():
    return {name: python for name, python in (PYTHONS | GOT).items()
            if python.exists() and (not ONLY or name in ONLY)}


def wanted(sites, usdt, minor):
    """Where a trace is (trace_wants(), user/python/trace_layout.c)."""
    kinds = {site.kind for site in sites}
    if usdt:
        return [site for site in sites if site.name.startswith("function__") or site.kind == "raise"]
    if minor < 11:
        want = {"enter", "leave", "raise"}
    else:
        want = {"begin", "yield", "enter", "raise", "clear" if "clear" in kinds else "return"}
    return [site for site in sites if site.kind in want and not site.name.startswith("function__")]


class Caller(rig.Process):
    def __init__(self, python):
        super().__init__([python, CALLS], rig.TARGET_CPU, -10, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.popen.stdout.readline() != "ready\n":
            raise RuntimeError(f"{python} does not run")
        self.count = 20000

    def ns(self):
        """CPU time of a call, in ns, the loop around it included; in as many calls as fit into a window."""
        for _ in range(4):
            self.popen.stdin.write(f"{self.count}\n")
            self.popen.stdin.flush()
            took = int(self.popen.stdout.readline())
            before, self.count = self.count, max(1000, int(self.count * WINDOW_NS / took))
            if WINDOW_NS / 2 < took < WINDOW_NS * 2:
                break
        return took / before

    def window(self):
        return statistics.median(self.ns() for _ in range(WINDOWS))


class Floor(rig.Process):
    def __init__(self, caller):
        text = subprocess.run([rig.UNCOIL, "doctor", "-p", str(caller.pid)], capture_output=True, text=True).stdout
        version, path = re.search(r"CPython (\S+), (?:in the library|linked into the program) (\S+)", text).groups()
        self.usdt = "USDT points" in text
        self.sites = wanted(uprobes.sites(text), self.usdt, int(version.split(".")[1]))
        if not self.sites:
            raise RuntimeError("no places are found")
        # the file that is mapped; its root may be another one
        file = uprobes.mapping(caller.pid, path)
        super().__init__([FLOOR, caller.pid, file] + [f"{site.offset}:{site.semaphore}" for site in self.sites],
                         rig.TOOL_CPU, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said("on")

    def said(self, word):
        line = self.popen.stdout.readline()
        if line != f"{word}\n":
            raise RuntimeError(f"the empty program is not {word}: {line}")

    def turn(self, word):
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()
        self.said(word)


def measure(python, blocks):
    """Blocks off, on, on, off: {ns a call without, ns more with the empty program, ratio}, intervals."""
    off, more, ratio = [], [], []
    with Caller(python) as caller, Floor(caller) as floor:
        floor.turn("off")
        for _ in range(blocks):
            first = caller.window()
            floor.turn("on")
            with_it = [caller.window(), caller.window()]
            floor.turn("off")
            without, with_it = statistics.mean([first, caller.window()]), statistics.mean(with_it)
            off.append(without)
            more.append(with_it - without)
            ratio.append(with_it / without)
        stepped = sorted({site.kind for site in floor.sites if site.probe == "stepped"})
        return {"off": rig.interval(off), "more": rig.interval(more), "ratio": rig.interval(ratio),
                "places": len(floor.sites), "stepped": stepped, "method": "USDT" if floor.usdt else "handlers"}
