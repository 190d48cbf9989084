# SPDX-License-Identifier: Apache-2.0
"""Calls a function as often as a line of input says, and prints how many ns of CPU time that took. For every
interpreter from 3.8 on."""
import itertools
import sys
import time


def called(value):
    return value


def calls(count):
    for _ in itertools.repeat(None, count):
        called(count)


calls(1000)  # specialised
print("ready", flush=True)
for line in sys.stdin:
    start = time.process_time_ns()
    calls(int(line))
    print(time.process_time_ns() - start, flush=True)
