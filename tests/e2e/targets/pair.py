# SPDX-License-Identifier: Apache-2.0
"""Two native threads that wait for each other, in a process of N Python threads that sleep: pair.py LIBRARY N"""
import ctypes
import sys
import threading
import time

for _ in range(int(sys.argv[2])):
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
assert not ctypes.CDLL(sys.argv[1]).pair_start()
print("ready", flush=True)
time.sleep(1000)
