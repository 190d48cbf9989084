# SPDX-License-Identifier: Apache-2.0
"""Where functions begin and end: the kernel counts hits at the places that doctor prints, and Python counts
calls. Both must be the same number."""
import ast
import collections
import concurrent.futures
import pathlib
import re
import shutil
import subprocess

import pytest
from conftest import SYSTEM, TARGETS, WAIT, every_python, uncoil
from uprobes import Counter, mapping, sites

pytestmark = pytest.mark.skipif(
    not pathlib.Path("/sys/bus/event_source/devices/uprobe").exists(),
    reason="this kernel has no uprobes")

# a traceback's argument is gone before an instruction comes that is emulated (Debian sid's 3.13 and 3.14)
RAISE = ("raise", "PyTraceBack_Here")
DEAR = {(3, 13): [("yield", "YIELD_VALUE"), RAISE], (3, 14): [RAISE], (3, 8): [("leave", "_PyEval_EvalFrameDefault")],
        (3, 9): [("leave", "_PyEval_EvalFrameDefault")]}
NEEDED = {(3, 8): {"enter", "leave"}, (3, 11): {"begin", "return", "yield", "make"},
          (3, 13): {"begin", "return", "yield", "make", "clear", "init"}}


def plan(pid):
    """(path, sites, text) as doctor says."""
    result = uncoil("doctor", "-p", str(pid))
    text = result.out.decode()
    path = re.search(r"CPython \S+, (?:in the library|linked into the program) (\S+)", text)[1]
    return path, sites(text), text[text.index("Exact calls:"):]


def needed(python):
    return NEEDED[max(v for v in NEEDED if v <= python.version)]


CLOSERS = concurrent.futures.ThreadPoolExecutor(16)  # pytest's end waits for them


class Counters:
    """Probes on sites of one process. To take one out takes the kernel 50 to 100 ms: that is not always waited
    for."""

    def __init__(self, pid, path, where, wait=True):
        file = mapping(pid, path)
        self.wait = wait
        self.of = [(site, Counter(pid, file, site.offset, site.semaphore)) for site in where]

    def __enter__(self):
        return self

    def __exit__(self, *what):
        closed = CLOSERS.map(lambda pair: pair[1].close(), self.of)
        if self.wait:
            list(closed)

    def stepped(self):
        return sum(counter.count for site, counter in self.of if site.probe == "stepped")

    def kinds(self):
        counts = collections.Counter()
        for site, counter in self.of:
            # USDT points are beside the others, not instead of them
            kind = site.name if "function__" in site.name else site.kind
            counts[kind] += counter.count
        return counts


def maps(pid):
    return pathlib.Path(f"/proc/{pid}/maps").read_text()


def work(process, times=1):
    process.stdin.write(b"w" * times)
    process.stdin.flush()


def done(process, times=1):
    for _ in range(times):
        assert process.stdout.readline() == b"done\n"


@pytest.fixture
def kinds(start):
    def begin(python, mode="plain", repeat=1):
        process = start(python, TARGETS / "kinds.py", mode, str(repeat), TARGETS / "oracle.py",
                        stdin=subprocess.PIPE)
        process.said(b"ready\n")
        return process
    return begin


def counted(python):
    """What Python itself counts, in a run of its own."""
    out = subprocess.run([python, TARGETS / "kinds.py", "count", "1", TARGETS / "oracle.py"],
                         capture_output=True, text=True, check=True, timeout=WAIT)
    return ast.literal_eval(out.stdout)


