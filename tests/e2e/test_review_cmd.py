# SPDX-License-Identifier: Apache-2.0
"""The commands at their edges: commands that do not obey, events that never come, limits, names."""

import os
import re
import signal
import stat
import subprocess
import time

import pytest

from conftest import (TARGETS, UNCOIL, Stacks, finish, stacks, state, uncoil, wait_for)

PY = "/usr/bin/python3.11"
SHORT = ["-d", "0.3", "-r", "500"]
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass"


def deaf_result(recording, err):
    """Its result, and the command that it left: killed. Not finish(): the command holds the pipes."""
    assert recording.wait(20) == 0, err.read_text()
    pid = int(re.search(r"the command still runs \(pid (\d+)\)", err.read_text())[1])
    alive = state(pid)
    os.kill(pid, signal.SIGKILL)
    return alive


def test_a_command_that_ignores_sigterm_holds_up_nothing(folder, start, tmp_path):
    with (tmp_path / "err").open("w") as err:
        recording = start(UNCOIL, "record", "-d", "0.5", "-o", folder / "x.folded", "--", PY, "-c",
                          DEAF, stdout=subprocess.DEVNULL, stderr=err)
    wait_for(lambda: os.listdir(folder) == ["x.folded"], "the file")
    assert recording.poll() is None  # written before it waits for the command
    assert stacks(folder / "x.folded").total > 10
    assert deaf_result(recording, tmp_path / "err") in "RS"


def test_status_is_told_of_a_command_that_ended_by_itself_only(folder):
    result = uncoil("record", "-d", "0.3", "-o", folder / "x.svg", "--", PY, TARGETS / "busy.py")
    assert result.code == 0 and "the command" not in result.err
    result = uncoil("record", "-o", folder / "y.svg", "--", "/nonexistent/python")
    assert result.code == 1 and "the command" not in result.err
    result = uncoil("record", "-o", folder / "y.svg", "--", PY, "-c", "raise SystemExit(3)")
    assert "the command exited with status 3" in result.err


def test_the_command_has_the_limits_from_outside(folder):
    import resource
    script = ("import resource as r\nprint(r.getrlimit(r.RLIMIT_NOFILE), "
              "r.getrlimit(r.RLIMIT_MEMLOCK), flush=True)\nfor i in range(10**6): pass")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 20, 1 << 21))

    outside = subprocess.run([PY, "-c", script], capture_output=True, preexec_fn=lower, timeout=20)
    result = uncoil("record", "-r", "500", "-o", folder / "x.svg", "--", PY, "-c", script,
                    preexec_fn=lower)
    assert result.code == 0, result.err
    assert outside.stdout.startswith(b"(200, ") and result.out == outside.stdout


def test_signals_that_are_ignored_stay_ignored(busy, folder, start):
    recording = start(UNCOIL, "record", "-r", "500", "-d", "1", "-p", str(busy.pid), "-o",
                      folder / "x.folded", stderr=subprocess.PIPE,
                      preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert recording.stderr.readline().startswith(b"recording ")
    recording.send_signal(signal.SIGHUP)
    result = finish(recording)
    assert result.code == 0 and "samples in 1." in result.err, result


def test_the_command_inherits_no_ignored_signal(folder):
    result = uncoil("record", "-r", "500", "-o", folder / "x.txt", "--", "/bin/sh", "-c",
                    "grep SigIgn /proc/self/status; exec " + PY + " -c 'sum(range(10**6))'")
    assert int(re.search(rb"SigIgn:\t(\w+)", result.out)[1], 16) >> (signal.SIGPIPE - 1) & 1 == 0


# --- several outputs

def test_one_output_that_fails_leaves_none(busy, folder, assert_failed):
    (folder / "a.folded").write_text("old")
    os.mknod(folder / "full.svg", 0o666 | stat.S_IFCHR, os.makedev(1, 7))
    result = uncoil("record", *SHORT, "-p", str(busy.pid), "-o", folder / "a.folded", "-o",
                    folder / "b.uncoil", "-o", folder / "full.svg")
    assert_failed(result, "cannot write", "full.svg", "No space left", folder=folder,
                  but=["a.folded", "full.svg"])
    assert (folder / "a.folded").read_text() == "old"


def test_journal_into_somebody_elses_fifo_is_refused(busy, folder, assert_failed):
    os.mkfifo(folder / "x.uncoil")
    os.chown(folder / "x.uncoil", 65534, 65534)
    reader = os.open(folder / "x.uncoil", os.O_RDONLY | os.O_NONBLOCK)
    try:
        result = uncoil("record", *SHORT, "-p", str(busy.pid), "-o", folder / "x.uncoil")
        assert_failed(result, "x.uncoil", "belongs to another user", folder=folder,
                      but=["x.uncoil"])
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)


def test_journal_into_a_fifo_of_ones_own(busy, folder, start):
    os.mkfifo(folder / "x.uncoil", 0o600)
    both = os.open(folder / "x.uncoil", os.O_RDWR)  # uncoil may come before cat
    reader = start("cat", folder / "x.uncoil")
    result = uncoil("record", *SHORT, "-p", str(busy.pid), "-o", folder / "x.uncoil")
    os.close(both)
    assert result.code == 0, result.err
    (folder / "y.uncoil").write_bytes(reader.communicate(timeout=20)[0])
    result = uncoil("replay", folder / "y.uncoil", "-f", "folded", "-o", "-")
    assert Stacks(result.out).count("spin") > 0


def test_a_journal_that_cannot_be_written_is_named_without_control_characters(busy, folder,
                                                                              assert_failed):
    os.mknod(folder / "x\x1b[31m.uncoil", 0o666 | stat.S_IFCHR, os.makedev(1, 7))
    result = uncoil("record", *SHORT, "-p", str(busy.pid), "-o", folder / "x\x1b[31m.uncoil")
    assert_failed(result, r"x\x1b[31m.uncoil", "No space left on device")


