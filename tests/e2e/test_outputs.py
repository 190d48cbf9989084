# SPDX-License-Identifier: Apache-2.0
"""Where the output goes and what it looks like."""

import os
import pty
import re
import select
import signal
import stat
import subprocess
import time

import pytest

from conftest import (CONTROL, PYTHONS, TARGETS, UNCOIL, Stacks, as_nobody, computed, finish, stacks,
                      uncoil)

SHORT = ["-d", "0.15", "-r", "500"]


def record(busy, *args, **popen):
    result = uncoil("record", *SHORT, "-p", str(busy.pid), *args, **popen)
    assert result.code == 0, result.err
    return result


def looks_like(kind, data):
    if kind == "folded":
        return Stacks(data).count("spin") > 0
    return {"svg": data.startswith(b"<?xml") and b"<svg" in data, "txt": b"spin (" in data,
            "raw": data.startswith(b"UNCOILJ\n")}[kind]


@pytest.mark.parametrize("name, options, kind", [
    ("x.svg", [], "svg"), ("x.folded", [], "folded"), ("x.collapsed", [], "folded"),
    ("x.txt", [], "txt"), ("x.uncoil", [], "raw"), ("x", ["-f", "flame"], "svg"),
    ("x", ["-f", "folded"], "folded"), ("x", ["-f", "summary"], "txt"), ("x", ["-f", "raw"], "raw"),
    ("x.svg", ["-f", "folded"], "folded"), ("a b;ü.txt", [], "txt"), (".folded", [], "folded")])
def test_formats(busy, folder, name, options, kind):
    record(busy, *options, "-o", folder / name)
    assert os.listdir(folder) == [name]
    assert looks_like(kind, (folder / name).read_bytes())


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """One recording in all formats: several -o."""
    where = tmp_path_factory.mktemp("recorded")
    os.chmod(where, 0o755)
    result = uncoil("record", "-s", "-r", "500", *sum((["-o", where / f"x.{suffix}"] for suffix in
                    ("svg", "folded", "txt", "uncoil")), []), "--", "/usr/bin/python3.11",
                    TARGETS / "family.py", "fork", umask=0o022)
    assert result.code == 0, result.err
    assert sorted(os.listdir(where)) == ["x.folded", "x.svg", "x.txt", "x.uncoil"]
    return where


def test_several_outputs_show_the_same(recorded):
    seen = stacks(recorded / "x.folded")
    assert seen.count("child_function") > 20
    assert f"\nSamples   {seen.total}\n" in (recorded / "x.txt").read_text()
    assert f"{seen.total:,} samples" in (recorded / "x.svg").read_text()
    subprocess.run(["xmllint", "--noout", recorded / "x.svg"], check=True, timeout=20)


def test_modes_of_files(recorded):
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in recorded.iterdir()}
    assert modes == {"x.svg": 0o644, "x.folded": 0o644, "x.txt": 0o644, "x.uncoil": 0o600}


def test_replay_is_byte_identical_and_needs_no_root(recorded, folder):
    program = folder / "uncoil"  # nobody need not be able to enter the source tree
    program.write_bytes(open(UNCOIL, "rb").read())
    program.chmod(0o755)
    for name in ("x.uncoil", "out"):
        (folder / name).write_bytes((recorded / "x.uncoil").read_bytes()) if "." in name else \
            (folder / name).mkdir()
        os.chown(folder / name, 65534, 65534)
    outputs = ["x.svg", "x.folded", "x.txt"]
    result = uncoil("replay", folder / "x.uncoil", *sum((["-o", folder / "out" / o] for o in
                    outputs), []), program=program, preexec_fn=as_nobody)
    assert result.code == 0, result.err
    for name in outputs:
        assert (folder / "out" / name).read_bytes() == (recorded / name).read_bytes(), name
        assert (folder / "out" / name).stat().st_uid == 65534


def test_replay_with_threads_and_functions(recorded):
    plain = stacks(recorded / "x.folded")
    threads = Stacks(uncoil("replay", recorded / "x.uncoil", "-t", "-f", "folded", "-o", "-").out)
    functions = Stacks(uncoil("replay", recorded / "x.uncoil", "-F", "-f", "folded", "-o", "-").out)
    assert plain.total == threads.total == functions.total
    assert len({frames[0] for frames, _ in threads}) == 3  # a process each
    assert {frame.line for frames, _ in functions for frame in frames} == {None}


def test_stdout(busy):
    result = record(busy, "-f", "folded", "-o", "-")
    assert Stacks(result.out).count("spin") > 0
    assert "recording 1 process" in result.err and "-:" not in result.err


def test_default_name(busy, folder):
    record(busy, cwd=folder)
    assert re.fullmatch(r"uncoil-record-\d{8}-\d{6}\.svg", os.listdir(folder)[0])


