# SPDX-License-Identifier: Apache-2.0
"""Runs the garbage collector and other things, and says how much CPU time each one took.

    collects.py share SECONDS   collections and computing in turn, beside threads that compute in C;
                                first without, then with a callback, in which the GIL may change hands
    collects.py calls SECONDS   collections that do nothing but call a finalizer and a callback
    collects.py waits           one collection after the other
    collects.py lends           a finalizer that lets the GIL go, for a thread that computes
"""
import gc
import hashlib
import json
import sys
import threading
import time
import zlib

gc.disable()
used = {"collector": 0.0, "rest": 0.0}
began = [0.0]
over = threading.Event()


def measure(phase, info):
    now = time.thread_time()
    if phase == "start":
        began[0] = now
    else:
        used["collector"] += now - began[0]


def collect():
    gc.collect()


def compute():
    for i in range(60000):
        i * i


def hashes():
    data = bytes(1 << 20)
    while not over.is_set():
        hashlib.sha256(data).digest()


def packs():
    data = bytes(1 << 20)
    while not over.is_set():
        zlib.compress(data, 1)


def alone(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        collect()
        compute()


def measured(seconds):
    start = time.thread_time()
    alone(seconds)
    used["rest"] = time.thread_time() - start - used["collector"]


def beside(part, seconds, *functions):
    over.clear()
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    part(seconds)
    over.set()
    for thread in threads:
        thread.join()


def share(seconds):
    keep = [[i] for i in range(60000)]
    beside(alone, seconds / 2, lambda: hashes(), lambda: packs())
    gc.callbacks.append(measure)
    beside(measured, seconds, hashes, packs)
    keep.clear()


def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class Cycle:
    def __init__(self):
        self.me = self

    def __del__(self):
        finalize()


def finalize():
    spin(.02)


def called(phase, info):
    spin(.02)


def calls(seconds):
    gc.callbacks.append(called)
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        Cycle()
        collect()
        spin(.06)


class Lends:
    def __init__(self):
        self.me = self

    def __del__(self):
        lend()


def lend():
    time.sleep(.1)


def other():
    while not over.is_set():
        compute()


def lends():
    threading.Thread(target=other, name="other", daemon=True).start()
    print("ready", flush=True)
    while True:
        Lends()
        collect()


def waits():
    keep = [[i] for i in range(200000)]
    print("ready", flush=True)
    while keep:
        collect()


gc.collect()
if len(sys.argv) == 2:
    globals()[sys.argv[1]]()
globals()[sys.argv[1]](float(sys.argv[2]))
print(json.dumps(used))
