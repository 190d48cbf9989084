# SPDX-License-Identifier: Apache-2.0
"""Calls that go through C, each of which enters the eval loop anew: keys, maps, special methods,
constructors, destructors, properties, descriptors."""
import functools

NUMBERS = list(range(24))


def square(n):
    return n * n


def order(n):
    return negate(n)


def negate(n):
    return -n


def add(a, b):
    return a + b


class Thing:
    def __init__(self, n):
        self.n = store(n)

    def __lt__(self, other):
        return less(self, other)

    def __len__(self):
        return length()

    def __getattr__(self, name):
        return found(name)

    def __del__(self):
        gone()

    @property
    def value(self):
        return valued()


class Plain:
    def __new__(cls, n):
        made(n)
        return object.__new__(cls)


def store(n): return n + 0


def less(a, b): return a.n < b.n


def length(): return 3 * 1


def found(name): return name


def gone(): return None


def valued(): return 5


def made(n): return n


def maps():
    return list(map(square, NUMBERS))  # calls: square


def sorts():
    return sorted(NUMBERS, key=order)  # calls: order


def reduces():
    return functools.reduce(add, NUMBERS)  # calls: add


def things():
    all_of_them = [Thing(n) for n in range(12)]
    all_of_them.sort()  # calls: __lt__
    for thing in all_of_them:
        len(thing)  # calls: __len__
        thing.missing  # calls: __getattr__
        thing.value  # calls: value
    thing = all_of_them = None  # calls: __del__
    return all_of_them


def plains():
    for n in range(12):
        Plain(n)


def start():
    print("ready", flush=True)
    while True:
        maps()
        sorts()
        reduces()
        things()
        plains()


start()
