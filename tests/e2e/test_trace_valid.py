# SPDX-License-Identifier: Apache-2.0
"""The judge of traces (trace_valid.py) lets right ones pass and finds each fault."""
import copy

import perfetto
import pytest

from trace_valid import Timeline, Trace


def call(name, start, end, depth, caller, own, **more):
    line = {"type": "call", "pid": 1, "tid": 2, "thread": "main", "name": name, "module": "m", "file": "m.py",
            "line": 1, "start_ns": start, "end_ns": end, "depth": depth, "began": "call", "ended": "return",
            "self_ns": own, "frame": hex(64 + depth), **more}
    return {**line, "caller": caller, "caller_line": 7} if caller else line


RIGHT = [
    {"type": "trace", "version": 1},
    call("leaf", 20, 30, 1, "main", 10),
    call("leaf", 30, 30, 1, "main", 0),
    call("inner", 42, 50, 2, "outer", 8),
    call("outer", 40, 50, 1, "main", 2, ended="raise", exception="KeyError"),
    call("gen", 50, 60, 1, "main", 10, frame="0x7", ended="yield"),
    call("gen", 70, 75, 1, "main", 5, frame="0x7", began="resume"),
    call("main", 10, 100, 0, None, 55),
    {"type": "raise", "pid": 1, "tid": 2, "name": "inner", "exception": "KeyError", "ts_ns": 45},
    {"type": "catch", "pid": 1, "tid": 2, "name": "main", "exception": "KeyError", "ts_ns": 52},
    {"type": "span", "pid": 1, "tid": 2, "name": "gen", "frame": "0x7", "start_ns": 50, "end_ns": 75, "active_ns": 15,
     "activations": 2},
    call("main", 15, 17, 0, None, 2, tid=3),
    {"type": "end", "lost": {}},
]
LEAF, _, INNER, OUTER, GEN, RESUMED, MAIN, RAISE, CATCH, SPAN = range(1, 11)


def test_right():
    assert Trace(copy.deepcopy(RIGHT)).problems == []


