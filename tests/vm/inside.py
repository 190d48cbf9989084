# SPDX-License-Identifier: Apache-2.0
"""Runs in the guest of scripts/vm: what uncoil promises, once each, on this kernel. Everything is an
emulator's pace slower here, so nothing is compared with a clock but what both sides are told by it."""

import collections
import json
import os
import re
import signal
import subprocess
import sys
import time

PYTHON, UNCOIL = "/usr/bin/python3.11", "/bin/uncoil"
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


class Failed(Exception):
    pass


def want(truth, *said):
    if not truth:
        raise Failed(" ".join(map(str, said)))


def uncoil(*args, codes=(0,)):
    result = subprocess.run([UNCOIL, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, timeout=300)
    want(result.returncode in codes, "exit status", result.returncode, result.stderr.decode()[-600:])
    return result.stdout.decode(), result.stderr.decode()


class Target:
    def __init__(self, *args):
        self.process = subprocess.Popen([PYTHON, "/targets.py", *args], stdout=subprocess.PIPE,
                                        start_new_session=True)
        self.said = self.process.stdout.readline().split()
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


def folded(path):
    """(frames, count) of each line."""
    with open(path) as file:
        for line in file:
            stack, count = line.rsplit(" ", 1)
            # "family.<locals>.child (targets.py:57)", "thread 12 (name)"
            yield [re.sub(r" \(.*", "", frame).split(".")[-1] if "[" not in frame else frame
                   for frame in stack.split(";")], int(count)


def leaves(path):
    found = collections.Counter()
    for frames, count in folded(path):
        found[frames[-1]] += count
    return found


@check
def doctor():
    out, _ = uncoil("doctor")
    for line in out.split("\n"):
        if re.search(r"\b(no|unknown)\b", line):
            print("VM: note doctor:", re.sub(r"\s+", " ", line.strip()), flush=True)


@check
def record_command():
    uncoil("record", "-o", "/tmp/x.folded", "--", PYTHON, "/targets.py", "executed", codes=(0, 3))
    found = leaves("/tmp/x.folded")
    want(found["executed"] > 40, found)


@check
def record_pid_and_replay():
    with Target("busy") as target:
        uncoil("record", "-r", 999, "-d", 2, "-p", target.pid, "-o", "/tmp/y.folded", "-o", "/tmp/y.uncoil",
               "-o", "/tmp/y.svg", codes=(0, 3))
    found = leaves("/tmp/y.folded")
    want(found["burn"] > .9 * sum(found.values()) > 100, found)
    want({tuple(frames) for frames, _ in folded("/tmp/y.folded") if frames[-1] == "burn"} ==
         {("<module>", "busy", "burn")}, list(folded("/tmp/y.folded")))
    uncoil("replay", "/tmp/y.uncoil", "-o", "/tmp/z.folded", codes=(0, 3))
    want(open("/tmp/y.folded").read() == open("/tmp/z.folded").read(), "another output")


@check
def deep_stacks():
    with Target("deep", "300") as target:
        uncoil("record", "-r", 199, "-d", 2, "-p", target.pid, "-o", "/tmp/d.folded", codes=(0, 3))
    found = [(len(frames), count) for frames, count in folded("/tmp/d.folded") if frames[-1] == "burn"]
    want(found and all(depth == 302 for depth, _ in found), found)


@check
def threads():
    with Target("spinners") as target:
        uncoil("record", "-t", "-r", 199, "-d", 3, "-p", target.pid, "-o", "/tmp/t.folded", codes=(0, 3))
    found = collections.Counter()
    for frames, count in folded("/tmp/t.folded"):
        found[frames[-1]] += count
    want(found["one"] > 20 and found["two"] > 20, found)


@check
def children():
    uncoil("record", "-s", "-r", 199, "-o", "/tmp/c.folded", "--", PYTHON, "/targets.py", "family",
           codes=(0, 3))
    found = leaves("/tmp/c.folded")
    want(found["child"] > 20 and found["executed"] > 20, found)


@check
def timeline():
    with Target("busy") as target:
        uncoil("record", "-d", 1, "-p", target.pid, "-o", "/tmp/t.json", "-f", "chrome", codes=(0, 3))
    want(len(open("/tmp/t.json").read()) > 1000, "hardly anything")


@check
def wall():
    with Target("waits") as target:
        uncoil("record", "--mode", "wall", "-i", "-t", "-d", 2, "-p", target.pid, "-o", "/tmp/w.folded",
               codes=(0, 3))
        port = target.said[1].decode()
    found = collections.defaultdict(collections.Counter)
    for line in open("/tmp/w.folded"):
        frames, count = line.rsplit(" ", 1)
        found[frames.split(";")[1]][re.sub(r" \(.*", "", frames.split(";")[-1])] += int(count)
    for name, leaf in (("sleeps", "[sleep]"), ("locked", "[lock]"), ("again", "[lock]"),
                       ("receives", f"[socket read 127.0.0.1:{port}]"),
                       ("receives for ever", f"[socket read 127.0.0.1:{port}]")):
        times = next((t for thread, t in found.items() if f"({name})" in thread), {})
        want(times and times[leaf] > .8 * sum(times.values()), name, dict(times))
        want(1.9e6 < sum(times.values()) < 4e6, name, dict(times))


@check
def offcpu_and_gil():
    with Target("spinners") as target:
        uncoil("record", "--mode", "offcpu", "-d", 2, "-p", target.pid, "-o", "/tmp/o.folded", codes=(0, 3))
        found = leaves("/tmp/o.folded")
        want(found["[GIL]"] > 1e6, found)
        uncoil("record", "--mode", "gil", "-r", 199, "-d", 2, "-p", target.pid, "-o", "/tmp/g.folded",
               codes=(0, 3))
        found = leaves("/tmp/g.folded")
        want(found["one"] + found["two"] > .9 * sum(found.values()) > 15, found)


@check
def dump():
    with Target("waits") as target:
        time.sleep(1)
        out, _ = uncoil("dump", "--json", "-p", target.pid)
        text, _ = uncoil("dump", "-p", target.pid)
    got = {thread["name"]: thread for thread in json.loads(out)["processes"][0]["threads"]}
    want(got["receives for ever"]["exact"], got["receives for ever"])
    want(got["receives for ever"]["frames"][0]["function"].endswith("receive"), got["receives for ever"])
    want(f"127.0.0.1:{target.said[1].decode()}" in text, text)
    want("unix /tmp/there" in text, text)


CPU = "/sys/devices/system/cpu/cpu1/online"
CLOCK = "/sys/devices/system/clocksource/clocksource0/"


def read(path):
    with open(path) as file:
        return file.read().strip()


def write(path, value):
    with open(path, "w") as file:
        file.write(value)
    want(read(path) == value, path, "did not become", value)


def complaints():
    """Lines of the kernel's log that say that something in it went wrong."""
    said = subprocess.run(["/bin/dmesg"], stdout=subprocess.PIPE).stdout.decode(errors="replace")
    return re.findall(r".*(?:WARNING: |BUG: |Oops|stall|Call Trace).*", said)


def cpu_seconds(pid):
    return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3)


