# SPDX-License-Identifier: Apache-2.0
"""uncoil trace counts what Python counts: function by function, kind by kind, on every interpreter.

The oracle is sys.monitoring (3.12 on) or sys.setprofile, in a run of its own, since it changes the bytecode; and
once more in the very process that is traced."""
import collections
import json
import os

import pytest

from conftest import GOT, PYTHONS, SYSTEM, TARGETS, every_python
from trace_valid import Trace
from tracing import calls_of, counted, lines_of, tracer, truth, worker  # noqa: F401 (fixtures)

SECTIONS = ("recursion,comprehensions,classes,from_c,generators,coroutines,exceptions,freed,made,threads,"
            "kinds,chance")
KINDS = {"start": "calls", "resume": "resumes", "throw": "throws", "return": "returns", "yield": "yields",
         "yield from": "yields", "unwind": "raises"}
BEGAN, ENDED = ("calls", "resumes", "throws"), ("returns", "yields", "raises")
# whose functions wait for each other: how often they are called is no fact; and the oracle
LEFT_OUT = ("threading.py", "_weakrefset.py", "oracle.py")


def expected(functions):
    """(file, line, name) -> our kinds, of what the oracle says."""
    found = {}
    for file, line, name, kinds, _ in functions:
        sums = found[file, line, name] = dict.fromkeys(BEGAN + ENDED, 0)
        for kind, cnt in kinds.items():
            sums[KINDS[kind]] += cnt
    return found


def seen(stats):
    """Likewise, of what uncoil says."""
    found = {}
    for function in stats["functions"]:
        key = function["file"], function["line"], function["name"]
        sums = found.setdefault(key, dict.fromkeys([*BEGAN, *ENDED, "before", "open", "unseen"], 0))
        for kind in sums:
            sums[kind] += function[kind]
    return found


def settle(python, sums):
    """What the oracle of this version cannot tell apart, put together."""
    if python.version < (3, 11):
        return {**{kind: sums[kind] for kind in ENDED}, "begins": sum(sums[kind] for kind in BEGAN)}
    return {kind: sums[kind] for kind in BEGAN + ENDED}


def differences(python, want, got):
    """Sentences, one for each function and kind that differs."""
    wrong = []
    for key in sorted(want.keys() | got.keys()):
        if os.path.basename(key[0]) in LEFT_OUT:
            continue
        zero = dict.fromkeys([*BEGAN, *ENDED, "before", "open", "unseen"], 0)
        if key not in want and got[key]["before"] and not any(got[key][k] for k in BEGAN):
            continue  # what had called the work
        is_want, is_got = settle(python, want.get(key, zero)), settle(python, got.get(key, zero))
        where = f"{python.name}: {os.path.basename(key[0])}:{key[1]} {key[2]}"
        wrong += [f"{where}: {kind}: expected {is_want[kind]}, got {is_got[kind]}"
                  for kind in is_want if is_want[kind] != is_got[kind]]
        # 3.11 goes on with a generator without a begin in one way of throw(): the oracle has an end more
        unbegun = sum(want.get(key, zero)[kind] for kind in ENDED) - sum(want.get(key, zero)[kind] for kind in BEGAN)
        allowed = {"before": max(0, unbegun), "open": 0, "unseen": 0}
        wrong += [f"{where}: {kind}: expected {allowed[kind]}, got {got[key][kind]}"
                  for kind in allowed if key in got and got[key][kind] != allowed[kind]]
    return wrong


def same(python, want, got):
    wrong = differences(python, want, got)
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def stats_of(tracer, process, file, *args, times=1):
    """What --stats says of so much work."""
    trace = tracer(process.pid, "--stats", "-f", "json", *args, file=file)
    process.work(times)
    result = trace.end()
    assert result.code == 0, result.err
    stats = json.loads(file.read_text())
    assert not any(stats["trace"]["lost"].values()), stats["trace"]
    return stats


