# SPDX-License-Identifier: Apache-2.0
"""Threads alpha and beta call a_f() and b_f(); once it gets a byte, gamma and delta begin, and all call so many
times as is said at the end."""
import os
import sys
import threading

stop = threading.Event()
counts = {}


def a_f(): pass
def b_f(): pass
def c_f(): pass
def d_f(): pass


def run(name, function):
    counts[name] = 0
    while not stop.wait(.002):
        for _ in range(20):
            function()
        counts[name] += 20


def begin(name, function):
    thread = threading.Thread(target=run, args=(name, function), name=name)
    thread.start()
    return thread


threads = [begin("alpha", a_f), begin("beta", b_f)]
os.write(1, b"ready\n")
os.read(0, 1)
before = dict(counts)
threads += [begin("gamma", c_f), begin("delta", d_f)]
os.read(0, 1)
stop.set()
for thread in threads:
    thread.join()
print(*(counts[name] for name in ("alpha", "beta", "gamma", "delta")), flush=True)
sys.stdin.read()
