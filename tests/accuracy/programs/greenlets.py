# SPDX-License-Identifier: Apache-2.0
"""Raw greenlets that switch from the depth of three frames, and are born and end all the time."""
from greenlet import getcurrent, greenlet


def swap_a(n):
    return hub.switch(n)


def lower_a(n):
    return swap_a(n)


def green_a(n):  # root
    while True:
        n = lower_a(n)


def swap_b(n):
    return hub.switch(n)


def lower_b(n):
    return swap_b(n)


def green_b(n):  # root
    while True:
        n = lower_b(n)


def brief(n):  # root
    return short(n)


def short(n):
    return n


def turn():
    for n in range(200):
        a.switch(n)
        b.switch(n)
    greenlet(brief).switch(1)


hub = getcurrent()
a, b = greenlet(green_a), greenlet(green_b)


def start():
    print("ready", flush=True)
    while True:
        turn()


start()
