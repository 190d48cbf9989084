# SPDX-License-Identifier: Apache-2.0
"""Breakpoints in one process (user/probe/uprobes.c): all or none, in no other process, and gone with uncoil."""
import collections
import os
import pathlib
import re
import signal
import subprocess

import pytest
from conftest import SYSTEM, TARGETS, TOP, WAIT, uncoil, wait_for
from uprobes import mapping, sites

pytestmark = pytest.mark.skipif(
    not pathlib.Path("/sys/bus/event_source/devices/uprobe").exists(),
    reason="this kernel has no uprobes")

CALLS = 1000  # probed.py
# amid an instruction or not, what begins with a lock prefix is refused (v5.10 and v6.18, is_prefix_bad())
LOCKED = re.compile(rb"\xf0[\x48-\x4f]?\x0f|\xf0[\x48-\x4f]?[\x83\xff]")
HAS_MULTI = re.search(r"^ +yes +uprobe_multi links", uncoil("doctor").out.decode(), re.M)
both = pytest.mark.parametrize("way", [
    pytest.param("multi", marks=[] if HAS_MULTI else pytest.mark.skip(
        reason="this kernel has no uprobe_multi links that tell processes apart")), "perf"])

Plan = collections.namedtuple("Plan", "path file sites")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """targets/probes.c"""
    library = os.environ.get("LIBUNCOIL", TOP / ".output/libuncoil.a")
    if library == TOP / ".output/libuncoil.a":
        subprocess.run(["make", "-s", "-C", TOP, ".output/libuncoil.a"], check=True, timeout=300)
    built = tmp_path_factory.mktemp("probes") / "probes"
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-I", TOP / "user", "-I", TOP / "bpf", "-I", TOP / ".output", "-o", built,
                    TARGETS / "probes.c", library, "-lbpf", "-lelf", "-lz", "-lm"], check=True, timeout=60)
    return built


def plan(pid):
    text = uncoil("doctor", "-p", str(pid)).out.decode()
    path = re.search(r"CPython \S+, (?:in the library|linked into the program) (\S+)", text)[1]
    return Plan(path, mapping(pid, path), sites(text))


@pytest.fixture
def probed(start):
    def begin(python=SYSTEM):
        process = start(python, TARGETS / "probed.py", stdin=subprocess.PIPE)
        process.said(b"ready\n")
        return process
    return begin


@pytest.fixture
def probes(start, program):
    """probes(way, pid, file, offsets): a Target that has said whether it is on."""
    def begin(way, pid, file, offsets):
        process = start(program, way, str(pid), file, *map(str, offsets), stdin=subprocess.PIPE)
        process.first = process.said(b"\n").decode()
        return process
    return begin


def ask(process, word, answer=b"\n"):
    process.stdin.write(word.encode() + b"\n")
    process.stdin.flush()
    return process.said(answer).decode().strip()


def counts(process):
    return list(map(int, ask(process, "counts").split()))


def breakpoints(pid, path, offsets):
    """How many of these places have one, in the process's own memory."""
    found = 0
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        area, perms, offset, _, _, *name = line.split(None, 5)
        start, end = (int(part, 16) for part in area.split("-"))
        if name and name[0] == path and "x" in perms:
            with open(f"/proc/{pid}/mem", "rb") as memory:
                for at in (start + place - int(offset, 16) for place in offsets):
                    if start <= at < end:
                        memory.seek(at)
                        found += memory.read(1) == b"\xcc"
    return found


def offsets_of(found):
    return [site.offset for site in found.sites]


def hits(found, got):
    """kind -> hits"""
    sums = collections.Counter()
    for site, count in zip(found.sites, got):
        sums[site.kind] += count
    return sums


def links(process):
    """Descriptors that hold breakpoints."""
    names = [os.readlink(fd.path) for fd in os.scandir(f"/proc/{process.pid}/fd")]
    return sum(name in ("anon_inode:bpf_link", "anon_inode:bpf-link", "anon_inode:[perf_event]") for name in names)


@both
def test_hits_of_all_threads(probed, probes, way):
    target = probed()
    found = plan(target.pid)
    tool = probes(way, target.pid, found.file, offsets_of(found))
    assert re.fullmatch(r"on [1-9]\d* \d+\n", tool.first)
    ask(target, "work")
    before = counts(tool)
    begins = hits(found, before)["begin"]
    assert CALLS <= begins < CALLS + 20, before
    ask(target, "thread")
    again = hits(found, counts(tool))["begin"] - begins
    assert CALLS <= again < CALLS + 60, again
    # out, and in again
    assert breakpoints(target.pid, found.path, offsets_of(found)) == len(found.sites)
    assert re.fullmatch(r"off [1-9]\d*", ask(tool, "off"))
    assert breakpoints(target.pid, found.path, offsets_of(found)) == 0 == links(tool)
    before = counts(tool)
    ask(target, "work")
    assert counts(tool) == before
    assert ask(tool, "on").startswith("on ")
    ask(target, "work")
    assert CALLS <= hits(found, counts(tool))["begin"] - hits(found, before)["begin"] < CALLS + 20


