# SPDX-License-Identifier: Apache-2.0
"""Ruins its own interpreter's state where CPython itself does not look until it ends, and goes on
computing. It never ends by itself."""
import ctypes
import os
import sys
import threading

NEW = sys.version_info >= (3, 11)
HUGE = 2 ** 62


def write(address, value):
    ctypes.c_uint64.from_address(address).value = value & (2 ** 64 - 1)


def previous_of_root(frame):
    """Address of the `previous` of the outermost frame, and that frame's address."""
    while frame.f_back:
        frame = frame.f_back
    if not NEW:
        return id(frame) + 24, id(frame)  # PyFrameObject.f_back
    inner = ctypes.c_uint64.from_address(id(frame) + 24).value  # PyFrameObject.f_frame
    return inner + (48 if sys.version_info < (3, 12) else 8), inner


def fresh(function, **parts):
    """A copy of the function with parts of its code object replaced."""
    return type(function)(function.__code__.replace(**parts), globals())


def spin():
    while True:
        for _ in range(10000): pass


def cycle():
    at, frame = previous_of_root(sys._getframe())
    write(at, frame)


def garbage():
    write(previous_of_root(sys._getframe())[0], 0x4141414141414140)


def kernel():
    write(previous_of_root(sys._getframe())[0], 0xffffffff81000000)


def name():
    """A name and a line table that say that they are enormous."""
    global spin
    text = "huge_%d" % os.getpid()
    key = "co_linetable" if sys.version_info >= (3, 10) else "co_lnotab"
    table = bytes(getattr(spin.__code__, key)) + b"\0\0"
    spin = fresh(spin, co_name=text, **{key: table})
    write(id(text) + 16, HUGE)
    write(id(table) + 16, HUGE)


def threads():
    """The list of thread states ends in a circle before it comes to the main thread's."""
    state = ctypes.pythonapi.PyThreadState_Get
    state.restype = ctypes.c_void_p
    ready = threading.Event()

    def native():  # its state is the first of the list
        write(state() + 8, state())  # PyThreadState.next
        ready.set()
        spin()

    threading.Thread(target=native, daemon=True).start()
    ready.wait()


{"cycle": cycle, "garbage": garbage, "kernel": kernel, "name": name, "threads": threads}[sys.argv[1]]()
print("ready", flush=True)
spin()
