# SPDX-License-Identifier: Apache-2.0
"""Whatever happens while probes are in: the target lives, and computes what it computes without them."""
import json
import os
import shutil
import signal
import statistics
import subprocess
import time

import pytest

from conftest import SYSTEM, TARGETS, UNCOIL, WAIT, every_python, state, uncoil, wait_for
from test_sites import Counters, changed, code, maps, plan  # noqa: F401 (changed: a fixture)
from tracing import FILES, lines_of, tracer, truth, worker  # noqa: F401 (fixtures)

SOAK = int(os.environ.get("UNCOIL_SOAK", "0"))  # cycles on each interpreter; 0: few


def kinds(worker, python=SYSTEM, *wrapper):
    return worker(*wrapper, python, TARGETS / "kinds.py", "plain", "1", TARGETS / "oracle.py")


def bytes_at(pid, path, where):
    return [code(pid, path, site)[1] for site in where]


def stats(file):
    return {f["name"]: f for f in json.loads(file.read_text())["functions"]}


def lives(process, times=3):
    process.work(times)
    process.finish()


FIB = 642  # calls of fib() in kinds.py's work


# --- others

def test_only_the_one_process(worker, tracer, folder):
    """Another process of the same binary has no breakpoint, and is as fast as before."""
    traced, other = kinds(worker), kinds(worker)
    path, where, _ = plan(traced.pid)
    before = bytes_at(other.pid, path, where)

    def seconds():
        start = time.perf_counter()
        other.work()
        return time.perf_counter() - start

    seconds()
    alone, beside = [], []
    for _ in range(3):
        alone += [seconds() for _ in range(10)]
        trace = tracer(traced.pid, "--stats", "-f", "json", file=folder / "x.json")
        now = bytes_at(traced.pid, path, where)
        assert b"\xcc" in now and bytes_at(other.pid, path, where) == before
        beside += [seconds() for _ in range(10)]
        assert trace.end().code == 0
        assert bytes_at(traced.pid, path, where) == before
    assert statistics.median(beside) < 1.1 * statistics.median(alone) + 1e-4
    lives(traced)
    lives(other)


def test_nothing_is_left(worker, tracer, folder, nothing_left):
    """After it ends, and after it was killed: no breakpoint, no program."""
    process = kinds(worker)
    path, where, _ = plan(process.pid)
    before = bytes_at(process.pid, path, where)
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        trace = tracer(process.pid, "--stats", "-f", "json", file=folder / f"{stop}.json")
        process.begin(20)
        assert b"\xcc" in bytes_at(process.pid, path, where)
        trace.send_signal(stop)
        trace.wait(WAIT)
        wait_for(lambda: bytes_at(process.pid, path, where) == before, "the breakpoints to go")
        process.done(20)
        nothing_left()
    lives(process)


# --- refused

def refused(pid, folder, *words):
    result = uncoil("trace", "-p", str(pid), "--stats", "-f", "json", "-d", ".2", "-o", folder / "x.json")
    said = [line for line in result.err.splitlines() if line.startswith("uncoil")]
    assert result.code == 1 and len(said) == 1, result
    for word in words:
        assert word in said[0], said
    assert "tracing" not in result.err
    assert not (folder / "x.json").exists()


def test_debugged(changed, folder):
    changed.tell("traced")
    refused(changed.pid, folder, "debugger")
    changed.kill()


def test_patched(changed, folder):
    """Somebody changed the code there: the file's bytes are not what would be executed."""
    path, where, _ = plan(changed.pid)
    site = next(site for site in where if site.kind == "raise")
    address, was = code(changed.pid, path, site)
    changed.tell("patch", hex(address), "c3")
    refused(changed.pid, folder, "not that of its file")
    assert code(changed.pid, path, site)[1] == b"\xc3"
    # and once it is as it was, all is well
    changed.tell("patch", hex(address), was.hex())
    result = uncoil("trace", "-p", str(changed.pid), "-d", ".1", "--stats", "-o", "/dev/null")
    assert result.code == 0, result.err
    assert changed.tell("patch", hex(address), was.hex()) == [b"ok"]


