# SPDX-License-Identifier: Apache-2.0
"""Threads that sleep in ways that are known; tells what their stacks are, as one line of JSON,
then "ready". argv: how deep the deepest recursion is."""
import json
import socket
import sys
import threading
import time

DEPTH = int(sys.argv[1])
sys.setrecursionlimit(DEPTH + 1000)


class Sleeper:
    def nap(self):
        time.sleep(1000)


def receive(ours):
    ours.recv(1)


def lock():
    mutex = threading.Lock()
    mutex.acquire()
    mutex.acquire()


def generate():
    time.sleep(1000)
    yield


def consume():
    return [x for x in generate()]


def deep(n):
    if n > 1:
        deep(n - 1)
    else:
        time.sleep(1000)


pair = socket.socketpair()
LEAVES = {"nap": Sleeper().nap, "receive": lambda: receive(pair[0]), "lock": lock,
          "generate": consume}
threads = {leaf: threading.Thread(target=target, name="sleeps in " + leaf, daemon=True)
           for leaf, target in LEAVES.items()}
threading.stack_size(1 << 29)  # before 3.11 each Python call is a C call
threads["deep"] = threading.Thread(target=deep, args=(DEPTH,), name="sleeps in \x1b[31mdeep\n",
                                   daemon=True)
for thread in threads.values():
    thread.start()


def frames_of(thread):
    frame, frames = sys._current_frames().get(thread.ident), []
    while frame:
        code = frame.f_code
        frames.append([getattr(code, "co_qualname", code.co_name), code.co_filename,
                       frame.f_lineno])
        frame = frame.f_back
    return frames


def settled(leaf):
    frames = frames_of(threads[leaf])
    return frames and frames[0][0].endswith(leaf) and (leaf != "deep" or len(frames) >= DEPTH)


while not all(map(settled, threads)):
    time.sleep(.01)
print(json.dumps({"threads": {t.name: {"ident": t.ident, "frames": frames_of(t)}
                              for t in threads.values()}, "fd": pair[0].fileno()}), flush=True)
print("ready", flush=True)
sys.stdin.read()  # line: main
