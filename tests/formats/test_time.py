# SPDX-License-Identifier: Apache-2.0
"""Recordings whose numbers are nanoseconds, not samples: the units in each format, and the sums."""

import json
import re

import pytest

from conftest import GOLDEN, UNCOIL, folded, run


@pytest.fixture
def timed(tmp_path):
    """timed(suffix) -> the recording of waits in that format."""
    def write(suffix):
        path = tmp_path / f"out{suffix}"
        run(UNCOIL, "replay", "-q", GOLDEN / "waits-3.12/journal", "-o", path)
        return path
    return write


@pytest.fixture
def want_us(timed):
    """Folded counts whole microseconds; what rounding takes from a line, the next one gets."""
    return sum(folded(timed(".folded")).values())


def test_speedscope_counts_nanoseconds(timed, want_us):
    profile, = json.loads(timed(".speedscope.json").read_text())["profiles"]
    assert profile["unit"] == "nanoseconds"
    assert profile["endValue"] == sum(profile["weights"])
    assert profile["endValue"] / 1000 == pytest.approx(want_us, abs=1)


def test_go_tool_pprof_counts_nanoseconds(timed, want_us):
    text = run("go", "tool", "pprof", "-raw", timed(".pb.gz"))
    assert re.search(r"(?m)^Samples:\nwall/nanoseconds", text), text[:300]
    sums = [int(count) for count in re.findall(r"(?m)^ +(\d+): [\d ]+$", text)]
    assert len(sums) > 5 and sum(sums) / 1000 == pytest.approx(want_us, abs=1)
    assert "[socket read 127.0.0.1:" in text and "[GIL]" in text


def test_perfetto_reads_nanoseconds(timed, want_us, query):
    rows, = query(timed(".pb.gz"), """
        select p.sample_type_type as type, p.sample_type_unit as unit, sum(s.value) as value
        from __intrinsic_aggregate_sample s
        join __intrinsic_aggregate_profile p on s.aggregate_profile_id = p.id group by 1""")
    row, = rows
    assert (row["type"], row["unit"]) == ("wall", "nanoseconds")
    assert row["value"] / 1000 == pytest.approx(want_us, abs=1)