@pytest.mark.feature("begins and ends")
@every_python
def test_counts(kinds, python):
    """Every kind, exactly; and the same under sys.monitoring or sys.setprofile (INSTRUMENTED_*). What is said
    to be emulated is: the target gets no [uprobes] page to step on."""
    want = counted(python)
    # executions of RESUME that are no begin, and returns of the interpreter's own frames
    want["begin"] = want.get("begin", 0) + want["genexpr"]
    want["function__entry"], want["function__return"] = want.get("enter"), want.get("leave")
    for mode in ("plain", "hooked"):
        process = kinds(python, mode)
        path, where, _ = plan(process.pid)
        # the dear ones: the plain RESUME, executed once per place; 3.13's yield; before 3.10 a way out
        assert {(site.kind, site.name) for site in where if site.probe != "emulated"} <= {
            ("begin", "RESUME"), *DEAR.get(python.version, [])}, where
        got_kinds = {site.kind for site in where}
        assert needed(python) <= got_kinds
        with Counters(process.pid, path, where, wait=False) as counters:
            work(process)
            done(process)
            got = counters.kinds()
            # where the kernel emulates as doctor says, it never had to make room for stepping
            assert (counters.stepped() > 0) == ("[uprobes]" in maps(process.pid)), where
        for kind in ("return", "clear"):
            got[kind] -= got["init"]
        compared = set()
        for kind in got.keys() & want.keys():
            if kind == "enter" and python.version >= (3, 11):
                continue  # C's calls only
            if want[kind] is None or not any(kind in (s.kind, s.name) for s in where):
                continue
            assert got[kind] == want[kind], (mode, kind, got, want)
            compared.add(kind)
        assert {"return", "yield"} & compared and len(compared) >= 3
        process.stdin.close()
        assert process.wait(WAIT) == 0


def soak(process, path, where, cycles, rounds):
    where = [site for site in where if site.kind in ("begin", "enter", "return", "leave")][:3]
    work(process, rounds)
    for _ in range(cycles):
        with Counters(process.pid, path, where):
            pass
        assert process.poll() is None
    done(process, rounds)
    process.stdin.close()
    assert process.wait(WAIT) == 0


@every_python
def test_attach_while_it_runs(kinds, python):
    """Probes come and go on a busy target, which computes what it should (kinds.py asserts it)."""
    process = kinds(python, repeat=20)
    path, where, _ = plan(process.pid)
    soak(process, path, where, 2, 1)


def test_soak(kinds):
    process = kinds(SYSTEM, repeat=20)
    path, where, _ = plan(process.pid)
    soak(process, path, where, 50, 8)


def test_fork(kinds):
    """A child that is forked with probes on computes, and so does its parent: the kernel copies breakpoints with
    the memory, and takes them out of the child's at the first hit."""
    process = kinds(SYSTEM)
    path, where, _ = plan(process.pid)
    with Counters(process.pid, path, where) as counters:
        work(process)
        done(process)
        once = counters.kinds()
        process.stdin.write(b"f")
        process.stdin.flush()
        done(process)
        assert counters.kinds()["begin"] == 2 * once["begin"]
    work(process)
    done(process)


