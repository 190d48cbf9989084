# SPDX-License-Identifier: Apache-2.0
"""--columns in speedscope and pprof: two calls on one line are two frames there too, each with its
column and its samples."""

import collections
import gzip
import json
import subprocess

import pytest
from conftest import TOP, UNCOIL, folded, run
from test_pprof import raw
from test_speedscope import chromium, opened, sandwich, site  # noqa: F401 fixtures


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """A program that calls one function twice on a line, 1 to 3."""
    path = tmp_path_factory.mktemp("columns") / "run.uncoil"
    target = subprocess.Popen(["/usr/bin/python3", TOP / "tests/e2e/targets/columns.py"],
                              stdout=subprocess.PIPE)
    try:
        assert b"ready" in target.stdout.readline() + target.stdout.readline()
        run(UNCOIL, "record", "-q", "-p", target.pid, "-d", "1", "-r", "499", "-o", path)
    finally:
        target.kill()
        target.wait()
    return path


@pytest.fixture
def want(replay):
    """(name, line, column) -> samples in it, of the folded output."""
    found = collections.Counter()
    for stack, count in folded(replay(".folded", "--columns")).items():
        for name, column, place in set(stack):
            line = place.rpartition(":")[2]
            found[name, int(line) if line.isdigit() else 0, column] += count
    both = [key for key in found if key[0] == "both"]
    assert len(both) == 2 and both[0][1] == both[1][1] and both[0][2] != both[1][2]
    return found


def numbers(data):
    """Protobuf's varints."""
    value = shift = 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield value
            value = shift = 0


def fields(data):
    """A protobuf message: (number, int or bytes)."""
    at = 0

    def varint():
        nonlocal at
        start = at
        while data[at] >= 128:
            at += 1
        at += 1
        return next(numbers(data[start:at]))

    while at < len(data):
        key, value = varint(), varint()
        if key & 7 == 2:
            value, at = data[at:at + value], at + value
        yield key >> 3, value


def test_pprof(replay, want):
    path = replay(".pb.gz", "--columns")
    profile = list(fields(gzip.decompress(path.read_bytes())))
    strings = [value.decode() for number, value in profile if number == 6]
    functions = {f[1]: strings[f[2]] for f in (dict(fields(v)) for n, v in profile if n == 5)}
    places, found = {}, collections.Counter()
    for location in (dict(fields(value)) for number, value in profile if number == 4):
        line = dict(fields(location[4]))
        places[location[1]] = functions[line[1]], line.get(2, 0), line.get(3, 0)
    for sample in (dict(fields(value)) for number, value in profile if number == 2):
        count = next(numbers(sample[2]))
        for place in {places[number] for number in numbers(sample[1])}:
            found[place] += count
    assert found == want
    # go tool pprof reads it; an older one (Go 1.19) knows no columns, and puts the two together
    _, samples, names = raw(path)
    total = sum(count for (count, _), _ in samples)
    assert total == max(want.values())
    in_both = sum(count for (count, _), stack in samples if any(
        names[number][0].startswith("both ") for number in stack))
    assert in_both == sum(count for place, count in want.items() if place[0] == "both")


def test_speedscope(replay, want, opened, chromium):  # noqa: F811
    path = replay(".speedscope.json", "--columns")
    profile = json.loads(path.read_text())
    frames = [(f["name"], f.get("line", 0), f.get("col", 0)) for f in profile["shared"]["frames"]]
    found = collections.Counter()
    for stack, count in zip(profile["profiles"][0]["samples"], profile["profiles"][0]["weights"]):
        for frame in {frames[number] for number in stack}:
            found[frame] += count
    assert found == want
    opened(path)
    shown = sorted(total for name, (total, _) in sandwich(chromium) if name == "both")
    assert shown == sorted(count for (name, _, _), count in want.items() if name == "both")
