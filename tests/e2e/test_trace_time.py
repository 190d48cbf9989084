# SPDX-License-Identifier: Apache-2.0
"""uncoil trace tells how long functions take: against programs that know it."""
import json

import perfetto
import pytest

from conftest import GOT, SYSTEM, TARGETS, every_python
from trace_valid import Timeline, Trace
from tracing import lines_of, tracer, worker  # noqa: F401 (fixtures)

WITHIN = .05
# A hit is calibrated while nothing else is done; between calls of 20 us it finds the caches cold, and so much
# of it is left in the caller, for each call that it makes and each exception (docs/tracing.md)
COLD_NS = 800
HITS = {"mixed": 10, "above": 23, "consumer": 11, "catches": 2, "fails": 1, "nest": 10}


def off(name, what, got, want):
    """Nothing, or a sentence."""
    return [] if abs(got - want) <= WITHIN * want + COLD_NS * HITS.get(name, 0) else [
        f"{name}: {what}: {got / 1000:.2f} us, and it is {want / 1000:.2f} ({got / want - 1:+.1%})"]


def compared(stats, truth):
    """What is off of total and own times, each of one call."""
    functions = {f["name"]: f for f in stats["functions"] if f["file"].endswith("timed.py")}
    us = {"pieces": 300e3, "fails": truth["catches"]}
    own = {"spin20": truth["spin20"], "spin60": truth["spin60"], "spin200": truth["spin200"],
           "mixed": truth["mixed"] - 10 * truth["spin20"], "nest": truth["nest"] / 10, "fails": truth["catches"],
           "pieces": 300e3, "consumer": 200e3}
    wrong = []
    for name, want in {**truth, **us}.items():
        f = functions[name]
        wrong += off(name, "total", f["total_ns"] / (60 if name == "nest" else f["calls"]), want)
    for name, want in own.items():
        wrong += off(name, "own", functions[name]["self_ns"] / functions[name]["calls"], want)
    # of classes that are a fourth of a power of two wide
    wrong += [f"{name}: p50: {functions[name]['p50_ns']} ns" for name in ("spin20", "spin60", "spin200", "mixed")
              if not .75 < functions[name]["p50_ns"] / truth[name] < 1.3]
    return wrong


@every_python
def test_times(worker, tracer, folder, python):
    """What probes cost is taken off: the same as without them. Somebody else may use the CPU, and not always
    while the same function runs."""
    process = worker("chrt", "-f", "10", python, TARGETS / "timed.py")
    file, all_stats = folder / "x.json", []
    for _ in range(3):
        trace = tracer(process.pid, "--stats", "-f", "json", file=file)
        process.work()
        assert trace.end().code == 0
        all_stats.append(json.loads(file.read_text()))
        if len(all_stats) == 1:
            counts = {f["name"]: f["calls"] for f in all_stats[0]["functions"]}
            assert counts["spin20"] == 60 * 31 and counts["nest"] == 600 and counts["pieces"] == 60
    truth = json.loads(process.finish())
    wrong = [compared(stats, truth) for stats in all_stats]
    assert min(map(len, wrong)) == 0, "\n".join(min(wrong, key=len))


def test_own_cost_is_stated(worker, tracer, folder):
    """Not taken off, callers have what their callees' probes took; and what is taken off is told."""
    process = worker("chrt", "-f", "10", SYSTEM, TARGETS / "timed.py")
    trace = tracer(process.pid, "--stats", "-f", "json", file=folder / "x.json")
    process.work()
    assert trace.end().code == 0
    stats = json.loads((folder / "x.json").read_text())
    about = stats["trace"]
    assert about["begin_cost_ns"] > 100 and about["end_cost_ns"] > 100, about
    assert about["compensated"] and str(about["begin_cost_ns"]) in about["compensation"]
    # and with what they take in them
    trace = tracer(process.pid, "--stats", "--no-compensate", "-f", "json", file=folder / "x.json")
    process.work()
    assert trace.end().code == 0
    raw = json.loads((folder / "x.json").read_text())
    assert not raw["trace"]["compensated"]
    nested = [next(f for f in s["functions"] if f["name"] == "mixed") for s in (stats, raw)]
    assert nested[1]["total_ns"] / nested[1]["calls"] > nested[0]["total_ns"] / nested[0]["calls"] + 3000


NEW = pytest.param(GOT["sid-3.14"], id="sid-3.14", marks=[] if GOT["sid-3.14"].exists() else pytest.mark.skip(
    reason="there is no sid-3.14: scripts/get-pythons sid"))
OLD_AND_NEW = pytest.mark.parametrize("python", [pytest.param(SYSTEM, id="debian-3.11"), NEW])


def traced(worker, tracer, file, python, program, *args):
    process = worker(python, TARGETS / "awaits.py", program)
    trace = tracer(process.pid, *args, file=file)
    process.work()
    result = trace.end()
    assert result.code == 0, result.err
    process.finish()


def spans_of(lines, name):
    return [line for line in lines if line["type"] == "span" and line["name"] == name]


def duration(span):
    return (span["end_ns"] - span["start_ns"]) / 1e9


@every_python
def test_await(worker, tracer, folder, python):
    """A coroutine that waits a second and computes a millisecond says so."""
    traced(worker, tracer, folder / "x.jsonl", python, "one", "-f", "jsonl")
    lines = lines_of(folder / "x.jsonl")
    assert not Trace(lines).problems
    (slow,) = spans_of(lines, "slow")
    assert 1 <= duration(slow) < 1.5
    assert .001 <= slow["active_ns"] / 1e9 < .05
    pauses = spans_of(lines, "pause")
    assert len(pauses) == 2 and all(.5 <= duration(p) < .9 and p["active_ns"] < 5e7 for p in pauses)
    activations = [c for c in lines if c["type"] == "call" and c["name"] == "slow"]
    assert [(c["began"], c["ended"]) for c in sorted(activations, key=lambda c: c["start_ns"])] == [
        ("call", "yield"), ("resume", "yield"), ("resume", "return")]


@OLD_AND_NEW
def test_many_tasks(worker, tracer, folder, python):
    traced(worker, tracer, folder / "x.jsonl", python, "many", "-f", "jsonl")
    lines = lines_of(folder / "x.jsonl")
    assert not Trace(lines).problems
    spans = spans_of(lines, "brief")
    assert len(spans) == 500
    assert all(.3 <= duration(s) < 3 and 4e5 <= s["active_ns"] < 1e8 for s in spans)
    assert .2 <= sum(s["active_ns"] for s in spans) / 1e9 < 2
    # they wait at once: what is one's span is in another's
    starts, ends = [s["start_ns"] for s in spans], [s["end_ns"] for s in spans]
    assert max(starts) < min(ends)


@OLD_AND_NEW
@pytest.mark.parametrize("form", ["chrome", "perfetto"])
def test_flow(worker, tracer, folder, python, form):
    """Each task has a track of its own, and arrows lead from where it waits to where it goes on."""
    traced(worker, tracer, folder / "x", python, "many", "-f", form)
    data = (folder / "x").read_bytes()
    timeline = Timeline(json.loads(data) if form == "chrome" else perfetto.events(data))
    assert not timeline.problems
    assert sum(bool(name) and name.startswith("brief") for _, _, name in timeline.spans + timeline.slices) >= 500
    assert sum(to - since >= .25e9 for since, to in timeline.flows) >= 500
