# SPDX-License-Identifier: Apache-2.0
"""What the BPF programs do, judged by what the kernel counts of them."""

import ctypes
import os
import pathlib
import platform
import re
import subprocess

import pytest

from conftest import TARGETS, finish, stacks, uncoil, wait_for

BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
BPF_ENABLE_STATS = 32


def bpf(command, attributes):
    """bpf(2); its result."""
    libc = ctypes.CDLL(None, use_errno=True)
    attr = ctypes.create_string_buffer(attributes, 128)
    result = libc.syscall(BPF, command, attr, 128)
    assert result >= 0, os.strerror(ctypes.get_errno())
    return result


@pytest.fixture
def run_times():
    """run_times(pid) -> {program type: (ns, runs)} of its programs that ran most."""
    fd = bpf(BPF_ENABLE_STATS, bytes(4))  # BPF_STATS_RUN_TIME

    def read(pid):
        found = {}
        for path in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
            facts = dict(re.findall(r"^(\w+):\s+(\d+)$", path.read_text(), re.M))
            if "prog_type" in facts:
                mine = int(facts["run_cnt"]), int(facts["run_time_ns"])
                kind = int(facts["prog_type"])
                found[kind] = max(found.get(kind, (0, 0)), mine)
        return {kind: (ns, runs) for kind, (runs, ns) in found.items()}

    yield read
    os.close(fd)


TRACING = 26  # BPF_PROG_TYPE_TRACING: on_switch runs most


def test_native_threads_beside_many_python_threads(target, recorder, folder, run_times):
    """That a thread has no thread state is found out once, not at each of its switches."""
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", folder / "pair.so", TARGETS / "pair.c", "-lpthread"],
                   check=True, timeout=60)
    cost = {}
    for threads in (0, 300):
        pair = target("pair.py", folder / "pair.so", str(threads))
        tool = recorder("--mode", "offcpu", "-p", str(pair.pid), "-o", folder / "x.folded")
        before = run_times(tool.pid)[TRACING]
        after = wait_for(lambda start=before, pid=tool.pid: [now for now in [run_times(pid)[TRACING]]
                                                             if now[1] > start[1] + 10000], "switches")[0]
        cost[threads] = (after[0] - before[0]) / (after[1] - before[1])
        tool.terminate()
        assert finish(tool).code in (0, 3)
        pair.kill()
        seen = stacks(folder / "x.folded")
        natives = seen.count("[not a Python thread]")
        assert natives and seen.count("[thread state not found]") < .05 * natives, seen.names()
    assert cost[300] < 5 * cost[0], cost  # 300 reads more would be 20 times
