# SPDX-License-Identifier: Apache-2.0
"""Timelines of waits, in Perfetto's trace processor: for each thread and reason the slices of perfetto
and chrome are as long as what the folded output has, and lie one behind the other on one track."""

import collections
import json
import re
import subprocess

import pytest

from conftest import GOLDEN, TOP, UNCOIL, printable, run

SLICES = """
    select t.tid, t.name as thread, p.pid, s.name, s.ts, s.dur, s.depth, s.track_id as track, s.id
    from slice s join thread_track k on s.track_id = k.id join thread t using (utid)
    left join process p using (upid) where s.category = 'wait' order by s.track_id, s.ts, s.id"""
CALLSTACKS = """
    select c.slice_id as id, f.name as leaf, coalesce(y.line_number, 0) as line
    from __intrinsic_track_event_callstacks c join stack_profile_callsite e on c.callsite_id = e.id
    join stack_profile_frame f on e.frame_id = f.id left join stack_profile_symbol y using (symbol_set_id)"""
TEXTS = "select s.id, a.key, a.string_value as text from slice s join args a using (arg_set_id) order by s.id, a.key"
OPEN = "select s.id from slice s join args a using (arg_set_id) where a.key in ('debug.open', 'args.open')"
SAMPLES = {".pftrace": "select p.ts, t.tid from perf_sample p join thread t using (utid)",
           ".trace.json": "select p.ts, t.tid from cpu_profile_stack_sample p join thread t using (utid)"}
WRONG = "select name, value from stats where value > 0 and severity in ('error', 'data_loss')"
SUFFIXES = [".pftrace", ".trace.json"]


@pytest.fixture(scope="module")
def live_waits(tmp_path_factory):
    """Threads that each wait for one thing, one of them always: tests/e2e/targets/waits.py."""
    folder = tmp_path_factory.mktemp("waits")
    target = subprocess.Popen(["/usr/bin/python3", "-IS", TOP / "tests/e2e/targets/waits.py"],
                              stdout=subprocess.PIPE, env={"UNCOIL_DISK": str(folder)})
    try:
        assert target.stdout.readline() == b"ready\n"
        run(UNCOIL, "record", "-q", "-p", target.pid, "-d", "1", "--mode", "wall", "--timeline",
            "-o", folder / "x.uncoil")
    finally:
        target.kill()
        target.wait()
    return folder / "x.uncoil"


@pytest.fixture(params=["golden", "live"])
def journal(request):
    if request.param == "live":
        return request.getfixturevalue("live_waits")
    return GOLDEN / "waits-timeline-3.12/journal"


ANSWERS = {}


@pytest.fixture(params=SUFFIXES)
def trace(request, journal, replay, query):
    """trace(option...) -> what the trace processor says of this journal in this format: asked once."""
    suffix = request.param

    def answers(*options):
        key = journal, suffix, options
        if key not in ANSWERS:
            more = [CALLSTACKS] if suffix == ".pftrace" else []
            ANSWERS[key] = query(replay(suffix, *options), SLICES, WRONG, SAMPLES[suffix], TEXTS, OPEN, *more)
        return ANSWERS[key]
    return answers


def folded_waits(path):
    """(tid, reason) -> microseconds; and for each of them the innermost frames: name, line."""
    sums, leaves = collections.Counter(), collections.defaultdict(set)
    for line in path.read_text().splitlines():
        stack, us = line.rsplit(" ", 1)
        frames = stack.split(";")
        if not re.fullmatch(r"\[.*\]", frames[-1]):
            continue
        tid = int(re.match(r"thread (\d+) ", frames[1])[1])
        sums[tid, frames[-1]] += int(us)
        match = re.fullmatch(r"(.*) \(.*:(\d+)\)", frames[-2])
        leaves[tid, frames[-1]].add((match[1], int(match[2])) if match and len(frames) > 3 else (frames[-2], 0))
    return sums, leaves


@pytest.mark.parametrize("idle", [[], ["-i"]], ids=["busy", "idle"])
def test_slices_are_as_long_as_the_waits(replay, trace, idle):
    want, _ = folded_waits(replay(".folded", "-t", *idle))
    slices, wrong, *_ = trace(*idle)
    assert wrong == []
    got = collections.Counter()
    for row in slices:
        got[row["tid"], printable(row["name"])] += row["dur"] / 1000
    assert len(got) >= 8 and any("127.0.0.1:" in name for _, name in got)
    # folded's lines are whole microseconds; what rounding leaves of one goes to the next
    assert got == pytest.approx({key: us for key, us in want.items() if key[1] != "[on CPU, not sampled]"},
                                abs=30)
    assert ((any(name == "[epoll]" for _, name in got)) == bool(idle))


def test_a_thread_does_one_thing_at_a_time(trace):
    slices, _, samples, *_ = trace("-i")
    by_track = collections.defaultdict(list)
    for row in slices:
        assert row["depth"] == 0 and row["dur"] > 0
        by_track[row["track"]].append(row)
    for rows in by_track.values():
        assert len({row["tid"] for row in rows}) == 1
        for row, after in zip(rows, rows[1:]):
            assert row["ts"] + row["dur"] <= after["ts"], (row, after)
    # and it is sampled while it does not wait, but for the tick that its switch is made in
    spans = collections.defaultdict(list)
    for row in slices:
        spans[row["tid"]].append((row["ts"], row["ts"] + row["dur"]))
    inside = [s for s in samples if any(a + 20000 < s["ts"] < b - 20000 for a, b in spans[s["tid"]])]
    assert samples and len(inside) <= .02 * len(samples) + 1, inside


