# SPDX-License-Identifier: Apache-2.0
"""--columns against what interpreters say of their own frames."""

import collections
import json
import re

from conftest import PYTHONS, SYSTEM, TARGETS, each_python, marks, uncoil, wait_for

OLD = next(p for p in PYTHONS.values() if p.version < (3, 11))


@each_python
def test_dump(start, python):
    process = start(python, TARGETS / "columns.py")
    truth = json.loads(process.said(b"ready\n").split(b"\n")[0])

    def sleeper():
        result = uncoil("dump", "--columns", "--json", "-p", str(process.pid))
        assert result.code == 0
        got, = json.loads(result.out)["processes"]
        thread, = [t for t in got["threads"] if t["name"] == "sleeper"]
        return thread["exact"] and (thread["frames"], result.err)

    frames, err = wait_for(sleeper, "the sleeper to sleep")
    if python.version < (3, 11):
        assert re.fullmatch(r"uncoil dump: CPython 3\.\d+ of process \d+ tells no columns: "
                            r"3\.11 and later do\n", err)
        assert all(f["column"] is None and f["end_line"] is None for f in frames)
        return
    assert not err
    # columns are counted from 1 here
    want = [[name.rsplit(".", 1)[-1], line, end_line, column + 1, end_column + 1]
            for name, line, end_line, column, end_column in truth]
    assert [[f["function"].rsplit(".", 1)[-1], f["line"], f["end_line"], f["column"],
             f["end_column"]] for f in frames] == want
    line, column = want[1][1], want[1][3]
    text = uncoil("dump", "--columns", "-p", str(process.pid)).out.decode()
    assert f"columns.py:{line}:{column})\n" in text
    plain = uncoil("dump", "-p", str(process.pid)).out.decode()
    assert not re.search(r":\d+:\d+\)", plain)


def test_record(start, tmp_path):
    """Two calls on one line are two frames, and have the shares that they should have."""
    process = start(SYSTEM, TARGETS / "columns.py")
    process.said(b"ready")
    journal = tmp_path / "run.uncoil"
    result = uncoil("record", "-p", str(process.pid), "-d", "2", "-r", "500", "-o", journal)
    assert result.code == 0, result.err
    line = marks(TARGETS / "columns.py")["both"]
    text = (TARGETS / "columns.py").read_text().split("\n")[line - 1]
    for options, places in (["--columns"], True), ([], False):
        out = tmp_path / "out.folded"
        out.unlink(missing_ok=True)
        assert uncoil("replay", journal, *options, "-o", out).code == 0
        found = collections.Counter()
        for stack in out.read_text().split("\n")[:-1]:
            match = re.search(rf"both \([^;]*columns\.py:{line}(:\d+)?\);compute ", stack)
            if match:
                found[match[1]] += int(stack.rsplit(" ", 1)[1])
        if not places:
            assert set(found) == {None}
            continue
        few, many = (f":{text.index(call) + 1}" for call in ("compute(3000)", "compute(9000)"))
        assert set(found) == {few, many}
        # 1 to 3
        assert 0.15 < found[few] / (found[few] + found[many]) < 0.35
    svg, summary = tmp_path / "out.svg", tmp_path / "out.txt"
    assert uncoil("replay", journal, "--columns", "-o", svg, "-o", summary).code == 0
    assert f"columns.py:{line}{many})" in svg.read_text()
    assert f"columns.py:{line}{many})" in summary.read_text()


def test_record_old(start, tmp_path):
    process = start(OLD, TARGETS / "columns.py")
    process.said(b"ready")
    out = tmp_path / "out.txt"
    result = uncoil("record", "--columns", "-p", str(process.pid), "-d", "1", "-o", out)
    assert result.code == 0, result.err
    assert "samples without columns: CPython tells them from 3.11 on" in " ".join(
        out.read_text().split())
    assert not re.search(r":\d+:\d+\)", out.read_text())
