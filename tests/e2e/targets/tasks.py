# SPDX-License-Identifier: Apache-2.0
"""asyncio tasks that wait in every way there is, and one that blocks its loop when told to.

Prints, as JSON, who awaits whom and the function names of each task's stack, outermost first."""
import asyncio
import json
import sys
import time

TRUTH = {}  # task's name: [awaiters' names, function names]


def name(text, awaiters, *functions):
    TRUTH[text] = [sorted(awaiters), list(functions)]
    return text


async def bottom(forever):
    await forever


async def middle(forever):
    await bottom(forever)


class Awaitable:
    def __init__(self, forever):
        self.forever = forever

    def __await__(self):
        yield from self.forever.__await__()


async def by_object(forever):
    await Awaitable(forever)


async def numbers(forever):
    yield 1
    await bottom(forever)


async def by_generator(forever):
    async for _ in numbers(forever):
        pass


async def awaits_task(task):
    await task


async def gathers(*tasks):
    await asyncio.gather(*tasks)


async def waits(*tasks):
    await asyncio.wait(tasks)


async def shields(task):
    await asyncio.shield(task)


async def waits_for(task):
    await asyncio.wait_for(task, 1000)


async def groups(forever):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bottom(forever))
        task.set_name(name("in group", ["groups"], "bottom"))
        await asyncio.sleep(0)


async def blocks():
    time.sleep(1000)


async def main():
    loop = asyncio.get_running_loop()
    forever = loop.create_future()
    kept = []

    def task(coro, text):
        kept.append(asyncio.ensure_future(coro))
        kept[-1].set_name(text)
        return kept[-1]

    asyncio.current_task().set_name(name("main \x1b[31m\n", [], "main", "sleep"))
    chain = task(middle(forever), name("chain", ["awaits task"], "middle", "bottom"))
    task(awaits_task(chain), name("awaits task", [], "awaits_task"))
    task(by_object(forever), name("object", ["gathers"], "by_object", "__await__"))
    task(by_generator(forever), name("generator", ["gathers", "waits"], "by_generator", "numbers",
                                     "bottom"))
    task(gathers(kept[-2], kept[-1]), name("gathers", [], "gathers"))
    task(waits(kept[-2], chain), name("waits", [], "waits", "wait", "_wait"))
    TRUTH["chain"][0] = ["awaits task", "waits"]
    task(bottom(forever), name("shielded", ["shields"], "bottom"))
    task(shields(kept[-1]), name("shields", [], "shields"))
    task(bottom(forever), name("timed", ["waits for"], "bottom"))
    task(waits_for(kept[-1]), name("waits for", [], "waits_for", "wait_for"))
    if sys.version_info >= (3, 11):
        task(groups(forever), name("groups", [], "groups", "__aexit__"))
    await asyncio.sleep(0.1)
    if "block" in sys.argv:
        task(blocks(), name("blocker", [], "blocks"))
    print(json.dumps(TRUTH), flush=True)
    print("ready", flush=True)
    await asyncio.sleep(1000)


asyncio.run(main())
