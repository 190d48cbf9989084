# SPDX-License-Identifier: Apache-2.0
"""Collects garbage, some of which has finalizers; and computes."""
import gc


class Cycle:
    def __init__(self):
        self.me = self

    def __del__(self):
        compute(3000)


def compute(n):
    for i in range(n):
        i * i


def collect():
    gc.collect()


gc.disable()
keep = [[i] for i in range(30000)]
print("ready", flush=True)
while keep:
    Cycle()
    collect()
    compute(60000)
