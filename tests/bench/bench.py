#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the sections, prints the table and the targets, writes .output/bench.json (--quick:
bench-quick.json). scripts/bench builds
what this needs and starts it; tests/bench/rig.py says how things are measured."""

import argparse
import datetime
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
import traceback
from pathlib import Path

import cost
import floor
import traced
import rig
import scale
import switches
import whole

DEPTHS, RATES = (5, 21, 100, 500), (1000, 10000)
CUT = 600  # frames: more than the 512, or 400 of other functions, that are walked
FULL = {"pairs": 30, "window": 0.6, "austin": 10, "austin_window": 1.2, "slices": 14, "depths": DEPTHS,
        "attach": 100, "memory": 10, "bystander": 12, "longest": 8,
        "switch": 8, "switch_depths": (5, 20), "processes": 50, "hour": scale.HOUR, "overhead": 12, "floor": 10,
        "trace": 8, "trace_seconds": 30}
QUICK = {"pairs": 3, "window": 0.4, "austin": 1, "austin_window": 0.4, "slices": 2, "depths": (21,),
         "attach": 10, "memory": 1, "bystander": 1, "longest": 1,
         "switch": 2, "switch_depths": (20,), "processes": 5, "hour": 20000, "overhead": 2, "floor": 1,
         "trace": 2, "trace_seconds": 5}


class Report:
    """Prints as it goes; keeps everything for the JSON; counts the targets."""

    def __init__(self):
        self.json = {"sections": {}, "targets": []}
        self.section = None

    def title(self, name, text):
        self.section = name
        self.json["sections"][name] = {}
        print(f"\n{text}", flush=True)

    def row(self, key, text, value, unit, digits=2):
        """A number, or (median, low, high)."""
        self.json["sections"][self.section][key] = value
        if isinstance(value, tuple):
            middle, low, high = value
            shown = f"{middle:9.{digits}f} {unit:<4} [{low:.{digits}f} .. {high:.{digits}f}]"
        else:
            shown = f"{value:9.{digits}f} {unit}"
        print(f"  {text:<58} {shown}".rstrip(), flush=True)

    def target(self, text, met, shown):
        """met: True, False, or None for not judged."""
        word = {True: "met", False: "MISSED", None: "NOT JUDGED"}[met]
        self.json["targets"].append({"text": text, "result": word.lower(), "value": shown})
        print(f"  TARGET {word}: {text}: {shown}", flush=True)

    def count(self, word):
        return sum(t["result"] == word for t in self.json["targets"])


def say(text):
    """Progress, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\033[K  ... {text}\r", end="", file=sys.stderr, flush=True)


def cost_rows(report, found):
    report.row("timer", "bare timer (empty program): target's loss per tick", found["timer"], "us")
    report.row("lost", "uncoil: target's further loss per sample", found["lost"], "us")
    report.row("lost_mean", "  the same from whole windows, others' bursts included", found["mean"], "us")
    report.row("own", "uncoil: its own CPU per sample", found["own"], "us")
    report.row("all", "uncoil beyond the bare timer", found["all"], "us")
    report.row("taken", "samples taken of those expected", found["taken_share"] * 100, "%", 1)
    report.row("noise", "noise: spread of the untouched target's speed", found["noise"] * 100, "%", 1)
    report.json["sections"][report.section]["blocks"] = found["raw"]
    if found["samples_lost"]:
        print(f"  WARNING: {found['samples_lost']:.0f} samples were lost: the numbers are too good")
    if "ratio" in found:
        report.row("austin_own", "Austin at 1 kHz: its own CPU per sample", found["austin_own"], "us")
        report.row("austin_lost", "Austin at 1 kHz: target's loss per sample", found["austin_lost"], "us")
        report.row("austin_rate", "Austin: samples per second", found["austin_rate"], "Hz", 0)


def section_sample(report, size):
    why = austin_fetch()
    report.title("sample", f"1. CPU per sample at 10 kHz, 21 frames ({size['target']}), Debian's Python 3.11; median and 95 %"
                 f" interval of {size['pairs']} palindromic blocks of {size['window']} s windows")
    perf = shutil.which("perf") is not None
    found = cost.versus(size["target"], 10000, size["pairs"], size["window"], say, perf)
    cost_rows(report, found)
    if perf:
        report.row("perf_lost", "perf record -g: target's further loss per sample", found["perf_lost"], "us")
        report.row("perf_own", "perf record -g: its own CPU per sample, its end left out", found["perf_own"], "us")
        report.row("perf_ratio", "uncoil beyond the bare timer, as a share of perf's", found["perf_ratio"], "")
    else:
        print("  WARNING: NO PERF: apt-get install linux-perf", flush=True)
    text = "uncoil's CPU per sample at 10 kHz, beyond the bare timer, is at most 1/10 of Austin's"
    if why:
        print(f"  WARNING: NO AUSTIN: {why}", flush=True)
        report.target(text, None, why)
        return
    # Austin's own CPU alone: the target's loss of speed could only make Austin look worse
    middle, low, high = found["ratio"]
    report.json["sections"]["sample"]["ratio"] = found["ratio"]
    report.target(text, middle <= 0.1, f"ratio {middle:.3f} [{low:.3f} .. {high:.3f}], block by block"
                  + ("" if (low > 0.1) == (high > 0.1) else "; TOO CLOSE TO TELL: 0.1 is inside"))


def section_equal(report, size):
    report.title("equal", f"3. Both at 1 kHz, same target: {size['austin']} blocks")
    found = cost.versus(size["target"], 1000, size["austin"], size["austin_window"], say)
    cost_rows(report, found)
    tick = report.json["sections"].get("tick", {}).get(f"{size['target']}_21_1000")
    if tick and "own_pairs" in found:
        # at 1 kHz the loss of speed drowns in the noise; the kernel's statistics do not
        report.row("both", "uncoil: on_tick by section 2 + its own CPU",
                   rig.interval(tick[0] + own for own, _ in found["own_pairs"]), "us")
        report.row("ratio", "  of Austin's (for information: the target is at 10 kHz)",
                   rig.interval((tick[0] + own) / austin for own, austin in found["own_pairs"]), "", 3)


def austin_fetch():
    """None, or why there is no Austin."""
    done = subprocess.run([rig.ROOT / "scripts/get-austin"], check=False, capture_output=True, text=True)
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    rig.Austin.program = done.stdout.strip()
    return None


def section_tick(report, size):
    report.title("tick", "2. The tick itself: on_tick's run time less the empty program's (kernel's statistics)")
    rows = cost.ticks("busy", (*size["depths"], CUT), RATES, size["slices"], say)
    rows += cost.ticks("hops", (21, CUT), RATES, size["slices"], say)
    for row in rows:
        frames = min(row["depth"], 512 if row["kind"] == "busy" else 400)
        report.row(f"{row['kind']}_{frames}_{row['rate']}", f"{frames} frames"
                   f"{', each of another function' if row['kind'] == 'hops' else ''}, {row['rate']} Hz"
                   f" (empty: {row['empty']:.2f})", row["us"], "us")
    found = cost.longest(size["longest"], say)
    report.row("worst_median", f"slowest target, single ticks: median of {found['count']}",
               found["median"], "us")
    report.row("worst_p99", "  99th percentile", found["p99"], "us")
    report.row("worst_max", "  longest seen (the host's pauses are in it)", found["max"], "us")
    longest = max(row["us"][0] for row in rows if row["depth"] == CUT)
    report.target("a tick with as many frames as are walked takes at most 100 us", longest <= 100, f"{longest:.1f} us")


def section_attach(report, size):
    report.title("attach", f"4. From before exec of uncoil to the tick that took the first stack, 1 kHz:"
                 f" {size['attach']} runs")
    found = whole.attach(size["attach"], say)
    report.row("ms", "median", found["ms"], "ms", 1)
    report.row("p99", "99th percentile", found["p99"], "ms", 1)
    # the first tick of a thread wakes uncoil as it ends (bpf/count.bpf.h, thread_tell)
    report.target("first stack within 100 ms of exec (median), 250 ms (99th percentile)",
                  found["ms"][0] <= 100 and found["p99"] <= 250,
                  f"{found['ms'][0]:.1f} ms, {found['p99']:.1f} ms")


def section_memory(report, size):
    report.title("memory", f"5. Memory: {size['memory']} s at 1 kHz, 16 busy threads, ever new stacks")
    peak = 0
    for output in ("svg", "folded"):
        found = whole.memory(size["memory"], output, say)
        peak = max(peak, found["mb"])
        report.row(f"{output}_mb", f"peak resident memory, .{output}", found["mb"], "MB", 1)
        report.row(f"{output}_cpu", "  uncoil's CPU, from start to end", found["cpu_ms"], "ms", 0)
        report.json["sections"]["memory"][f"{output}_words"] = found["words"]
    report.row("idle", "uncoil's CPU per second while the target is stopped", whole.idle(1.5), "ms")
    report.target("at most 40 MB", peak <= 40, f"{peak:.1f} MB")


def section_build(report, size):
    report.title("build", "6. Build from nothing, make -j2")
    found = whole.build()
    report.row("seconds", "time", found["seconds"], "s", 1)
    report.row("cpu_seconds", "CPU time", found["cpu_seconds"], "s", 1)
    report.row("mb", "the program", found["bytes"] / 1e6, "MB")
    report.target("clean build within 60 s", found["seconds"] <= 60, f"{found['seconds']:.1f} s")
    report.target("the program is at most 2 MB", found["bytes"] <= 2e6, f"{found['bytes'] / 1e6:.2f} MB")


def section_bystander(report, size):
    report.title("bystander", "7. An untouched process on the same CPU as one that is sampled at 10 kHz")
    report.row("loss", "its loss of speed", cost.bystander(size["bystander"], 0.8, say), "%")


def section_formats(report, size):
    """CPU time, the quickest of five: what others do on the machine is not the format's."""
    report.title("formats", "8. The outputs of a million samples: CPU time, best of five")
    for stacks, text in ((2000, "2,000 stacks"), (10**6, "as many stacks as a profile holds")):
        done = subprocess.run([rig.OUT / "tests/bench/formats", rig.ROOT / "tests/golden/timeline-3.12/journal",
                               str(stacks)], check=True, capture_output=True, text=True)
        rows = {name: (float(ms), *map(int, rest)) for name, ms, *rest in
                map(str.split, done.stdout.splitlines())}
        print(f"  {text} ({rows['stacks'][0]:.0f}):")
        for name, (ms, *rest) in rows.items():
            if rest:
                what = f"{rest[0]} samples" if "report" in name else f"{rest[0] / 1e6:.1f} MB"
                report.row(f"{name}_{stacks}", f"  {name}, {what}", ms, "ms", 1)
        svg = rows["report"][0] + rows["flame"][0]
        report.target(f"an SVG of a million samples within 300 ms, {text}", svg <= 300, f"{svg:.0f} ms")


def section_rates(report, size):
    report.title("rates", f"9. The target's CPU time that the walk takes beyond the bare timer, 21 frames ({size['target']})")
    limits = {99: 0.05, 1000: 0.5}
    for rate, loss in scale.rates(size["target"], (99, 1000, 10000), size["slices"], say):
        report.row(f"loss_{rate}", f"at {rate} Hz", loss, "%", 4)
        if rate in limits:
            report.target(f"less than {limits[rate]} % at {rate} Hz", loss[0] < limits[rate], f"{loss[0]:.4f} %")


def section_scale(report, size):
    report.title("scale", "10. Many threads, many processes, 1 kHz, 10 frames")
    for threads, processes in ((1, 1), (100, 1), (1, size["processes"])):
        found = scale.many(threads, processes, 1000, size["slices"], say)
        name = f"{threads}_{processes}"
        report.row(f"tick_{name}", f"{threads} threads in each of {processes} processes: a tick beyond the bare timer",
                   found["tick"], "us")
        report.row(f"own_{name}", "  uncoil's own CPU per sample", found["own"], "us")
        report.row(f"attach_{name}", "  from its start until it records", found["attach"], "ms", 0)
    for threads in (0, 400):
        report.row(f"natives_{threads}", f"a switch between threads that are not Python's, beside {threads} that are",
                   scale.natives(threads, size["slices"], say), "us")


def section_hour(report, size):
    report.title("hour", f"11. Memory after {size['hour']} samples (an hour at 99 Hz is {scale.HOUR}), taken at 20 kHz")
    for text, more in (("one recording", []), ("in parts (--rotate 1)", ["--rotate", "1"])):
        found = scale.hour(size["hour"], 20000, more, say)
        report.row(f"late_{len(more)}", f"{text}: peak resident memory", found["late"], "MB", 1)
        report.row(f"early_{len(more)}", "  after a tenth of them", found["early"], "MB", 1)


def section_overhead(report, size):
    report.title("overhead", f"13. What a recording says that it costs, and what it does: {size['target']}, {size['overhead']} blocks"
                 " off, on, on, off; shares of the target's CPU time")
    # at lower rates the measurement drowns in the noise
    found = cost.estimate(size["target"], 10000, size["overhead"], size["window"], say)
    for key, text in (("measured", "at 10 kHz: measured by the target's speed and uncoil's CPU time"),
                      ("told", "  told by the recording")):
        report.row(key, text, tuple(100 * value for value in found[key]), "%")
    middle, low, high = found["ratio"]
    report.json["sections"]["overhead"]["ratio"] = found["ratio"]
    report.target("what is told is within a factor of two of what is measured", 0.5 <= middle <= 2,
                  f"ratio {middle:.2f} [{low:.2f} .. {high:.2f}], block by block")


def section_switch(report, size):
    report.title("switch", f"12. Off-CPU: two processes that pass a byte to and fro, Debian's Python 3.11; medians and 95 %"
                 f" intervals of {size['switch']} blocks off, on, on, off")
    for row in switches.programs(size["switch_depths"], size["slices"], say):
        depth = row["depth"]
        report.row(f"empty_{depth}", f"a switch, {depth} frames each: an empty program", row["empty"], "us")
        report.row(f"memo_{depth}", "  uncoil's", row["memo"], "us")
        report.row(f"full_{depth}", "  uncoil's, every stack walked in full", row["full"], "us")
        report.row(f"foreign_{depth}", "  uncoil's, between processes not recorded", row["foreign"], "us")
    for depth in size["switch_depths"]:
        found = switches.slowdown(depth, size["switch"], 0.5, say)
        report.row(f"pace_{depth}", f"{depth} frames each: their own switches in a second of CPU time",
                   found["pace"], "", 0)
        report.row(f"loss_{depth}", "  their loss of speed", found["loss"], "%")
        report.row(f"loss_mean_{depth}", "  the same from whole windows", found["loss_mean"], "%")
        middle, low, high = found["scaled"]
        report.target(f"at most 5 % at {switches.PACE:,} switches a second, {depth} frames", middle <= 5,
                      f"{middle:.2f} % [{low:.2f} .. {high:.2f}]"
                      + ("" if (low > 5) == (high > 5) else "; TOO CLOSE TO TELL: 5 is inside"))


def section_trace_floor(report, size):
    report.title("trace-floor", "14. A call with an empty program at each place where a trace sees begins and ends: more CPU time"
                 f" of the target; {size['floor']} blocks off, on, on, off")
    for name, python in floor.interpreters().items():
        say(name)
        found = floor.measure(python, size["floor"])
        report.row(f"{name}_ns", f"{name}, {found['method']}, {found['places']} places: a call and its return",
                   found["more"], "ns", 0)
        report.row(f"{name}_ratio", f"  times as slow as without ({found['off'][0]:.0f} ns)", found["ratio"], "", 1)
    for name in sorted((floor.PYTHONS | floor.GOT).keys() - floor.interpreters().keys()):
        print(f"  there is no {name}: scripts/get-pythons", flush=True)


TRACE_TARGETS = {"stats": 1.25, "timeline": 1.5, "min-duration": 1.25}


def section_trace(report, size):
    report.title("trace", "15. A call and its return under uncoil trace: CPU time of the target beside the floor's;"
                 f" {size['trace']} blocks off, floor, each mode, floor, off")
    for name, python in floor.interpreters().items():
        say(name)
        found = traced.measure(python, size["trace"])
        report.row(f"{name}_floor", f"{name}: an empty program", found.pop("floor"), "ns", 0)
        for mode, (cost, ratio, lost) in found.items():
            report.row(f"{name}_{mode}", f"  {mode}" + (f" (lost some in {lost} blocks)" if lost else ""), cost, "ns", 0)
            report.row(f"{name}_{mode}_ratio", "    times the floor", ratio, "", 3)
            if mode in TRACE_TARGETS:
                report.target(f"{name} {mode}: at most {TRACE_TARGETS[mode]} times the floor",
                              ratio[0] <= TRACE_TARGETS[mode], f"{ratio[0]:.3f} [{ratio[1]:.3f} .. {ratio[2]:.3f}]")
    name, python = next(iter(floor.interpreters().items()))
    report.row("after", f"{name}: a call once the trace has ended, more", traced.after(python, size["trace"]), "ns", 1)
    found = traced.throughput(python, size["trace_seconds"])
    print(f"  timeline of {found['calls']:,} calls in {found['seconds']:.1f} s,"
          f" {found['calls'] / max(found['seconds'], 1e-9):,.0f} a second: {found['lost']} lost,"
          f" {found['cpu'] / max(1, found['calls']) * 1e6:.2f} s of CPU time of uncoil's a million", flush=True)


SECTIONS = {"sample": section_sample, "tick": section_tick, "equal": section_equal,
            "attach": section_attach, "memory": section_memory, "build": section_build,
             "bystander": section_bystander, "formats": section_formats, "switch": section_switch,
             "rates": section_rates, "scale": section_scale, "hour": section_hour,
             "overhead": section_overhead, "trace-floor": section_trace_floor, "trace": section_trace}


def host():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "kernel": platform.release(), "cpu": model[1] if model else platform.machine(),
            "cpus": len(rig.CPUS), "load": os.getloadavg()[0],
            "uncoil": hashlib.sha256(rig.UNCOIL.read_bytes()).hexdigest()[:12]}


