# SPDX-License-Identifier: Apache-2.0
"""One thread after the other, for the seconds that are given: each with a name of its own that begins
with what it does, and mostly in the memory of the one before."""
import sys
import threading
import time


def reader(): time.sleep(.04)


def writer(): time.sleep(.04)


print("ready", flush=True)
end = time.monotonic() + float(sys.argv[1])
n = 0
while time.monotonic() < end:
    n += 1
    for function in reader, writer:
        thread = threading.Thread(target=function, name=f"{function.__name__}-{n}")
        thread.start()
        thread.join()
