# SPDX-License-Identifier: Apache-2.0
"""Computes for ever, or for the seconds of CPU time that are given."""
import sys
import time


def spin(end):
    while time.process_time() < end:
        for _ in range(10000): pass


print("ready", flush=True)
spin(float(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1][:1].isdigit() else 1e9)
