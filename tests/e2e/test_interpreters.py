# SPDX-License-Identifier: Apache-2.0
"""Where else Python runs: in several interpreters at once, in other programs, in namespaces."""

import collections
import math
import pathlib
import re
import shutil
import signal
import socket as socketlib
import subprocess

import pytest

from conftest import EVERY, TARGETS, WAIT, every_python, finish, stacks, state, uncoil, wait_for

RATE = 2000


@pytest.mark.feature("sub-interpreters")
@every_python
def test_sub_interpreters(folder, python):
    """A thread that goes from one interpreter to another has a thread state in each: its time is
    that of the one that it is in, also when it runs without the GIL."""
    result = uncoil("record", "-r", str(RATE), "-o", folder / "x.folded", "--", python,
                    TARGETS / "interpreters.py", "6", timeout=60)
    assert result.code == 0, result.err
    used = {(name, where): float(seconds) for where, name, seconds in
            re.findall(r"^used (\S+) (\S+) (\S+)$", result.out.decode(), re.M)}
    names = {name for name, _ in used}
    assert len(used) == 8 and len(names) == 6, result.out
    seen = collections.Counter()
    for frames, count in stacks(folder / "x.folded"):
        calls = [f.name for f in frames if f.name in names]
        assert len(calls) <= 1, frames
        for name in calls:
            # in its own interpreter a thread state's frames are all there is
            seen[name, "outer" if "run" in {f.name for f in frames} else "inner"] += count
    assert set(seen) == set(used)
    for key, seconds in used.items():
        # a tick falls to the one or the other side of each of some 12 beginnings and ends
        assert abs(seen[key] - seconds * RATE) < 12 + 4 * math.sqrt(seconds * RATE), (key, seconds)


CONFIG = "/usr/lib/python3.11/config-3.11-x86_64-linux-gnu"
HOSTS = {
    "shared": ["-lpython3.11"],
    "static": ["-no-pie", f"{CONFIG}/libpython3.11.a", "-lexpat"],
    "static, PIE, stripped": [f"{CONFIG}/libpython3.11-pic.a", "-Wl,--export-dynamic", "-lexpat", "-s"],
}


@pytest.fixture
def host(start, folder):
    """host(kind, args...): a C program that embeds Python and has said "ready"."""
    def begin(kind, *args):
        subprocess.run(["gcc", "-o", folder / "host", "-I/usr/include/python3.11",
                        TARGETS / "host.c", *HOSTS[kind], "-lz", "-lm", "-ldl", "-lpthread"],
                       check=True, timeout=60)
        process = start(folder / "host", TARGETS / "hosted.py", *args)
        process.said(b"ready")
        return process
    return begin


@pytest.mark.parametrize("kind", HOSTS)
def test_embedded_in_a_program(host, folder, kind):
    process = host(kind)
    result = uncoil("record", "-d", ".4", "-r", "500", "-p", str(process.pid), "-o",
                    folder / "x.folded")
    assert result.code == 0, result.err
    seen = stacks(folder / "x.folded")
    # the rest is spin() between two calls
    assert [f.name for f in max(seen, key=lambda each: each[1])[0]][:2] == ["spin", "spin_once"]
    assert seen.count("spin_once") > .9 * seen.total > 5


def test_a_foreign_thread_with_ever_new_thread_states(host, folder):
    process = host("shared", "thread")
    result = uncoil("record", "-d", ".6", "-r", "1000", "-p", str(process.pid), "-o",
                    folder / "x.folded")
    assert result.code == 0, result.err
    seen = stacks(folder / "x.folded")
    assert seen.count("spin_once") > .9 * seen.total > 5


@pytest.fixture
def uwsgi(start, folder):
    """uwsgi(options...): uWSGI with the application mounted twice -> a function: GET a path, its
    answer."""
    if not shutil.which("uwsgi"):
        pytest.skip("uWSGI is not installed: scripts/setup test")

    def begin(*options):
        socket = folder / "http"
        start("uwsgi", "--plugin", "python3", "--http-socket", socket, "--need-app",
              "--mount", f"/first={TARGETS / 'wsgi.py'}", "--mount",
              f"/second={TARGETS / 'wsgi.py'}", "--manage-script-name", "--master", *options,
              stderr=subprocess.DEVNULL)

        def get(path):
            with socketlib.socket(socketlib.AF_UNIX) as client:
                client.settimeout(WAIT)
                client.connect(str(socket))
                client.sendall(b"GET %s HTTP/1.0\r\n\r\n" % path.encode())
                return b"".join(iter(lambda: client.recv(4096), b"")).split(b"\r\n\r\n")[1]

        def answers():
            try:
                return get("/first")
            except OSError:
                return None

        wait_for(answers, "uWSGI to answer")
        return get
    return begin


