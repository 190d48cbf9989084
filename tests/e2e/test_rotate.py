# SPDX-License-Identifier: Apache-2.0
"""record --rotate: parts that are whole by themselves, and a whole recording together."""

import collections
import json
import os
import re
import signal
import struct
import time

import pytest

from conftest import cpu_ns, each_python, finish, stacks, uncoil, wait_for
from test_failures import in_namespace
from test_waits import by_thread

NAME = re.compile(r"x-(\d{8}T\d{6}Z)(-\d)?\.(\w+)")


def parts(folder, suffix):
    """Files of one format, in their order; all names have the time."""
    names = os.listdir(folder)
    assert all(NAME.fullmatch(name) for name in names), names

    def order(path):
        match = NAME.fullmatch(path.name)
        return match[1], int((match[2] or "-1")[1:])  # a busy machine may begin two in one second
    return sorted((folder / name for name in names if name.endswith(suffix)), key=order)


def assert_replays(folder, *options):
    """Each journal is enough by itself."""
    for journal in parts(folder, ".uncoil"):
        result = uncoil("replay", "-q", *options, journal, "-o", "-", "-f", "folded")
        assert result.code == 0, result.err
        assert result.out == journal.with_suffix(".folded").read_bytes()


@each_python
def test_samples_are_in_one_part_each(target, folder, python):
    process = target("busy.py", python=python)
    before = cpu_ns(process.pid)
    result = uncoil("record", "-p", str(process.pid), "-r", "250", "--rotate", "1", "-d", "3.5", "-o",
                    folder / "x.folded", "-o", folder / "x.uncoil", "-o", folder / "x.txt")
    used = (cpu_ns(process.pid) - before) / 1e9
    assert result.code == 0, result.err
    found = [stacks(path) for path in parts(folder, ".folded")]
    assert len(found) >= 3
    total = sum(part.total for part in found)
    # `used` holds start and end of uncoil too; what is between the parts would be far more than this
    assert total <= used * 250 + 10
    told = [int(n) for n in re.findall(r"x-\w+\.folded: folded of (\d+) samples", result.err)]
    assert sum(told) == total and len(told) == len(found)
    assert "lost" not in result.err and "did not arrive" not in result.err
    for part in found:
        # what the kernel side sent in the first part only is in all of them
        assert part.total and part.count("spin") >= .9 * part.total, part
        assert all(frame.file.endswith("busy.py") for frames, _ in part for frame in frames), part
    assert_replays(folder)


def test_waits_are_cut_in_two(target, folder):
    process = target("parts.py")
    result = uncoil("record", "-p", str(process.pid), "--mode", "wall", "-t", "-r", "250", "--rotate", "1s",
                    "-d", "3.4", "-o", folder / "x.folded", "-o", folder / "x.uncoil")
    assert result.code == 0, result.err
    found = parts(folder, ".folded")
    lengths = [float(n) for n in re.findall(r"\.folded: folded of .* samples in ([\d.]+) s", result.err)]
    assert len(found) == len(lengths) >= 3
    sums = collections.Counter()
    for path, seconds in zip(found, lengths):
        seen = by_thread(stacks(path))
        for name in "sleeps", "wakes", "begins", "computes":
            # the unit is microseconds; each thread's whole time is there, in each part
            time_ms = sum(seen[name].values()) / 1000
            assert abs(time_ms - seconds * 1000) < 60 + .02 * seconds * 1000, (name, time_ms, seconds)
            sums[name] += time_ms
        assert seen["sleeps"]["[sleep]"] > .97 * sum(seen["sleeps"].values()), seen["sleeps"]
        assert seen["sleeps"]["[waiting, stack not known]"] == 0
        # what a thread did in the instant of the cut may have no stack there
        assert seen["wakes"]["[waiting, stack not known]"] < 10000, seen["wakes"]
    for name, total in sums.items():
        assert abs(total - sum(lengths) * 1000) < .02 * sum(lengths) * 1000 + 60, (name, total)
    assert "did not arrive" not in result.err
    assert_replays(folder, "-t")


