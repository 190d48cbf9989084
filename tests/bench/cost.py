# SPDX-License-Identifier: Apache-2.0
"""What a sample costs: the target's loss of speed, the tools' own CPU time, the tick itself."""

import statistics
import time

from rig import (SETTLE, TARGET_CPU, Austin, KernelStats, Perf, Target, Timer, Uncoil, interval, overhead_told,
                 percentile, samples_taken)

SLICE = 0.04  # seconds
AUSTIN_HZ = 1000
TOOLS = {"A": Timer, "B": Uncoil, "X": Austin, "P": Perf}


def speeds(target, seconds):
    """([units of work per ns of CPU time in each slice], the same of the whole, ns of CPU time)."""
    reads = [target.read()]
    for _ in range(round(seconds / SLICE)):
        time.sleep(SLICE)
        reads.append(target.read())
    while reads[-1][1] == reads[0][1]:  # others had the CPU all the time
        time.sleep(SLICE)
        reads.append(target.read())
    slices = [(b[0] - a[0]) / (b[1] - a[1]) for a, b in zip(reads, reads[1:]) if b[1] > a[1]]
    (work, cpu, _), (work2, cpu2, _) = reads[0], reads[-1]
    return slices, (work2 - work) / (cpu2 - cpu), cpu2 - cpu


def window(target, letter, rate, seconds):
    """One window: nothing (N) or a tool attached; start-up and end of the tool lie outside.

    speed    the target's units of work per ns of its own CPU time, interrupts of its included: the
             median of slices, so that a burst of somebody else's does not count. mean_speed is
             that of the whole window.
    own      the tool's own CPU time per sample, in us
    samples  Austin: lines written; else CPU time of the target times rate (block() checks it)
    """
    tool = TOOLS[letter](target, rate) if letter in TOOLS else None
    time.sleep(SETTLE)
    try:
        size = tool.size() if letter == "X" else 0
        own = tool.ns() if tool else 0
        slices, mean, cpu = speeds(target, seconds)
        own = tool.ns() - own if tool else 0
        samples = tool.samples(size, tool.size()) if letter == "X" else cpu * rate / 1e9
    finally:
        if tool:
            tool.end()
    result = {"speed": statistics.median(slices), "mean_speed": mean, "own": own / 1000 / samples,
              "samples": samples}
    if letter == "B":
        result["taken"], result["lost"], result["expected"] = samples_taken(tool.output)
        result["told"] = overhead_told(tool.output)
        tool.output.unlink()
    return result


def blocks(target, letters, rates, seconds, count, say):
    """rates: of each letter, in Hz. Runs `count` blocks; each is `letters` and then the same backwards, so that drift cancels out.
    Returns, for each letter, a list of one dict a block: the mean over its two windows."""
    results = {letter: [] for letter in letters}
    for number in range(count):
        both = {letter: [] for letter in letters}
        for letter in letters + letters[::-1]:
            both[letter].append(window(target, letter, rates[letter], seconds))
        for letter, pair in both.items():
            results[letter].append({key: statistics.mean(w[key] for w in pair) for key in pair[0]})
        say(f"{rates['B']} Hz: block {number + 1} of {count}")
    return results


def lost_us(results, letter, base, rate, key="speed"):
    """The target's CPU time per sample that goes to `letter` beyond `base`, in us, for each block.
    Of a CPU second, 1 - speed/speed_untouched is lost; there are `rate` samples in it."""
    return [(b[key] - x[key]) / n[key] / rate * 1e6
            for x, b, n in zip(results[letter], results[base], results["N"])]


def own_us(results, letter):
    return [block["own"] for block in results[letter]]


def sums(*lists):
    return [sum(values) for values in zip(*lists)]


