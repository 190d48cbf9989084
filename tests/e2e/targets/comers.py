# SPDX-License-Identifier: Apache-2.0
"""Threads that come and go while others wait all the time; says how long it lived, for its end."""
import threading
import time


def naps():
    time.sleep(.05)
    for _ in range(50000): pass


def waits(lock=threading.Lock()):
    with lock:
        time.sleep(.3)


begin = time.monotonic()
print("ready", flush=True)
for _ in range(10):
    threads = [threading.Thread(target=naps) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print("lived", time.monotonic() - begin, flush=True)
