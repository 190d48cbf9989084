# SPDX-License-Identifier: Apache-2.0
"""record --async: each stack says which asyncio task it is of, and none says a wrong one."""

import json
import re
import signal
import subprocess

import pytest

from conftest import (CONTROL, EVERY, GOT, PYTHONS, SYSTEM, TARGETS, UNCOIL, Target, cpu_ns, every_python,
                      finish, stacks, uncoil, wait_for)

feature = pytest.mark.feature
NEW = next((p for n, p in GOT.items() if n.startswith("sid-3.14") and p.exists()), None)
OLD_AND_NEW = [pytest.param(SYSTEM, id="debian-3.11"), pytest.param(
    NEW, id="sid-3.14", marks=[] if NEW else pytest.mark.skip(reason="there is no sid-3.14"))]


def record(where, python, *args, seconds=.6, options=("-r", "1000"), outputs=("x.folded", "x.txt")):
    """A recording of named.py of so much CPU time: (expected names by key, Result)."""
    target = Target([python, TARGETS / "named.py", *args])
    try:
        names = json.loads(target.said(b"ready").split(b"\n")[0])
        recorder = Target([UNCOIL, "record", "--async", *options, "-p", str(target.pid)] +
                          [arg for name in outputs for arg in ("-o", where / name)],
                          stderr=subprocess.PIPE)
        assert recorder.stderr.readline().startswith(b"recording ")
        before = cpu_ns(target.pid)
        wait_for(lambda: cpu_ns(target.pid) > before + seconds * 1e9, "the target to use CPU time", 60)
        recorder.send_signal(signal.SIGINT)
        result = finish(recorder)
    finally:
        target.kill()
        target.wait()
        target.stdout.close()
    assert result.code == 0, result.err
    return names, result


@pytest.fixture(scope="module", params=EVERY)
def seen(request, tmp_path_factory):
    where = tmp_path_factory.mktemp("async")
    names, _ = record(where, request.param, outputs=("x.folded", "x.txt", "x.uncoil", "x.svg"))
    recorded = stacks(where / "x.folded")
    recorded.python, recorded.where, recorded.expected = request.param, where, names
    return recorded


def key_of(frames):
    """KEY of the burn_KEY that burns."""
    keys = [f.name[5:] for f in frames if f.name.startswith("burn_")]
    return keys[-1] if keys else None


def of_task(frames):
    """What the stack is said to be of, as named.py writes it; None: of no task."""
    first = frames[0].name
    return first if re.match(r"tasks? |\[task", first) else None


@feature("task names in samples")
def test_names(seen):
    """No stack of a wrong task, none of a task without it, and none of no task with one."""
    counts = dict.fromkeys(seen.expected, 0)
    for frames, count in seen:
        key = key_of(frames)
        if key is None:
            continue
        counts[key] += count
        want, have = seen.expected[key], of_task(frames)
        if key == "hostile":
            want = "task a\\x3bb\\x0a\\x1b[31m</script>\u8a08 \U0001f40d\u2400yyy"
            assert have.endswith("\u2026") and 100 < len(have) < 600
            have = have[:len(want)]
        assert have == want, (key, frames)
        assert not any(of_task([f]) for f in frames[1:])
    assert min(counts.values()) >= 3, counts
    # 3 ms to 1, of the same task's two slices each
    share = counts["three"] / (counts["three"] + counts["one"])
    assert abs(share - .75) < 5 * (.75 * .25 / (counts["three"] + counts["one"])) ** .5 + .01, counts


def test_summary_and_page(seen):
    text = (seen.where / "x.txt").read_text()
    assert not CONTROL.search(text)
    rows = dict(map(reversed, re.findall(r"^ +(\d+) +[\d.]+%  (tasks? .*)$", re.search(
        r"^Tasks of asyncio, busiest first.*?\n\n", text, re.M | re.S)[0], re.M)))
    for name in ("task three", "task other loop", "tasks of short"):
        assert int(rows[name]) == sum(n for frames, n in seen if of_task(frames) == name)
    page = (seen.where / "x.svg").read_text()
    assert "task three" in page and "asyncio task" in page and "</script>\u8a08" not in page


