# SPDX-License-Identifier: Apache-2.0
"""asyncio tasks of every kind that burn CPU time, each in a function of its own: burn_KEY. First line of
output: {KEY: what its stacks must be said to be of, null: of no task}, then "ready".

    named.py [python|forks]   python: tasks of the class that is written in Python"""
import asyncio
import json
import os
import signal
import sys
import threading
import time

HOSTILE = "a;b\n\x1b[31m</script>\u8a08 \U0001f40d\x00" + "y" * 10000
NAMES = {"three": "task three", "one": "task one", "short": "tasks of short", "numbered": "tasks of numbered",
         "inner": "task inner", "outer": "task outer", "hostile": "task " + HOSTILE[:8],
         "other": "task other loop", "wide": "task \u7dda\u7a0b", "callback": None, "plain": None}
REUSED = 5


def define(key):
    """A function burn_KEY: as if each were written here."""
    space = {"clock": time.thread_time}
    exec("def burn_%s(ms):\n end = clock() + ms / 1000\n while clock() < end: pass" % key, space)
    globals()["burn_" + key] = space["burn_" + key]


def task(coro, name):
    return asyncio.get_running_loop().create_task(coro, name=name)


async def burn(key, ms):
    globals()["burn_" + key](ms)
    await asyncio.sleep(0)
    globals()["burn_" + key](ms)


async def short():
    burn_short(2)


async def numbered():
    this = asyncio.current_task()  # None if it is of the class in Python, from 3.14 on
    if this:
        this.get_name()  # from 3.13 on it has none before
    burn_numbered(2)


async def outer():
    burn_outer(2)
    await asyncio.gather(*(task(burn("inner", 1), "inner") for _ in range(2)))
    burn_outer(2)


async def eager_parent():
    """An eager task's coroutine begins within this one's step."""
    burn_parent(2)
    child = asyncio.Task(burn("eager", 2), name="eager", eager_start=True,
                         loop=asyncio.get_running_loop())
    burn_parent(2)
    await child


async def once(turn):
    loop = asyncio.get_running_loop()
    loop.call_soon(burn_callback, 2)
    await asyncio.gather(task(burn("three", 6), "three"), task(burn("one", 2), "one"),
                         task(burn("wide", 2), "\u7dda\u7a0b"), task(burn("hostile", 2), HOSTILE),
                         task(outer(), "outer"), short(), numbered(), asyncio.gather(short(), short()))
    # one after the other: each has the memory of the one before
    for n in range(REUSED):
        await task(burn("reused_%d" % n, 1), "reused %d" % n)
    if "eager" in NAMES:
        await task(eager_parent(), "parent")


def python_tasks(loop, coro, **more):
    return asyncio.tasks._PyTask(coro, loop=loop, **more)


async def main(turn):
    if "python" in sys.argv:
        asyncio.get_running_loop().set_task_factory(python_tasks)
    while True:
        if threading.current_thread() is threading.main_thread():
            await once(turn)
        else:
            await task(burn("other", 3), "other loop")
            await asyncio.sleep(.03)


def plain():
    while True:
        burn_plain(5)
        time.sleep(.03)


if sys.version_info >= (3, 12) and "python" not in sys.argv:
    NAMES.update(eager="task eager", parent="task parent")
NAMES.update({"reused_%d" % n: "task reused %d" % n for n in range(REUSED)})
for name in NAMES:
    define(name)
print(json.dumps(NAMES), flush=True)
if "forks" in sys.argv:
    child = os.fork()
    if child:
        signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))
        os.wait()
        os._exit(0)
threading.Thread(target=plain, daemon=True).start()
threading.Thread(target=lambda: asyncio.run(main(1)), daemon=True).start()
print("ready", flush=True)
asyncio.run(main(0))
