# SPDX-License-Identifier: Apache-2.0
"""A thread that sleeps below calls that share a line, and the main thread that computes in two
calls on one line. Prints what the interpreter says of the sleeper's frames, outermost first."""
import json
import sys
import threading
import time


def nap():
    time.sleep(1000)


def apply(function): return [function(), (lambda: function())][0]


def sleeper():
    äöü = [1, apply(
        nap)]
    return äöü


def compute(n):
    return sum(i * i for i in range(n))


def both():
    return compute(3000) + compute(9000)  # line: both


def place(frame):
    positions = getattr(frame.f_code, "co_positions", None)
    if not positions:
        return [frame.f_code.co_name, frame.f_lineno, None, None, None]
    line, end_line, column, end_column = list(positions())[frame.f_lasti // 2]
    return [frame.f_code.co_name, line, end_line, column, end_column]


thread = threading.Thread(target=sleeper, daemon=True, name="sleeper")
thread.start()
while True:
    frame, truth = sys._current_frames()[thread.ident], []
    while frame:
        truth.append(place(frame))
        frame = frame.f_back
    if truth[0][0] == "nap":
        break
    time.sleep(0.01)
print(json.dumps(truth), flush=True)
print("ready", flush=True)
while True:
    both()