def test_quiet_is_silent(busy, folder):
    result = record(busy, "-q", "-o", folder / "x.svg", "-o", folder / "x.uncoil")
    assert (result.out, result.err) == (b"", "")
    result = uncoil("replay", "-q", folder / "x.uncoil", "-o", folder / "y.svg")
    assert (result.code, result.out, result.err) == (0, b"", "")


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_the_recording_cleanly(busy, recorder, folder, nothing_left, sig):
    recording = recorder("-r", "500", "-p", str(busy.pid), "-o", folder / "x.folded")
    computed(busy.pid, .1)
    recording.send_signal(sig)
    result = finish(recording)
    assert result.code == 0, result.err
    assert stacks(folder / "x.folded").count("spin") > 40
    busy.assert_computes()
    nothing_left()


@pytest.mark.parametrize("seconds", [.3, 1])
def test_duration(busy, recorder, folder, seconds):
    recording = recorder("-r", "500", "-d", str(seconds), "-p", str(busy.pid), "-o",
                         folder / "x.folded")
    start = time.monotonic()
    result = finish(recording)
    # its own clock; on a busy machine it may be late, and this test later
    told = float(re.search(r"samples in ([\d.]+) s", result.err)[1])
    assert seconds - .06 < told < time.monotonic() - start + 1
    assert told < seconds + 2


def test_existing_output_is_replaced_atomically(busy, recorder, folder):
    path = folder / "x.folded"
    path.write_text("old")
    with path.open() as old:
        recording = recorder(*SHORT, "-p", str(busy.pid), "-o", path)
        while recording.poll() is None:  # at any time: all of the old or all of the new
            text = path.read_text()
            assert text == "old" or Stacks(text).count("spin")
            time.sleep(.002)
        assert old.read() == "old"
        assert os.fstat(old.fileno()).st_ino != path.stat().st_ino
    assert stacks(path).count("spin") and os.listdir(folder) == ["x.folded"]


def test_symlink_is_replaced_not_followed(busy, folder):
    aim = folder / "aim"
    aim.write_text("precious")
    (folder / "x.folded").symlink_to(aim)
    record(busy, "-o", folder / "x.folded")
    assert aim.read_text() == "precious"
    assert not (folder / "x.folded").is_symlink() and stacks(folder / "x.folded").total


def test_dangling_symlink_is_replaced(busy, folder):
    (folder / "x.folded").symlink_to(folder / "nowhere")
    record(busy, "-o", folder / "x.folded")
    assert os.listdir(folder) == ["x.folded"] and stacks(folder / "x.folded").total


def test_fifo(busy, folder, start):
    os.mkfifo(folder / "x.folded")
    both = os.open(folder / "x.folded", os.O_RDWR)  # uncoil may come before cat
    reader = start("cat", folder / "x.folded")
    record(busy, "-o", folder / "x.folded")
    os.close(both)
    assert Stacks(reader.communicate(timeout=20)[0]).count("spin") > 0
    assert stat.S_ISFIFO((folder / "x.folded").stat().st_mode)


def test_device_stays_a_device(busy, folder):
    os.mknod(folder / "null.svg", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    record(busy, "-o", folder / "null.svg")
    assert stat.S_ISCHR((folder / "null.svg").stat().st_mode)
    assert os.listdir(folder) == ["null.svg"]


def test_progress_on_a_terminal_only(busy, folder):
    ours, theirs = pty.openpty()
    text = b""
    try:
        record(busy, "-d", "0.6", "-o", folder / "x.svg", stderr=theirs)
        while select.select([ours], [], [], 0)[0]:
            text += os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)
    assert re.search(rb"[\d.]+ s, \d+ samples, \d+ stacks, 0 lost", text)
    assert not CONTROL.search(record(busy, "-o", folder / "x.svg").err)


def test_end_of_the_target_ends_the_recording(start, folder):
    for python in PYTHONS.values():
        brief = start(python, TARGETS / "busy.py", "0.3")
        brief.said(b"ready")
        result = uncoil("record", "-r", "500", "-p", str(brief.pid), "-o", folder / "x.folded")
        assert result.code == 0, result.err
        assert stacks(folder / "x.folded").count("spin") > 20
        assert brief.wait(20) == 0


@pytest.mark.parametrize("command, words", [
    (["-c", "raise SystemExit(7)"], "the command exited with status 7"),
    (["-c", "import os; os.kill(os.getpid(), 9)"], "the command was ended by signal 9 (Killed)")])
def test_end_of_the_command_is_told(folder, command, words):
    result = uncoil("record", "-r", "1000", "-o", folder / "x.svg", "--", "/usr/bin/python3.11",
                    *command)
    assert result.code == 0 and words in result.err


def test_duration_ends_the_command(folder):
    result = uncoil("record", "-d", "0.5", "-o", folder / "x.folded", "--", "/usr/bin/python3.11",
                    TARGETS / "busy.py")
    assert result.code == 0 and "the command" not in result.err  # uncoil's doing, not its own
    assert stacks(folder / "x.folded").count("spin") > 0


@pytest.mark.parametrize("args, words", [
    (["--help"], b"Usage: uncoil COMMAND"), (["help"], b"Usage: uncoil COMMAND"),
    (["--version"], b"uncoil 0."), (["record", "--help"], b"record"),
    (["replay", "--help"], b"JOURNAL")])
def test_help(args, words):
    result = uncoil(*args)
    assert result.code == 0 and words in result.out and result.err == ""