@pytest.mark.parametrize("options", [[], ["--enable-threads", "--threads", "2"]],
                         ids=["processes", "threads"])
def test_uwsgi(uwsgi, recorder, folder, options):
    get = uwsgi(*options)
    pid = int(get("/second"))
    recording = recorder("-r", "1000", "-p", str(pid), "-o", folder / "x.folded")
    for _ in range(12):
        get("/first")
        get("/second")
    recording.send_signal(signal.SIGINT)
    result = finish(recording)
    assert result.code == 0, result.err
    seen = stacks(folder / "x.folded")
    for name in ("first", "second"):
        assert 12 * 20 * .8 < seen.count(name) < 12 * 20 * 1.2, (name, seen)
        for frames, _ in seen.having(name):
            assert [f.name for f in frames[:3]] == ["application", name, "burn"][:len(frames)]
    wrong = seen.total - seen.count("application")
    assert wrong < .25 * seen.total, seen


NAMESPACED = ["debian-3.11", "3.13.0", "sid-3.14"]


@pytest.mark.parametrize("python", [p for p in EVERY if p.id in NAMESPACED])
def test_in_a_pid_and_mount_namespace(start, folder, python):
    """Its pids are others there, /proc shows those, and its files' paths may mean others here."""
    process = start("unshare", "--pid", "--fork", "--mount", "--kill-child", "sh", "-ec",
                    'mount -t proc proc /proc; mount -t tmpfs none /mnt; exec "$0" "$@"', python,
                    TARGETS / "busy.py")
    process.said(b"ready")
    child, = map(int, pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
                 .read_text().split())
    assert re.search(r"^NSpid:\t\d+\t1$", pathlib.Path(f"/proc/{child}/status").read_text(), re.M)
    result = uncoil("record", "-d", ".4", "-r", "500", "-p", str(child), "-o", folder / "x.folded")
    assert result.code == 0, result.err
    seen = stacks(folder / "x.folded")
    assert seen.count("spin") > .9 * seen.total > 5


MAPPED_TWICE = """
import mmap, re, sys
path = re.search(r"\\S*libpython3\\S*", open("/proc/self/maps").read())[0]
file = open(path, "rb")
kept = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
print("ready", flush=True)
def spin():
    while True: pass
spin()
"""


@pytest.mark.parametrize("python", [p for p in EVERY if re.fullmatch(r"3\.\d+\.\d+", p.id)])
def test_library_is_mapped_twice(start, folder, python):
    """As a mere file too, and below where the loader put it."""
    process = start(python, "-c", MAPPED_TWICE)
    process.said(b"ready")
    library = [line for line in pathlib.Path(f"/proc/{process.pid}/maps").read_text().split("\n")
               if "libpython3" in line]
    assert len([line for line in library if line.split()[2] == "00000000"]) == 2, library
    result = uncoil("record", "-d", ".3", "-r", "500", "-p", str(process.pid), "-o",
                    folder / "x.folded")
    assert result.code == 0, result.err
    assert stacks(folder / "x.folded").count("spin") > 5


SLEEPERS = [pytest.param(*p.values, [], id=f"{p.id}-main", marks=p.marks) for p in EVERY]
SLEEPERS += [pytest.param(*p.values, ["inner"], id=f"{p.id}-sub", marks=p.marks) for p in EVERY
             if p.id in NAMESPACED]


@pytest.mark.parametrize(("python", "where"), SLEEPERS)
def test_sleeper_with_a_sub_interpreter(target, folder, python, where):
    """A thread that waits in one interpreter has a thread state without frames, or with others, in the
    other; it is asked for its stack from outside, by dump and at the start of a wall recording."""
    sleeper = target("sleeper.py", *where, python=python)
    wait_for(lambda: state(sleeper.pid) == "S", "it to sleep")
    result = uncoil("dump", "-p", str(sleeper.pid))
    assert result.code == 0, result.err
    assert re.search(rb"\bdeep\b.*\n.*\bouter\b", result.out), result.out
    # the frames of another interpreter are not below it
    assert (b" main " in result.out) == (not where), result.out
    result = uncoil("record", "--mode", "wall", "-i", "-d", ".1", "-p", str(sleeper.pid), "-o", folder / "x.folded")
    assert result.code == 0, result.err
    seen = stacks(folder / "x.folded")
    assert seen.count("deep") > .9 * seen.total > .05e6
