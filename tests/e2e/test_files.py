# SPDX-License-Identifier: Apache-2.0
"""The interpreter's file: gone, replaced, enormous, patched. Attaching works on what is mapped."""

import os
import pathlib
import re
import shutil
import struct
import subprocess

import pytest

from conftest import SYSTEM, TARGETS, pyenv_python, stacks, uncoil

SHORT = ["-d", "0.3", "-r", "500"]
LIBRARY = pathlib.Path(pyenv_python("3.13") or "/none/bin/none").parents[1] / "lib/libpython3.13.so.1.0"


def by_unlink(path):
    path.unlink()


def by_fifo(path):
    path.rename(f"{path}.away")
    os.mkfifo(path)


def by_link_to_fifo(path):
    path.unlink()
    os.mkfifo(f"{path}.fifo")
    path.symlink_to(f"{path}.fifo")


def by_sparse_file(path):
    path.rename(f"{path}.away")
    with path.open("wb") as file:
        file.truncate(100 << 30)


def by_other_python(path):
    path.unlink()
    shutil.copy("/bin/true", path)


def by_directory(path):
    path.unlink()
    path.mkdir()


REPLACED = [by_unlink, by_fifo, by_link_to_fifo, by_sparse_file, by_other_python, by_directory]


def assert_recorded(process, folder):
    result = uncoil("record", *SHORT, "-p", str(process.pid), "-o", folder / "x.folded")
    assert result.code == 0, result.err
    assert result.seconds < 2.5
    assert stacks(folder / "x.folded").count("spin") > 20
    process.assert_computes()


@pytest.mark.parametrize("replace", REPLACED)
def test_program_is_replaced(start, folder, replace):
    program = folder / "python3.11"
    shutil.copy(SYSTEM, program)
    process = start(program, TARGETS / "busy.py")
    process.said(b"ready")
    replace(program)
    assert_recorded(process, folder)


def with_library(start, folder, patch=lambda _: None):
    """A Python whose libpython is a copy in the folder."""
    if not LIBRARY.exists():
        pytest.skip("no shared CPython 3.13")
    library = folder / LIBRARY.name
    shutil.copy(LIBRARY, library)
    patch(library)
    process = start(LIBRARY.parents[1] / "bin/python3.13", TARGETS / "busy.py",
                    env={**os.environ, "LD_LIBRARY_PATH": str(folder)})
    process.said(b"ready")
    assert str(library) in pathlib.Path(f"/proc/{process.pid}/maps").read_text()
    return process, library


@pytest.mark.parametrize("replace", REPLACED)
def test_library_is_replaced(start, folder, replace):
    process, library = with_library(start, folder)
    replace(library)
    assert_recorded(process, folder)


MAP = """
import mmap, os, sys, time
file = os.open(sys.argv[1], os.O_RDWR)
kept = mmap.mmap(file, 4096)
%s
print("ready", flush=True)
fifo = os.open(os.path.join(os.path.dirname(sys.argv[1]), "libpython3.10.so.1.0"), os.O_RDWR)
def spin():
    while True:
        for _ in range(10000): pass
spin()
"""
NOT_PYTHON = """
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	int fd = open(argv[1], O_RDWR);
	if (mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
		return 1;
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
"""


def all_zeros(path):
    with path.open("wb") as file:
        file.truncate(100 << 30)


def elf_with(change):
    """A shared CPython, made 100 GB long, with changed section headers."""
    def make(path):
        shutil.copy(LIBRARY, path)
        with path.open("r+b") as file:
            data = bytearray(file.read())
            change(data)
            file.seek(0)
            file.write(data)
            file.truncate(100 << 30)
    return make


def sections(data):
    """(offset of the header, sh_type) of each."""
    start, = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    return [(start + i * size, struct.unpack_from("<I", data, start + i * size + 4)[0])
            for i in range(count)]


def grow(kinds):
    def change(data):
        for header, kind in sections(data):
            if kind in kinds:
                struct.pack_into("<Q", data, header + 32, 1 << 30)
    return change


def section_count(data):
    """The number of sections is in section 0 when the header says none."""
    start, = struct.unpack_from("<Q", data, 40)
    struct.pack_into("<H", data, 60, 0)
    struct.pack_into("<Q", data, start + 32, 10 ** 7)


def dead_links(data):
    for header, _ in sections(data):
        struct.pack_into("<I", data, header + 40, 0xfffffff0)


LARGE = {"zeros": all_zeros, "symbols": elf_with(grow([2, 11])), "strings": elf_with(grow([3])),
         "all": elf_with(grow(range(1, 20))), "count": elf_with(section_count),
         "links": elf_with(dead_links)}