BROKEN = {
    "negative": (LEAF, {"end_ns": 19}, "ends before it begins"),
    "overlap": (INNER, {"end_ns": 52}, "overlaps"),
    "overlap of siblings": (LEAF, {"end_ns": 45, "self_ns": 25}, "overlaps"),
    "longer than its caller": (OUTER, {"end_ns": 45}, "overlaps"),
    "own time": (MAIN, {"self_ns": 54}, "has an own time of 54"),
    "own time of less than none": (LEAF, {"self_ns": -1}, "has an own time of -1"),
    "own time of more than all": (INNER, {"self_ns": 9}, "has an own time of 9"),
    "depth": (INNER, {"depth": 3}, "has depth 3"),
    "not deeper": (INNER, {"depth": 1}, "and not deeper"),
    "caller": (INNER, {"caller": "main"}, "has the caller main"),
    "no caller": (MAIN, {"caller": "leaf"}, "has the caller leaf"),
    "unknown begin": (LEAF, {"began": "begun"}, "began by begun"),
    "unknown end": (LEAF, {"ended": "left"}, "ended by left"),
    "exception of none": (LEAF, {"exception": "KeyError"}, "has an exception"),
    "no name": (LEAF, {"name": None}, "has no name"),
    "no number": (LEAF, {"start_ns": 20.5}, "has no start_ns"),
    "raise elsewhere": (RAISE, {"ts_ns": 55}, "in no call of inner"),
    "catch elsewhere": (CATCH, {"ts_ns": 9}, "in no call of main"),
    "raise of nothing": (RAISE, {"exception": None}, "of no exception"),
    "span too short": (SPAN, {"end_ns": 72}, "in no span of it"),
    "span from before": (SPAN, {"start_ns": 45}, "begins before its first activation"),
    "span backwards": (SPAN, {"end_ns": 49}, "ends before it begins"),
    "too active": (SPAN, {"active_ns": 16}, "was active for 16"),
    "active for longer than it is": (SPAN, {"active_ns": 26}, "was active for 26"),
    "activations": (SPAN, {"activations": 3}, "has 3 activations"),
    "a number that is none": (LEAF, {"caller_line": 0}, "a number that is none"),
    "a caller that is none": (LEAF, {"caller": None}, "has no caller"),
    "unknown line": (RAISE, {"type": "remark"}, "unknown type"),
    "no beginning": (0, {"type": "remark"}, "the first line"),
    "no end": (-1, {"type": "trace"}, "the last line"),
    "nothing of what was lost": (-1, {"lost": None}, "does not tell what was lost"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_broken(fault):
    where, change, words = BROKEN[fault]
    lines = copy.deepcopy(RIGHT)
    lines[where].update(change)
    assert any(words in problem for problem in Trace(lines).problems), Trace(lines).problems


def test_left_out():
    """With a filter, callers may be missing; times may not be wrong."""
    lines = [line for line in copy.deepcopy(RIGHT) if line.get("name") not in ("outer", "gen")]
    assert Trace(copy.deepcopy(lines), whole=False).problems == []
    assert Trace(copy.deepcopy(lines)).problems != []
    lines[INNER]["end_ns"] = 120
    assert any("overlaps" in problem for problem in Trace(lines, whole=False).problems)


def test_cut_off():
    assert Trace(copy.deepcopy(RIGHT[:-1])).problems


def event(ph, name, ts, **more):
    return {"ph": ph, "name": name, "ts": ts, "pid": 1, "tid": 2, **more}


CHROME = [
    event("M", "thread_name", 0, args={"name": "main"}),
    event("X", "main", 1, dur=100), event("X", "leaf", 2.001, dur=.999), event("X", "leaf", 3, dur=0),
    event("B", "other", 1, tid=3), event("B", "in", 2, tid=3), event("E", "in", 2.5, tid=3),
    event("E", "other", 3, tid=3),
    event("b", "task", 5, cat="task", id=9), event("e", "task", 6, cat="task", id=9),
    event("s", "await", 5, cat="flow", id=1), event("f", "await", 6, cat="flow", id=1),
]


def test_chrome():
    timeline = Timeline({"traceEvents": CHROME})
    assert timeline.problems == []
    assert len(timeline.slices) == 5 and len(timeline.spans) == len(timeline.flows) == 1


@pytest.mark.parametrize("where, change, words", [
    (1, {"dur": -1}, "negative"), (2, {"dur": 200}, "overlaps"), (3, {"ts": 100.5, "dur": 1}, "overlaps"),
    (6, {"ts": 1.5}, "ends before it begins"), (6, {"name": "other"}, "ends where"), (5, {"ts": .5}, "begins before"),
    (7, {"ph": "i"}, "never ends"), (5, {"ph": "i"}, "ends where"), (9, {"ts": 4}, "ends before"), (9, {"ph": "n"}, "never ends"),
    (8, {"ph": "n"}, "of no span"), (11, {"ts": 4}, "flow"), (10, {"ph": "t"}, "flow"), (0, {"ph": "Z"}, "phase Z")])
def test_chrome_broken(where, change, words):
    events = copy.deepcopy(CHROME)
    events[where].update(change)
    problems = Timeline(events).problems
    assert any(words in problem for problem in problems), problems


def field(number, value):
    """Of a message."""
    def varint(n):
        return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def packet(ns, kind, track, name=b"", flow=b""):
    return field(1, field(8, ns) + field(10, 1) + field(11, field(9, kind) + field(11, track) + name + flow))


def flow(number):
    return field(47, number.to_bytes(8, "little"))


PERFETTO = [
    field(1, field(10, 1) + field(13, 1) + field(12, field(2, field(1, 5) + field(2, b"interned")))),
    packet(1000000000001, 1, 7, field(10, 5), flow(9)), packet(1000000000002, 1, 7, field(23, b"named")),
    packet(1000000000004, 2, 7, flow=flow(9)), packet(1000000000009, 2, 7),
]


def test_perfetto():
    timeline = Timeline(perfetto.events(b"".join(PERFETTO)))
    assert timeline.problems == []
    assert sorted(timeline.slices) == [(1000000000001, 1000000000009, "interned"),
                                       (1000000000002, 1000000000004, "named")]
    assert timeline.flows == [(1000000000001, 1000000000004)]


@pytest.mark.parametrize("without, words", [(1, "an end"), (4, "never ends"), (3, "flow")])
def test_perfetto_broken(without, words):
    problems = Timeline(perfetto.events(b"".join(p for i, p in enumerate(PERFETTO) if i != without))).problems
    assert any(words in problem for problem in problems), problems
