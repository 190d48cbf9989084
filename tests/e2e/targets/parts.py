# SPDX-License-Identifier: Apache-2.0
"""For recordings in parts: a thread that sleeps all the time, one that wakes up often, one that
begins ever new threads, and one that computes."""
import threading
import time


def sleeps():
    time.sleep(1000)


def wakes():
    while True: time.sleep(.002)


def brief():
    end = time.thread_time() + .005
    while time.thread_time() < end: pass


def begins():
    while True:
        thread = threading.Thread(target=brief, name="brief")
        thread.start()
        thread.join()
        time.sleep(.02)


def computes():
    while True:
        for _ in range(10000): pass


for function in sleeps, wakes, begins, computes:
    threading.Thread(target=function, name=function.__name__, daemon=True).start()
time.sleep(.2)
print("ready", flush=True)
time.sleep(1000)
