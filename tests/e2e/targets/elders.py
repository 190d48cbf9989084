# SPDX-License-Identifier: Apache-2.0
"""elders.py MODE: has children before anybody looks. old: a child and, exec'ed by a shell of its own,
a grandchild; they compute. storm: begins ever new children that compute, says their pids at the end."""
import os
import subprocess
import sys
import time


def child_function():
    while True:
        for _ in range(10000): pass


def grandchild_function():
    os.write(1, b"ready ")
    while True:
        for _ in range(10000): pass


def parent_function():
    if sys.argv[1] == "old":
        if not os.fork():
            if not os.fork():
                os.execvp("sh", ["sh", "-c", f"'{sys.executable}' '{__file__}' grandchild; :"])
            child_function()
        while True: time.sleep(1)
    print("ready", flush=True)
    born = []
    for _ in range(int(sys.argv[2])):
        born.append(os.fork())
        if not born[-1]:
            child_function()
        time.sleep(.02)
    # all at once: what comes right behind "ready" may be read with it
    os.write(1, b"born %s done\n" % b" ".join(b"%d" % pid for pid in born))
    while True: time.sleep(1)


if sys.argv[1] == "grandchild":
    grandchild_function()
parent_function()
