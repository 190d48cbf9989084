# SPDX-License-Identifier: Apache-2.0
"""Uprobes of the kernel's own, which only count: perf_event_open(2) with the PMU "uprobe", for one process.

And what `uncoil doctor` says about where to put them."""
import collections
import ctypes
import os
import pathlib
import re
import struct

Site = collections.namedtuple("Site", "kind offset probe name instruction semaphore")

PMU = pathlib.Path("/sys/bus/event_source/devices/uprobe/type")
SYS_PERF_EVENT_OPEN = 298  # x86-64
LIBC = ctypes.CDLL(None, use_errno=True)


def sites(doctor):
    """The rows of doctor's table, from its whole text."""
    text = doctor[doctor.index("Exact calls:"):]
    rows = re.findall(r"^    (\w+) +(0x[0-9a-f]+) +(\S.*?) +(emulated|stepped) +([\w, ]+?)"
                      r"(?: #\d+| \(semaphore (0x[0-9a-f]+)\))?$", text, re.M)
    return [Site(kind, int(offset, 16), probe, name, instruction, int(semaphore or "0", 16))
            for kind, offset, instruction, probe, name, semaphore in rows]


def mapping(pid, path):
    """A file of the process that outlives its name: what the kernel has mapped."""
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and fields[5].split(" (deleted)")[0] == path:
            start, end = (int(part, 16) for part in fields[0].split("-"))
            return f"/proc/{pid}/map_files/{start:x}-{end:x}"
    raise AssertionError(f"{pid} has no {path} mapped")


class Counter:
    """Counts the hits of an instruction in one thread of a process. Not inherited: at the target's fork() the
    kernel would read the path's pointer again, which is one of this process, and fork() fail with EFAULT."""

    def __init__(self, pid, path, offset, semaphore=0):
        self.path = ctypes.create_string_buffer(os.fsencode(path))
        # type, size, config, period, sample_type, read_format, flags, wakeup, bp_type, config1, config2
        attr = struct.pack("<IIQQQQQIIQQ", int(PMU.read_text()), 128, semaphore << 32, 0, 0, 0,
                           0, 0, 0, ctypes.addressof(self.path), offset).ljust(128, b"\0")
        self.fd = LIBC.syscall(SYS_PERF_EVENT_OPEN, attr, pid, -1, -1, 8)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), f"uprobe at {path}:{offset:#x}")

    @property
    def count(self):
        return struct.unpack("<Q", os.read(self.fd, 8))[0]

    def close(self):
        os.close(self.fd)
