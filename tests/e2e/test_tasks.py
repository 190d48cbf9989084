# SPDX-License-Identifier: Apache-2.0
"""uncoil dump --async: asyncio's tasks of real interpreters against what these say themselves."""

import json
import os
import pathlib

import pytest

from conftest import CONTROL, PYTHONS, SYSTEM, TARGETS, TOP, uncoil, wait_for

# 3.13 to 3.15 of other suites, scripts/get-pythons
OTHERS = pathlib.Path(os.environ.get("UNCOIL_PYTHONS", TOP / ".output/pythons")) / "bin"
TELL = ["sid-python3.14", "sid-python3.15", "free-threaded-python3.14t"]
ALL = dict(PYTHONS, **{name: str(OTHERS / name) for name in TELL + [
    "bullseye-python3.9", "trixie-python3.13", "bookworm-python3.11d"]})
each = pytest.mark.parametrize("python", ALL.values(), ids=ALL.keys())


@pytest.fixture
def tasks(start):
    def begin(python, *args):
        if not os.path.exists(python):
            pytest.skip(f"SKIPPED: no {python}; scripts/get-pythons makes it")
        process = start(python, TARGETS / "tasks.py", *args)
        return process, json.loads(process.said(b"ready\n").split(b"\n")[0])
    return begin


def dump(pid):
    result = uncoil("dump", "--async", "--json", "-p", str(pid))
    assert result.code == 0 and not result.err, result.err
    process, = json.loads(result.out)["processes"]
    return process


def still(pid):
    """Once all that is shown is proved to be of one moment."""
    return wait_for(lambda: (lambda p: all(t["exact"] for t in p["tasks"]) and p)(dump(pid)),
                    "the tasks to be caught asleep")


@each
def test_tasks(tasks, python):
    """Every task: its name, its whole stack, and who awaits it."""
    process, truth = tasks(python)
    got = still(process.pid)
    assert got["no_tasks"] is None and got["tasks_cut"] is False
    assert got["tasks_of_another_kind"] == 0
    by_id = {t["id"]: t for t in got["tasks"]}
    seen = {}
    for task in got["tasks"]:
        functions = [f["function"].rsplit(".", 1)[-1] for f in reversed(task["frames"])]
        if task["name"] == "groups":
            # what __aexit__ calls differs
            assert functions[2:] in ([], ["_aexit"])
            functions = functions[:2]
        seen[task["name"]] = [sorted(by_id[i]["name"] for i in task["awaited_by"]), functions]
        assert task["state"] == "waiting" and task["tid"] == got["threads"][0]["tid"]
        assert task["marks"] == [] and all(f["line"] > 0 for f in task["frames"])
        assert all(task["id"] in by_id[i]["awaits"] for i in task["awaited_by"])
        assert all(task["id"] in by_id[i]["awaited_by"] for i in task["awaits"])
    assert seen == truth
    assert got["threads"][0]["task"] is None
    assert process.poll() is None


@each
def test_running(tasks, python):
    """A task that blocks its loop is running: its stack is its thread's, and is named there."""
    process, _ = tasks(python, "block")
    got = wait_for(lambda: (lambda p: p["threads"][0]["task"] and p["threads"][0]["exact"] and p)(
        dump(process.pid)), "the task to block")
    task, = [t for t in got["tasks"] if t["state"] == "running"]
    assert task["name"] == "blocker" and task["exact"]
    assert [f["function"] for f in task["frames"]] == ["blocks"]
    thread = got["threads"][0]
    assert thread["task"] == task["id"]
    assert thread["frames"][:1] == task["frames"] and thread["frames"][1]["function"] != "blocks"


def test_text(tasks):
    process, _ = tasks(SYSTEM, "block")
    text = wait_for(lambda: (lambda t: "may be torn" not in t and t)(
        uncoil("dump", "--async", "-p", str(process.pid)).out.decode()), "all to sleep")
    assert not CONTROL.search(text)
    head, tree = text.split(f'\nTasks of thread {process.pid} "MainThread": ')
    lines = [line.split(" (")[0] for line in tree.split("\n")]
    at = lines.index('  "gathers"')
    assert lines[at + 1] == "    gathers" and lines[at + 2].startswith("      \"")
    at = lines.index('      "in group"')
    assert lines[at - 3:at + 2] == ['  "groups"', "    groups", "    TaskGroup.__aexit__",
                                    '      "in group"', "        bottom"]
    assert '  "main \\x1b[31m\\x0a" (waiting)\n' in tree
    assert tree.count("(shown above)") == 2
    assert '\n    [task "blocker"]\n    Handle._run (' in head
    plain = uncoil("dump", "-p", str(process.pid)).out.decode()
    assert "[task" not in plain and "Tasks" not in plain


def test_no_asyncio(start):
    for python in [SYSTEM] + [str(OTHERS / name) for name in TELL if (OTHERS / name).exists()]:
        process = start(python, "-c", "import time; print('ready', flush=True); time.sleep(1000)")
        process.said(b"ready")
        assert dump(process.pid)["tasks"] == []
        text = uncoil("dump", "--async", "-p", str(process.pid)).out.decode()
        assert "\nNo tasks: asyncio " in text


