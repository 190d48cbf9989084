# SPDX-License-Identifier: Apache-2.0
"""busy.py for Python 2.7 and 3.6 too: ends after a minute of CPU time."""
import sys
import time

sys.stdout.write("ready\n")
sys.stdout.flush()
while time.time() < time.time() + 1:
    for _ in range(10000): pass
