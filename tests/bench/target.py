#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The Python programs that are measured. `target.py KIND FILE`; FILE is the page shared with rig.py.

busy     one thread, a fixed unit of work again and again at the bottom of a stack of exactly as many
         frames as the page asks for (<module> and the leaf included). After each unit it writes how
         many units are done and its own CPU time, so that work per CPU second can be read at any
         moment without stopping it.
hops     the same, but each frame is of a code object of its own, as in most real stacks.
crowd    as many threads as the page asks for frames, each in a recursion of 10 frames.
threads  16 threads, each in its own call chains: many stacks, many functions.
switch   two processes that pass a byte to and fro through pipes, on one CPU, each at the bottom of a
         stack like that of hops: two switches a round. CPU time is both's; a unit of work is a round.
worst    for the longest tick: 600 frames, each of a code object that no one has seen before, with
         all names and line tables as long as what is copied of them.
"""

import mmap
import os
import struct
import sys
import threading
import time
import types

UNIT = 3000  # turns of the leaf's loop in a unit of work: about 0.1 ms
SLICE_NS = 5_000_000  # rate at which `worst` is sampled: 200 Hz
FRAMES = 3  # <module>, busy() and leaf(): the rest of the depth is descend()


def leaf(page, depth):
    """Works until another depth is asked for. Two slots in turns: a reader never sees half of one."""
    pack, cpu, wanted = struct.pack_into, time.thread_time_ns, struct.Struct("<Q").unpack_from
    turn, work = struct.unpack_from("<Q", page, 0)[0], struct.unpack_from("<Q", page, 16)[0]
    while True:
        total = 0
        for i in range(UNIT):
            total += i * i
        work += 1
        turn += 1
        pack("<QQQ", page, 32 + 32 * (turn & 1), work, cpu(), depth)
        pack("<Q", page, 0, turn)
        if wanted(page, 8)[0] != depth:
            pack("<Q", page, 16, work)
            return total


def descend(left, page, depth):
    return descend(left - 1, page, depth) if left else leaf(page, depth)


def hop(left, page, depth):
    return HOPS[left](left - 1, page, depth) if left else leaf(page, depth)


HOPS = [types.FunctionType(hop.__code__.replace(co_name=f"hop{k}", co_firstlineno=100 + k), globals())
        for k in range(1000)]


def busy(page, step=descend):
    while True:
        depth = struct.unpack_from("<Q", page, 8)[0]
        if depth > FRAMES:
            step(depth - FRAMES - 1, page, depth)
        else:
            leaf(page, depth)


def chains(seed):
    """Endless walk through 200 functions of 20 lines each, in ever other order."""
    space = {}
    lines = "\n".join(f"    s += n * {k}" for k in range(17))
    for k in range(200):
        exec(compile(f"def f{k}(n, d):\n    s = d\n{lines}\n    return F[(n * 7 + d * 13) % 200]"
                     f"(n + 1, d - 1) if d else s", f"/app/module_{seed}_{k % 20}.py", "exec"), space)
    space["F"] = [space[f"f{k}"] for k in range(200)]
    n = seed
    while True:
        n = (n * 1103515245 + 12345) % 2147483648
        space["F"][n % 200](n, n % 19)


def threads(page):
    for seed in range(16):
        threading.Thread(target=chains, args=(seed,), daemon=True).start()
    struct.pack_into("<Q", page, 0, 1)
    time.sleep(3600)


ROUNDS = 100  # between two looks at the clocks
SWITCH_NS = 20_000  # CPU time from switch to switch: 50,000 switches in a second of it


def spin(turns):
    for _ in range(turns):
        pass


def rounds(first, page, get, put, ends):
    """`first` sends, and waits; the other waits, and sends. Each works for a while before it sends."""
    read, write, turns = os.read, os.write, struct.Struct("<Q").unpack_from
    while True:
        for _ in range(ROUNDS):
            if first:
                spin(turns(page, 136)[0])
                write(put, b"x")
            if not read(get, 1):
                os._exit(0)
            if not first:
                spin(turns(page, 136)[0])
                write(put, b"x")
        if first:
            ends()


def deep(left, page, *rest):
    return DEEP[left](left - 1, page, *rest) if left else rounds(*rest)


DEEP = [types.FunctionType(deep.__code__.replace(co_name=f"deep{k}", co_firstlineno=100 + k), globals())
        for k in range(1000)]


def switch(page):
    depth = struct.unpack_from("<Q", page, 8)[0]
    (get, child_put), (child_get, put) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.close(get)
        os.close(put)
        deep(depth - 5, page, False, page, child_get, child_put, None)
    os.close(child_get)
    os.close(child_put)
    struct.pack_into("<Q", page, 128, child)
    clock = (~child << 3) | 2  # clock_getcpuclockid(3)
    start = time.perf_counter_ns()
    spin(20000)
    turn_ns = (time.perf_counter_ns() - start) / 20000
    state = {"turn": 0, "cpu": 0}

    def ends():
        turn, cpu = state["turn"] + 1, time.thread_time_ns() + time.clock_gettime_ns(clock)
        struct.pack_into("<QQQ", page, 32 + 32 * (turn & 1), turn * ROUNDS, cpu, depth)
        struct.pack_into("<Q", page, 0, turn)
        if turn in (20, 40, 60):  # nears SWITCH_NS
            more = SWITCH_NS - (cpu - state["cpu"]) / (20 * ROUNDS * 2)
            struct.pack_into("<Q", page, 136, max(0, struct.unpack_from("<Q", page, 136)[0] + int(more / turn_ns)))
        if turn % 20 == 0:
            state["cpu"] = cpu
        state["turn"] = turn

    deep(depth - 5, page, True, page, get, put, ends)  # <module>, switch, deep0, rounds, and spin or none


def crowd(page):
    def go_down(left):
        if left:
            go_down(left - 1)
        began.wait()
        while True:
            for _ in range(1000):
                pass

    began = threading.Event()  # with a hundred that compute, each further one would wait for the GIL to begin
    for _ in range(struct.unpack_from("<Q", page, 8)[0]):
        threading.Thread(target=go_down, args=(10,), daemon=True).start()
    began.set()
    struct.pack_into("<Q", page, 0, 1)
    time.sleep(3600)


def link(chain, at):
    if at < len(chain):
        return chain[at](chain, at + 1)
    end = time.thread_time_ns() + 60 * SLICE_NS  # 600 frames / 16 code objects a tick, and some more
    while time.thread_time_ns() < end:
        pass
    return None


def worst(page):
    globs, turn = globals(), 0
    while True:
        turn += 1
        names = {"co_filename": "/" + "f" * 2100, "co_name": "n" * 520, "co_qualname": "q" * 1100,
                 "co_linetable": link.__code__.co_linetable + b"\x80\x00" * 9000}
        chain = [types.FunctionType(link.__code__.replace(co_firstlineno=turn * 1000 + k, **names),
                                    globs) for k in range(600)]
        link(chain, 0)
        struct.pack_into("<Q", page, 0, turn)


sys.setrecursionlimit(10000)
with open(sys.argv[2], "r+b") as shared:
    PAGE = mmap.mmap(shared.fileno(), 4096)
# not in a function main(): its frame would count
if sys.argv[1] in ("busy", "hops"):
    busy(PAGE, {"busy": descend, "hops": hop}[sys.argv[1]])
else:
    {"threads": threads, "crowd": crowd, "worst": worst, "switch": switch}[sys.argv[1]](PAGE)
