# SPDX-License-Identifier: Apache-2.0
"""Begins and ends of every kind, always the same number of each.

    kinds.py plain       says "ready"; works for each byte "w" that it reads, and says "done"
                         for "f" a child that it forks works as well
    kinds.py hooked      the same, under sys.monitoring or sys.setprofile from before on
    kinds.py count       works, and prints what Python itself counts: {"begin": 1234, ...}

As the last argument comes oracle.py's path, which only is named so that a Python in a root of its own gets it.
Between ready and done no Python code runs but the work: os.read() and os.write() are C. REPEAT: how
many times it works."""
import opcode
import os
import sys

import oracle

# compiled once: a new code object has to be instrumented first, and begins twice
EVALUATED = compile("leaf(1)", "evaluated", "eval")
REPEAT = int(sys.argv[2]) if __name__ == "__main__" and sys.argv[2:] else 1
MADE = 0
GENEXPRS = 0


def made(value):
    global MADE
    MADE += 1
    return value


def leaf(n):
    return n


def nothing(n):
    pass


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def deep(n):
    return deep(n - 1) + 1 if n else 0


def counter(n):
    for i in range(n):
        yield i + 1


def delegating(n):
    yield from made(counter(n))
    yield from made(counter(n))
    return 7


def failing(n):
    if n % 3 == 0:
        raise ValueError(n)
    return n


def passing(n):
    return failing(n)


def catching(n):
    try:
        return passing(n)
    except ValueError:
        return -1


def guarded(n):
    try:
        for i in range(n):
            try:
                yield i + 1
            except KeyError:
                yield -1
    finally:
        leaf(0)


def raising(n):
    yield n + 1
    raise RuntimeError("ends by exception")


class Steps:
    def __init__(self, n):
        self.n = n

    def __await__(self):
        for i in range(self.n):
            yield i + 1
        return self.n


async def inner(n):
    return await made(Steps(n))


async def outer(n):
    return await made(inner(n)) + await made(inner(n + 1))


async def ticks(n):
    for i in range(n):
        await made(Steps(1))
        yield i


async def ticking(n):
    total = 0
    async for i in made(ticks(n)):
        total += i
    return total


def drive(coro):
    steps = 0
    while True:
        try:
            coro.send(None)
        except StopIteration as stop:
            return steps, stop.value
        steps += 1


class Thing:
    def __init__(self, n):
        self.n = n

    def __lt__(self, other):
        return self.n < other.n

    def __enter__(self):
        return self

    def __exit__(self, *what):
        return True

    @property
    def double(self):
        return self.n * 2


def calls():
    global GENEXPRS
    for i in range(2000):
        leaf(i)
        nothing(i)
    fib(12)
    deep(200)
    list(map(leaf, range(500)))
    sorted([Thing(n % 17) for n in range(60)])
    GENEXPRS += 1
    sum(t.double for t in made([Thing(n) for n in range(50)]))
    for i in range(100):
        with Thing(i):
            raise OSError
    eval(EVALUATED)
    (lambda *a, **k: leaf(a))(1, 2, x=3)
    leaf(*(1,))


def generators():
    for i in range(20):
        list(made(counter(100)))
        list(made(delegating(10)))
    for i in range(30):
        g = made(guarded(5))
        next(g)
        g.throw(KeyError)
        next(g)
        g.close()
        h = made(guarded(5))
        next(h)
        try:
            h.throw(TypeError)
        except TypeError:
            pass
        del h
        # closed and freed from the stack: a local would live on in the dict that setprofile makes
        # before 3.11, and end where Python does not look
        next(made(guarded(3)))
        made(counter(3))
    for i in range(40):
        try:
            list(made(raising(i)))
        except RuntimeError:
            pass


def coroutines():
    for i in range(20):
        drive(made(outer(i)))
        drive(made(ticking(i)))


def exceptions():
    for i in range(300):
        catching(i)
    for i in range(100):
        try:
            next(made(guarded(0)))
        except StopIteration:
            pass


def work():
    assert fib(10) == 55 and deep(50) == 50
    calls()
    generators()
    coroutines()
    exceptions()


class Delegations:
    """Before 3.11: YIELD_FROM is executed too without its function suspending; to be seen by opcode only."""

    def __init__(self):
        self.code, self.cnt = opcode.opmap["YIELD_FROM"], 0

    def __call__(self, frame, event, arg):
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        self.cnt += event == "opcode" and frame.f_code.co_code[frame.f_lasti] == self.code
        return self


def counted():
    """What Python counts, in the words of what is hit."""
    with oracle.oracle() as seen:
        for _ in range(REPEAT):
            work()
    counts = seen.kinds()
    counts["make"] = MADE
    # since 3.15 a generator expression has a RESUME more, before it is made
    counts["genexpr"] = GENEXPRS if sys.version_info >= (3, 15) else 0
    ends = counts["return"] + counts["unwind"]
    if sys.version_info >= (3, 11):
        counts["begin"] = counts["start"] + counts["resume"]
        if sys.version_info >= (3, 12):
            counts["clear"] = ends
        return dict(counts)
    counts["enter"] = counts.pop("start") + counts.pop("resume")
    counts["leave"] = ends + counts["yield"] + counts["yield from"]
    delegations = Delegations()
    sys.settrace(delegations)
    for _ in range(REPEAT):
        work()
    sys.settrace(None)
    counts["delegate"] = delegations.cnt
    return dict(counts)


def main(mode):
    if mode == "count":
        print(counted())
        return
    if mode == "hooked":
        oracle.hooks_on()
        work()
    os.write(1, b"ready\n")
    byte = os.read(0, 1)
    while byte:
        child = os.fork() if byte == b"f" else None
        for _ in range(REPEAT):
            work()
        if child == 0:
            os._exit(7)
        assert not child or os.waitpid(child, 0)[1] == 7 << 8
        os.write(1, b"done\n")
        byte = os.read(0, 1)


if __name__ == "__main__":
    main(sys.argv[1])