def versus(kind, rate, count, seconds, say, perf=False):
    """Sections 1 and 3: untouched (N), empty program (A) and uncoil (B) at `rate`, Austin (X) at 1 kHz
    if it could be fetched, perf record (P) at `rate` if asked for. All are in each block: the ratio to
    Austin is formed block by block, so that whatever else the machine does at the time is in both of
    its sides."""
    letters = "NAB" + "X" * bool(Austin.program) + "P" * perf
    rates = {"N": rate, "A": rate, "B": rate, "X": AUSTIN_HZ, "P": rate}
    with Target(kind) as target:
        results = blocks(target, letters, rates, seconds, count, say)
    lost, own = lost_us(results, "B", "A", rate), own_us(results, "B")
    taken = sum(b["taken"] for b in results["B"]) / sum(b["expected"] for b in results["B"])
    base = [b["speed"] for b in results["N"]]
    found = {"timer": interval(lost_us(results, "A", "N", rate)), "lost": interval(lost),
             "mean": interval(lost_us(results, "B", "A", rate, "mean_speed")),
             "own": interval(own), "all": interval(sums(lost, own)), "taken_share": taken,
             "samples_lost": sum(b["lost"] for b in results["B"]), "raw": results,
             "noise": statistics.pstdev(base) / statistics.mean(base)}
    if Austin.program:
        austin = own_us(results, "X")
        found["austin_own"] = interval(austin)
        found["austin_lost"] = interval(lost_us(results, "X", "N", AUSTIN_HZ))
        found["austin_rate"] = statistics.median(b["samples"] for b in results["X"]) / seconds
        found["ratio"] = interval(a / x for a, x in zip(sums(lost, own), austin))
        found["own_pairs"] = list(zip(own, austin))
    if perf:
        theirs = lost_us(results, "P", "A", rate), own_us(results, "P")
        found["perf_lost"], found["perf_own"] = map(interval, theirs)
        found["perf_ratio"] = interval(a / p for a, p in zip(sums(lost, own), sums(*theirs)))
    return found


def estimate(kind, rate, count, seconds, say):
    """Section 13: of each block, what the target lost by its speed, uncoil's own CPU time included, and what
    the recording said of itself; shares of the target's CPU time."""
    with Target(kind) as target:
        results = blocks(target, "NB", {"N": rate, "B": rate}, seconds, count, say)
    measured = [1 - b["speed"] / n["speed"] + b["own"] * rate / 1e6
                for n, b in zip(results["N"], results["B"])]
    told = [b["told"] for b in results["B"]]
    return {"measured": interval(measured), "told": interval(told),
            "ratio": interval(t / m for t, m in zip(told, measured))}


def per_run(target, kind, rate, slices, seconds):
    """us per run of the tool's program, one value a slice, from the kernel's statistics."""
    with kind(target, rate) as tool:
        time.sleep(SETTLE)
        found, last = [], tool.ticks()
        for _ in range(slices):
            time.sleep(seconds)
            now = tool.ticks()
            if now[1] > last[1]:
                found.append((now[0] - last[0]) / (now[1] - last[1]) / 1000)
            last = now
    return found


def ticks(kind, depths, rates, slices, say):
    """Section 2: the program's own time per run, less the empty program's, by depth and rate. The
    kernel's two clock readings around a run are in both, so they cancel out."""
    rows = []
    with KernelStats(), Target(kind) as target:
        for depth in depths:
            target.depth_set(depth)
            for rate in rates:
                empty = statistics.median(per_run(target, Timer, rate, slices // 2, 0.1))
                full = per_run(target, Uncoil, rate, slices, 0.1)
                rows.append({"kind": kind, "depth": depth, "rate": rate, "empty": empty,
                             "us": interval(value - empty for value in full)})
                say(f"tick at depth {depth}, {rate} Hz")
    return rows


def singles(tool, seconds):
    """Run times of single ticks in us: the statistics are read more often than it ticks."""
    found, last, end = [], tool.ticks(), time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.001)
        now = tool.ticks()
        if now[1] == last[1] + 1:
            found.append((now[0] - last[0]) / 1000)
        last = now
    return found


def longest(seconds, say):
    """Single ticks of a target made to be as slow as can be: 512 frames of a new stack, and 16 code
    objects to copy, each with names and a line table of the longest that is copied."""
    with KernelStats(), Target("worst") as target:
        with Uncoil(target, 200) as tool:
            time.sleep(SETTLE)
            found = singles(tool, seconds)
    say("longest tick")
    return {"median": statistics.median(found), "p99": percentile(found, 0.99), "max": max(found),
            "count": len(found)}


def bystander(count, seconds, say):
    """Section 7: loss of speed of a process that nobody asked about, on the same CPU as one that is
    sampled at 10 kHz; per cent, one value a block. Timers are per task, so there should be none."""
    found = []
    with Target("busy") as target, Target("busy", cpu=TARGET_CPU) as other:
        for number in range(count):
            both = {"N": [], "B": []}
            for letter in "NBBN":
                tool = Uncoil(target, 10000) if letter == "B" else None
                time.sleep(SETTLE)
                both[letter].append(statistics.median(speeds(other, seconds)[0]))
                if tool:
                    tool.end()
            found.append((1 - sum(both["B"]) / sum(both["N"])) * 100)
            say(f"bystander: block {number + 1} of {count}")
    return interval(found)