def test_waits_have_their_stack(replay, trace):
    _, leaves = folded_waits(replay(".folded", "-t", "-i"))
    slices, _, _, texts, _, *calls = trace("-i")
    told = collections.defaultdict(list)
    for row in texts:
        if re.match(r"(debug|args)\.stack", row["key"]):
            index = re.search(r"\[(\d+)\]", row["key"])
            told[row["id"]].append((int(index[1]) if index else 0, row["text"]))
    checked = 0
    for row in slices:
        want = leaves[row["tid"], printable(row["name"])]
        if row["id"] not in told:
            assert row["name"] == "[waiting, stack not known]"
            continue
        leaf = max(told[row["id"]])[1].rsplit(";", 1)[-1]
        match = re.fullmatch(r"(.*) \(.*:(\d+)\)", leaf)
        assert ((match[1], int(match[2])) if match else (leaf, 0)) in want, (row, leaf, want)
        checked += 1
    assert checked > 20
    if calls:  # Perfetto's own format has them as callstacks too
        by_id = {row["id"]: (row["leaf"], row["line"]) for row in calls[0]}
        assert set(by_id) == set(told)
        for row in slices:
            if row["id"] in by_id:
                assert by_id[row["id"]] in leaves[row["tid"], printable(row["name"])]


def test_what_was_not_over_says_so(replay, trace):
    """A thread that waits from beginning to end has one slice, and it is open."""
    slices, _, _, _, is_open, *_ = trace("-i")
    is_open = {row["id"] for row in is_open}
    about = json.loads(replay(".trace.json").read_text())["otherData"]["uncoil"]
    ends = {row["ts"] + row["dur"] for row in slices if row["id"] in is_open}
    end, = ends  # all at one moment, and nothing is after it
    assert all(row["ts"] + row["dur"] <= end for row in slices)
    whole = [row for row in slices if row["dur"] >= .95 * about["durationNs"]]
    assert whole and all(row["id"] in is_open for row in whole)
    assert all(row["dur"] == pytest.approx(about["durationNs"], rel=.05, abs=2e7) for row in whole)
    counts = collections.Counter(row["tid"] for row in slices)
    assert all(counts[row["tid"]] == 1 for row in whole)
    # the last of its thread, or none
    last = {row["track"]: row["id"] for row in slices}
    assert is_open <= set(last.values()) and len(is_open) >= len(whole)


def test_waits_without_room_are_counted(tmp_path):
    """A ring that nobody reads fills up: each wait is in the sums, and those without a slice are told."""
    script = ("import time\nprint('ready', flush=True)\n"
              "while True: time.sleep(.0001)")
    target = subprocess.Popen(["/usr/bin/python3", "-c", script], stdout=subprocess.PIPE)
    outputs = [tmp_path / f"out{suffix}" for suffix in (".trace.json", ".txt", ".uncoil")]
    try:
        assert target.stdout.readline() == b"ready\n"
        recording = subprocess.Popen(
            [UNCOIL, "record", "-p", str(target.pid), "--mode", "offcpu", "--ring-size", "65536",
             *sum((["-o", str(path)] for path in outputs), [])], stderr=subprocess.PIPE, text=True)
        assert recording.stderr.readline().startswith("recording ")

        def switches():
            with open(f"/proc/{target.pid}/status", encoding="ascii") as status:
                return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read(), re.M)[1])

        def wait_for_switches(count):
            end = switches() + count
            while switches() < end:
                pass
        wait_for_switches(100)
        recording.send_signal(19)
        wait_for_switches(2000)  # the ring holds 800
        recording.send_signal(18)
        recording.send_signal(2)
        _, err = recording.communicate(timeout=60)
    finally:
        target.kill()
        target.wait()
    assert recording.returncode == 3, err
    trace = json.loads(outputs[0].read_text())
    slices = [event for event in trace["traceEvents"] if event["ph"] == "X" and event["name"] == "[sleep]"]
    remarks = {remark["text"]: remark["count"] for remark in trace["otherData"]["uncoil"]["remarks"]}
    without = remarks["waits without their time, not in the timeline: the ring buffer was full"]
    counted = int(re.search(r"from 0 samples and (\d+) waits", outputs[1].read_text())[1])
    others = sum(1 for event in trace["traceEvents"] if event["ph"] == "X"
                 and event["name"] not in ("[sleep]", "[run queue]", "[waiting, stack not known]"))
    assert without > 500 and len(slices) + others <= counted - without <= len(slices) + others + counted // 10
    result = subprocess.run([UNCOIL, "replay", "-q", outputs[2], "-o", tmp_path / "again.trace.json"], timeout=60)
    assert result.returncode == 3
    assert (tmp_path / "again.trace.json").read_bytes() == outputs[0].read_bytes()


def test_speedscope_slices_do_not_hide_samples(journal, tmp_path):
    """What reads the profile of a chrome file finds it where it was: before the slices."""
    run(UNCOIL, "replay", "-q", journal, "-o", tmp_path / "out.trace.json")
    events = json.loads((tmp_path / "out.trace.json").read_text())["traceEvents"]
    kinds = "".join(event["ph"] for event in events)
    assert re.fullmatch("M+P+X+", kinds)
    for event in events:
        assert {"pid", "tid", "ts", "cat"} <= set(event)