def test_mapped_twice(changed, tracer, folder):
    """Breakpoints go into every mapping: both are looked at, at each place. Nothing runs in the second one."""
    path, where, _ = plan(changed.pid)
    start = int(changed.tell("map", path)[1], 16)
    trace = tracer(changed.pid, "--stats", "-f", "json", file=folder / "right.json")
    for _ in range(10):
        changed.tell("patch", hex(start), "7f")  # the file's first byte
    assert trace.end().code == 0
    assert stats(folder / "right.json")["patch"]["calls"] == 10
    with open(path, "rb") as file:
        for site in where:
            address = start + site.offset
            changed.tell("patch", hex(address), "06")  # no instruction
            refused(changed.pid, folder, "not that of its file")
            file.seek(site.offset)
            changed.tell("patch", hex(address), file.read(1).hex())
    assert uncoil("trace", "-p", str(changed.pid), "-d", ".1", "--stats", "-o", "/dev/null").code == 0


def test_nobody(folder):
    result = uncoil("trace", "-p", "999999999", "-o", folder / "x.json")
    assert result.code != 0 and result.err.startswith("uncoil") and result.err.count("\n") == 1


# --- others are there too

def test_another_uprobe(worker, tracer, folder):
    """Places are shared: both see each hit."""
    process = kinds(worker)
    path, where, _ = plan(process.pid)
    with Counters(process.pid, path, where) as counters:
        trace = tracer(process.pid, "--stats", "-f", "json", file=folder / "x.json")
        process.work()
        assert trace.end().code == 0
        begins = counters.kinds()["begin"]
        process.work()
        assert counters.kinds()["begin"] == 2 * begins > 20000
    assert stats(folder / "x.json")["fib"]["calls"] == FIB
    lives(process)


def test_two_traces(worker, tracer, folder):
    process = kinds(worker)
    traces = [tracer(process.pid, "--stats", "-f", "json", file=folder / f"{i}.json") for i in range(2)]
    process.work()
    assert traces[0].end().code == 0
    process.work()
    assert traces[1].end().code == 0
    assert [stats(folder / f"{i}.json")["fib"]["calls"] for i in range(2)] == [FIB, 2 * FIB]
    lives(process)


# --- the target changes

def test_fork(worker, tracer, folder):
    """A child that is forked with probes on computes, and so does its parent; and is counted where asked for."""
    for args, times in ([], 2), (["-s"], 3):
        process = kinds(worker)
        trace = tracer(process.pid, "--stats", "-f", "json", *args, file=folder / "x.json")
        process.work()
        process.begin(byte=b"f")
        process.done()
        result = trace.end()
        assert result.code == 0
        functions = json.loads((folder / "x.json").read_text())["functions"]
        counts = [f["calls"] for f in functions if f["name"] == "fib"]
        # the child works at once: what it did before its probes were in is told
        told = "forked or exec'ed meanwhile" in result.err
        assert sum(counts) == times * FIB or told and 2 * FIB <= sum(counts) < times * FIB, (counts, result.err)
        lives(process)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("args", [[], ["-s"]], ids=["parent", "children"])
def test_child_outlives(worker, tracer, folder, args, stop):
    """A child has the breakpoints that were in at its fork, and runs into them when nobody traces any more."""
    process = worker(SYSTEM, TARGETS / "leaves.py")
    trace = tracer(process.pid, "--stats", "-f", "json", *args, file=folder / "x.json")
    process.begin(byte=b"fwf")
    process.done(3)
    trace.send_signal(stop)
    trace.wait(WAIT)
    process.begin(byte=b"wew")
    process.done(3)
    process.finish()


@pytest.mark.parametrize("into", ["itself", "another program"])
def test_exec(worker, tracer, folder, into):
    """Its memory is another's afterwards, without breakpoints."""
    again = ["-c", "import os\nos.write(1, b'again\\n')\nwhile os.read(0, 1): os.write(1, b'done\\n')"]
    command = [SYSTEM, *again] if into == "itself" else ["/bin/sh", "-c", "echo again; while read x; do echo done; done"]
    process = worker(SYSTEM, "-c", f"""
import os
def called(n): return n
os.write(1, b"ready\\n")
while os.read(0, 1) == b"w":
    for i in range(1000): called(i)
    os.write(1, b"done\\n")
os.execv({str(command[0])!r}, {list(map(str, command))!r})
""")
    trace = tracer(process.pid, "--stats", "-f", "json", file=folder / "x.json")
    process.work()
    process.begin(byte=b"x")
    assert process.stdout.readline() == b"again\n"
    process.begin(byte=b"\n")
    process.done()
    result = trace.end(None if trace.poll() is not None else signal.SIGINT)
    assert result.code == 0, result.err
    assert stats(folder / "x.json")["called"]["calls"] == 1000
    process.begin(byte=b"\n")
    process.done()
    process.finish()


