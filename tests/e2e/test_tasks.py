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
