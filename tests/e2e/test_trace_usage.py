# SPDX-License-Identifier: Apache-2.0
"""uncoil trace: command lines that make no sense, each refused with one sentence and no trace of it."""

import os
import pty

import pytest

from conftest import uncoil

ME = str(os.getpid())  # a process that is there: what is refused is not for lack of one


@pytest.mark.parametrize("args, words", [
    ([], "nothing to trace: give -p PID, or -- COMMAND"),
    (["-p", ME, "--", "python3"], "give -p PID or a command, not both"),
    (["-p", ME, "-f", "svg"], "there is no format 'svg' (perfetto, chrome, jsonl, stats, json, pstats, raw)"),
    (["-p", ME, "-o", "x.svg"], "the name 'x.svg' tells no format"),
    (["-p", ME, "--stats", "-o", "x.pftrace"], "'x.pftrace' would be a timeline (perfetto)"),
    (["-p", ME, "--callers"], "--callers is for sums"),
    (["-p", ME, "--stats", "--min-duration", "1ms"], "--min-duration leaves short calls out"),
    (["-p", ME, "--min-duration", "1"], "takes a time with its unit"),
    (["-p", ME, "--compensate"], "--compensate is for sums"),
    (["-p", ME, "--match", "!"], "--match: '!'"),
    (["-p", ME, "--match", "a:b:c"], "--match: the pattern 'a:b:c' has two colons"),
    (["-p", ME, "--match", "\x1b[2J"], r"'\x1b[2J' a '[' is not closed"),
    (["-p", ME, "--match", os.fsdecode(b"\xff")], "is not UTF-8"),
    (["-p", ME, "--depth", "0"], "--depth takes 1 to 1000000, not '0'"),
    (["-p", ME, "--thread", ""], "--thread takes a thread's name"),
    (["-p", ME, "--max-overhead", "2000"], "0.001 to 1000, or 0 for no bound, not '2000'"),
    (["-p", ME, "--ring-size", "100000"], "must be a power of two"),
    (["-p", ME, "-d", "1m"], "the duration must be a number of seconds, not '1m'"),
    (["-p", ME, "-q", "-v"], "give -q or -v, not both"),
    (["-p", ME, "-p", ME], f"process {ME} is given twice"), (["-p", "0"], "'0' is no process id"),
    (sum((["-p", str(n + 1)] for n in range(257)), []), "257 is one process too many"),
    (["--nonsense"], "--nonsense"), (["-o"], "requires an argument")], ids=lambda value: str(value)[:60])
def test_wrong_usage_is_one_sentence(folder, args, words):
    result = uncoil("trace", *args, cwd=folder)
    assert result.code == 2 and not result.out and not os.listdir(folder)
    assert result.err.count("\n") == 1 and result.err.startswith("uncoil trace: "), result.err
    assert words in result.err and "\x1b" not in result.err


@pytest.mark.parametrize("format", ["perfetto", "pstats", "raw"])
def test_binary_output_is_kept_from_a_terminal(folder, format):
    terminal, side = pty.openpty()
    try:
        result = uncoil("trace", "-p", ME, "-f", format, "-o", "-", cwd=folder, stdout=side)
    finally:
        os.close(terminal)
        os.close(side)
    assert result.code == 2 and not os.listdir(folder)
    assert result.err == (f"uncoil trace: {format} is nothing for a terminal; give -o FILE; see "
                          "uncoil trace --help\n")


def test_help(folder):
    texts = [uncoil(*args, cwd=folder) for args in (["trace", "--help"], ["help", "trace"], ["trace", "-h"])]
    assert {r.code for r in texts} == {0} and {r.err for r in texts} == {""}
    assert len({r.out for r in texts}) == 1
    for word in b"--match=GLOB", b"--min-duration=TIME", b"-- COMMAND", b"\n  uncoil trace -p 1234 -d 5 -o run.pftrace\n":
        assert word in texts[0].out
    assert b"\n  trace " in uncoil("help").out
