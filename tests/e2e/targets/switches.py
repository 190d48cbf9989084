# SPDX-License-Identifier: Apache-2.0
"""gevent's greenlets, which switch C stacks all the time, deep in Python calls. Says "ready"; for each byte "w"
that it reads, computes what it knows the result of, and says "done"."""
import os

import gevent


def descend(n, base):
    if n == 0:
        gevent.sleep(0)
        return base
    value = descend(n - 1, base)
    if n % 10 == 0:
        gevent.sleep(0)
    return value + 1


def numbers(n):
    for i in range(n):
        if i % 3 == 0:
            gevent.sleep(0)
        yield i


def run(base):
    return descend(40, base) + sum(numbers(30))


if __name__ == "__main__":
    os.write(1, b"ready\n")
    while os.read(0, 1) == b"w":
        for _ in range(20):
            greenlets = [gevent.spawn(run, base) for base in range(15)]
            gevent.joinall(greenlets)
            assert [g.value for g in greenlets] == [base + 40 + 435 for base in range(15)]
        os.write(1, b"done\n")