@every_python
def test_counts(worker, tracer, folder, python):
    want = expected(counted(python, SECTIONS))
    process = worker(python, *truth("plain", SECTIONS))
    stats = stats_of(tracer, process, folder / "x.json")
    same(python, want, seen(stats))
    for function in stats["functions"]:
        began = sum(function[kind] for kind in BEGAN) + function["before"]
        assert began == sum(function[kind] for kind in ENDED) + function["open"] + function["unseen"], function
        assert 0 <= function["self_ns"] <= function["total_ns"], function
        assert 0 <= function["p50_ns"] <= function["p99_ns"], function
        assert 0 < function["primitive"] <= began, function
    process.finish()


@every_python
def test_counts_from_the_first_on(worker, tracer, folder, python):
    """Nothing was learnt of where frames are before the first exception."""
    process = worker(python, *truth("plain", "exceptions"))
    stats = stats_of(tracer, process, folder / "x.json")
    same(python, expected(counted(python, "exceptions")), seen(stats))
    process.finish()


@every_python
def test_counts_beside_the_oracle(worker, tracer, folder, python):
    """Both in one process: the target's own count of the same work, whose callbacks are called all the time."""
    process = worker(python, *truth("counted", SECTIONS))
    stats = stats_of(tracer, process, folder / "x.json")
    want = expected(json.loads(process.finish()))
    same(python, want, seen(stats))
    assert any(os.path.basename(f["file"]) == "oracle.py" and f["calls"] > 1000 for f in stats["functions"])


UNDER = [(GOT["sid-3.14"], "hooked"), (GOT["trixie-3.13"], "settrace"), (SYSTEM, "settrace"), (SYSTEM, "hooked"),
         *((python, "settrace") for python in PYTHONS.values() if python.version in [(3, 8), (3, 12)])]


@pytest.mark.parametrize("python, mode", [pytest.param(
    python, mode, id=f"{python.name}-{mode}", marks=pytest.mark.skipif(
        not python.exists(), reason=f"there is no {python.name}")) for python, mode in UNDER])
def test_counts_under_hooks(worker, tracer, folder, python, mode):
    want = expected(counted(python, SECTIONS))
    process = worker(python, *truth(mode, SECTIONS))
    stats = stats_of(tracer, process, folder / "x.json")
    same(python, want, seen(stats))
    process.finish()


@every_python
def test_refused(worker, tracer, folder, python):
    """A call that the recursion limit refuses is none: the program counts those that ran."""
    process = worker(python, *truth("plain", "refused"))
    stats = stats_of(tracer, process, folder / "x.json")
    facts = json.loads(process.finish())
    got = {key[2]: sums for key, sums in seen(stats).items()}
    for name in ("bottomless", "by_c"):
        ran = facts[name]
        assert ran > 100
        assert got[name] == {**dict.fromkeys(got[name], 0), "calls": ran, "raises": ran}, (name, got[name])


def test_both_ways(worker, tracer, folder):
    """The sums and the single calls tell the same."""
    sections = "comprehensions,classes,from_c,generators,coroutines,exceptions,freed,made"
    process = worker(SYSTEM, *truth("plain", sections))
    want = expected(counted(SYSTEM, sections))
    stats = stats_of(tracer, process, folder / "x.json")
    same(SYSTEM, want, seen(stats))
    trace = tracer(process.pid, "-f", "jsonl", file=folder / "x.jsonl")
    process.work()
    assert trace.end().code == 0
    same(SYSTEM, want, summed(calls_of(folder / "x.jsonl")))


WORD = {"call": "calls", "resume": "resumes", "throw": "throws", "before": "before", "return": "returns",
        "yield": "yields", "raise": "raises", "open": "open", "unseen": "unseen"}


def summed(calls):
    """As seen(), of single calls."""
    found = {}
    for call in calls:
        key = call.get("file"), call.get("line"), call["name"]
        sums = found.setdefault(key, dict.fromkeys(WORD.values(), 0))
        sums[WORD[call["began"]]] += 1
        sums[WORD[call["ended"]]] += 1
    return found


