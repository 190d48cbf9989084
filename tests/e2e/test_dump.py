# SPDX-License-Identifier: Apache-2.0
"""uncoil dump against real processes."""

import json
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import time

import pytest

from conftest import (CONTROL, SYSTEM, TARGETS, UNCOIL, as_nobody, each_python, uncoil, wait_for)


def dump(pid, *args):
    result = uncoil("dump", "-p", str(pid), "--json", *args)
    assert result.code == 0 and not result.err, result.err
    got = json.loads(result.out)
    assert got["format"] == 1
    return got["processes"]


def frames(thread):
    return [[f["function"], f["path"], f["line"]] for f in thread["frames"]]


def asleep(start, python, depth):
    process = start(python, TARGETS / "asleep.py", str(depth), stdin=subprocess.PIPE)
    said = process.said(b"ready\n")
    return process, json.loads(said.split(b"\n")[0])


@each_python
def test_sleeping_threads(start, python):
    """Every frame, function and line of every sleeping thread is what the interpreter itself says,
    10,000 deep, and it is proved to be so."""
    process, truth = asleep(start, python, 10000)
    got = wait_for(lambda: (lambda p: all(t["exact"] for t in p["threads"]) and p)(
        dump(process.pid)[0]), "all threads to sleep")
    assert got["python"] == python.full_version or python == SYSTEM
    assert len(got["threads"]) == 6 and got["threads_ended"] == 0
    named = {t["name"]: t for t in got["threads"]}
    for name, thread in truth["threads"].items():
        want = [f[:2] + [f[2]] for f in thread["frames"]]
        if python.version < (3, 11):
            want = [[f[0].rsplit(".", 1)[-1]] + f[1:] for f in want]
        assert frames(named[name]) == want, name
        assert named[name]["ident"] == thread["ident"]
        assert named[name]["marks"] == [] and named[name]["python"] is True
        assert named[name]["does"] == "idle" and named[name]["has_gil"] is False
    assert len(named["sleeps in \x1b[31mdeep\n"]["frames"]) > 10000
    assert named["sleeps in receive"]["fd"] == truth["fd"]
    assert re.fullmatch(r"socket:\[\d+\]", named["sleeps in receive"]["fd_target"])
    assert named["sleeps in receive"]["syscall"] == "recvfrom"
    assert named["sleeps in lock"]["syscall"] == "futex"
    assert named["MainThread"]["tid"] == process.pid
    assert named["MainThread"]["syscall"] == "read"
    assert got["gil_locked"] is False and got["gil_holder"] is None
    assert process.poll() is None


BLOCKED = """
import fcntl, json, os, select, sys, threading
pipe, keep = os.pipe()
mine, other = [os.open(sys.argv[1], os.O_RDWR | os.O_CREAT) for _ in range(2)]
fcntl.flock(mine, fcntl.LOCK_EX)
if not os.fork():
    fcntl.lockf(mine, fcntl.LOCK_EX)
    os.write(1, b"locked\\n")
    os.close(keep)
    os.read(pipe, 1)  # until its parent ends
    os._exit(0)
epoll = select.epoll()
epoll.register(pipe)
poll, many = select.poll(), select.poll()
poll.register(pipe)
many.register(pipe)
many.register(other)
many.modify(other, 0)
all = {"read": (os.read, (pipe, 1), pipe), "flock": (fcntl.flock, (other, fcntl.LOCK_EX), other),
       "fcntl": (fcntl.lockf, (other, fcntl.LOCK_EX), other), "epoll": (epoll.poll, (), epoll.fileno()),
       "poll": (poll.poll, (), pipe), "many": (many.poll, (), None),
       "select": (select.select, ([pipe], [], []), None)}
sys.stdin.read(1)
for name, (function, args, _) in all.items():
    threading.Thread(target=function, args=args, name=name).start()
print(json.dumps({name: fd for name, (_, _, fd) in all.items()}), flush=True)
"""


def test_descriptors(start, folder):
    """Which descriptor a thread sleeps with, by the kind of its system call."""
    process = start(SYSTEM, "-c", BLOCKED, folder / "file", stdin=subprocess.PIPE)
    process.said(b"locked\n")
    process.stdin.write(b"\n")
    process.stdin.flush()
    want = json.loads(process.said(b"\n"))

    def seen():
        threads = {t["name"]: t for t in dump(process.pid)[0]["threads"]}
        return set(want) < set(threads) and {name: threads[name]["fd"] for name in want}
    wait_for(lambda: seen() == want, f"all to sleep, with {want}")


