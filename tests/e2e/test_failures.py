# SPDX-License-Identifier: Apache-2.0
"""When things go wrong: one sentence, no half file, nothing left behind, the target unharmed."""

import os
import random
import re
import signal
import subprocess
import time

import pytest

from conftest import (PYTHONS, TARGETS, UNCOIL, as_nobody, finish, pyenv_python, stacks, state,
                      uncoil, wait_for)

SHORT = ["-d", "0.3", "-r", "500"]
NO_PID = str(2 ** 22 - 3)
PY = "/usr/bin/python3.11"


@pytest.mark.parametrize("args, words", [
    (["-r", "0"], ["the rate must be 1 to 20000", "'0'"]),
    (["-r", "1000000000"], ["the rate must be"]), (["-r", "-1"], ["the rate must be", "'-1'"]),
    (["-r", "abc"], ["the rate must be", "'abc'"]), (["-r", ""], ["the rate must be"]),
    (["-r", "99.5"], ["the rate must be"]), (["-r", "\x1b[31m"], ["the rate must be", r"\x1b[31m"]),
    (["-d", "0"], ["the duration must be"]), (["-d", "-1"], ["the duration must be", "'-1'"]),
    (["-d", "nan"], ["the duration must be", "'nan'"]), (["-d", "inf"], ["the duration must be"]),
    (["-d", "1e300"], ["the duration must be"]), (["-d", "1s"], ["the duration must be"]),
    (["--nonsense"], ["--nonsense"]), (["-Z"], ["Z"]), (["-o"], ["requires an argument"]),
    (["-p", "0"], ["'0' is no process id"]), (["-p", "-1"], ["'-1' is no process id"]),
    (["-p", "x"], ["'x' is no process id"]), (["-p", "99999999999"], ["is no process id"]),
    (["--ring-size", "5000"], ["power of two"]), (["--ring-size", "0"], ["power of two"]),
    (["-o", "x.pdf"], ["x.pdf", "no format"]), (["-o", "x"], ["'x' tells no format"]),
    (["-f", "pdf"], ["there is no format 'pdf'"]), (["-o", "-"], ["'-' tells no format"]),
    (["-o", "a.svg", "-o", "a.svg"], ["'a.svg' is given twice"]),
    (["--", "true"], ["not both"])], ids=str)
def test_wrong_options(busy, folder, assert_failed, args, words):
    result = uncoil("record", "-p", str(busy.pid), *args, cwd=folder)
    assert_failed(result, *words, code=2, folder=folder)
    busy.assert_computes()


@pytest.mark.parametrize("args, words", [
    (["frobnicate"], ["there is no command 'frobnicate'"]), (["record"], ["nothing to record"]),
    (["record", "--"], ["nothing to record"]), (["replay"], ["no journal given: uncoil replay JOURNAL"]),
    (["replay", "a", "b"], ["one journal at a time", "'b'"]),
    (["replay", "--nonsense"], ["--nonsense"])], ids=str)
def test_wrong_commands(folder, assert_failed, args, words):
    assert_failed(uncoil(*args, cwd=folder), *words, code=2, folder=folder)


def test_no_command():
    result = uncoil()
    assert result.code == 2 and result.err.startswith("Usage: uncoil")


# --- targets

def a_thread(start):
    process = start(PY, "-c", "import threading as t, time\n"
                    "t.Thread(target=time.sleep, args=(60,)).start()\nprint('ready', flush=True)")
    process.said(b"ready")
    tid = wait_for(lambda: [t for t in os.listdir(f"/proc/{process.pid}/task")
                            if int(t) != process.pid], "the thread")[0]
    return tid, [f"{tid} is a thread of process {process.pid}; use -p {process.pid}"]


def a_zombie(start):
    process = start("true")
    wait_for(lambda: state(process.pid) == "Z", "the zombie")
    return process.pid, [f"process {process.pid} is a zombie"]


def not_python(start):
    process = start("sleep", "60")
    wait_for(lambda: os.readlink(f"/proc/{process.pid}/exe").endswith("sleep"), "the exec")
    return process.pid, [f"process {process.pid} (sleep) is not a Python process"]


def old_python(prefix, words):
    def begin(start):
        path = pyenv_python(prefix) or pytest.skip(f"no Python {prefix}")
        process = start(path, TARGETS / "busy_old.py")
        process.said(b"ready")
        return process.pid, words
    return begin


