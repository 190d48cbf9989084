# SPDX-License-Identifier: Apache-2.0
"""Recursion: a shallow one that branches, a deep one, and one through two functions."""


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def even(n):
    return odd(n - 1) if n else bottom()


def odd(n):
    return even(n - 1)


def bottom():
    for _ in range(60000): pass


def deep(n):
    if n:
        deep(n - 1)
    else:
        bottom()


print("ready", flush=True)
while True:
    deep(60)
    even(20)
    fibonacci(5)
