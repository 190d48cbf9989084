# SPDX-License-Identifier: Apache-2.0
"""uncoil trace at work: commands from their first call on, children, threads, windows, and ends of all kinds."""
import collections
import json
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import PYTHONS, SYSTEM, TARGETS, UNCOIL, WAIT, each_python, every_python, uncoil, wait_for
from test_sites import plan
from test_trace_safety import bytes_at
from tracing import lines_of, tracer, worker  # noqa: F401 (fixtures)

KIN = TARGETS / "kin.py"
CALLS = 1000  # kin.py
ANOTHER = next(path for path in PYTHONS.values() if path != SYSTEM)


def trace(folder, *command, options=(), code=0):
    result = uncoil("trace", "--max-overhead", "0", "--stats", "-f", "json", *options, "-o", folder / "x.json", "--",
                    *command)
    assert result.code == code, result.err
    return result, calls(folder / "x.json") if code in (0, 3) else None


def calls(path):
    """name -> calls, of all processes."""
    found = collections.Counter()
    for function in json.loads(path.read_text())["functions"]:
        found[function["name"]] += function["calls"]
    return found


# --- commands

@every_python
def test_first_call(folder, python):
    """The command is seen from its first call on: those of its start too."""
    script = folder / "first.py"
    script.write_text("def f(): pass\nfor i in range(100): f()\n")
    result = uncoil("trace", "--max-overhead", "0", "-f", "json", "-o", folder / "x.json", "--", python, script)
    # at its start pages may not be there yet that a frame's code is in: then that is told
    assert result.code == 0 or result.code == 3 and "lost: a frame could not be read" in result.err, result.err
    functions = json.loads((folder / "x.json").read_text())["functions"]
    found = {f["name"]: f["calls"] for f in functions if f["file"].endswith("first.py")}
    assert found == {"f": 100, "<module>": 1}, (len(functions), result.err)


def test_exit_status(folder):
    result, _ = trace(folder, SYSTEM, "-c", "raise SystemExit(7)")
    assert "the command exited with status 7\n" in result.err
    result, _ = trace(folder, SYSTEM, "-c", "import os; os.kill(os.getpid(), 9)")
    assert "the command was ended by signal 9 (Killed)\n" in result.err


@pytest.mark.parametrize("command, word", [(["/bin/true"], "no Python ran in the command itself"),
                                           (["/bin/sh", "-c", "exit 3"], "no Python ran in the command itself"),
                                           (["/nowhere/python"], "cannot run /nowhere/python: No such file")])
def test_no_python(folder, command, word, nothing_left):
    result, _ = trace(folder, *command, code=1)
    assert [line for line in result.err.splitlines() if line.startswith("uncoil")] == [result.err.splitlines()[-1]]
    assert word in result.err
    assert not os.listdir(folder)
    nothing_left()


# --- children

def told(result, what):
    found = re.search(rf"^(\d+) processes forked or exec'ed meanwhile: {what}", result.err, re.M)
    return int(found[1]) if found else 0


@pytest.mark.parametrize("mode, children", [("fork", 2), ("spawn", 2), ("os.fork", 1), ("subprocess", 1),
                                            ("shell", 1), ("grand", 1)])
def test_children(folder, mode, children):
    result, seen = trace(folder, SYSTEM, KIN, mode, options=["-s"])
    assert seen["f"] == 2 * CALLS and seen["child_f"] == children * CALLS
    assert told(result, "not seen until their probes were in") >= children
    assert "lost" not in result.err
    about = json.loads((folder / "x.json").read_text())["trace"]
    assert len({target["pid"] for target in about["targets"]}) >= children + 1


@each_python
def test_children_of_each(folder, python):
    _, seen = trace(folder, python, KIN, "os.fork", options=["-s"])
    assert seen["f"] == 2 * CALLS and seen["child_f"] == CALLS


def test_exec(folder):
    """Another program, the same process: also without -s, and whatever it was before."""
    for options in [], ["-s"]:
        _, seen = trace(folder, SYSTEM, KIN, "exec", options=options)
        assert seen["f"] == CALLS and seen["child_f"] == CALLS
    _, seen = trace(folder, "/bin/sh", "-c", f"exec '{SYSTEM}' '{KIN}' exec")
    assert seen["f"] == CALLS and seen["child_f"] == CALLS