def test_text(start):
    process, truth = asleep(start, SYSTEM, 10000)
    text = wait_for(lambda: (lambda t: "may be torn" not in t and t)(
        uncoil("dump", "-p", str(process.pid)).out.decode()), "all threads to sleep")
    assert not CONTROL.search(text)
    lines = text.split("\n")
    assert lines[0].startswith(f"Process {process.pid}: /usr/bin/python3.11 ")
    assert lines[1] == "CPython 3.11.2 (/usr/bin/python3.11); nobody had the GIL"
    assert lines[3] == f'Thread {process.pid} (idle): "MainThread"'
    assert re.fullmatch(r"  in read, fd 0 \(pipe:\[\d+\]\)", lines[4])
    assert re.fullmatch(r"    <module> \(.*asleep.py:\d+\)", lines[5]) and lines[6] == ""
    assert text.count("\n    deep (") == 10000
    assert '(idle): "sleeps in \\x1b[31mdeep\\x0a"\n  in clock_nanosleep\n    deep (' in text
    assert re.search(r"\n    Sleeper.nap \(\S+asleep.py:\d+\)\n    Thread.run \(threading.py:\d+\)\n",
                     text)
    functions = uncoil("dump", "-F", "-p", str(process.pid)).out.decode()
    assert "\n    Thread.run (threading.py)\n" in functions


@each_python
def test_gil(start, python):
    """Who computes has the GIL, or waits for it; who sleeps does neither."""
    process = start(python, TARGETS / "flicker.py")
    process.said(b"ready")
    seen = set()

    def enough():
        got = dump(process.pid)[0]
        threads = {t["name"]: t for t in got["threads"]}
        for name, thread in threads.items():
            if name.startswith("sleeper"):
                assert thread["does"] == "idle" and not thread["has_gil"] and thread["exact"]
        if threads["compute"]["has_gil"]:
            assert got["gil_locked"] is True and got["gil_holder"] == threads["compute"]["tid"]
            seen.add("holder")
        for name in ("compute", "flicker"):
            if threads[name]["does"] == "gil-wait":
                assert not threads[name]["has_gil"] and threads[name]["syscall"] == "futex"
                seen.add("waiter")
        return seen == {"holder", "waiter"}

    wait_for(enough, "a holder and a waiter")


@each_python
def test_exact_is_exact(start, python):
    """A thread that wakes and sleeps all the time: a stack that is called exact is never put
    together of two moments."""
    process = start(python, TARGETS / "flicker.py")
    process.said(b"ready")
    exact = set()
    for _ in range(40):
        thread, = [t for t in dump(process.pid)[0]["threads"] if t["name"] == "flicker"]
        if not thread["exact"]:
            continue
        names = [f["function"] for f in thread["frames"]]
        chain = [n for n in names if re.fullmatch(r"[ab]\d+", n)]
        assert len({n[0] for n in chain}) <= 1, names
        # from anywhere down to 39, all of them; at the bottom of it stands flicker()
        numbers = [int(n[1:]) for n in chain]
        assert numbers == list(range(40 - len(numbers), 40)), names
        assert names[len(chain)] == "flicker", names
        exact.update(chain[-1:])
    assert exact == {"a39", "b39"}


def test_running_is_not_called_exact(busy):
    """A program that only computes is seen running, with its own functions, and never proved."""
    wait_for(lambda: re.search(
        r'\(active\+gil\): "python3.11"\n  it ran while it was read: its stack may be torn.*\n'
        r"    spin \(", uncoil("dump", "-p", str(busy.pid)).out.decode()), "it to compute")
    busy.assert_computes()


def test_stopped(start):
    process, _ = asleep(start, SYSTEM, 10)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        text = wait_for(lambda: (lambda t: "stopped by a signal" in t and t)(
            uncoil("dump", "-p", str(process.pid)).out.decode()), "the stop")
        assert "may be torn" not in text
    finally:
        os.kill(process.pid, signal.SIGCONT)


def test_native_threads(start):
    """Threads that are none of Python's are shown as such, with where they sleep."""
    process = start(SYSTEM, "-c", """
import ctypes, time
libc = ctypes.CDLL(None)
thread = ctypes.c_ulong()
libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.sleep, ctypes.c_void_p), 1000)
print("ready", flush=True)
time.sleep(1000)
""")
    process.said(b"ready")
    native, = [t for t in dump(process.pid)[0]["threads"] if not t["python"]]
    assert native["marks"] == ["[not a Python thread]"] and native["frames"] == []
    native, = [t for t in wait_for(lambda: (lambda ts: all(t["exact"] for t in ts) and ts)(
        dump(process.pid)[0]["threads"]), "both to sleep") if not t["python"]]
    assert native["syscall"] == "clock_nanosleep"


def test_children(start):
    process = start("/bin/sh", "-c", f"{SYSTEM} {TARGETS}/flicker.py & {SYSTEM} {TARGETS}/flicker.py; wait",
                    start_new_session=True)
    try:
        if process.said(b"ready").count(b"ready") < 2:
            process.said(b"ready")
        result = uncoil("dump", "-p", str(process.pid))
        assert result.code == 1 and "is not a Python process" in result.err
        found = dump(process.pid, "-s")
        assert len(found) == 2 and len({p["pid"] for p in found} | {process.pid}) == 3
        assert all(len(p["threads"]) == 11 for p in found)
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_no_privilege(start):
    process, _ = asleep(start, SYSTEM, 10)
    result = uncoil("dump", "-p", str(process.pid), preexec_fn=as_nobody)
    assert result.code == 1 and not result.out
    assert len(result.err.strip().split("\n")) == 1 and result.err.startswith("uncoil dump: ")