def options():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true",
                        help="a smoke test of under a minute: the numbers are not to be believed")
    parser.add_argument("--target", choices=("busy", "hops"), default="hops",
                        help="sections 1 and 3: one function a frame (hops, the default), or one that"
                        " recurses (busy: the best case, the walk sums its code object once)")
    parser.add_argument("--only", default=",".join(SECTIONS), metavar="SECTION,...",
                        help="of " + ", ".join(SECTIONS))
    parser.add_argument("--python", default="", metavar="NAME,...",
                        help="sections trace-floor and trace: of these interpreters (3.11.7, sid-3.14, ...) only")
    parser.add_argument("parts", nargs="*", metavar="SECTION", help="the same as --only")
    args = parser.parse_args()
    args.only = args.parts or args.only.split(",")
    for name in args.only:
        if name not in SECTIONS:
            parser.error(f"there is no section {name}")
    floor.ONLY = set(filter(None, args.python.split(",")))
    for name in floor.ONLY - floor.interpreters().keys():
        parser.error(f"there is no {name}")
    return args


def run(report, args):
    """Every section gets its turn; one that breaks is a missed target."""
    size = {**(QUICK if args.quick else FULL), "target": args.target}
    report.json["target"] = args.target
    for name in SECTIONS:
        if name not in args.only:
            continue
        start = time.monotonic()
        others = rig.others_busy()
        try:
            SECTIONS[name](report, size)
        except (OSError, RuntimeError, StopIteration, statistics.StatisticsError) as error:
            traceback.print_exc()
            report.target(f"section {name} can be measured", False, str(error))
        section = report.json["sections"].setdefault(name, {})
        section["took_s"] = round(time.monotonic() - start, 1)
        section["others_cpus"] = [round(others, 2), round(rig.others_busy(), 2)]
        print("  others kept {} CPUs busy before it, {} after it".format(*section["others_cpus"]),
              flush=True)


def main():
    args = options()
    report = Report()
    report.json["host"] = host()
    report.json["quick"] = args.quick
    if len(rig.CPUS) < 2:
        sys.exit("bench: needs two CPUs: one for the target, one for the tools")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print("  ".join(f"{key} {value}" for key, value in report.json["host"].items()))
    if args.quick:
        print("--quick: a smoke test; the numbers are not to be believed")
    try:
        run(report, args)
    finally:
        rig.children_end()
    (rig.OUT / ("bench-quick.json" if args.quick else "bench.json")).write_text(json.dumps(report.json, indent=1) + "\n")
    missed, open_ = report.count("missed"), report.count("not judged")
    print(f"\n{report.count('met')} targets met, {missed} missed, {open_} not judged")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
