# SPDX-License-Identifier: Apache-2.0
"""Programs that know how they spend their CPU time: known_shares.py KIND SECONDS. Phases of random
length in random order, each timed by its thread's own CPU clock; at the end the nanoseconds of each
function as JSON."""
import json
import os
import random
import sys
import threading
import time

clock = time.thread_time_ns
SPENT = {}
lock = threading.Lock()


def burn(amount):
    for _ in range(amount): pass


def timed(function, *args):
    before = clock()
    function(*args)
    spent = clock() - before
    with lock:
        SPENT[function.__name__] = SPENT.get(function.__name__, 0) + spent


def amount(mean):
    return int(mean * random.uniform(.3, 1.7))


# flat: one after the other, one of them in the kernel, one mostly asleep

def ten(n): burn(n)
def thirty(n): burn(n)
def sixty(n): burn(n)


def flat():
    for function, part in random.sample([(ten, 1), (thirty, 3), (sixty, 6)], 3):
        timed(function, amount(10000 * part))


def kernel(n):
    for _ in range(n): os.preadv(ZERO, BUFFERS, 0)


def python(n): burn(n)


def system():
    timed(kernel, amount(40))
    timed(python, amount(40000))


def bursts(n):
    for _ in range(n):
        burn(amount(2000))
        time.sleep(.0002)


def steady(n): burn(n)


def asleep():
    timed(bursts, amount(20))
    timed(steady, amount(60000))


# nested: the same function below two callers, which are what is told apart

def upper(n): lower(n)
def lower(n): burn(n)
def other(n): lower(n)


def nested():
    timed(upper, amount(20000))
    timed(other, amount(50000))


# recursive: what is at the bottom is told apart

def shallow(n): recurse(3, n)
def steep(n): recurse(60, n)


def recurse(depth, n):
    if depth:
        return recurse(depth - 1, n)
    return burn(n)


def recursive():
    timed(shallow, amount(30000))
    timed(steep, amount(20000))


# generators: resumed many times, each for a moment

def few(n):
    for _ in range(n):
        burn(100)
        yield


def many(n):
    for _ in range(n):
        burn(300)
        yield


def drain_few(n):
    for _ in few(n): pass


def drain_many(n):
    for _ in many(n): pass


def generators():
    timed(drain_few, amount(200))
    timed(drain_many, amount(150))


# threads: they fight for the GIL, each is timed by its own clock

def one(n): burn(n)
def two(n): burn(n)
def three(n): burn(n)


def worker(function, mean, end):
    while time.monotonic() < end:
        timed(function, amount(mean))


def threads(seconds):
    sys.setswitchinterval(.0005)
    end = time.monotonic() + seconds
    all_of_them = [threading.Thread(target=worker, args=(function, mean, end))
                   for function, mean in ((one, 10000), (two, 20000), (three, 50000))]
    for thread in all_of_them:
        thread.start()
    for thread in all_of_them:
        thread.join()


KINDS = {"flat": flat, "system": system, "asleep": asleep, "nested": nested, "recursive": recursive,
         "generators": generators, "threads": None}

if __name__ == "__main__":
    kind, seconds = sys.argv[1], float(sys.argv[2])
    ZERO, BUFFERS = os.memfd_create("zero"), [bytearray(1 << 16)]
    os.truncate(ZERO, 1 << 16)
    if kind == "threads":
        threads(seconds)
    else:
        while sum(SPENT.values()) < seconds * 1e9:
            KINDS[kind]()
    print(json.dumps(SPENT), flush=True)