def test_command_whose_children_run_python(folder):
    _, seen = trace(folder, "/bin/sh", "-c", f"'{SYSTEM}' '{KIN}' child; true", options=["-s"])
    assert seen["child_f"] == CALLS


def test_children_without_s(folder):
    for mode in "fork", "subprocess":
        result, seen = trace(folder, SYSTEM, KIN, mode)
        assert seen["f"] == 2 * CALLS and not seen["child_f"]
        assert "forked or exec'ed" not in result.err


def test_children_that_are_there(worker, tracer, folder):
    process = worker(SYSTEM, KIN, "worker")
    process.work()
    seen = tracer(process.pid, "-s", "--stats", "-f", "json", file=folder / "x.json")
    process.work(2)
    result = seen.end()
    assert result.code == 0, result.err
    assert calls(folder / "x.json")["f"] == calls(folder / "x.json")["child_f"] == 2 * CALLS
    process.finish()


@pytest.mark.parametrize("options", [[], ["-s"]], ids=["alone", "children"])
def test_child_keeps_no_breakpoint(worker, tracer, folder, options):
    """Without -s what is forked is rid of its parent's; with it, has them until the end."""
    process = worker(SYSTEM, KIN, "worker")
    path, where, _ = plan(process.pid)
    seen = tracer(process.pid, *options, "--stats", "-f", "json", file=folder / "x.json")
    process.begin(byte=b"f")
    child = int(process.stdout.readline())
    process.work()
    if options:
        wait_for(lambda: b"\xcc" in bytes_at(child, path, where), "the child's probes", 5)
    else:
        wait_for(lambda: b"\xcc" not in bytes_at(child, path, where), "the breakpoints to go", 5)
    assert b"\xcc" in bytes_at(process.pid, path, where)
    process.work(3)
    assert seen.end().code == 0
    assert b"\xcc" not in bytes_at(child, path, where) + bytes_at(process.pid, path, where)
    assert calls(folder / "x.json")["f"] == 4 * CALLS
    process.finish()


def test_two_pythons(worker, tracer, folder):
    one, other = worker(SYSTEM, KIN, "worker"), worker(ANOTHER, KIN, "worker")
    seen = tracer(one.pid, "-p", str(other.pid), "--stats", "-f", "json", file=folder / "x.json")
    one.work()
    other.work(2)
    assert seen.end().code == 0
    assert calls(folder / "x.json")["f"] == 3 * CALLS
    one.finish()
    other.finish()


# --- threads

def by_thread(path):
    found = collections.Counter()
    for line in lines_of(path):
        if line["type"] == "call":
            found[line["thread"], line["name"]] += 1
    return found


@pytest.mark.parametrize("python", [SYSTEM, PYTHONS[min(PYTHONS)], PYTHONS[sorted(PYTHONS)[-2]]])
def test_threads(worker, tracer, folder, python):
    """By name, and of those that begin meanwhile all that they call."""
    process = worker(python, TARGETS / "named_calls.py")
    seen = tracer(process.pid, "-f", "jsonl", "--thread", "alpha", "--thread", "gam*", "--thread", "nobody",
                  file=folder / "x.jsonl")
    process.begin()
    time.sleep(.5)
    process.begin()
    counts = dict(zip(("alpha", "beta", "gamma", "delta"), map(int, process.stdout.readline().split())))
    result = seen.end()
    found = by_thread(folder / "x.jsonl")
    assert {thread for thread, _ in found} == {"alpha", "gamma"}
    assert found["gamma", "c_f"] == counts["gamma"] and 0 < found["alpha", "a_f"] <= counts["alpha"]
    assert "no thread matches 'nobody'\n" in result.err and "'alpha'" not in result.err
    assert "1 threads not asked for: traced until their names were known" in result.err
    process.finish()


def test_thread_by_id(worker, tracer, folder):
    process = worker(SYSTEM, TARGETS / "named_calls.py")
    threads = sorted(map(int, os.listdir(f"/proc/{process.pid}/task")))
    seen = tracer(process.pid, "--stats", "-f", "json", "--thread", str(threads[2]), file=folder / "x.json")
    process.begin()
    time.sleep(.3)  # it calls each 2 ms
    process.begin()
    process.stdout.readline()
    assert seen.end().code == 0
    found = calls(folder / "x.json")
    assert found["b_f"] and not found["a_f"]
    process.finish()


# --- ends

