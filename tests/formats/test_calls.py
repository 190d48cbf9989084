# SPDX-License-Identifier: Apache-2.0
"""A trace's outputs in the programs that people open them with: Perfetto's trace processor, pstats. What
they count is what the lines of JSON of the same journal say."""

import collections
import json
import pstats
import subprocess
import sys

import pytest

from conftest import GOLDEN, UNCOIL, run

SLICES = """
    select s.id, s.ts, s.dur, s.name, s.category, s.depth, s.parent_id as parent, s.track_id as track,
           s.arg_set_id as args, t.tid, t.name as thread, k.name as track_name, k.parent_id as track_parent
    from slice s left join thread_track using (id) left join track k on s.track_id = k.id
    left join thread_track y on y.id = s.track_id left join thread t on t.utid = y.utid
    order by s.ts, s.dur desc"""
ARGS = "select arg_set_id as args, flat_key as key, display_value as value from args"
FLOWS = "select slice_out as source, slice_in as target from flow"
WRONG = "select name, value from stats where value > 0 and severity in ('error', 'data_loss')"


@pytest.fixture
def journal():
    return GOLDEN / "calls/journal"


@pytest.fixture
def lines(replay):
    return [json.loads(line) for line in replay(".jsonl").read_text().splitlines()]


def of(lines, *types):
    return [line for line in lines if line["type"] in types]


@pytest.fixture(params=[".pftrace", ".trace.json"])
def slices(request, replay, query):
    rows, args, flows, wrong = query(replay(request.param), SLICES, ARGS, FLOWS, WRONG)
    assert wrong == []
    by_set = collections.defaultdict(dict)
    for row in args:
        by_set[row["args"]][row["key"].split(".")[-1]] = row["value"]
    for row in rows:
        row["args"] = by_set[row["args"]]
    return rows, flows


def test_every_call_is_a_slice(slices, lines):
    """Once, where it began, on its thread, and nested as it was called."""
    rows, _ = slices
    calls = [row for row in rows if row["category"] in ("function", "generator", "coroutine")]
    want = of(lines, "call")
    assert len(calls) == len(want) == 11
    got = collections.Counter((row["name"], row["ts"] + row["dur"], row["tid"], row["thread"])
                              for row in calls)
    assert got == collections.Counter((line["name"], line["end_ns"], line["tid"], line["thread"])
                                      for line in want)
    starts = {(line["name"], line["end_ns"]): line["start_ns"] for line in want}
    by_id = {row["id"]: row for row in rows}
    for row in calls:
        assert 0 <= starts[row["name"], row["ts"] + row["dur"]] - row["ts"] <= 1
        parent = by_id.get(row["parent"])
        assert (parent and parent["name"]) == {
            "handle": "main", "Parser.parse": "handle", "main": None, "serve": None,
            "fetch": "serve"}.get(row["name"], "main")


def test_arguments_tell_where_and_by_whom(slices):
    rows, _ = slices
    parse, = (row for row in rows if row["name"] == "Parser.parse")
    for key, value in {"file": "shop/parse.py", "line": "20", "module": "shop", "caller": "handle",
                       "exception": "ValueError", "ended": "raise"}.items():
        assert parse["args"][key] == value
    assert "12" in (parse["args"].get("caller line"), parse["args"].get("caller_line"))
    main, = (row for row in rows if row["name"] == "main")
    assert main["args"]["began"] == "before" and main["args"]["ended"] == "open"


def test_a_task_has_a_track_of_its_own(slices):
    rows, _ = slices
    task = [row for row in rows if row["category"] == "task"]
    assert [(row["name"], row["ts"], row["dur"], row["depth"]) for row in task] == [
        ("serve", 1_000_010_000, 5_420_000, 0), ("fetch", 1_000_020_000, 5_400_000, 1)]
    assert len({row["track"] for row in task}) == 1
    assert task[0]["args"].get("active ns", task[0]["args"].get("active_ns")) == "440000"
    assert task[0]["track_name"] in ("task 1: serve", "serve")


def test_an_await_leads_to_where_it_goes_on(slices):
    rows, flows = slices
    by_id = {row["id"]: row for row in rows}
    flow, = flows
    source, target = by_id[flow["source"]], by_id[flow["target"]]
    assert source["name"] == target["name"] == "serve"
    assert source["ts"] == 1_000_010_000 and target["ts"] == 1_005_310_000


def test_exceptions_are_moments_on_their_thread(slices):
    rows, _ = slices
    by_id = {row["id"]: row for row in rows}
    marks = [row for row in rows if row["category"] in ("raise", "catch")]
    assert [(row["category"], row["name"], row["ts"], by_id[row["parent"]]["name"])
            for row in marks] == [("raise", "ValueError", 1_000_300_000, "Parser.parse"),
                                  ("catch", "ValueError", 1_000_311_000, "handle")]


def test_nothing_overlaps(slices):
    rows, _ = slices
    open_on = collections.defaultdict(list)
    for row in rows:
        stack = open_on[row["track"]]
        while stack and stack[-1] <= row["ts"]:
            stack.pop()
        assert not stack or row["ts"] + row["dur"] <= stack[-1], row
        stack.append(row["ts"] + row["dur"])


def test_perfetto_says_what_the_trace_says(replay, query):
    rows, = query(replay(".pftrace"), "select s.name from slice s join track t on s.track_id = t.id "
                                      "where t.name = 'uncoil'")
    names = [row["name"] for row in rows]
    assert "nothing was lost" in names
    assert "pid 42, CPython 3.11.2: python3 app.py" in names


def test_pstats_reads_it(replay):
    """As cProfile's own: functions, counts, times and callers."""
    stats = pstats.Stats(str(replay(".pstats"))).stats
    handle, parse = ("/srv/shop/views.py", 10, "handle"), ("/srv/shop/parse.py", 20, "Parser.parse")
    primitive, calls, self_s, total, callers = stats[parse]
    assert (primitive, calls) == (1, 1)
    assert self_s == total == pytest.approx(109.4e-6)
    assert callers == {handle: (1, 1, pytest.approx(109.4e-6), pytest.approx(109.4e-6))}
    done = subprocess.run([sys.executable, "-m", "pstats", str(replay(".prof"))],
                          input="sort cumulative\nstats\ncallers\n", capture_output=True, text=True)
    assert "shop/views.py:10(handle)" in done.stdout and "2 function calls" in done.stdout


def test_the_table_for_programs(journal):
    table = json.loads(run(UNCOIL, "replay", "-q", "--stats", "-f", "json", journal))
    assert [row["name"] for row in table["functions"]] == ["handle", "Parser.parse"]
    for row in table["functions"]:
        assert row["calls"] + row["resumes"] + row["throws"] + row["before"] == \
            row["returns"] + row["yields"] + row["raises"] + row["open"] + row["unseen"] == 1
    assert table["trace"]["lost"] == {} and table["trace"]["share"] == 1
