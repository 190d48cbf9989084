# SPDX-License-Identifier: Apache-2.0
"""Functions that take a known time. Says "ready"; works for each byte that it reads, and says "done"; then prints
name -> ns that a call of it takes, by perf_counter around it and the middle of all, from when nobody looked.

Each function computes until its time is over, so what it takes is the same each time; what its callees take
beyond theirs, and what a probe takes, is its caller's."""
import json
import os
from time import perf_counter_ns

ROUNDS = 60


def spin20():
    end = perf_counter_ns() + 20000
    while perf_counter_ns() < end:
        pass


def spin60():
    end = perf_counter_ns() + 60000
    while perf_counter_ns() < end:
        pass


def spin200():
    end = perf_counter_ns() + 200000
    while perf_counter_ns() < end:
        pass


def mixed():
    """Its own 50 us, and ten calls of 20."""
    end = perf_counter_ns() + 50000
    while perf_counter_ns() < end:
        pass
    spin20(), spin20(), spin20(), spin20(), spin20(), spin20(), spin20(), spin20(), spin20(), spin20()


def above():
    """Two levels below it."""
    mixed()
    spin60()
    mixed()


def nest(n):
    """40 us on each of its levels."""
    end = perf_counter_ns() + 40000
    while perf_counter_ns() < end:
        pass
    if n:
        nest(n - 1)


def pieces(n):
    """A generator that computes 30 us each time."""
    for _ in range(n):
        end = perf_counter_ns() + 30000
        while perf_counter_ns() < end:
            pass
        yield 1


def consumer():
    for _ in pieces(10):
        end = perf_counter_ns() + 20000
        while perf_counter_ns() < end:
            pass


def fails():
    end = perf_counter_ns() + 50000
    while perf_counter_ns() < end:
        pass
    raise KeyError


def catches():
    try:
        fails()
    except KeyError:
        pass


def work():
    times = {}
    for _ in range(ROUNDS):
        for function in (spin20, spin60, spin200, mixed, above, consumer, catches):
            before = perf_counter_ns()
            function()
            times.setdefault(function.__name__, []).append(perf_counter_ns() - before)
        before = perf_counter_ns()
        nest(9)
        times.setdefault("nest", []).append(perf_counter_ns() - before)
    return times


def main():
    times = work()
    os.write(1, b"ready\n")
    while os.read(0, 1):
        work()
        os.write(1, b"done\n")
    print(json.dumps({name: sorted(list_)[len(list_) // 2] for name, list_ in times.items()}))


if __name__ == "__main__":
    main()