def test_churn(start):
    """Tasks that come and go all the time: never more than there are, never a stack of no task's."""
    process = start(SYSTEM, "-c", """
import asyncio

async def leaf(n):
    for _ in range(n):
        await asyncio.sleep(0)

async def root(n):
    await asyncio.gather(*(leaf(n) for _ in range(20)))

async def main():
    print("ready", flush=True)
    while True:
        await root(3)

asyncio.run(main())
""")
    process.said(b"ready")
    for _ in range(20):
        got = dump(process.pid)
        for task in got["tasks"]:
            functions = [f["function"] for f in task["frames"]]
            if task["exact"] and task["state"] == "waiting":
                assert functions in (["leaf"], ["sleep", "leaf"], ["__sleep0", "sleep", "leaf"],
                                     ["main"], ["root", "main"]), functions
    process.assert_computes()


@each
def test_two_loops(start, python):
    """Loops of two threads: each task belongs to its own; a chain of tasks of any length is shown."""
    if not os.path.exists(python):
        pytest.skip(f"SKIPPED: no {python}; scripts/get-pythons makes it")
    process = start(python, "-c", """
import asyncio, threading

async def link(n):
    await asyncio.sleep(0)
    await (asyncio.ensure_future(link(n - 1)) if n else asyncio.sleep(1000))

async def many():
    forever = asyncio.get_running_loop().create_future()
    async def one():
        await forever
    tasks = [asyncio.ensure_future(one()) for _ in range(500)]
    await asyncio.sleep(0.3)
    print("ready", flush=True)
    await asyncio.gather(*tasks)

threading.Thread(target=lambda: asyncio.run(link(99)), name="chain", daemon=True).start()
asyncio.run(many())
""")
    process.said(b"ready")
    got = wait_for(lambda: (lambda p: all(t["exact"] for t in p["tasks"]) and
                            len(p["tasks"]) == 601 and p)(dump(process.pid)), "all tasks asleep")
    tids = {t["name"]: t["tid"] for t in got["threads"]}
    by_id = {t["id"]: t for t in got["tasks"]}
    chain = [t for t in got["tasks"] if t["tid"] == tids["chain"]]
    assert len(chain) == 100
    leaf, = [t for t in chain if not t["awaits"]]
    length = 1
    while leaf["awaited_by"]:
        leaf = by_id[leaf["awaited_by"][0]]
        length += 1
    assert length == 100
    main, = [t for t in got["tasks"] if len(t["awaits"]) == 500]
    assert main["tid"] == process.pid and main["frames"][-1]["function"].endswith("many")
    text = uncoil("dump", "--async", "-p", str(process.pid)).out.decode()
    assert f'\nTasks of thread {process.pid} "MainThread": 501\n' in text
    assert f'\nTasks of thread {tids["chain"]} "chain": 100\n' in text and "(99 deep) \"" in text


@each
def test_eager(start, python):
    """3.12+: a task that runs before it was ever scheduled."""
    if not os.path.exists(python):
        pytest.skip(f"SKIPPED: no {python}; scripts/get-pythons makes it")
    process = start(python, "-c", """
import asyncio, time

async def blocks():
    time.sleep(1000)

async def main():
    loop = asyncio.get_running_loop()
    if hasattr(asyncio, "eager_task_factory"):
        loop.set_task_factory(asyncio.eager_task_factory)
    print("ready", flush=True)
    task = loop.create_task(blocks(), name="eager")
    await task

asyncio.run(main())
""")
    process.said(b"ready")

    def blocked():
        got = dump(process.pid)
        task = [t for t in got["tasks"] if t["id"] == got["threads"][0]["task"]]
        # 3.12 and 3.13 give it its name when it has run
        return task and task[0]["name"] in ("eager", "Task-2") and \
            [f["function"] for f in task[0]["frames"]] == ["blocks"]

    wait_for(blocked, "the eager task to block")


def test_hostile(start):
    """Objects that are not what they are called, tasks that await each other in circles."""
    process = start(SYSTEM, "-c", """
import asyncio

class Task(asyncio.Task):
    pass

async def circle(other, me):
    other[me ^ 1] = asyncio.current_task()
    await asyncio.sleep(0.1)
    await asyncio.shield(other[me])

async def main():
    loop = asyncio.get_running_loop()
    forever = loop.create_future()
    both = [None, None]
    kept = [asyncio.ensure_future(circle(both, i)) for i in range(2)]
    kept.append(Task(forever_of(forever), loop=loop, name="x" * 100000))
    asyncio.tasks._all_tasks.data.update([1, "text", (2, 3)])
    class Odd:
        pass
    odd = Odd()
    asyncio.tasks._all_tasks.add(odd)
    await asyncio.sleep(0.5)
    print("ready", flush=True)
    await asyncio.sleep(1000)

async def forever_of(forever):
    await forever

asyncio.run(main())
""")
    process.said(b"ready")
    got = still(process.pid)
    assert got["tasks_of_another_kind"] == 1 and len(got["tasks"]) == 4
    assert "x" * 256 in {t["name"] for t in got["tasks"]}
    circle = [t for t in got["tasks"] if t["awaits"]]
    assert len(circle) == 2
    assert circle[0]["awaits"] == circle[0]["awaited_by"] == [circle[1]["id"]]
    assert circle[1]["awaits"] == circle[1]["awaited_by"] == [circle[0]["id"]]
    text = uncoil("dump", "--async", "-p", str(process.pid)).out.decode()
    assert text.count("(shown above)") == 1
    assert "\n1 entries of asyncio's lists are no asyncio.Task of its own kind\n" in text