@every_python
def test_valid(worker, tracer, folder, python):
    """Each call nests, and tells the exception that left it."""
    sections = "comprehensions,classes,from_c,generators,coroutines,exceptions,freed,made,threads,recursion,chance"
    process = worker(python, *truth("plain", sections))
    trace = tracer(process.pid, "-f", "jsonl", file=folder / "x.jsonl")
    process.work()
    result = trace.end()
    assert result.code == 0, result.err
    process.finish()
    lines = lines_of(folder / "x.jsonl")
    trace = Trace(lines)
    assert not trace.problems, "\n".join(trace.problems[:40])
    assert not any(lines[-1]["lost"].values()), lines[-1]
    want = expected(counted(python, sections))
    same(python, want, summed(trace.calls))
    left_by = collections.defaultdict(set)
    for call in trace.calls:
        if call["ended"] == "raise":
            left_by[call["name"].split(".")[-1]].add(call.get("exception"))
    assert left_by["fail"] == {"IndexError"}
    assert left_by["chained"] == {"ValueError"}
    assert left_by["in_finally"] == {"OverflowError"}
    assert left_by["missing"] == {"AttributeError"}
    assert left_by["bad_key"] == {"LookupError"}
    assert left_by["climb"] == {"KeyError"}
    # before 3.12 what made the generator go on makes another exception of it
    assert left_by["stops"] == {"RuntimeError" if python.version >= (3, 12) else "StopIteration"}
    assert left_by["never_finished"] == {"GeneratorExit"}
    # who catches one is told; not those that it only passed
    caught = collections.Counter((line["name"], line["exception"]) for line in lines if line["type"] == "catch")
    assert caught["same_frame", "KeyError"] == 39 * 5
    assert caught["two_up", "IndexError"] == caught["by_generator", "IndexError"] == 39
    assert not {name for name, _ in caught} & {"through", "fail"}
    deepest = max(call["depth"] for call in trace.calls if call["name"] == "deep")
    assert deepest >= 9900


def test_callers(worker, tracer, folder):
    """Who called whom, how often."""
    sections = "comprehensions,classes,generators,exceptions"
    want = {(file, line, name): {tuple(caller): cnt for caller, cnt in callers if caller[2] != "main"}  # open before
            for file, line, name, _, callers in counted(SYSTEM, sections)}
    process = worker(SYSTEM, *truth("plain", sections))
    stats = stats_of(tracer, process, folder / "x.json", "--callers")
    compared = 0
    for function in stats["functions"]:
        key = function["file"], function["line"], function["name"]
        callers = {(c["file"], c["line"], c["name"]): c["calls"] for c in function["callers"]
                   if c["calls"] and c["name"]}
        if key in want:
            assert callers == want[key], key
            compared += len(callers)
    assert compared > 60


def test_greenlets(worker, tracer, folder):
    """C stacks that switch all the time: each call is there, and none within one that it is not called by."""
    pytest.importorskip("gevent", reason="there is no gevent: scripts/setup test")
    process = worker(SYSTEM, TARGETS / "switches.py")
    process.work()
    stats = stats_of(tracer, process, folder / "x.json", times=2)
    got = {key[2]: sums for key, sums in seen(stats).items() if key[0].endswith("switches.py")}
    zero = dict.fromkeys([*BEGAN, *ENDED, "before", "open", "unseen"], 0)
    runs = 2 * 20 * 15
    assert got["run"] == {**zero, "calls": runs, "returns": runs}
    assert got["descend"] == {**zero, "calls": runs * 41, "returns": runs * 41}
    assert got["numbers"] == {**zero, "calls": runs, "resumes": runs * 30, "yields": runs * 30, "returns": runs}
    trace = tracer(process.pid, "-f", "jsonl", file=folder / "x.jsonl")
    process.work()
    assert trace.end().code == 0
    assert not Trace(lines_of(folder / "x.jsonl")).problems
    for call in calls_of(folder / "x.jsonl"):
        if call["name"] == "descend":
            assert call.get("caller") in ("descend", "run"), call
        elif call["name"] == "numbers":
            assert call.get("caller") == "run", call
    process.finish()
