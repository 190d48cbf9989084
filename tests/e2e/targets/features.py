# SPDX-License-Identifier: Apache-2.0
"""All that Python can call a function, in turns, for ever. Lines that tests know are marked."""
import sys
import threading
import time

clock = time.thread_time
sys.setrecursionlimit(2000)


def spin(seconds=.004):
    end = clock() + seconds
    while clock() < end: pass  # line: spin


def exact():
    end = clock() + .012
    while clock() < end:  # line: exact-while
        for _ in range(2000): pass  # line: exact-for

        "".join(map(str, range(400)))  # line: exact-join


def one():
    spin()


def two():
    spin()


def multi():
    return (one(),  # line: multi-one
            two())  # line: multi-two


class Outer:
    class Inner:
        def method(self):
            spin()  # line: method

    @classmethod
    def of_class(cls):
        spin()


class Made:
    def __init__(self):
        spin()


def make():
    Made()  # line: make


def closure():
    def local():
        spin()
    local()


def comprehend():
    return [spin() for _ in range(1)]  # line: comprehend


def generate():
    return sum(spin() or 0 for _ in range(1))


def generator():
    for _ in range(2):
        spin()
        yield


async def inner_coroutine():
    spin()  # line: coroutine


async def outer_coroutine():
    await inner_coroutine()  # line: await


def run_async():
    try:
        outer_coroutine().send(None)
    except StopIteration:
        pass


def bottom():
    end = clock() + .008
    while clock() < end: pass  # line: bottom


def deep(left):
    return deep(left - 1) if left else bottom()


def gone(number):
    """A function whose code object is freed at once."""
    names = {"spin": spin}
    source = "\n" * number + "def gone_%d():\n    spin()\ngone_%d()\n" % (number, number)
    exec(compile(source, "<gone>", "exec"), names)
    names.clear()


def foreign():
    source = "def größe_函数_\U00020000(spin):\n    spin()\n"
    names = {}
    exec(compile(source, "/tmp/dätei_файл_\U0001f40d.py", "exec"), names)
    names["größe_函数_\U00020000"](spin)


def worker(seconds):
    while True:
        spin(seconds)
        time.sleep(.02)


called = {"plain": lambda: spin()}
for name in ("plain worker", "Arbeiter-ä-线程-\U0001f9f5"):
    threading.Thread(target=worker, args=(.004,), name=name, daemon=True).start()
print("ready", flush=True)
number = 0
while True:
    number += 1
    exact()
    multi()
    Outer.Inner().method()
    Outer.of_class()
    make()
    closure()
    called["plain"]()
    comprehend()
    generate()
    list(generator())
    run_async()
    deep(600)
    gone(number % 50)
    foreign()
