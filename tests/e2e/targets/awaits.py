# SPDX-License-Identifier: Apache-2.0
"""Tasks that compute for a known time and wait for another. Says "ready"; for each byte that it reads, runs them,
and says "done".

    awaits.py one      a task that computes 1 ms and waits 1 s, twice 0.5 s, in a coroutine that it awaits
    awaits.py many     500 tasks at once, each computes 0.2 ms before and after it waits 0.3 s"""
import asyncio
import os
import sys
import time


def compute(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


async def pause(seconds):
    await asyncio.sleep(seconds)


async def slow():
    compute(.0005)
    await pause(.5)
    await pause(.5)
    compute(.0005)


async def one():
    await asyncio.create_task(slow())


async def brief():
    compute(.0002)
    await pause(.3)
    compute(.0002)


async def many():
    await asyncio.gather(*(brief() for _ in range(500)))


if __name__ == "__main__":
    loop = asyncio.new_event_loop()
    os.write(1, b"ready\n")
    while os.read(0, 1):
        loop.run_until_complete({"one": one, "many": many}[sys.argv[1]]())
        os.write(1, b"done\n")
