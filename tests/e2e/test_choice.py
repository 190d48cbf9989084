# SPDX-License-Identifier: Apache-2.0
"""--thread: reports of some threads, by name and by id; what is left out is told, and nothing is lost."""

import collections
import json
import re

import pytest

from conftest import SYSTEM, computed, stacks, uncoil

PROGRAM = """
import threading, time
def spin():
    while True: sum(range(2000))
def nap():
    while True: time.sleep(.01)
for target, name in (spin, "worker-1"), (nap, "worker-2"), (spin, "other\\x1b[31m"):
    threading.Thread(target=target, name=name, daemon=True).start()
print("ready", flush=True)
spin()
"""
SUFFIXES = ("folded", "txt", "svg", "speedscope.json", "pb.gz", "pftrace", "trace.json")
WORKERS = {"worker-1", "worker-2"}


@pytest.fixture
def threads(start):
    process = start(SYSTEM, "-c", PROGRAM)
    process.said(b"ready")
    return process


def outputs(folder, name):
    return [word for suffix in SUFFIXES for word in ("-o", folder / f"{name}.{suffix}")]


def names(path):
    return {e["args"]["name"] for e in json.loads(path.read_text())["traceEvents"] if e["name"] == "thread_name"}


def of_thread(frames):
    return re.fullmatch(r"thread \d+ \((.*)\)", f"{frames[1].name} ({frames[1].file})")[1]


@pytest.mark.parametrize("mode, left_out", [
    ("cpu", "samples of other threads are left out (--thread)"),
    ("wall", "ms of other threads are left out (--thread)")])
def test_chosen(threads, recorder, folder, mode, left_out):
    process = recorder("--mode", mode, "-t", "-r", "250", "--thread", "worker-*", "--thread", "none?",
                       "-p", str(threads.pid), "-o", folder / "x.uncoil", *outputs(folder, "x"))
    computed(threads.pid, .4)
    process.terminate()
    err = process.communicate(timeout=20)[1].decode()
    assert process.returncode in (0, 3), err
    assert re.search(r"^no thread matches 'none\?'$", err, re.M) and "'worker" not in err, err
    told = re.search(rf"^(\d+) {re.escape(left_out)}$", err, re.M)
    assert told, err
    # a replay, in which the journal has all of them
    again = uncoil("replay", "-t", "--thread", "worker-*", folder / "x.uncoil", *outputs(folder, "again"))
    assert again.code == process.returncode, again.err
    for suffix in SUFFIXES:
        assert (folder / f"again.{suffix}").read_bytes() == (folder / f"x.{suffix}").read_bytes(), suffix
    whole = uncoil("replay", "-t", folder / "x.uncoil", *outputs(folder, "whole"))
    assert "no thread matches" not in whole.err and "--thread" not in whole.err
    everything, chosen = stacks(folder / "whole.folded"), stacks(folder / "x.folded")
    # on-CPU, a thread that sleeps is there only if it was sampled
    seen = {of_thread(f) for f, _ in chosen}
    assert seen == WORKERS or seen == {"worker-1"} and mode == "cpu"
    want, got = (collections.Counter(dict(s)) for s in ([e for e in everything if of_thread(e[0]) in WORKERS], chosen))
    # times are rounded, with a carry from line to line
    assert all(abs(want[f] - got[f]) <= (mode == "wall") for f in want | got)
    rest = everything.total - chosen.total
    assert rest == int(told[1]) if mode == "cpu" else abs(rest / 1000 - int(told[1])) < 5
    # others have no track, and every output says that there are some
    assert names(folder / "x.trace.json") == seen
    assert names(folder / "whole.trace.json") == seen | {"MainThread", "other\x1b[31m"}
    for suffix in ("pftrace", "svg", "txt", "speedscope.json"):
        data = (folder / f"x.{suffix}").read_bytes()
        assert b"worker-1" in data and b"MainThread" not in data and b"--thread" in data, suffix
        assert b"MainThread" in (folder / f"whole.{suffix}").read_bytes(), suffix
    # by id, and none
    tid = next(re.search(r"\d+", f[1].name)[0] for f, _ in everything if of_thread(f) == "MainThread")
    uncoil("replay", "-t", "--thread", tid, folder / "x.uncoil", "-o", folder / "id.folded")
    assert {of_thread(f) for f, _ in stacks(folder / "id.folded")} == {"MainThread"}
    empty = uncoil("replay", "--thread", "\x1b", folder / "x.uncoil", "-o", folder / "none.folded")
    assert empty.code == process.returncode and not (folder / "none.folded").read_bytes()
    assert "no thread matches '\\x1b'" in empty.err, empty.err
    # two recordings, compared by some of their threads
    same = uncoil("diff", "--thread", "worker-1", folder / "x.uncoil", folder / "x.uncoil").out.decode()
    assert re.search(rf"^B: \d+ {re.escape(left_out)}$", same, re.M), same
    gone = uncoil("diff", "--thread", "no", folder / "x.uncoil", folder / "x.uncoil")
    assert gone.code == 1 and "A has no thread that --thread names: nothing to compare" in gone.err


@pytest.mark.parametrize("command", [["record", "-p", "1"], ["top", "-p", "1"], ["replay", "x"], ["diff", "x", "y"]],
                         ids=lambda command: command[0])
@pytest.mark.parametrize("args, words", [(["--thread", ""], "--thread takes a thread's name, or its id"),
                                         (["--thread", "x"] * 65, "--thread x is one too many"),
                                         (["--thread"], "requires an argument")], ids=["empty", "many", "none"])
def test_wrong(command, args, words):
    result = uncoil(*command, *args)
    assert result.code == 2 and words in result.err and not result.out, result
    assert len(result.err.strip().split("\n")) == 1
