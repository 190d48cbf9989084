# SPDX-License-Identifier: Apache-2.0
"""A process that changes its own code, or maps it once more, as it is told on its standard input:

    patch ADDRESS BYTE   writes a byte at an address, through a page made writable
    map PATH             maps a file a second time, privately and executable; says where
    traced               lets its parent trace it

Answers each line with one that begins with "ok"."""
import ctypes
import mmap
import os
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                      ctypes.c_long]
LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
READ_EXEC = 5


def patch(address, byte):
    address, page = int(address, 16), int(address, 16) & ~4095
    assert LIBC.mprotect(page, 4096, 7) == 0
    ctypes.memset(address, int(byte, 16), 1)
    assert LIBC.mprotect(page, 4096, READ_EXEC) == 0
    return ""


def remap(path):
    fd = os.open(path, os.O_RDONLY)
    at = LIBC.mmap(None, os.fstat(fd).st_size, READ_EXEC, mmap.MAP_PRIVATE, fd, 0)
    assert at != ctypes.c_void_p(-1).value
    return hex(at)


def traced():
    assert LIBC.ptrace(0, 0, 0, 0) == 0
    return ""


print("ready", flush=True)
for line in sys.stdin:
    words = line.split()
    answer = {"patch": patch, "map": remap, "traced": traced}[words[0]](*words[1:])
    print("ok", answer, flush=True)
