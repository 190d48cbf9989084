# SPDX-License-Identifier: Apache-2.0
"""Two threads that compute, in functions with hostile names."""
import threading


def spin():
    s = 0
    for i in range(20000):
        s += i
    return s


def evil():
    return sum(range(20000))


EVIL = "evil\x1b[2J\n\u202e"
evil.__code__ = evil.__code__.replace(co_name=EVIL)
if hasattr(evil.__code__, "co_qualname"):
    evil.__code__ = evil.__code__.replace(co_qualname=EVIL)


def work():
    while True:
        spin()
        evil()


threading.Thread(target=work, name="worker\x1b[31m", daemon=True).start()
print("ready", flush=True)
work()