TARGETS_REFUSED = {
    "nobody": lambda _: (NO_PID, [f"there is no process {NO_PID}"]),
    "thread": a_thread,
    "sleep": not_python,
    "zombie": a_zombie,
    "kernel thread": lambda _: (2, ["process 2 is a kernel thread"]),
    "3.7": old_python("3.7", ["CPython 3.7.", "not supported", "3.8 to 3.15"]),
    "3.6": old_python("3.6", ["is not a Python process"]),
    "2.7": old_python("2.7", ["is not a Python process"]),
}


@pytest.mark.parametrize("kind", TARGETS_REFUSED)
def test_targets_that_are_refused(start, folder, assert_failed, kind):
    pid, words = TARGETS_REFUSED[kind](start)
    before = state(pid)
    result = uncoil("record", *SHORT, "-p", str(pid), "-o", folder / "x.svg")
    assert_failed(result, *words, folder=folder)
    assert result.seconds < 3
    assert state(pid) == before or {state(pid), before} <= {"R", "S", "D"}


def test_one_of_two_targets_is_missing(busy, folder, assert_failed):
    result = uncoil("record", *SHORT, "-p", str(busy.pid), "-p", NO_PID, "-o", folder / "x.svg")
    assert_failed(result, "there is no process", NO_PID, folder=folder)
    busy.assert_computes()


@pytest.mark.parametrize("command, words", [
    (["/nonexistent/python"], ["cannot run /nonexistent/python: No such file"]),
    (["/etc/passwd"], ["cannot run /etc/passwd: Permission denied"]),
    (["/tmp"], ["cannot run /tmp: Permission denied"]), (["no-\x1bsuch"], [r"cannot run no-\x1bsuch"]),
    (["true"], ["no Python ran in the command itself", "-s follows"]),
    (["sh", "-c", PY + " -c 'x = 1'; true"], ["no Python ran in the command itself"])], ids=str)
def test_commands_that_are_refused(folder, assert_failed, command, words):
    result = uncoil("record", "-o", folder / "x.svg", "--", *command)
    assert_failed(result, *words, folder=folder)


def test_target_that_ends_while_attaching(start, folder):
    random.seed(1)
    python = list(PYTHONS.values())
    for attempt in range(60):
        seconds = random.uniform(0, .15)
        brief = start(python[attempt % len(python)], "-c", "import time\ntime.sleep(%f)" % seconds,
                      stdout=subprocess.DEVNULL)
        time.sleep(random.uniform(0, .15))
        result = uncoil("record", "-r", "500", "-p", str(brief.pid), "-o", folder / "x.folded")
        text = [line for line in result.err.split("\n") if line.startswith("uncoil")]
        if result.code:
            assert result.code == 1 and len(text) == 1, result
            assert re.search(r"no process|zombie|ended|is not a Python|no longer|cannot (read|open)",
                             text[0]), text
            assert not os.listdir(folder)
        else:
            assert not text and os.listdir(folder) == ["x.folded"], result
            os.unlink(folder / "x.folded")
        assert brief.wait(20) == 0


def test_kill_minus_nine(busy, recorder, folder, nothing_left):
    recording = recorder("-r", "500", "-p", str(busy.pid), "-o", folder / "x.svg", "-o",
                         folder / "x.uncoil")
    time.sleep(.2)
    recording.kill()
    recording.wait(20)
    assert os.listdir(folder) == []
    nothing_left()
    busy.assert_computes()


def test_kill_minus_nine_before_the_command_runs_on(folder, recorder, nothing_left):
    """The command goes on computing; it is not uncoil's to end."""
    recording = recorder("-r", "500", "-o", folder / "x.svg", "--", PY, TARGETS / "busy.py", "1",
                         stdout=subprocess.PIPE)
    recording.said(b"ready")
    recording.kill()
    recording.wait(20)
    nothing_left()
    assert os.listdir(folder) == []


# --- surroundings

def in_namespace(script):
    """uncoil with a mount namespace of its own, prepared by the script."""
    return ["unshare", "-m", "--propagation", "private", "sh", "-ec", script + '\nexec "$@"', "-"]