@both
def test_no_other_process(probed, probes, way):
    """Nor one that starts later."""
    target, other = probed(), probed()
    found = plan(target.pid)
    tool = probes(way, target.pid, found.file, offsets_of(found))
    later = probed()
    before = counts(tool)
    for process in (other, later):
        assert breakpoints(process.pid, found.path, offsets_of(found)) == 0
        ask(process, "work")
        assert "[uprobes]" not in pathlib.Path(f"/proc/{process.pid}/maps").read_text()
    assert counts(tool) == before
    assert breakpoints(target.pid, found.path, offsets_of(found)) == len(found.sites)


@both
@pytest.mark.parametrize("bad", ["prefix", "end"])
def test_one_is_refused(probed, probes, way, bad):
    """Then none is there, and the sentence says which it was."""
    target = probed()
    found = plan(target.pid)
    bytes_ = pathlib.Path(found.path).read_bytes()
    at = {"prefix": LOCKED.search(bytes_, min(offsets_of(found))).start(), "end": len(bytes_) + 4096}[bad]
    places = [*offsets_of(found), at, offsets_of(found)[0]]
    tool = probes(way, target.pid, found.file, places)
    said = re.fullmatch(r"0 \d (.*)\n", tool.first)[1]
    assert f"a breakpoint at {at:#x} of {found.file} for process {target.pid}: " in said
    assert tool.wait(WAIT) == 1
    assert breakpoints(target.pid, found.path, places) == 0
    ask(target, "work")
    assert target.poll() is None


@both
def test_another_semaphore_at_the_same_place(probed, probes, way):
    """An uprobe has one semaphore. The second one is refused, and the first is out again."""
    target = probed()
    found = plan(target.pid)
    place = offsets_of(found)[0]
    tool = probes(way, target.pid, found.file, [place, f"{place}:{place + 2}"])
    assert f"{place:#x} of " in tool.first or "none of them alone" in tool.first
    assert tool.wait(WAIT) == 1
    assert breakpoints(target.pid, found.path, [place]) == 0


@both
def test_too_many(probed, probes, way):
    target = probed()
    found = plan(target.pid)
    tool = probes(way, target.pid, found.file, [offsets_of(found)[0]] * 65)
    assert tool.first.endswith("65 breakpoints are more than 64\n")
    assert breakpoints(target.pid, found.path, offsets_of(found)) == 0


@both
def test_process_gone(probed, probes, way):
    target = probed()
    found = plan(target.pid)
    target.kill()
    wait_for(lambda: "Z" in pathlib.Path(f"/proc/{target.pid}/stat").read_text(), "a zombie")
    assert probes(way, target.pid, found.path, offsets_of(found)).first.endswith(f"process {target.pid} has ended\n")
    target.wait(WAIT)
    assert probes(way, target.pid, found.path, offsets_of(found)).first.endswith(f"process {target.pid} has ended\n")


@both
def test_main_thread_gone(probed, probes, way):
    """The kernel would take it for a success, and put in nothing."""
    target = probed()
    found = plan(target.pid)
    ask(target, "leave", b"alone\n")
    tool = probes(way, target.pid, found.path, offsets_of(found))
    assert f"the main thread of process {target.pid} has ended" in tool.first
    target.kill()


@both
def test_nothing_remains(probed, probes, way):
    """Whatever ends uncoil takes the breakpoints out."""
    target = probed()
    found = plan(target.pid)
    tool = probes(way, target.pid, found.file, offsets_of(found))
    assert breakpoints(target.pid, found.path, offsets_of(found)) == len(found.sites)
    tool.send_signal(signal.SIGKILL)
    tool.wait(WAIT)
    wait_for(lambda: not breakpoints(target.pid, found.path, offsets_of(found)), "the breakpoints to go", 5)
    ask(target, "work")


@both
def test_calibration(program, way):
    """What it measures is what a hit costs: stepped dearer, both within reason, and no child is left."""
    said = subprocess.run([program, way, "calibrate"], capture_output=True, text=True, timeout=WAIT)
    assert said.returncode == 0, said
    emulated, stepped, attach, detach, took = map(float, said.stdout.split())
    assert 100 < emulated < 100e3 and emulated < stepped < 1e6, said.stdout
    assert 0 < attach < took and 0 < detach < took
    again = subprocess.run([program, way, "calibrate"], capture_output=True, text=True, timeout=WAIT)
    assert .5 * emulated < float(again.stdout.split()[0]) < 2 * emulated


@both
def test_fork(probed, probes, way):
    """A child gets the breakpoints with the memory, and is not counted. What it runs over goes by itself, or when
    it is swept; the parent keeps its own."""
    target = probed()
    found = plan(target.pid)
    tool = probes(way, target.pid, found.file, offsets_of(found))
    child = int(ask(target, "fork"))
    before = counts(tool)
    copied = breakpoints(child, found.path, offsets_of(found))  # perf-style some are gone already
    assert copied == len(found.sites) if way == "multi" else copied > 0
    ask(target, "child")
    by_itself = breakpoints(child, found.path, offsets_of(found))
    assert by_itself == len(found.sites) if way == "multi" else by_itself < len(found.sites)
    assert ask(tool, "sweep") == "swept 0"
    assert breakpoints(target.pid, found.path, offsets_of(found)) == len(found.sites)
    assert breakpoints(child, found.path, offsets_of(found)) == (0 if way == "multi" else by_itself)
    grown = hits(found, counts(tool))["begin"] - hits(found, before)["begin"]
    assert grown < 20, "the child's calls are none of the target's"
    ask(target, "work")
    assert hits(found, counts(tool))["begin"] - hits(found, before)["begin"] >= CALLS
    ask(target, "child")