def test_replay(seen):
    for suffix in ("folded", "txt", "svg"):
        again = seen.where / f"again.{suffix}"
        assert uncoil("replay", "-q", seen.where / "x.uncoil", "-o", again).code == 0
        assert again.read_bytes() == (seen.where / f"x.{suffix}").read_bytes()


@every_python
def test_python_class(python, tmp_path):
    """Tasks that are not of asyncio's own class are said to be some, and nothing else of them."""
    names, _ = record(tmp_path, python, "python", seconds=.2)
    for frames, _ in stacks(tmp_path / "x.folded"):
        key = key_of(frames)
        if key:
            # main() itself was made before the task factory was set
            assert of_task(frames) == (names[key] and "[task of another class]"), frames
    assert re.search(r"^ +\d+ samples in tasks of another class", (tmp_path / "x.txt").read_text(), re.M)


def test_off_by_default(busy, folder):
    result = uncoil("record", "-p", str(busy.pid), "-d", ".2", "-o", folder / "x.uncoil", "-o", folder / "x.txt")
    assert result.code == 0 and "asyncio" not in (folder / "x.txt").read_text()


@pytest.mark.parametrize("python", OLD_AND_NEW)
def test_command(python, tmp_path):
    """asyncio is looked for until it is loaded; in a program that is all new."""
    script = tmp_path / "late.py"
    script.write_text("""
import time

def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end: pass

burn(.1)
import asyncio

async def main():
    asyncio.current_task().set_name("first and last")
    burn(.5)

asyncio.run(main())
""")
    folded = tmp_path / "x.folded"
    result = uncoil("record", "--async", "-r", "1000", "-o", folded, "-o", tmp_path / "x.txt", "--",
                    python, script, timeout=60)
    assert result.code == 0, result.err
    seen = stacks(folded)
    mains = seen.having("main")
    named = sum(n for frames, n in mains if frames[0].name == "task first and last")
    assert named > .7 * sum(n for _, n in mains) > 100
    assert re.search(r"\d+ ms of processes before asyncio was found",
                     " ".join((tmp_path / "x.txt").read_text().split()))


def test_children(tmp_path):
    """A forked child's tasks are told too."""
    folded = tmp_path / "x.folded"
    recorder = Target([UNCOIL, "record", "--async", "-s", "-r", "1000", "-d", "1.5", "-q", "-o", folded, "--",
                       SYSTEM, TARGETS / "named.py", "forks"], stderr=subprocess.PIPE,
                      stdout=subprocess.DEVNULL)
    assert finish(recorder).code == 0
    assert {"task three", "task other loop", "tasks of short"} <= {f[0].name for f, _ in stacks(folded)}


@pytest.mark.parametrize("python", OLD_AND_NEW)
def test_waits(python, start, tmp_path):
    """A task that blocks its loop waits under its name; the loop's own waiting is nobody's."""
    process = start(python, "-c", """
import asyncio, time

async def blocks():
    while True:
        time.sleep(.02)
        await asyncio.sleep(.02)

async def main():
    await asyncio.gather(asyncio.create_task(blocks(), name="blocker"), blocks())

print("ready", flush=True)
asyncio.run(main())
""")
    process.said(b"ready")
    result = uncoil("record", "--async", "--mode", "offcpu", "-i", "-p", str(process.pid), "-d", "1", "-o",
                    tmp_path / "x.folded")
    assert result.code == 0, result.err
    seen = stacks(tmp_path / "x.folded")
    assert {of_task(frames) for frames, _ in seen.having("blocks")} <= {"task blocker", "tasks of blocks"}
    for name in ("task blocker", "tasks of blocks"):
        assert sum(n for frames, n in seen if frames[0].name == name and
                   frames[-1].name == "[sleep]") > 100e3  # us
    assert all(of_task(frames) is None for frames, _ in seen if any(f.name == "select" for f in frames))