def test_same_user_needs_no_root(tmp_path):
    """Whoever may ptrace a process may dump it: here its parent's user."""
    if open("/proc/sys/kernel/yama/ptrace_scope").read().strip() != "0" \
            if os.path.exists("/proc/sys/kernel/yama/ptrace_scope") else False:
        pytest.skip("SKIPPED: yama forbids ptrace between processes of one user")
    process = subprocess.Popen([SYSTEM, "-c", "print('ready', flush=True); import time; time.sleep(1000)"],
                               stdout=subprocess.PIPE, preexec_fn=as_nobody)
    try:
        process.stdout.readline()
        result = wait_for(lambda: (lambda r: b"(idle)" in r.out and r)(
            uncoil("dump", "-p", str(process.pid), preexec_fn=as_nobody)), "its sleep")
        assert result.code == 0 and b"<module> (<string>:1)" in result.out, result
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("args, words, code", [
    ([], ["no process given"], 2), (["-p", "0"], ["'0' is no process id"], 2),
    (["-p", "x\x1b"], [r"'x\x1b' is no process id"], 2), (["1234"], ["one word too many"], 2),
    (["--jsno", "-p", "1"], ["--jsno"], 2), (["-p", "1", "-p", "1"], ["given twice"], 2),
    (["-p", "4194301"], ["there is no process 4194301"], 1), (["-p", "2"], ["2"], 1)], ids=str)
def test_wrong(args, words, code):
    result = uncoil("dump", *args)
    assert result.code == code and not result.out
    lines = result.err.strip().split("\n")
    assert len(lines) == 1 and not CONTROL.search(result.err), result.err
    for word in words:
        assert word in lines[0]


def test_full_disk(start):
    process, _ = asleep(start, SYSTEM, 10)
    with open("/dev/full", "w") as full:
        result = uncoil("dump", "-p", str(process.pid), stdout=full)
    assert result.code == 1 and "cannot write to standard output: No space left" in result.err


def test_quick(start, capsys):
    """Under 50 ms for eleven threads, one of which computes: CPU time is judged, which a busy
    machine does not lengthen; the time on the clock is printed."""
    process = start(SYSTEM, TARGETS / "flicker.py")
    process.said(b"ready")
    clock, cpu = [], []
    for _ in range(20):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.monotonic()
        done = subprocess.run([UNCOIL, "dump", "-p", str(process.pid)], stdout=subprocess.PIPE,
                              timeout=20)
        clock.append(time.monotonic() - begin)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0 and done.stdout.count(b"\nThread ") == 11
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    with capsys.disabled():
        sys.stdout.write(f"\n  dump of 11 threads, median of 20: {statistics.median(clock) * 1e3:.1f} ms "
                         f"on the clock, {statistics.median(cpu) * 1e3:.1f} ms of CPU\n")
    assert statistics.median(cpu) < .05


@pytest.mark.parametrize("where", ["host", "netns"])
def test_peers(start, tmp_path, where):
    """Whom each thread waits for, whatever network namespace it is in."""
    process = start(SYSTEM, TARGETS / "peers.py", str(tmp_path), where)
    want = json.loads(process.said(b"ready\n").split(b"\n")[0])
    threads = wait_for(lambda: (lambda p: all(t["exact"] for t in p["threads"]) and p)(
        dump(process.pid)[0]), "all threads to sleep")["threads"]
    got = {thread["name"]: thread for thread in threads}
    assert {name: got[name]["socket"] for name in want} == want
    assert all(re.fullmatch(r"socket:\[\d+\]", got[name]["fd_target"]) for name in want)
    assert got["MainThread"]["socket"] is None
    text = uncoil("dump", "-p", str(process.pid)).out.decode()
    assert not CONTROL.search(text)
    for name, socket in want.items():
        end = socket["peer"] or socket["path"] or f":{socket['local_port']}"
        said = f"{socket['kind']} {end}".replace("\x1b", "\\x1b") if name != "unix pair" else "unix"
        assert re.search(rf'"{name}"\n  in \w+, fd \d+ \({re.escape(said)}\)\n', text), (name, text)


def test_peers_need_privileges(start, tmp_path):
    """Who may read a process, and no more, is told the socket's inode."""
    process = start(SYSTEM, TARGETS / "peers.py", str(tmp_path))
    want = json.loads(process.said(b"ready\n").split(b"\n")[0])
    result = uncoil("dump", "-p", str(process.pid), "--json",
                    wrapper=["setpriv", "--bounding-set", "-all,+sys_ptrace,+dac_override",
                             "--inh-caps", "-all,+sys_ptrace,+dac_override"])
    assert result.code == 0, result.err
    got = {thread["name"]: thread for thread in json.loads(result.out)["processes"][0]["threads"]}
    assert all(got[name]["socket"] is None for name in want)
    assert got["tcp4"]["fd_target"].startswith("socket:[")
