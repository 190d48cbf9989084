# SPDX-License-Identifier: Apache-2.0
"""Threads that are born and end all the time, and threads that are born of those; ends after the
seconds of CPU time that are given, and says how much it was."""
import sys
import threading
import time


LOOPS = int(sys.argv[2])


def burn():
    for _ in range(LOOPS): pass


def second():
    burn()


def first():
    thread = threading.Thread(target=second)
    thread.start()
    burn()
    thread.join()


print("ready", flush=True)
while time.process_time() < float(sys.argv[1]):
    threads = [threading.Thread(target=first) for _ in range(4)]
    for thread in threads:
        thread.start()
    burn()
    for thread in threads:
        thread.join()
print("used", time.process_time(), flush=True)
