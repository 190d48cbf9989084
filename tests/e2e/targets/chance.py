# SPDX-License-Identifier: Apache-2.0
"""A program that nobody thought of: what a function does is drawn by lot, always the same lots; for truth.py.
Calls, also by C's hand, generators that are made here and gone on with, thrown into, closed or dropped there,
coroutines, and exceptions that are caught wherever they are."""
import random
import sys

import kinds
import suspends

draw = random.Random(4).random  # C's, like all that is called here and not defined
POOL = []
LEFT = 0


class Odd(Exception):
    pass


class Even(Exception):
    pass


def step(depth):
    global LEFT
    LEFT -= 1
    if depth <= 25 and LEFT >= 0:
        ACTIONS[int(draw() * len(ACTIONS))](depth + 1)
    return depth


def calls(depth):
    step(depth)
    step(depth)
    return step(depth)


def raises(depth):
    raise (Odd if draw() < .5 else Even)(depth)


def guards(depth):
    try:
        return step(depth)
    except Odd:
        return step(depth)


def guards_all(depth):
    for _ in range(3):
        try:
            step(depth)
        except (Odd, Even):
            step(depth)


def finishes(depth):
    try:
        return step(depth)
    finally:
        step(depth)


def replaces(depth):
    try:
        return step(depth)
    except Even as error:
        raise Odd from error


def numbers(depth):
    for i in range(int(draw() * 5)):
        try:
            yield i + 1
        except Odd:
            step(depth)
    step(depth)


def delegates(depth):
    try:
        yield from numbers(depth)
        yield from delegates(depth + 1) if draw() < .3 else numbers(depth)
    finally:
        step(24)


def makes(depth):
    if len(POOL) < 40:
        POOL.append((delegates if draw() < .5 else numbers)(depth))
    return goes(depth)


def goes(depth):
    return next(POOL[int(draw() * len(POOL))], 0) if POOL else 0


def goes_by_c(depth):
    return list(map(next, POOL[:3], [0] * 3))


def throws(depth):
    if POOL:
        try:
            POOL[int(draw() * len(POOL))].throw(Odd() if draw() < .5 else Even())
        except (Odd, StopIteration):
            pass


def closes(depth):
    if POOL:
        POOL.pop(int(draw() * len(POOL))).close()


def drops(depth):
    if POOL:
        del POOL[int(draw() * len(POOL))]


def by_map(depth):
    return list(map(step, [depth] * 3))


def by_sort(depth):
    return sorted([depth] * 3, key=step)


class Hides:
    def __init__(self, depth):
        self.depth = step(depth)

    @property
    def hidden(self):
        step(24)
        raise AttributeError


def hides(depth):
    return list(map(hasattr, [Hides(depth)] * 3, ["hidden"] * 3))


async def awaits(depth):
    await suspends.Step(int(draw() * 3))
    step(depth)
    if draw() < .4:
        await awaits(depth + 1)


def drives(depth):
    return kinds.drive(awaits(depth))


def abandons(depth):
    kinds.made(awaits(depth)).send(None)


ACTIONS = [calls, calls, raises, guards, guards_all, finishes, replaces, makes, makes, goes, goes, goes_by_c, throws,
           closes, drops, by_map, by_sort, hides, drives, abandons]


def chance():
    """So many times; what is still there is dropped."""
    global LEFT, draw
    draw = random.Random(4).random
    sys.unraisablehook = str  # C's: for what leaves a generator that is dropped
    for _ in range(400):
        LEFT = 60
        try:
            step(0)
        except (Odd, Even, ValueError, StopIteration, RuntimeError):  # of a generator that goes on by itself
            pass
    while POOL:
        LEFT = 60
        del POOL[-1]
    sys.unraisablehook = sys.__unraisablehook__
