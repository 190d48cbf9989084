# SPDX-License-Identifier: Apache-2.0
"""Two threads that compute in Python, one that computes without the GIL, and one that sleeps."""
import hashlib
import threading
import time


def spins():
    while True:
        for _ in range(1000): pass


def hashes():
    data = bytes(8 << 20)
    while True:
        hashlib.sha256(data).digest()


def sleeps():
    while True: time.sleep(.02)


for function in (spins, spins, hashes, sleeps):
    threading.Thread(target=function, name=function.__name__, daemon=True).start()
print("ready", flush=True)
time.sleep(60)
