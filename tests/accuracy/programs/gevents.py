# SPDX-License-Identifier: Apache-2.0
"""gevent's greenlets, switched by its hub at every step, and spawned and ended all the time."""
import gevent  # library roots: run


def step_a(n):
    gevent.sleep(0)  # into a library
    return n + 1


def lower_a(n):
    return step_a(n)


def green_a():  # root
    n = 0
    while True:
        n = lower_a(n)


def step_b(n):
    gevent.sleep(0)  # into a library
    return n + 2


def lower_b(n):
    return step_b(n)


def green_b():  # root
    n = 0
    while True:
        n = lower_b(n)


def brief():  # root
    return short()


def short():
    return 1


def start():
    print("ready", flush=True)
    gevent.spawn(green_a)  # into a library
    gevent.spawn(green_b)  # into a library
    while True:
        gevent.spawn(brief).join()  # into a library


start()
