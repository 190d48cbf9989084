# SPDX-License-Identifier: Apache-2.0
"""Threads that fight for the GIL, and threads that live a moment, so that thread states are freed and
used again: each runs functions of its own."""
import sys  # library roots: _bootstrap
import threading


def add_a(n): return n + 1


def add_b(n): return n + 2


def add_c(n): return n + 3


def deeper_a(n):
    return add_a(n)


def deeper_b(n):
    return add_b(n)


def work_a():  # from a library
    while True:
        deeper_a(1)


def work_b():  # from a library
    while True:
        deeper_b(2)


def brief():  # from a library
    for n in range(2000):
        add_c(n)


def start():
    sys.setswitchinterval(.0005)
    for work in (work_a, work_b):
        threading.Thread(target=work, daemon=True).start()  # into a library
    print("ready", flush=True)
    while True:
        lives()  # into a library


def lives():
    thread = threading.Thread(target=brief)  # into a library
    thread.start()  # into a library
    thread.join()  # into a library


start()