@pytest.mark.parametrize("kind", LARGE)
@pytest.mark.parametrize("is_python", [True, False], ids=["python", "other"])
def test_enormous_file_that_is_called_libpython(start, folder, assert_failed, kind, is_python):
    if kind != "zeros" and not LIBRARY.exists():
        pytest.skip("no shared CPython 3.13")
    path = folder / "libpython3.11.so.1.0"
    os.mkfifo(folder / "libpython3.10.so.1.0")
    LARGE[kind](path)
    if is_python:
        process = start(SYSTEM, "-c", MAP % "", path)
    else:
        subprocess.run(["gcc", "-x", "c", "-o", folder / "program", "-"], input=NOT_PYTHON.encode(),
                       check=True, timeout=30)
        process = start(folder / "program", path)
    process.said(b"ready")
    result = uncoil("record", *SHORT, "-p", str(process.pid), "-o", folder / "x.folded")
    assert result.seconds < 2
    if is_python:
        assert result.code == 0, result.err
        assert stacks(folder / "x.folded").count("spin") > 20
    else:
        assert_failed(result, f"process {process.pid}", "is not a Python process" if kind in
                      ("zeros", "count") else "libpython3.11.so.1.0")
    assert process.poll() is None


@pytest.mark.skipif(not LIBRARY.exists(), reason="no shared CPython 3.13")
def test_hostile_name_of_a_library(start, folder, assert_failed):
    path = folder / "libpython\x1b[2J\n;uncoil: fine.so"
    elf_with(grow([3]))(path)
    subprocess.run(["gcc", "-x", "c", "-o", folder / "program", "-"], input=NOT_PYTHON.encode(),
                   check=True, timeout=30)
    process = start(folder / "program", path)
    process.said(b"ready")
    result = uncoil("record", *SHORT, "-p", str(process.pid), "-o", folder / "x.svg")
    assert_failed(result, r"libpython\x1b[2J")


def symbol(path, name):
    """File offset of a symbol's value."""
    nm = subprocess.run(["nm", "-D", path], capture_output=True, text=True, check=True, timeout=20)
    address = int(re.search(rf"^([0-9a-f]+) \w {name}$", nm.stdout, re.M)[1], 16)
    headers = subprocess.run(["readelf", "-lW", path], capture_output=True, text=True, check=True,
                             timeout=20).stdout
    for offset, start, size in re.findall(r"LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+)", headers):
        if int(start, 16) <= address < int(start, 16) + int(size, 16):
            return int(offset, 16) + address - int(start, 16)
    raise AssertionError(f"no {name}")


def patched(name, at, value):
    def patch(path):
        with path.open("r+b") as file:
            file.seek(symbol(path, name) + at)
            file.write(value)
    return patch


PATCHES = {
    "version 3.99": (patched("Py_Version", 0, struct.pack("<Q", 0x036300f0)), ["CPython 3.99.0"]),
    "version 3.16": (patched("Py_Version", 0, struct.pack("<Q", 0x031000f0)),
                     ["CPython 3.16.0", "3.8 to 3.15"]),
    "version 0": (patched("Py_Version", 0, bytes(8)), ["not supported"]),
    "version 2": (patched("Py_Version", 0, struct.pack("<Q", 0x020712f0)), ["CPython 2.7.18"]),
    "version 3.12": (patched("Py_Version", 0, struct.pack("<Q", 0x030c01f0)), ["CPython 3.12.1"]),
    "offsets' version": (patched("_PyRuntime", 8, struct.pack("<Q", 0x030f00f0)),
                         ["debug offsets", "0x30f00f0"]),
    "free-threaded": (patched("_PyRuntime", 16, struct.pack("<Q", 1)), ["free-threaded"]),
    "struct's size": (patched("_PyRuntime", 24, b"\xff" * 8), ["contradict themselves"]),
    "an offset": (patched("_PyRuntime", 40, b"\xff" * 7), ["contradict themselves"]),
}


@pytest.mark.parametrize("case", PATCHES)
def test_patched_interpreters_are_refused(start, folder, assert_failed, case):
    patch, words = PATCHES[case]
    process, _ = with_library(start, folder, patch)
    result = uncoil("record", *SHORT, "-p", str(process.pid), "-o", folder / "x.svg")
    assert_failed(result, *words, folder=folder, but=[LIBRARY.name])
    process.assert_computes()


def test_without_the_cookie_the_known_layout_is_used(start, folder):
    process, _ = with_library(start, folder, patched("_PyRuntime", 0, b"nocookie"))
    assert_recorded(process, folder)
