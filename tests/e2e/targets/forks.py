# SPDX-License-Identifier: Apache-2.0
"""Children without end, a few at a time, each of which computes a moment. Says how many there were
after the seconds of wall time that are given, and the CPU seconds of all."""
import os
import sys
import time


def child():
    for _ in range(60000): pass


end, born = time.monotonic() + float(sys.argv[1]), 0
print("ready", flush=True)
while time.monotonic() < end:
    for _ in range(4):
        if not os.fork():
            child()
            os._exit(0)
        born += 1
    for _ in range(4):
        os.wait()
print("born", born, sum(os.times()[:4]), flush=True)