def test_library_unloaded(worker, tracer, folder):
    """dlclose() of an embedded Python with probes in it; and it is loaded again, where what was known of it does
    not hold: that is told, as lost."""
    subprocess.run(["gcc", "-o", folder / "unloads", TARGETS / "unloads.c", "-ldl"], check=True, timeout=60)
    process = worker(folder / "unloads")
    trace = tracer(process.pid, "--stats", "-f", "json", file=folder / "x.json")
    process.work()
    process.begin(byte=b"c")
    process.done()
    process.begin(byte=b"o")
    process.done()
    process.work()
    result = trace.end(None if trace.poll() is not None else signal.SIGINT)
    assert result.code == (3 if "lost" in result.err else 0), result.err
    assert stats(folder / "x.json")["fib"]["calls"] >= 1973
    lives(process)


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_binary_gone(worker, tracer, folder, how):
    """What is mapped counts, whatever stands at its path."""
    program = folder / "python3.11"
    shutil.copy("/usr/bin/python3.11", program)
    process = kinds(worker, program)
    program.unlink()
    if how == "replaced":
        shutil.copy("/bin/true", program)
    trace = tracer(process.pid, "--stats", "-f", "json", file=folder / "x.json")
    process.work()
    assert trace.end().code == 0
    assert stats(folder / "x.json")["fib"]["calls"] == FIB
    lives(process)


def test_target_killed(worker, tracer, folder):
    """What was seen until then is told."""
    process = kinds(worker)
    trace = tracer(process.pid, "-f", "jsonl", file=folder / "x.jsonl")
    process.work()
    process.begin(50)
    time.sleep(.05)
    process.kill()
    result = trace.end(stop=None)
    assert result.code == 0, result.err
    lines = lines_of(folder / "x.jsonl")
    assert lines[-1]["type"] == "end"
    assert sum(line["type"] == "call" and line["name"] == "fib" for line in lines) >= FIB


def test_target_stopped(worker, tracer, folder):
    process = kinds(worker)
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: state(process.pid) == "T", "it to stop")
    trace = tracer(process.pid, "--stats", "-f", "json", file=folder / "x.json")
    assert trace.end().code == 0
    process.send_signal(signal.SIGCONT)
    lives(process)


def test_target_ends(worker, tracer, folder):
    """By itself: so does the trace."""
    process = kinds(worker)
    trace = tracer(process.pid, "--stats", "-f", "json", file=folder / "x.json")
    process.work()
    process.finish()
    assert trace.end(stop=None).code == 0
    assert stats(folder / "x.json")["fib"]["calls"] == FIB


# --- over and over

def untraced(worker, python, mode):
    process = worker(python, TARGETS / "soak.py", mode, *FILES, TARGETS / "switches.py")
    return json.loads(process.finish())["results"]


def soaked(worker, python, mode, cycles):
    """It computes on and on, while traces of all kinds come and go; each result is what it is without."""
    want = untraced(worker, python, mode)
    assert all(len(results) == 1 for results in want)
    process = worker(python, TARGETS / "soak.py", mode, *FILES, TARGETS / "switches.py")
    path, where, _ = plan(process.pid)
    before = bytes_at(process.pid, path, where)
    formats = [["--stats"], ["-f", "jsonl"], ["--stats", "--match", "nothing:*"], ["-f", "jsonl", "--min-duration", "1ms"]]
    for i in range(cycles):
        result = subprocess.run([UNCOIL, "trace", "-p", str(process.pid), "-d", ".03", "-o", "/dev/null",
                                 *formats[i % 4]], stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT)
        assert result.returncode in (0, 3), result  # 3: more calls than could be written
        assert process.poll() is None, f"it died in cycle {i}: {process.returncode}"
    assert bytes_at(process.pid, path, where) == before
    got = json.loads(process.finish())
    assert got["results"] == want and got["rounds"] > 2 * cycles


@every_python
def test_soak(worker, python):
    soaked(worker, python, "plain", SOAK or (12 if python == SYSTEM else 2))


def test_soak_greenlets(worker):
    pytest.importorskip("gevent", reason="there is no gevent: scripts/setup test")
    soaked(worker, SYSTEM, "switches", SOAK or 6)
