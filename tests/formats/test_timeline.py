# SPDX-License-Identifier: Apache-2.0
"""perfetto and chrome in Perfetto's trace processor: every sample once, at its time, on its thread,
with the stack that the folded output has. (speedscope opens chrome's too: test_speedscope.py.)"""

import collections
import json
import os
import signal
import subprocess
import time

import pytest

from conftest import GOLDEN, UNCOIL, folded, printable, run

FRAMES = """
    select c.id, c.parent_id as parent, f.name, coalesce(s.line_number, 0) as line
    from stack_profile_callsite c join stack_profile_frame f on c.frame_id = f.id
    left join stack_profile_symbol s using (symbol_set_id)"""
SAMPLES = """
    select p.callsite_id as callsite, p.ts, t.tid, t.name, r.pid, r.name as process
    from {} p left join thread t using (utid) left join process r using (upid) order by p.ts"""
WRONG = "select name, value from stats where value > 0 and severity in ('error', 'data_loss')"
FORMATS = {".pftrace": "perf_sample", ".trace.json": "cpu_profile_stack_sample"}


@pytest.fixture(params=["timeline-3.12", "live"])
def journal(request):
    """Those that have times."""
    if request.param == "live":
        return request.getfixturevalue("live_journal")
    return GOLDEN / request.param / "journal"


def stacks(frames, samples):
    """Counter of stacks, root first, of (name, line)."""
    by_id = {row["id"]: row for row in frames}
    found = collections.Counter()
    for sample in samples:
        stack, at = [], sample["callsite"]
        while at is not None:
            stack.append((by_id[at]["name"], by_id[at]["line"]))
            at = by_id[at]["parent"]
        found[tuple(reversed(stack))] += 1
    return found


def plain(name):
    """Without what folded's readers cannot tell from a file's name: one may be called "(a (b:3"."""
    return name.split(" (")[0]


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_sample_is_there(replay, query, suffix):
    want = folded(replay(".folded"))
    frames, samples, wrong = query(replay(suffix), FRAMES, SAMPLES.format(FORMATS[suffix]), WRONG)
    assert wrong == []
    assert len(samples) == sum(want.values())
    got, expected = collections.Counter(), collections.Counter()
    for stack, count in stacks(frames, samples).items():
        if suffix == ".trace.json":  # no lines there, and DevTools' root
            assert stack[0][0] == "(root)"
            stack = tuple((name, 0) for name, _ in stack[1:])
        got[tuple((plain(printable(name)), line) for name, line in stack)] += count
    for stack, count in want.items():
        expected[tuple((plain(name), line if suffix == ".pftrace" else 0)
                       for name, line, _ in stack)] += count
    assert got == expected


@pytest.mark.parametrize("suffix", FORMATS)
def test_times_and_threads(replay, query, suffix):
    """Ordered as time goes, within the recording; each thread has its samples and its name."""
    want = collections.Counter()
    for stack, count in folded(replay(".folded", "-t")).items():
        tid, name = stack[1][0][len("thread "):].split(" ", 1)
        want[int(tid), name[1:-1]] += count
    about = json.loads(replay(".trace.json").read_text())["otherData"]
    samples, = query(replay(suffix), SAMPLES.format(FORMATS[suffix]))
    times = [row["ts"] for row in samples]
    start = about["start_us"] * 1000
    assert start <= times[0] and times[-1] <= start + about["uncoil"]["durationNs"] + 1e9
    assert len(set(times)) > len(times) / 2
    assert collections.Counter(row["tid"] for row in samples) == \
        sum((collections.Counter({tid: n}) for (tid, _), n in want.items()), collections.Counter())
    assert all(row["process"] for row in samples)
    names = {(row["tid"], printable(row["name"] or "")) for row in samples}
    assert len(names & set(want)) >= .9 * len(names)  # a tid that was used twice has one name


def test_chrome_uses_no_node_id_twice(replay):
    """The Firefox profiler has one table of nodes for all threads of a file."""
    events = json.loads(replay(".trace.json").read_text())["traceEvents"]
    nodes = [node["id"] for event in events if event["name"] == "ProfileChunk"
             for node in event["args"]["data"]["cpuProfile"]["nodes"]]
    assert sorted(nodes) == list(range(1, len(nodes) + 1))