def while_changing(change, path):
    """Records a thread on each CPU, in wall mode, and calls change() in the midst. What is then told must add up: as
    many samples as CPU time is worth, and each thread's time all of the recording's."""
    before = complaints()
    with Target("spinners") as target:
        tool = subprocess.Popen([UNCOIL, "record", "--mode", "wall", "-i", "-t", "-r", "199", "-p", str(target.pid), "-o",
                                 path, "-o", path + ".svg"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said = tool.stderr.readline().decode()
        want("recording" in said, said)
        begin, used = time.monotonic(), cpu_seconds(target.pid)
        change()
        used, took = cpu_seconds(target.pid) - used, time.monotonic() - begin
        tool.send_signal(signal.SIGINT)
        said = tool.communicate(timeout=300)[1].decode()
    want(tool.returncode in (0, 3), "exit status", tool.returncode, said)
    samples = re.search(r"([\d,]+) samples in", said)
    missed = re.search(r"([\d,]+) samples' worth of CPU time not sampled", said)
    counted = sum(int(found[1].replace(",", "")) for found in (samples, missed) if found)
    want(.8 * used * 199 < counted < 1.2 * used * 199, counted, "samples of", used, "s", said)
    want(" lost" not in said, said)
    threads = collections.Counter()
    for frames, count in folded(path):
        threads[frames[1]] += count / 1e6
    want(len(threads) == 3 and all(took - .2 < seconds < took + 2 and
                                   abs(seconds - max(threads.values())) < .01 * seconds
                                   for seconds in threads.values()), dict(threads), "in", took, "s")
    want(complaints() == before, "the kernel complains:", complaints()[len(before):])
    return said


@check
def cpu_goes_offline():
    def change():
        time.sleep(1)
        for _ in range(3):
            write(CPU, "0")
            time.sleep(.7)
            write(CPU, "1")
            time.sleep(.7)

    if not os.path.exists(CPU):
        raise Failed("there is no second CPU that can be taken away")
    while_changing(change, "/tmp/off.folded")


@check
def clock_source_changes():
    now = read(CLOCK + "current_clocksource")
    others = [name for name in read(CLOCK + "available_clocksource").split() if name != now]

    def change():
        time.sleep(1)
        for name in (others[0], now):
            write(CLOCK + "current_clocksource", name)
            time.sleep(1)

    if not others:
        raise Failed("there is one clock source only")
    print("VM: note clock source from", now, "to", others[0], flush=True)
    while_changing(change, "/tmp/clock.folded")


def main():
    print("VM: note kernel", os.uname().release, flush=True)
    for function in CHECKS:
        begin = time.monotonic()
        try:
            function()
            word, why = "ok", ""
        except Exception as error:  # whatever it is, the other checks are still to be made
            word, why = "FAIL", ": " + re.sub(r"\s+", " ", f"{type(error).__name__} {error}")[:1500]
        print(f"VM: {word} {function.__name__} ({time.monotonic() - begin:.0f} s){why}", flush=True)


sys.exit(main())
