# SPDX-License-Identifier: Apache-2.0
"""The garbage collector on stacks: whose it is, how much, and what it calls."""

import json
import math
import pathlib
import re
import signal

import pytest

from conftest import SYSTEM, TARGETS, every_python, finish, got, stacks, uncoil, wait_for

RATE = 1997
SURE, DURING = "[garbage collection]", "[during garbage collection]"
MARKS = {SURE, DURING}
feature = pytest.mark.feature("garbage collector")


def knows_frame(python):
    """Does it say which frame started the collector?"""
    return python.version >= (3, 15)


def is_free_threaded(python):
    return python.endswith("t")


def mark_of(python):
    return SURE if knows_frame(python) or is_free_threaded(python) else DURING


def last_thread_ns(pid):
    """CPU time of the thread that was started last."""
    tids = sorted(map(int, (p.name for p in pathlib.Path(f"/proc/{pid}/task").iterdir())))
    text = pathlib.Path(f"/proc/{pid}/task/{tids[-1]}/schedstat").read_text()
    return int(text.split()[0])


def recorded(folder, python, *args, options=()):
    out = folder / "x.folded"
    result = uncoil("record", "-q", "-r", str(RATE), *options, "-o", out, "--", python,
                    TARGETS / "collects.py", *args, timeout=60)
    assert result.code in (0, 3), result.err
    return stacks(out), result.out


def sums(seen, *names):
    """Samples that have all these frames: with the mark, without it."""
    found = [0, 0]
    for frames, count in seen:
        have = {f.name for f in frames}
        if have.issuperset(names):
            found[not have & MARKS] += count
    return found


@feature
@every_python
def test_share(folder, python):
    """The share is what the program itself measures; nobody else has it."""
    seen, said = recorded(folder, python, "share", ".4")
    used = json.loads(said)
    # no frame began the last collection, at the interpreter's end
    assert {f.name for frames, _ in seen.having("share") for f in frames} & MARKS == {mark_of(python)}
    collector, rest = sums(seen, "measured")
    want = used["collector"] / (used["collector"] + used["rest"])
    error = 4 * math.sqrt(want * (1 - want) / (collector + rest))
    assert abs(collector / (collector + rest) - want) < error + .01, (used, collector, rest)
    assert sums(seen, "measured", "collect")[0] == collector
    # where nothing is called, nobody else gets the GIL; without it they are not the collector
    lambdas = [(f, n) for f, n in seen if any(x.name.endswith("<lambda>") for x in f)]
    assert sum(n for _, n in lambdas) > 100 and sums(lambdas)[0] == 0
    assert sums(seen, "compute")[0] == 0
    if mark_of(python) == SURE:
        assert sums(seen, "hashes")[0] + sums(seen, "packs")[0] == 0


@feature
@every_python
def test_what_it_calls(folder, python):
    """Finalizers and callbacks run on behalf of the collector, which is not what they call."""
    seen, _ = recorded(folder, python, "calls", ".4")
    for name in ("called", "finalize"):
        inside, outside = sums(seen, "collect", name)
        assert inside + outside > 50
        if is_free_threaded(python):
            assert not inside  # the world runs meanwhile
            continue
        assert not outside
        for frames, _ in seen.having(name):
            names = [f.name for f in frames]
            if knows_frame(python):
                assert names[names.index("collect") + 1] == SURE, names
            else:
                assert names[-1] == DURING, names
    assert sums([(f, n) for f, n in seen if "collect" not in {x.name for x in f}], "calls")[0] == 0


# one of each kind: with a GIL and without the frame, with it, without a GIL
KINDS = pytest.mark.parametrize("python", [pytest.param(SYSTEM, id="debian-3.11"), got("sid-3.15"),
                                           got("free-threaded-3.14")])


@KINDS
def test_a_finalizer_that_lets_the_gil_go(target, recorder, folder, python):
    """Only 3.15 and later say whose collection it is: there, the wait inside is marked, and the
    thread that runs meanwhile is not."""
    process = target("collects.py", "lends", python=python)
    out = folder / "x.folded"
    recording = recorder("--mode", "wall", "-r", "500", "-p", str(process.pid), "-o", out)
    before = last_thread_ns(process.pid)
    wait_for(lambda: last_thread_ns(process.pid) > before + 5e8, "the other thread to run", 60)
    recording.send_signal(signal.SIGINT)
    result = finish(recording)
    assert result.code in (0, 3), result.err
    seen = stacks(out)
    inside, outside = sums([(f, n) for f, n in seen if f[-1].name == "[sleep]"], "lend")
    assert (inside > 0 and not outside) if knows_frame(python) else (outside > 0 and not inside)
    waits = {name for name in seen.names() if name.startswith("[") and name not in MARKS}
    inside, outside = sums([(f, n) for f, n in seen if f[-1].name not in waits], "other")
    assert inside + outside > 1e5
    if mark_of(python) == SURE:
        assert not inside
    else:
        assert inside > .5 * (inside + outside)
        assert seen.names() & MARKS == {DURING}


def dumped(python, process, name, exact):
    """The functions of a thread, root first, in a dump in which it is in the collector."""
    def look():
        result = uncoil("dump", "--json", "-p", str(process.pid))
        assert result.code == 0, result.err
        thread, = [t for t in json.loads(result.out)["processes"][0]["threads"] if t["name"] == name]
        names = [f["function"] for f in thread["frames"]][::-1]
        return thread["exact"] >= exact and MARKS & set(names) and names
    return wait_for(look, f"{name} to be seen in the collector")


@KINDS
def test_dump(target, python):
    process = target("collects.py", "waits", python=python)
    names = dumped(python, process, "MainThread", False)
    assert names[-2:] == ["collect", mark_of(python)]
    text = wait_for(lambda: re.search(r"^    (\[.*garbage.*\])\n    collect \(.*", uncoil(
        "dump", "-p", str(process.pid)).out.decode(), re.M), "the collector to be seen")
    assert text[1] == mark_of(python)


@pytest.mark.parametrize("python", [got("sid-3.15")])
def test_dump_of_a_wait_inside(target, python):
    process = target("collects.py", "lends", python=python)
    names = dumped(python, process, "MainThread", True)
    assert names == ["<module>", "lends", "collect", SURE, "Lends.__del__", "lend"]