def test_perfetto_tells_what_is_missing(replay, query):
    rows, = query(replay(".pftrace"), """select slice.name from slice join track
        on slice.track_id = track.id where track.name = 'uncoil'""")
    said = [row["name"] for row in rows]
    about = json.loads(replay(".trace.json").read_text())["otherData"]["uncoil"]["about"]
    assert said == about
    assert any(line == "nothing was lost" or line.startswith("lost: ") for line in said)


def test_a_journal_without_times_says_so(tmp_path):
    out = tmp_path / "out.pftrace"
    result = subprocess.run([UNCOIL, "replay", GOLDEN / "threads-3.11/journal", "-o", out],
                            capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and "record with --timeline" in result.stderr
    assert not out.exists()


def burn(target, seconds):
    """Waits until the process has used that much more CPU time, however busy the machine is."""
    def used():
        with open(f"/proc/{target.pid}/stat", encoding="ascii", errors="replace") as stat:
            return int(stat.read().rpartition(")")[2].split()[11]) / os.sysconf("SC_CLK_TCK")
    end = used() + seconds
    while used() < end:
        time.sleep(.01)


def test_times_that_are_lost_are_counted(tmp_path):
    """A reader that sleeps leaves the ring to fill up. The counts do not need it: all samples of known
    stacks are there, and those without a time are said to be without, to the last one."""
    target = subprocess.Popen(["/usr/bin/python3", "-c", "print('ready', flush=True)\nwhile True: pass"],
                              stdout=subprocess.PIPE)
    outputs = [tmp_path / f"out{suffix}" for suffix in (".folded", ".trace.json", ".pftrace", ".uncoil")]
    try:
        assert target.stdout.readline() == b"ready\n"
        recording = subprocess.Popen(
            [UNCOIL, "record", "-p", str(target.pid), "-r", "5000", "--ring-size", "65536",
             *sum((["-o", str(path)] for path in outputs), [])], stderr=subprocess.PIPE, text=True)
        assert recording.stderr.readline().startswith("recording ")
        burn(target, .3)
        recording.send_signal(signal.SIGSTOP)
        burn(target, 1)  # the ring holds a quarter of a second's ticks
        recording.send_signal(signal.SIGCONT)
        recording.send_signal(signal.SIGINT)
        _, err = recording.communicate(timeout=60)
    finally:
        target.kill()
        target.wait()
    assert recording.returncode == 3, err
    taken = sum(folded(outputs[0]).values())
    trace = json.loads(outputs[1].read_text())
    timed = sum(len(event["args"]["data"]["cpuProfile"]["samples"])
                for event in trace["traceEvents"] if event["name"] == "ProfileChunk")
    remarks = {remark["text"]: remark["count"] for remark in trace["otherData"]["uncoil"]["remarks"]}
    without = remarks["samples without their time, not in the timeline: the ring buffer was full"]
    assert without > 0 and timed > 0
    assert timed + without == taken
    assert f"lost: {without} samples without their time" in outputs[2].read_bytes().decode("utf-8", "replace")
    # and a replay says the same, byte for byte
    again = [tmp_path / f"again{suffix}" for suffix in (".folded", ".trace.json", ".pftrace")]
    result = subprocess.run([UNCOIL, "replay", "-q", outputs[3],
                             *sum((["-o", str(path)] for path in again), [])], timeout=60)
    assert result.returncode == 3
    for path, same in zip(outputs, again):
        assert path.read_bytes() == same.read_bytes()


def test_a_timeline_changes_no_other_output(journal, tmp_path):
    """The same journal with and without timeline outputs beside it: the same folded bytes."""
    run(UNCOIL, "replay", "-q", journal, "-o", tmp_path / "a.folded")
    run(UNCOIL, "replay", "-q", journal, "-o", tmp_path / "b.folded", "-o", tmp_path / "b.pftrace")
    assert (tmp_path / "a.folded").read_bytes() == (tmp_path / "b.folded").read_bytes()
