# SPDX-License-Identifier: Apache-2.0
"""Generators and coroutines, on all their ways; for truth.py.

What is closed here has a try: since 3.13 a generator without one is closed without being entered, but not under
sys.monitoring, so there Python says nothing of what it does by itself."""
import kinds


# --- generators

def steps(n):
    try:
        for i in range(n):
            yield i + 1
    finally:
        n += 1
    return n


def chain(n, depth):
    return (yield from steps(n) if depth == 0 else chain(n, depth - 1)) or 1


def stubborn():
    """Yields in spite of what is thrown into it."""
    got = 0
    while got < 3:
        try:
            yield got + 1
        except KeyError:
            got += 1
        finally:
            kinds.leaf(got)
    return 5


def outer_stubborn():
    return (yield from stubborn())


def breaks(n):
    try:
        yield n + 1
    finally:
        n += 1
    raise RuntimeError(n)


def stops():
    yield 1
    raise StopIteration  # which becomes a RuntimeError


def fresh():
    yield 1


def tree(n):
    if n:
        yield from tree(n - 1)
        yield n
        yield from tree(n - 1)


def swallow(generator, *what):
    try:
        generator.throw(*what)
    except (TypeError, StopIteration):
        pass


KEPT = []


def never_finished(n):
    try:
        yield n + 1
        yield n + 2
    finally:
        kinds.leaf(n)


def generators():
    KEPT.clear()  # freed with their finally: clauses to be done
    for n in range(10):
        assert len(list(chain(5, n))) == 5
        assert list(tree(4)) == [int(f"{i & -i:b}".count("0")) + 1 for i in range(1, 16)]
        for make in (stubborn, outer_stubborn):
            generator = make()
            next(generator)
            generator.throw(KeyError("one"))
            next(generator)
            generator.throw(KeyError("two"))
            swallow(generator, TypeError("out"))
        next(outer_stubborn())
        generator = chain(3, 4)
        next(generator)
        generator.close()
        for generator in (breaks(n), stops()):
            try:
                list(generator)
            except RuntimeError:
                pass
        # swallowed by C, and gone on with
        assert list(map(next, [breaks(1), breaks(2)] * 1, [0, 0])) == [2, 3]
        assert next(steps(0), 9) == 9
        swallow(fresh(), TypeError("before it starts"))
        fresh().close()
        KEPT.append(never_finished(n))
        next(KEPT[-1])
    for generator in KEPT:
        assert next(generator)
    del KEPT[5:]


# --- coroutines

class Step:
    def __init__(self, n):
        self.n = n

    def __await__(self):
        try:
            for i in range(self.n):
                yield i + 1
        finally:
            self.n += 1
        return self.n - 1


async def level(n):
    if n == 0:
        return await Step(2)
    async with Entered():
        return await level(n - 1) + 1


async def straight(n):
    return await straight(n - 1) + 1 if n else await Step(2)


class Entered:
    async def __aenter__(self):
        await Step(1)
        return self

    async def __aexit__(self, *what):
        await Step(1)


async def numbers(n):
    try:
        for i in range(n):
            await Step(1)
            yield i + 1
    finally:
        await Step(1)


async def gathers(n):
    total = 0
    async for i in numbers(n):
        total += i
    return total + sum([i async for i in numbers(n)])


async def half(n):
    iterator = numbers(n)
    async for _ in iterator:
        break
    await iterator.aclose()
    iterator = numbers(n)
    await iterator.asend(None)
    try:
        await iterator.athrow(KeyError("into"))
    except KeyError:
        return 1
    return 0


async def catches():
    try:
        await level(3)
    except OSError:
        return await Step(1)
    return 0


def send_until(coroutine, n):
    for _ in range(n):
        coroutine.send(None)
    return coroutine


def coroutines():
    for n in range(10):
        assert kinds.drive(level(5))[1] == 7
        assert kinds.drive(gathers(4))[1] == 20
        assert kinds.drive(half(3))[1] == 1
        thrown = send_until(catches(), 3)
        thrown.throw(OSError("into the innermost"))
        kinds.drive(thrown)
        send_until(straight(4), 1).close()
        send_until(straight(4), 2)
        straight(2).close()
