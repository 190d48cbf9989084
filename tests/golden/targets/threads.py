# SPDX-License-Identifier: Apache-2.0
"""Two named threads beside the main one, and functions that are gone when they are asked for."""
import threading
import time


def spin(seconds=.002):
    end = time.thread_time() + seconds
    while time.thread_time() < end: pass


class Worker:
    def run(self):
        while True:
            spin()
            time.sleep(.004)


def gone(number):
    names = {"spin": spin}
    exec(compile("\n" * number + "def gone_%d():\n    spin()\ngone_%d()\n" % (number, number),
                 "<gone>", "exec"), names)


threading.Thread(target=Worker().run, name="Arbeiter ä 线程", daemon=True).start()
threading.Thread(target=lambda: Worker().run(), name="plain", daemon=True).start()
print("ready", flush=True)
while True:
    for number in range(4):
        gone(number)
    [spin() for _ in range(2)]
    sum(spin() or 0 for _ in range(2))
