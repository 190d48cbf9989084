# SPDX-License-Identifier: Apache-2.0
"""Code objects that are made, run a moment and freed, so that their memory is used again at once.
Generation n is named after its number, lies in a file named after it, begins at line n % 40 + 1, and
is called from the line of its last digit only: a stale name shows."""

SOURCE = """def outer_%d(m):
    for i in range(m): inner_%d(i)
def inner_%d(i):
    return innermost_%d(i)
def innermost_%d(i): return i + i
"""


def make(n):
    text = "\n" * (n % 40) + SOURCE % ((n,) * 5)
    space = {}
    exec(compile(text, "<made-%d>" % n, "exec"), space)  # calls: made
    return space.pop("outer_%d" % n)


def turn(n):
    made = [make(n + i) for i in range(10)]
    for _ in range(4):
        made[0](40)  # made: 0
        made[1](40)  # made: 1
        made[2](40)  # made: 2
        made[3](40)  # made: 3
        made[4](40)  # made: 4
        made[5](40)  # made: 5
        made[6](40)  # made: 6
        made[7](40)  # made: 7
        made[8](40)  # made: 8
        made[9](40)  # made: 9


def start():
    print("ready", flush=True)
    n = 0
    while True:
        turn(n)
        n += 10


start()
