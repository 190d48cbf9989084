# SPDX-License-Identifier: Apache-2.0
"""Exceptions through several frames, finally, with, frames that outlive their calls, closures, calls
with unpacked arguments, comprehensions."""
import sys


class Manager:
    def __enter__(self):
        return entered()

    def __exit__(self, *args):
        return left()


def entered(): return None


def left(): return None


def thrower(n):
    if n:
        raise KeyError(n)
    return n


def passer(n):
    return thrower(n)


def catcher(n):
    try:
        return passer(n)
    except KeyError:
        return handled()
    finally:
        cleaned()


def handled(): return 1


def cleaned(): return 2


def managed():
    try:
        with Manager():  # calls: __enter__ __exit__
            thrower(1)  # before 3.10 calls: __exit__
    except KeyError:
        return None


def kept():
    return sys._getframe()


def keeper():
    frame = kept()
    return frame.f_lineno + len(frame.f_back.f_locals)


def closing(n):
    def inner(m):
        nonlocal n
        n += m
        return n
    inner(1)
    return inner(2)


def unpacked(*args, **names):
    return spread(*args, **names)


def spread(a, b, c=0):
    return a + b + c


def comprehend():
    return [called(n) for n in range(8)]


def called(n): return n


def defaults(n=3, *, key=lambda x: x):
    return key(n)  # calls: <lambda>


def start():
    print("ready", flush=True)
    while True:
        catcher(0)
        catcher(1)
        managed()
        keeper()
        closing(1)
        unpacked(1, 2)
        unpacked(1, b=2, c=3)
        comprehend()
        defaults()


start()
