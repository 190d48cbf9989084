# SPDX-License-Identifier: Apache-2.0
"""Sleeps, in the main interpreter, while there is another one that it has run code of; or, with an
argument, in that other one."""
import sys
import time

try:
    import _interpreters as interpreters  # 3.13 and later
except ImportError:
    import _xxsubinterpreters as interpreters

SLEEPS = """
import sys, time
def deep():
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    time.sleep(30)
def outer(): deep()
outer()
"""


def main():
    if len(sys.argv) > 1: interpreters.run_string(kept, SLEEPS)
    else: exec(SLEEPS, {})


kept = interpreters.create()
interpreters.run_string(kept, "pass")
main()
