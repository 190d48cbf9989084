# SPDX-License-Identifier: Apache-2.0
"""asyncio: tasks with names, one of them hostile, tasks without, and a callback that is no task's."""
import asyncio


def burn(n):
    return sum(i * i for i in range(n))


async def fetch(n):
    burn(n)
    await asyncio.sleep(0)


async def handle():
    burn(3000)


def callback():
    burn(3000)


async def main():
    loop = asyncio.get_running_loop()
    for turn in range(1000000):
        loop.call_soon(callback)
        await asyncio.gather(loop.create_task(fetch(6000), name="fetch prices"),
                             loop.create_task(fetch(2000), name="a;b </script>\x1b[31m\n計"),
                             handle(), handle())
        if not turn:
            print("ready", flush=True)


asyncio.run(main())