DERIVED = '''
import asyncio, sys, time

class Derived(asyncio.Task):
    __slots__ = ("one", "two")

def down(n):
    if n:
        return down(n - 1)
    end = time.thread_time() + .005
    while time.thread_time() < end: pass

async def deep(n):
    while True:
        down(n)
        await asyncio.sleep(0)

async def main():
    asyncio.get_running_loop().set_task_factory(lambda loop, coro, **more: Derived(coro, loop=loop, **more))
    await asyncio.gather(asyncio.create_task(deep(600), name="long"), asyncio.create_task(deep(1), name="short"))

print("ready", flush=True)
sys.setrecursionlimit(2000)
asyncio.run(main())
'''


@pytest.mark.parametrize("python", OLD_AND_NEW)
def test_derived_and_deep(python, start, tmp_path):
    """A class that derives from Task has names. A stack whose root end was cut may have lost its task."""
    process = start(python, "-c", DERIVED)
    process.said(b"ready")
    for mode in "cpu", "wall":
        result = uncoil("record", "--async", "--mode", mode, "-r", "500", "-p", str(process.pid), "-d", ".5",
                        "-o", tmp_path / "x.folded")
        assert result.code == 0, result.err
        seen = stacks(tmp_path / "x.folded")
        cut = {of_task(frames) for frames, _ in seen.having("[deeper frames cut]")}
        assert cut == {"task long" if python.version >= (3, 14) else "[task not known]"}
        # on its way down it is seen whole
        assert {"task short"} <= {of_task(frames) for frames, _ in seen.having("down")} - cut <= {
            "task short", "task long"}


@pytest.mark.parametrize("python", OLD_AND_NEW)
def test_thousands(python, start, tmp_path):
    """Tasks without a name make one stack, however many; thousands of names are all there, or told as
    lost."""
    process = start(python, "-c", """
import asyncio, itertools, time

def burn(ms):
    end = time.thread_time() + ms / 1000
    while time.thread_time() < end: pass

async def handle():
    burn(.3)

async def main():
    for i in itertools.count():
        await asyncio.create_task(handle())
        await asyncio.create_task(handle(), name="request %d" % i)

print("ready", flush=True)
asyncio.run(main())
""")
    process.said(b"ready")
    result = uncoil("record", "--async", "-F", "-r", "10000", "-p", str(process.pid), "-d", "1.5", "-o",
                    tmp_path / "x.folded", "-o", tmp_path / "x.txt")
    assert result.code in (0, 3), result.err
    seen = stacks(tmp_path / "x.folded")
    firsts = [f[0].name for f, _ in seen]
    assert {f for f in firsts if f.startswith("tasks of ")} == {"tasks of handle", "tasks of main"}
    assert not any(f.startswith("task Task-") for f in firsts)
    assert len({f for f in firsts if f.startswith("task request ")}) > 100
    text = (tmp_path / "x.txt").read_text()
    assert int(re.search(r"^Samples +(\d+)", text, re.M)[1]) == seen.total
    assert (result.code == 3) == ("nothing was lost" not in text)


def test_rotate(start, tmp_path):
    """Names are sent once, and stand in each part."""
    process = start(SYSTEM, TARGETS / "named.py")
    process.said(b"ready")
    result = uncoil("record", "--async", "--rotate", "1", "-r", "500", "-p", str(process.pid), "-d", "3", "-q",
                    "-o", tmp_path / "x.folded", "-o", tmp_path / "x.uncoil")
    assert result.code == 0, result.err
    parts = sorted(tmp_path.glob("x-*.folded"))
    assert len(parts) >= 2
    for part in parts[:2]:
        names = {f[0].name for f, _ in stacks(part)}
        assert {"task three", "task other loop", "tasks of short"} <= names
        assert not any("not read" in name for name in names)
        again = tmp_path / "again.folded"
        assert uncoil("replay", "-q", part.with_suffix(".uncoil"), "-o", again).code == 0
        assert again.read_bytes() == part.read_bytes()
