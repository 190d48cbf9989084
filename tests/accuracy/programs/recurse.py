# SPDX-License-Identifier: Apache-2.0
"""Recursion: two functions by turns, to depths that change, and a tree."""


def even(n):
    if n == 0:
        return True
    return odd(n - 1)


def odd(n):  # at most: 12
    if n == 0:
        return False
    return even(n - 1)


def tree(n):  # at most: 9
    if n == 0:
        return leaf()
    return tree(n - 1) + tree(n - 1)


def leaf():
    return 1


def down(n):
    for depth in range(n):
        even(depth)


def start():
    print("ready", flush=True)
    while True:
        down(24)
        tree(8)


start()