# --- words

@pytest.mark.parametrize("args, words", [
    (["record", "-p", "1", "-p", "2", "-p", "1"], "process 1 is given twice"),
    (["record", "--ring-size", "32768", "-p", "1"], "from 65536"),
    (["replay"], "no journal given: uncoil replay JOURNAL"),
    (["record", "--nonsense"], "--nonsense"), (["record", "-o"], "requires an argument"),
    (["replay", "-Z"], "Z"), (["doctor", "--nonsense"], "--nonsense"), (["doctor", "5"], "'5'")],
    ids=str)
def test_wrong_usage_is_one_line(folder, args, words):
    result = uncoil(*args, cwd=folder)
    assert result.code == 2 and not result.out and not os.listdir(folder)
    lines = result.err.split("\n")
    assert len(lines) == 2 and lines[0].startswith("uncoil " + args[0]) and words in lines[0], lines


@pytest.mark.parametrize("command, most", [("record", 1023), ("top", 1023), ("dump", 1023), ("doctor", 64)])
@pytest.mark.parametrize("pids, words", [
    (lambda most: ["0"], "'0' is no process id"), (lambda most: ["+1"], "'+1' is no process id"),
    (lambda most: ["2147483648"], "'2147483648' is no process id"),
    (lambda most: ["7", "1", "7"], "process 7 is given twice"),
    (lambda most: [str(n + 1) for n in range(most + 1)], "{} is one process too many")],
    ids=["0", "+1", "2147483648", "twice", "many"])
def test_wrong_process_ids(command, most, pids, words):
    result = uncoil(command, *sum((["-p", pid] for pid in pids(most)), []))
    assert result.code == 2 and not result.out
    assert result.err == (f"uncoil {command}: {words.format(most + 1)}; see uncoil {command} --help\n")


def test_main_thread_that_ended(start, folder, assert_failed):
    process = start(PY, "-c", "import ctypes, threading as t, time\n"
                    "t.Thread(target=time.sleep, args=(60,)).start()\n"
                    "ctypes.CDLL(None).syscall(60, 0)")
    wait_for(lambda: state(process.pid) == "Z", "the main thread's end")
    result = uncoil("record", *SHORT, "-p", str(process.pid), "-o", folder / "x.svg")
    assert_failed(result, f"process {process.pid}'s main thread has ended while others run",
                  folder=folder)


def test_inner_pid_namespace_is_refused(folder, assert_failed):
    result = uncoil("record", *SHORT, "-o", folder / "x.svg", "--", PY, "-c", "pass",
                    wrapper=["unshare", "--pid", "--fork", "--mount-proc"])
    assert_failed(result, "initial pid namespace", "--pid=host", folder=folder)


def test_doctor_says_what_to_do(start):
    result = uncoil("doctor", wrapper=["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"])
    text = result.out.decode()
    assert result.code == 1 and "This machine lacks something" in text
    assert re.search(r"\n  no      CAP_BPF .*\n.*what to do: run uncoil with sudo", text)
    process = start("sleep", "60")
    wait_for(lambda: os.readlink(f"/proc/{process.pid}/exe").endswith("sleep"), "the exec")
    result = uncoil("doctor", "-p", str(process.pid))
    assert result.code == 1
    assert f"\nProcess {process.pid} cannot be recorded: " in result.out.decode()
    assert "machine lacks" not in result.out.decode()


# --- events that never come

def test_without_pidfd_open_the_end_is_noticed(folder, start):
    """Descriptors have run out when the roots are watched: /proc is asked."""
    library = folder / "no_pidfd.c"
    library.write_text("""#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		return 99;
	execv(argv[1], argv + 1);
	return 98;
}
""")
    subprocess.run(["gcc", "-o", folder / "no_pidfd", library], check=True, timeout=60)
    brief = start(PY, TARGETS / "busy.py", "0.5")
    brief.said(b"ready")
    result = uncoil("record", "-r", "500", "-p", str(brief.pid), "-o", folder / "x.folded",
                    wrapper=[folder / "no_pidfd"])
    assert result.code == 0 and result.seconds < 3, result
    assert stacks(folder / "x.folded").count("spin") > 20
    result = uncoil("record", "-r", "500", "-o", folder / "y.folded", "--", PY,
                    TARGETS / "busy.py", "0.5", wrapper=[folder / "no_pidfd"])
    assert result.code == 0 and result.seconds < 3, result


def test_lost_exit_events_do_not_make_s_endless(folder, start):
    """A ring that is full while the children end: uncoil stands still meanwhile."""
    script = ("import os, time\nfor i in range(3000):\n  if not os.fork(): os._exit(0)\n"
              "  os.wait()\n")
    recording = start(UNCOIL, "record", "-s", "-r", "200", "--ring-size", "65536", "-o",
                      folder / "x.txt", "--", PY, "-c", "import time; time.sleep(.5)\n" + script,
                      stderr=subprocess.PIPE)
    recording.stderr.readline()
    time.sleep(.25)  # the interpreter is found by then, and no child is born yet
    recording.send_signal(signal.SIGSTOP)
    with open(f"/proc/{recording.pid}/task/{recording.pid}/children", encoding="ascii") as children:
        child, = map(int, children.read().split())
    wait_for(lambda: state(child) in ("Z", None), "the children, and then their parent, to end", 60)
    recording.send_signal(signal.SIGCONT)
    result = finish(recording)
    assert result.code == 3, result
    assert re.search(r"\d+ forks, execs or exits lost: the ring buffer was full", result.err), result
