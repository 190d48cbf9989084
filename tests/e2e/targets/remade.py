# SPDX-License-Identifier: Apache-2.0
"""Makes functions and calls each CALLS times, for so many seconds; KEPT of them live at once, and the code object of
a new one mostly gets the address of one that has gone."""
import collections
import sys
import time

CALLS = 2000
KEPT = 50


def main():
    print("ready", flush=True)
    end, number = time.monotonic() + float(sys.argv[1]), 0
    kept = collections.deque(maxlen=KEPT)
    while time.monotonic() < end:
        number += 1
        made = {}
        exec(compile(f"def made_{number}(): return 0", "<made>", "exec"), made)
        function = made.pop(f"made_{number}")
        kept.append(function)
        for _ in range(CALLS): function()


main()