def test_times_go_with_their_counts(target, folder):
    """A sample or wait and its time are in one part; nothing looks lost, and each part's slices tile it."""
    process = target("gil.py")
    result = uncoil("record", "-p", str(process.pid), "--mode", "wall", "-i", "-r", "2000", "--rotate", "1",
                    "-d", "3.3", "-f", "chrome", "-o", folder / "x.json")
    assert "without their time" not in result.err and result.code == 0, result.err
    found = parts(folder, ".json")
    lengths = [float(n) for n in re.findall(r"\.json: chrome of .* samples in ([\d.]+) s", result.err)]
    assert len(found) == len(lengths) >= 3
    before = None
    for path, seconds in zip(found, lengths):
        events = json.loads(path.read_text())["traceEvents"]
        main = [e for e in events if e["ph"] == "X" and e["tid"] == process.pid]
        # it sleeps all the time: one slice a part, which begins where the last part's ended
        assert sum(e["dur"] for e in main) / 1e6 == pytest.approx(seconds, abs=.06), main
        assert before is None or abs(main[0]["ts"] - before) < 20000
        before = main[-1]["ts"] + main[-1]["dur"]


def test_ctrl_c_writes_the_last_part(busy, folder, recorder):
    process = recorder("-p", str(busy.pid), "--rotate", "1h", "-o", folder / "x.folded")
    time.sleep(.5)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.code == 0, result.err
    [path] = parts(folder, ".folded")
    assert stacks(path).total


def test_a_full_disk_ends_it_and_leaves_whole_parts(busy, folder):
    result = uncoil("record", "-p", str(busy.pid), "--rotate", "1", "-d", "20", "-o", folder / "x.svg",
                    wrapper=in_namespace(f"mount -t tmpfs -o size=64k none '{folder}'"))
    lines = [line for line in result.err.split("\n") if line.startswith("uncoil record: ")]
    assert result.code == 1 and len(lines) == 1, result
    assert "No space left on device" in lines[0]
    count = re.search(r"its (\d) parts? before that (is|are) whole", lines[0])[1]
    assert len(re.findall(r"x-\w+\.svg: flame of [1-9]", result.err)) == int(count) >= 1


def test_a_folder_that_goes_ends_it_and_leaves_whole_parts(busy, folder, recorder):
    inner = folder / "small"
    inner.mkdir()
    process = recorder("-p", str(busy.pid), "--rotate", "1", "-o", inner / "x.folded")
    wait_for(lambda: os.listdir(inner), "the first part")
    first = os.listdir(inner)[0]
    os.rename(inner, folder / "moved")
    result = finish(process)
    assert result.code == 1
    lines = [line for line in result.err.split("\n") if line.startswith("uncoil record: ")]
    assert len(lines) == 1, result.err
    assert "No such file or directory" in lines[0] and re.search(r"its \d parts? before that (is|are) whole", lines[0])
    assert stacks(folder / "moved" / first).total
    assert not inner.exists()


@pytest.mark.parametrize("value", ["0", "1.5", "x", "s", "", "5d", "-1", "1h1m", "99999999999h"])
def test_wrong_spans(folder, assert_failed, value):
    assert_failed(uncoil("record", "-p", "1", f"--rotate={value}", "-o", folder / "x.svg"), "--rotate", code=2,
                  folder=folder)


@pytest.mark.parametrize("path", ["-", "/dev/stdout", "/dev/null", "/tmp"])
def test_what_is_no_file(assert_failed, path):
    assert_failed(uncoil("record", "-p", "1", "--rotate", "5", "-f", "folded", "-o", path), "--rotate", path, code=2)


def test_whole_suffixes_and_one_clock(target, folder):
    """The time in a name stands before all of the suffix, or the name would tell no format any more; and
    what it takes to write a part does not shift the next one's clock."""
    process = target("busy.py")
    suffixes = [".speedscope.json", ".pb.gz", ".trace.json", ".pftrace", ".uncoil", ".svg"]
    outputs = [word for suffix in suffixes for word in ("-o", folder / f"x{suffix}")]
    result = uncoil("record", "-p", str(process.pid), "--rotate", "1s", "-d", "2.5", *outputs)
    assert result.code == 0, result
    names = sorted(os.listdir(folder))
    for suffix in suffixes:
        assert sum(re.fullmatch(r"x-\d{8}T\d{6}Z" + re.escape(suffix), name) is not None
                   for name in names) >= 2, names
    clocks = []
    for journal in sorted(folder.glob("*.uncoil")):
        # magic, the first record's head, and four words of struct record_meta lie before
        unix_ns, mono_ns = struct.unpack_from("<qQ", journal.read_bytes(), 36)
        clocks.append(unix_ns - mono_ns)
    # the system's clock may be slewed meanwhile, by less than a thousandth
    assert len(clocks) >= 2 and max(clocks) - min(clocks) < 3e6, clocks
