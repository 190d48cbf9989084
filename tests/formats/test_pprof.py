# SPDX-License-Identifier: Apache-2.0
"""pprof: `go tool pprof`, and Perfetto's trace processor, which reads it too."""

import collections
import re

from conftest import folded, printable, run


def raw(path):
    """What `go tool pprof -raw` prints: comments, [(values, location ids)], id -> (name, line)."""
    head, rest = run("go", "tool", "pprof", "-raw", path).split("\nSamples:\n", 1)
    samples, locations = rest.split("\nLocations\n", 1)
    found = []
    for line in samples.splitlines():
        match = re.fullmatch(r" *(\d+) +(\d+): ([\d ]+)", line)
        if match:
            found.append(((int(match[1]), int(match[2])), list(map(int, match[3].split()))))
    names = {}
    # a name may hold newlines: an entry begins with its number and ends with its start line
    for match in re.finditer(r"(?sm)^ +(\d+): 0x0 M=1 (.*?):(\d+) s=\d+\(\)$", locations):
        names[int(match[1])] = (match[2], int(match[3]))
    return head, found, names


def test_go_tool_pprof_counts_the_same_stacks(replay):
    want = folded(replay(".folded"))
    head, samples, names = raw(replay(".pb.gz"))
    got = collections.Counter()
    period = int(re.search(r"Period: (\d+)", head)[1])
    for (count, nanoseconds), stack in samples:
        got[tuple(names[i][1] for i in reversed(stack))] += count
        assert abs(nanoseconds - count * period) <= count  # the period is rounded down to 1 ns
    by_lines = collections.Counter()
    for stack, count in want.items():
        by_lines[tuple(line for _, line, _ in stack)] += count
    assert got == by_lines
    assert f"Comment: {sum(want.values())} sample" in head
    assert re.search("Comment: (nothing was lost|lost: )", head)


def test_go_tool_pprof_shows_the_same_names(replay, journal):
    """Each name of the folded output is there, brackets and all; and its flat count."""
    want = folded(replay(".folded", "-F"))
    path = replay(".pb.gz", "-F")
    _, samples, names = raw(path)
    shown = "\n".join(printable(name) for name, _ in names.values())
    leaves = collections.Counter()
    for stack, count in want.items():
        leaves[re.sub(r" \([^()]*\)$", "", stack[-1][0])] += count
        for name, _, _ in stack:
            name = re.sub(r" \(.*\)$", "", name)
            assert name[:200] in shown
    if journal.name == "journal":  # a golden one: names that -top prints on one line
        top = run("go", "tool", "pprof", "-top", "-nodecount=1000", path)
        for name, count in leaves.items():
            row = re.search(rf"(?m)^ *(\d+) .*%  {re.escape(name)}$", top)
            assert row and int(row[1]) == count, f"{name} {count}\n{top}"
    assert sum(count for (count, _), _ in samples) == sum(want.values())


def test_threads_are_labels(replay):
    """-t adds labels and leaves the stacks as they are."""
    want = folded(replay(".folded", "-t"))
    path = replay(".pb.gz", "-t")
    tids = collections.Counter()
    for stack, count in want.items():
        assert stack[0][0].startswith("process ") and stack[1][0].startswith("thread ")
        tids[int(stack[1][0].split()[1])] += count
    got = collections.Counter()
    text = run("go", "tool", "pprof", "-raw", path)
    for count, tid in re.findall(r"(?ms)^ +(\d+) +\d+: [\d ]+\n.*?tid:\[(\d+)\]", text):
        got[int(tid)] += int(count)
    assert got == tids
    assert ": 0x0 M=1 process " not in text


def test_perfetto_reads_it_too(replay, query):
    want = folded(replay(".folded"))
    rows, = query(replay(".pb.gz"), """
        select p.sample_type_type as type, sum(s.value) as value
        from __intrinsic_aggregate_sample s
        join __intrinsic_aggregate_profile p on s.aggregate_profile_id = p.id group by 1""")
    values = {row["type"]: row["value"] for row in rows}
    assert values["samples"] == sum(want.values())
