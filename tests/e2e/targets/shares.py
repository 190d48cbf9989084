# SPDX-License-Identifier: Apache-2.0
"""Seven parts of its CPU time in one function and three in another, in two threads; then says how
much it was."""
import sys
import threading
import time

ROUNDS = 800


def burn(amount):
    for _ in range(amount): pass


def seven():
    burn(7000)


def three():
    burn(3000)


def work(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        seven()
        three()


thread = threading.Thread(target=work, args=(.2,))
thread.start()
work(float(sys.argv[1]))
thread.join()
print("used", time.process_time(), flush=True)
