# SPDX-License-Identifier: Apache-2.0
"""What host.c runs."""
import time


def spin_once():
    end = time.thread_time() + .003
    while time.thread_time() < end: pass


def spin():
    while True: spin_once()