@pytest.mark.parametrize("form", ["perfetto", "chrome", "jsonl", "stats", "json", "pstats", "raw"])
def test_interrupted(worker, tracer, folder, form):
    """Ctrl-C, amid calls: the file is whole."""
    process = worker(SYSTEM, KIN, "worker")
    seen = tracer(process.pid, "-f", form, file=folder / "x")
    process.begin(20)
    process.done(1)
    result = seen.end(signal.SIGINT)
    assert result.code == 0, result.err
    content = (folder / "x").read_bytes()
    if form in ("chrome", "json"):
        json.loads(content)
    elif form == "jsonl":
        assert lines_of(folder / "x")[-1]["type"] == "end"
    elif form == "pstats":
        import pstats
        assert pstats.Stats(str(folder / "x")).total_calls
    elif form == "raw":
        assert uncoil("replay", folder / "x", "--stats", "-o", "-").code == 0
    assert content
    process.done(19)
    process.finish()


def test_killed(worker, tracer, folder, nothing_left):
    process = worker(SYSTEM, KIN, "worker")
    path, where, _ = plan(process.pid)
    seen = tracer(process.pid, "-s", "--stats", "-f", "json", file=folder / "x.json")
    process.begin(10)
    seen.kill()
    process.done(10)
    wait_for(lambda: b"\xcc" not in bytes_at(process.pid, path, where), "the breakpoints to go", 5)
    process.work()
    process.finish()
    nothing_left()


def test_full_disk(worker, tracer):
    process = worker(SYSTEM, KIN, "worker")
    seen = tracer(process.pid, "-f", "jsonl", file="/dev/full")
    process.begin(50)
    result = seen.end(stop=None)
    assert result.code == 1
    assert re.search(r"^uncoil trace: .*/dev/full.*No space left on device$", result.err, re.M), result.err
    process.done(50)
    process.finish()


def test_pipe(folder):
    """-o -, and a reader that reads it all; and one that goes."""
    command = [UNCOIL, "trace", "--max-overhead", "0", "-q", "-f", "jsonl", "-o", "-", "--", SYSTEM, "-c",
               "def f(): pass\nfor i in range(3000): f()"]
    whole = subprocess.run(command, capture_output=True, timeout=WAIT)
    assert whole.returncode == 0, whole.stderr
    lines = [json.loads(line) for line in whole.stdout.splitlines()]
    assert sum(line.get("name") == "f" for line in lines) == 3000 and lines[-1]["type"] == "end"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as gone:
        gone.stdout.readline()
        gone.stdout.close()
        said = gone.stderr.read()
        assert gone.wait(WAIT) == 1 and said.count(b"\n") == 1, said


def test_windows(folder):
    """A bound that cannot be kept without pauses: what is cut is open, and how much was traced is told."""
    result = uncoil("trace", "--max-overhead", "10", "-d", "2.5", "-f", "jsonl", "-o", folder / "x.jsonl", "--", SYSTEM,
                    "-c", "def f(): pass\ndef g():\n  for i in range(3000): f()\nwhile 1: g()")
    lines = lines_of(folder / "x.jsonl")
    cut = [line for line in lines if line["type"] == "call" and line["ended"] == "open"]
    end = lines[-1]
    assert end["type"] == "end" and end["traced_ns"] < end["duration_ns"]
    assert end["overhead"]["bound"] == .1 and end["overhead"]["windows"] >= 1
    assert cut and {line["name"] for line in cut} <= {"f", "g", "<module>"}
    share = float(re.search(r"^traced: ([\d.]+) % of the time$", result.err, re.M)[1])
    assert share == pytest.approx(100 * end["traced_ns"] / end["duration_ns"], abs=.1)
    assert re.search(r"^overhead: slowed down by about [\d.]+ % \(estimated\)", result.err, re.M)


def test_code_freed_in_a_pause(start, folder):
    """Nobody hears of a code object that is freed while the probes are out, and another one has its address when they
    are in again."""
    process = start(SYSTEM, TARGETS / "remade.py", "16", stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    result = uncoil("trace", "-p", str(process.pid), "-d", "14", "--max-overhead", "40", "--stats", "-f", "json", "-o",
                    folder / "x.json")
    assert result.code == 0, result.err
    trace = json.loads((folder / "x.json").read_text())
    calls = {f["name"]: f["calls"] for f in trace["functions"] if f["name"].startswith("made_")}
    assert trace["trace"]["overhead"]["windows"] > 1 and len(calls) > 10, trace["trace"]
    assert {name: n for name, n in calls.items() if n > 2000} == {}
