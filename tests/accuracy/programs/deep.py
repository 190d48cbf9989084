# SPDX-License-Identifier: Apache-2.0
"""Deeper than is kept: the leaf part must be right."""
import sys

sys.setrecursionlimit(3000)


def deep(n):
    if n == 0:
        return bottom()
    return deep(n - 1)


def bottom():
    for i in range(2000):
        last(i)


def last(i):
    return i


def start():
    print("ready", flush=True)
    while True:
        deep(700)


start()