def test_not_root(busy, folder, assert_failed):
    (folder / "uncoil").write_bytes(open(UNCOIL, "rb").read())
    (folder / "uncoil").chmod(0o755)
    out = folder / "out"
    out.mkdir()
    os.chown(out, 65534, 65534)
    result = uncoil("record", *SHORT, "-p", str(busy.pid), "-o", out / "x.svg",
                    program=folder / "uncoil", preexec_fn=as_nobody)
    assert_failed(result, "CAP_BPF", "CAP_PERFMON", "sudo", folder=out)
    busy.assert_computes()


def test_no_btf(busy, folder, assert_failed):
    result = uncoil("record", *SHORT, "-p", str(busy.pid), "-o", folder / "x.svg",
                    wrapper=in_namespace("mount -t tmpfs none /sys/kernel/btf"))
    assert_failed(result, "/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF", folder=folder)
    busy.assert_computes()


def test_tracefs_is_not_needed(busy, folder):
    script = "mount -t tmpfs none /sys/kernel/debug; mount -t tmpfs none /sys/kernel/tracing"
    result = uncoil("record", *SHORT, "-p", str(busy.pid), "-o", folder / "x.folded",
                    wrapper=in_namespace(script))
    assert result.code == 0, result.err
    assert stacks(folder / "x.folded").count("spin")


def test_no_proc(busy, folder, assert_failed):
    result = uncoil("record", *SHORT, "-p", str(busy.pid), "-o", folder / "x.svg",
                    wrapper=in_namespace("mount -t tmpfs none /proc"))
    assert_failed(result, folder=folder)
    busy.assert_computes()


@pytest.mark.parametrize("limit, words", [
    ("-n 8", "Too many open files"), ("-v 6000", "kernel refuses the BPF programs"), ("-v 20000", None), ("-l 0 -n 64", None)])
def test_low_limits(busy, folder, nothing_left, limit, words):
    result = uncoil("record", *SHORT, "-p", str(busy.pid), "-o", folder / "x.folded",
                    wrapper=["bash", "-c", f'ulimit {limit}; exec "$@"', "-"])
    assert result.code == (1 if words else 0) and (words or "") in result.err, result
    assert len([line for line in result.err.split("\n") if line.startswith("uncoil")]) == result.code
    assert os.listdir(folder) == (["x.folded"] if not result.code else [])
    nothing_left()
    busy.assert_computes()


# --- outputs

def folder_missing(folder):
    return folder / "no/x.svg", ["No such file or directory"], []


def is_directory(folder):
    (folder / "x.svg").mkdir()
    return folder / "x.svg", ["Is a directory"], ["x.svg"]


def link_to_directory(folder):
    (folder / "d").mkdir()
    (folder / "x.svg").symlink_to("d")
    return folder / "x.svg", ["directory"], ["d", "x.svg"]


def folder_is_file(folder):
    (folder / "file").write_text("")
    return folder / "file/x.svg", ["Not a directory"], ["file"]


def fifo_without_reader(folder):
    os.mkfifo(folder / "x.svg")
    return folder / "x.svg", ["No such device or address"], ["x.svg"]


OUTPUTS = {
    "missing folder": folder_missing, "directory": is_directory,
    "link to a directory": link_to_directory, "folder is a file": folder_is_file,
    "fifo": fifo_without_reader, "proc": lambda _: ("/proc/x.svg", [], []),
    "name too long": lambda folder: (folder / ("x" * 300 + ".svg"), ["File name too long"], []),
    "hostile": lambda folder: (folder / "no\x1b[31m\n/x.svg", [r"no\x1b[31m\x0a"], []),
}


@pytest.mark.parametrize("case", OUTPUTS)
@pytest.mark.parametrize("also", [[], ["first.svg"]], ids=["alone", "second"])
def test_outputs_that_cannot_be(busy, folder, assert_failed, case, also):
    path, words, but = OUTPUTS[case](folder)
    result = uncoil("record", *SHORT, "-p", str(busy.pid),
                    *sum((["-o", folder / name] for name in also), []), "-o", path)
    assert_failed(result, "cannot write", *words, folder=folder, but=but)
    assert "recording" not in result.err, "found out only at the end"
    busy.assert_computes()


def test_longest_name(busy, folder):
    """The temporary name must not be longer than the name itself may be."""
    name = "x" * 248 + ".folded"
    assert uncoil("record", *SHORT, "-p", str(busy.pid), "-o", folder / name).code == 0
    assert os.listdir(folder) == [name]


