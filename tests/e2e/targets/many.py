# SPDX-License-Identifier: Apache-2.0
"""Thousands of distinct stacks: paths through functions that call each other by a counter's bits."""
import time


def left(path, depth):
    return right(path >> 1, depth - 1) if path & 1 and depth else leaf(path, depth)


def right(path, depth):
    return left(path >> 1, depth - 1) if depth else leaf(path, depth)


def leaf(path, depth):
    for _ in range(400): pass


names = {"left": left, "leaf": leaf}
for i in range(3000):
    exec(compile("def function_%d(n):\n    left(n, 12)\n    leaf(n, 0)\n" % i, "/many/%d.py" % (i % 7), "exec"),
         names)
print("ready", flush=True)
n = 0
while True:
    n += 1
    names["function_%d" % (n % 3000)](n)