def test_greenlets(start):
    """Every kind of probe, on a program that changes its C stack all the time."""
    process = start(SYSTEM, TARGETS / "switches.py", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    if process.stdout.readline() != b"ready\n":
        pytest.skip("there is no gevent: scripts/setup test")
    path, where, _ = plan(process.pid)
    assert {site.kind for site in where} >= {"begin", "return", "yield", "enter", "raise"}
    work(process, 4)
    for _ in range(2):
        with Counters(process.pid, path, where):
            pass
    done(process, 4)
    with Counters(process.pid, path, where) as counters:
        work(process)
        done(process)
        assert counters.kinds()["begin"] > 20 * 15 * 41
    process.stdin.close()
    assert process.wait(WAIT) == 0, process.stderr.read()


def code(pid, path, site):
    """(address, bytes) of a site in a process."""
    for line in maps(pid).splitlines():
        area, perms, offset, _, _, *name = line.split(None, 5)
        start, end = (int(part, 16) for part in area.split("-"))
        at = start + site.offset - int(offset, 16)
        if name and name[0].startswith(path) and "x" in perms and start <= at < end:
            with open(f"/proc/{pid}/mem", "rb") as memory:
                memory.seek(at)
                return at, memory.read(1)
    raise AssertionError("not mapped")


def test_only_the_one_process(kinds):
    """Another process of the same binary has no breakpoint; and doctor sees that somebody is there."""
    traced, other = kinds(SYSTEM), kinds(SYSTEM)
    path, where, _ = plan(traced.pid)
    before = [code(other.pid, path, site)[1] for site in where]
    with Counters(traced.pid, path, where):
        assert {code(traced.pid, path, site)[1] for site in where} == {b"\xcc"}
        assert [code(other.pid, path, site)[1] for site in where] == before
        assert "another uprobe" in plan(traced.pid)[2]
        assert "another uprobe" not in plan(other.pid)[2]
    assert [code(traced.pid, path, site)[1] for site in where] == before
    text = plan(traced.pid)[2]
    assert "another uprobe" not in text and "safe" in text


# --- what must not be probed

@pytest.fixture
def changed(start):
    process = start(SYSTEM, TARGETS / "changed.py", stdin=subprocess.PIPE)
    process.said(b"ready\n")

    def tell(*words):
        process.stdin.write(" ".join(words).encode() + b"\n")
        process.stdin.flush()
        return process.said(b"\n").split()
    process.tell = tell
    return process


def at(process, kind):
    path, where, text = plan(process.pid)
    assert "REFUSED" not in text
    site = next(site for site in where if site.kind == kind)
    return path, site, code(process.pid, path, site)[0]


def test_patched(changed):
    """Code that something changed is refused; a breakpoint of another's is not."""
    _, site, address = at(changed, "raise")
    assert changed.tell("patch", hex(address), "cc") == [b"ok"]
    text = plan(changed.pid)[2]
    assert "on 1 of them sits another uprobe" in text and "REFUSED" not in text
    assert changed.tell("patch", hex(address), "c3") == [b"ok"]
    text = plan(changed.pid)[2]
    assert re.search(r"REFUSED +the code of PyTraceBack_Here .* is not that of its file", text), text


def test_second_byte_patched(changed):
    _, site, address = at(changed, "raise")
    changed.tell("patch", hex(address), "cc")
    changed.tell("patch", hex(address + 1), "cc")
    assert "REFUSED" in plan(changed.pid)[2]


def test_debugged(changed):
    changed.tell("traced")
    text = plan(changed.pid)[2]
    assert re.search(r"REFUSED +a debugger \(process \d+\) is attached", text), text
    changed.kill()


def test_mapped_twice(changed):
    """The kernel puts breakpoints into every mapping of the file: each is looked at."""
    path, site, _ = at(changed, "raise")
    start = int(changed.tell("map", path)[1], 16)
    text = plan(changed.pid)[2]
    assert "more than once" in text and "REFUSED" not in text
    changed.tell("patch", hex(start + site.offset), "90")
    assert "REFUSED" in plan(changed.pid)[2]


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_binary_gone(start, folder, how):
    """What is mapped counts, whatever stands at its path."""
    program = folder / "python3.11"
    shutil.copy("/usr/bin/python3.11", program)
    process = start(program, TARGETS / "kinds.py", "plain", stdin=subprocess.PIPE)
    process.said(b"ready\n")
    program.unlink()
    if how == "replaced":
        shutil.copy("/bin/true", program)
    _, where, text = plan(process.pid)
    assert needed(SYSTEM) <= {site.kind for site in where}
    assert "safe" in text and "REFUSED" not in text
    with Counters(process.pid, str(program), where) as counters:
        work(process)
        done(process)
        assert counters.kinds()["begin"] > 10000


def test_doctor_reads_well(kinds):
    """Lines fit in 100 columns, and say what is missed."""
    _, _, text = plan(kinds(SYSTEM).pid)
    lines = text[:text.index("\n\n")].splitlines()
    assert max(map(len, lines)) <= 100
    assert any(line.split()[:1] == ["misses"] for line in lines)
    # a call hits a begin and a return; what that costs here
    call, hits = re.search(r"^    cost +([\d.]+) us a call, for (\d) hits", text, re.M).groups()
    hit = re.search(r"a hit ([\d.]+) us emulated, [\d.]+ us stepped; attaching \d+ ms, detaching \d+$", text, re.M)[1]
    assert hits == "2" and abs(float(call) - 2 * float(hit)) < .06
