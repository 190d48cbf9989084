# SPDX-License-Identifier: Apache-2.0
"""A thread that is in one of two long chains of calls, and naps at the end of each for a moment;
one that computes; nine that sleep."""
import threading
import time


def make(letter):
    space = {"time": time}
    exec(f"def {letter}0(): time.sleep(.0003)", space)
    for n in range(1, 40):
        exec(f"def {letter}{n}(): {letter}{n - 1}()", space)
    return space[f"{letter}39"]


def flicker():
    a, b = make("a"), make("b")
    while True:
        a()
        b()


def compute():
    while True:
        sum(range(1000))


for target, name in [(flicker, "flicker"), (compute, "compute")]:
    threading.Thread(target=target, name=name, daemon=True).start()
for n in range(8):
    threading.Thread(target=time.sleep, args=(1000,), name=f"sleeper {n}", daemon=True).start()
print("ready", flush=True)
time.sleep(1000)