@pytest.mark.parametrize("suffix", ["svg", "folded", "txt", "uncoil"])
@pytest.mark.parametrize("place", ["tmpfs", "full", "read-only"])
def test_no_room(target, folder, assert_failed, suffix, place):
    many = target("many.py")
    (folder / "old").write_text("old")
    script = {"tmpfs": f"mount -t tmpfs -o size=4k none '{folder}'",
              "full": "", "read-only": f"mount --bind '{folder}' '{folder}'\n"
              f"mount -o remount,ro,bind '{folder}'"}[place]
    path = f"{folder}/x.{suffix}"
    fmt = {"svg": "flame", "txt": "summary", "uncoil": "raw"}.get(suffix, suffix)
    if place == "full":
        path = "/dev/full"
    # lists what is left in the namespace's own folder
    wrapper = ["unshare", "-m", "--propagation", "private", "sh", "-ec",
               script + f'\nset +e; "$@"; code=$?; ls -A "{folder}"; exit $code', "-"]
    result = uncoil("record", "-d", "0.4", "-r", "2000", "-p", str(many.pid), "-f", fmt, "-o", path,
                    wrapper=wrapper)
    if result.code == 0 and suffix == "txt" and place == "tmpfs":
        assert result.out == b"x.txt\n"  # a summary is small enough
        return
    why = "Read-only file system" if place == "read-only" else "No space left on device"
    assert_failed(result, "cannot write", path, why)
    assert result.out == (b"" if place == "tmpfs" else b"old\n")
    many.assert_computes()


def test_full_disk_leaves_the_old_file(target, folder, assert_failed):
    many = target("many.py")
    wrapper = ["unshare", "-m", "--propagation", "private", "sh", "-ec",
               f"mount -t tmpfs -o size=16k none '{folder}'; echo old >'{folder}/x.svg'\n"
               f'set +e; "$@"; code=$?; ls -A "{folder}"; cat "{folder}/x.svg"; exit $code', "-"]
    result = uncoil("record", *SHORT, "-p", str(many.pid), "-o", folder / "x.svg", wrapper=wrapper)
    assert_failed(result, "No space left on device")
    assert result.out == b"x.svg\nold\n"


def test_closed_stdout(busy, assert_failed):
    read, write = os.pipe()
    os.close(read)
    try:
        result = uncoil("record", *SHORT, "-p", str(busy.pid), "-f", "folded", "-o", "-",
                        stdout=write)
    finally:
        os.close(write)
    assert_failed(result, "cannot write", "Broken pipe")


def test_ring_overrun_is_told_everywhere(target, recorder, folder):
    many = target("many.py")
    recording = recorder("-r", "4000", "-d", "1", "--ring-size", "65536", "-p", str(many.pid), "-o",
                         folder / "x.folded", "-o", folder / "x.txt", "-o", folder / "x.svg", "-o",
                         folder / "x.uncoil")
    recording.send_signal(signal.SIGSTOP)
    time.sleep(.4)
    recording.send_signal(signal.SIGCONT)
    result = finish(recording)
    assert result.code == 3, result
    lost = int(re.search(r"(\d+) samples lost: the ring buffer was full", result.err)[1])
    assert lost > 100
    assert re.search(rf"\nLost\n +{lost} samples lost: the ring buffer was full",
                     (folder / "x.txt").read_text())
    assert f"{lost:,} samples lost: the ring buffer was full" in (folder / "x.svg").read_text()
    assert stacks(folder / "x.folded").count("leaf") > 0
    replayed = uncoil("replay", folder / "x.uncoil", "-o", folder / "y.txt")
    assert replayed.code == 3 and str(lost) in replayed.err
    assert (folder / "x.txt").read_bytes() == (folder / "y.txt").read_bytes()
    many.assert_computes()


def test_stopped_target_is_no_hang(target, folder):
    """A target that does not run gives no samples, and a file that says so."""
    stopped = target("busy.py")
    stopped.send_signal(signal.SIGSTOP)
    wait_for(lambda: state(stopped.pid) == "T", "the stop")
    result = uncoil("record", *SHORT, "-p", str(stopped.pid), "-o", folder / "x.txt")
    assert result.code == 0 and "no samples" in result.err
    assert "No samples" in (folder / "x.txt").read_text()
