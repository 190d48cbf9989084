# SPDX-License-Identifier: Apache-2.0
"""A child that is there already; at SIGUSR1 it starts threads, which compute on one CPU, and ends."""
import os
import signal
import threading
import time


def spin():
    end = time.thread_time() + .15
    while time.thread_time() < end:
        for _ in range(1000): pass


if os.fork():
    os.wait()
    raise SystemExit
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("ready", os.getpid(), flush=True)
signal.sigwait([signal.SIGUSR1])
threads = [threading.Thread(target=spin) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
