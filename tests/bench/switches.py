# SPDX-License-Identifier: Apache-2.0
"""What a switch costs while waits are recorded: two processes that pass a byte to and fro."""

import os
import signal
import statistics
import time
from contextlib import contextmanager

from cost import speeds
from rig import SETTLE, UNCOIL, UNCOIL_FULL, EmptySwitch, KernelStats, Target, Uncoil, interval

PACE = 50_000  # switches in a second of CPU time, as asked for


@contextmanager
def offcpu(pair, program=UNCOIL):
    """uncoil on both processes; nothing may be lost."""
    tool = Uncoil(pair, 99, more=["-p", child(pair), "--mode", "offcpu"], program=program)
    try:
        yield tool
    finally:
        code = tool.end()
        tool.output.unlink(missing_ok=True)
    if code:
        raise RuntimeError(f"uncoil ended with status {code}")


def child(pair):
    return int.from_bytes(pair.page[128:136], "little")


def speed(pair, seconds):
    """(rounds per ns of CPU time: median of slices, of the whole)."""
    slices, whole, _ = speeds(pair, seconds)
    return statistics.median(slices), whole


def slowdown(depth, count, seconds, say):
    """Off, on, on, off; per cent of the pair's speed, its own switches a second of CPU time, and the
    same loss at PACE. The time of a program on sched_switch is charged to the thread that comes."""
    losses, means, paces = [], [], []
    with Target("switch", depth=depth) as pair:
        for number in range(count):
            seen = {"N": [], "O": []}
            for letter in "NOON":
                if letter == "N":
                    time.sleep(SETTLE)
                    seen[letter].append(speed(pair, seconds))
                    continue
                with offcpu(pair):
                    time.sleep(SETTLE)
                    seen[letter].append(speed(pair, seconds))
            off, on = (tuple(statistics.mean(w[i] for w in seen[letter]) for i in (0, 1)) for letter in "NO")
            losses.append((1 - on[0] / off[0]) * 100)
            means.append((1 - on[1] / off[1]) * 100)
            paces.append(off[0] * 2e9)
            say(f"off-CPU, depth {depth}: block {number + 1} of {count}")
    return {"pace": interval(paces), "loss": interval(losses), "loss_mean": interval(means),
            "scaled": interval(loss * PACE / pace for loss, pace in zip(losses, paces))}


def per_switch(tool, pair, slices, seconds):
    """us of the tool's program for a switch between the two, one value a slice. It runs at every
    switch of the host: what those cost is read while the two are stopped."""
    time.sleep(SETTLE)
    for pid in (pair.pid, child(pair)):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(0.05)
    start = tool.switches()
    time.sleep(0.3)
    end = tool.switches()
    for pid in (pair.pid, child(pair)):
        os.kill(pid, signal.SIGCONT)
    foreign = (end[0] - start[0]) / max(1, end[1] - start[1])
    time.sleep(SETTLE)
    found, last, work = [], tool.switches(), pair.read()[0]
    for _ in range(slices):
        time.sleep(seconds)
        now, done = tool.switches(), pair.read()[0]
        own = (done - work) * 2
        if own:
            found.append((now[0] - last[0] - max(0, now[1] - last[1] - own) * foreign) / own / 1000)
        last, work = now, done
    return found, foreign / 1000


def programs(depths, slices, say):
    """us per switch, by depth: empty program, memoised, every stack walked."""
    rows = []
    with KernelStats():
        for depth in depths:
            with Target("switch", depth=depth) as pair:
                with EmptySwitch(pair) as tool:
                    empty, _ = per_switch(tool, pair, slices, 0.1)
                with offcpu(pair) as tool:
                    memo, foreign = per_switch(tool, pair, slices, 0.1)
                with offcpu(pair, UNCOIL_FULL) as tool:
                    full, _ = per_switch(tool, pair, slices, 0.1)
            rows.append({"depth": depth, "empty": interval(empty), "memo": interval(memo),
                         "full": interval(full), "foreign": foreign})
            say(f"a switch at depth {depth}")
    return rows
