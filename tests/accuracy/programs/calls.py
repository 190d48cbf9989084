# SPDX-License-Identifier: Apache-2.0
"""Calls and returns as fast as it can, from alternating callers: only g calls f, only i calls h."""


def f(n):
    return n + 1


def h(n):
    return n - 1


def g(n):
    n = f(n)
    return f(n)


def i(n):
    n = h(n)
    return h(n)


def alternate():
    n = 0
    for _ in range(300):
        n = g(n)
        n = i(n)


def start():
    print("ready", flush=True)
    while True:
        alternate()


start()
