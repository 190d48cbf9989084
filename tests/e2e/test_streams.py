# SPDX-License-Identifier: Apache-2.0
"""Standard streams that are closed, full or a pipe; paths that are another word for something; text
of somebody else's journal."""

import os
import resource
import struct
import subprocess
import zlib

import pytest

from conftest import CONTROL, TOP, UNCOIL, Stacks, stacks, uncoil

GOLDEN = TOP / "tests/golden/threads-3.11/journal"


def closing(*fds):
    def close():
        for fd in fds:
            os.close(fd)
    return close


@pytest.mark.parametrize("fds", [(2,), (0,), (0, 2), (0, 1, 2)], ids=str)
def test_closed_streams_do_not_get_into_the_output(busy, folder, fds):
    """Whoever starts uncoil without a stderr gives descriptor 2 to the first file that is opened."""
    done = subprocess.run([UNCOIL, "record", "-p", str(busy.pid), "-d", ".2", "-o", folder / "x.svg",
                           "-o", folder / "x.uncoil"], preexec_fn=closing(*fds), timeout=20)
    assert done.returncode in (0, 3)
    assert (folder / "x.svg").read_bytes().startswith(b"<?xml")
    assert uncoil("replay", folder / "x.uncoil", "-o", folder / "y.svg").code in (0, 3)
    assert (folder / "y.svg").read_bytes() == (folder / "x.svg").read_bytes()


def test_output_to_a_closed_stdout_fails(busy):
    result = uncoil("record", "-p", str(busy.pid), "-d", ".1", "-f", "folded", "-o", "-", stdout=None,
                    preexec_fn=closing(1))
    assert result.code == 1 and "cannot write -" in result.err


@pytest.mark.parametrize("command", [["doctor"], ["--help"], ["--version"], ["record", "--help"],
                                     ["help", "top"]], ids=str)
def test_full_stdout_is_an_error(command):
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = uncoil(*command, stdout=full)
    assert result.code == 1 and "No space left" in result.err, result


def test_help_of_a_command():
    for args in ["record", "--help"], ["record", "-h"], ["help", "record"]:
        result = uncoil(*args)
        assert result.code == 0 and b"--duration=SECONDS" in result.out, args
    assert uncoil("help", "recrod").code == 2


def test_file_grown_too_large(busy, folder):
    """SIGXFSZ would end uncoil without a word."""
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
    result = uncoil("record", "-p", str(busy.pid), "-d", ".1", "-o", folder / "x.svg", preexec_fn=limit)
    assert result.code == 1 and "File too large" in result.err, result
    assert not os.listdir(folder)


@pytest.mark.parametrize("first, second", [("x.svg", "./x.svg"), ("x.svg", "../{}/x.svg"),
                                           ("-", "/dev/stdout"), ("/dev/fd/1", "-")])
def test_one_file_under_two_names(folder, first, second):
    result = uncoil("replay", GOLDEN, "-f", "flame", "-o", first, "-o", second.format(folder.name),
                    cwd=folder)
    assert result.code == 2 and "given twice" in result.err, result
    assert not os.listdir(folder)


def test_descriptors_by_name(folder):
    with open(folder / "x", "wb") as out:
        result = uncoil("replay", "-q", GOLDEN, "-f", "folded", "-o", "/dev/fd/1", stdout=out)
    assert result.code == 0, result
    assert stacks(folder / "x").total
    with open(folder / "y", "wb") as out:
        result = uncoil("replay", "-q", GOLDEN, "-f", "folded", "-o", f"/proc/self/fd/{out.fileno()}",
                        pass_fds=[out.fileno()])
    assert result.code == 0 and (folder / "y").read_bytes() == (folder / "x").read_bytes()


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_journal_through_a_pipe(busy, name):
    record = subprocess.Popen([UNCOIL, "record", "-q", "-p", str(busy.pid), "-d", ".3", "-f", "raw", "-o", "-"],
                              stdout=subprocess.PIPE)
    try:
        result = uncoil("replay", name, "-f", "folded", "-o", "-", stdin=record.stdout)
    finally:
        record.stdout.close()
        record.wait(20)
    assert result.code in (0, 3), result
    assert Stacks(result.out).count("spin")


def test_format_and_names_that_disagree(folder):
    for outputs in ["a.folded", "run.uncoil"], ["a.folded", "b.svg"]:
        args = [word for name in outputs for word in ("-o", folder / name)]
        result = uncoil("replay", GOLDEN, "-f", "folded", *args)
        assert result.code == 2 and "says another format" in result.err, result
    assert not os.listdir(folder)
    # a single one is what -f says
    assert uncoil("replay", "-q", GOLDEN, "-f", "folded", "-o", folder / "a.txt").code == 0
    assert stacks(folder / "a.txt").total


@pytest.mark.parametrize("duration", ["0x1", "1e3", "+1", "inf", "nan", "", "-1"])
def test_odd_durations(folder, duration):
    result = uncoil("record", "-p", "1", f"--duration={duration}", "-o", folder / "x.svg")
    assert result.code == 2 and "the duration must be" in result.err, result


def rewritten(data, old, new):
    """A journal (user/model/journal.c) in which each `old` became `new`; its records are summed up anew."""
    out, at = bytearray(data[:8]), 8
    while at < len(data):
        kind, size, _ = struct.unpack_from("<III", data, at)
        body = data[at + 12:at + 12 + size].replace(old, new)
        head = struct.pack("<II", kind, len(body))
        out += head + struct.pack("<I", zlib.crc32(head + body)) + body
        at += 12 + size
    return bytes(out)


@pytest.mark.parametrize("old", [b"on-CPU", b"threads.py", b"MainThread"])
def test_text_of_a_journal_is_not_obeyed(folder, old):
    """Journals are handed from one person to another: whatever text is in them is shown, not obeyed."""
    data = GOLDEN.read_bytes()
    new = b"\x1b]0;p\x07".ljust(len(old), b"\x07")
    assert old in data and len(new) == len(old)
    for name, text in ("a", data), ("b", rewritten(data, old, new)):
        (folder / name).write_bytes(text)
    for args in (["diff", folder / "a", folder / "b"], ["diff", folder / "b", folder / "b"],
                 ["replay", folder / "b", "-t", "-f", "folded", "-o", "-"],
                 ["replay", folder / "b", "-t", "-f", "summary", "-o", "-"]):
        result = uncoil(*args)
        assert not CONTROL.search(result.err + result.out.decode()), result
    assert rewritten(data, old, old) == data
