# SPDX-License-Identifier: Apache-2.0
"""asyncio tasks that switch at every step, each with functions of its own."""
import asyncio


class Pause:
    def __await__(self):
        yield paused()


def paused():
    return None


def step_a(n):
    return n + 1


def step_b(n):
    return n + 2


async def bottom_a(n):
    await Pause()  # calls: __await__
    return step_a(n)


async def middle_a(n):
    return await bottom_a(n)


async def task_a():  # from a library
    n = 0
    while True:
        n = await middle_a(n)


async def bottom_b(n):
    await asyncio.sleep(0)  # into a library
    return step_b(n)


async def middle_b(n):
    return await bottom_b(n)


async def task_b():  # from a library
    n = 0
    while True:
        n = await middle_b(n)


async def numbers():
    for n in range(5):
        await Pause()  # calls: __await__
        yield step_c(n)


def step_c(n):
    return n + 3


async def task_c():  # from a library
    while True:
        async for n in numbers():  # into a library
            step_c(n)  # into a library
        [step_c(n) async for n in numbers()]  # calls: numbers; into a library


async def every():  # from a library
    print("ready", flush=True)
    await asyncio.gather(task_a(), task_b(), task_c())  # into a library


asyncio.run(every())  # into a library
