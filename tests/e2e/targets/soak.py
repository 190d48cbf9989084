# SPDX-License-Identifier: Apache-2.0
"""Computes without a pause, and notes each result of each round; says "ready", and when its standard input ends
prints {"rounds": N, "results": [[each that came of round 0, 7, 14, ...], ...]}.

    soak.py plain|switches FILE...    switches: greenlets do it, which change their C stack all the time"""
import sys

sys.dont_write_bytecode = True
import json
import os
import select
import zlib

import kinds
import suspends

ROUNDS = 7


def deep_sum(n):
    return n + deep_sum(n - 1) if n else 0


def failing_sum(n):
    total = 0
    for i in range(n):
        try:
            total += kinds.failing(i)
        except ValueError:
            total -= 1
    return total


def plain(n):
    things = sorted([kinds.Thing(i * 7 % 13) for i in range(20 + n)])
    return [kinds.fib(9 + n % 3), list(suspends.tree(3 + n % 3)), kinds.drive(suspends.level(n)),
            kinds.drive(kinds.outer(n)), deep_sum(100 + n), failing_sum(40 + n), [t.n for t in things],
            list(kinds.delegating(5 + n)), sum(t.double for t in things), list(map(kinds.catching, range(9)))]


def switches(n):
    greenlets = [gevent.spawn(switching.run, base + n) for base in range(6)]
    gevent.joinall(greenlets)
    return [greenlet.value for greenlet in greenlets]


def main(round_):
    results = [set() for _ in range(ROUNDS)]
    count = 0
    said = False
    while not select.select([0], [], [], 0)[0]:
        results[count % ROUNDS].add(zlib.crc32(repr(round_(count % ROUNDS)).encode()))
        count += 1
        if not said and count == 2 * ROUNDS:
            os.write(1, b"ready\n")
            said = True
    print(json.dumps({"rounds": count, "results": [sorted(numbers) for numbers in results]}))


if __name__ == "__main__":
    if sys.argv[1] == "switches":
        import gevent
        import switches as switching
    main({"plain": plain, "switches": switches}[sys.argv[1]])
