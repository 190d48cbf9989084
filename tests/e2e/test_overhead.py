# SPDX-License-Identifier: Apache-2.0
"""--max-overhead, and what a recording says that it cost."""

import html
import json
import pathlib
import re
import subprocess
import time

import pytest

from conftest import UNCOIL, cpu_ns, stacks, uncoil, wait_for

WARNING = (r"^warning: (\d+) Hz would cost about ([\d.]+) % of the processes' CPU time \(([\d.]+) us a tick\), "
           r"more than --max-overhead ([\d.]+); up to -r (\d+) would fit; --max-overhead 0 sets no bound$")
LOWER = (r"^(\d+) Hz would cost about [\d.]+ % of the processes' CPU time \([\d.]+ us a tick\), more than "
         r"--max-overhead ([\d.]+); (\d+) Hz is taken instead; -r sets it$")
TOLD = re.compile(
    r"overhead: (?:less than|about) (?P<share>[\d.]+) % of the processes' (?P<cpu>[\d.]+ (?:ms|s)) of CPU time "
    r"\(estimated: (?:(?P<ticks>[\d,]+) ticks? of (?P<tick_us>[\d.]+) us, )?"
    r"(?:(?P<switches>[\d,]+) switch(?:es)? of (?P<switch_us>[\d.]+) us, )?"
    r"(?P<own>[\d.]+ (?:us|ms|s)) of uncoil's own(?:; [\d.]+ ms to start)?\)"
    r"(?:; worst 5 s: (?:less than )?[\d.]+ %)?(?:; more than --max-overhead (?P<bound>[\d.]+))?")
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1}  # of time


def used(pid, least):
    """Waits until a process has used so much more CPU time, in s."""
    before = cpu_ns(pid)
    wait_for(lambda: cpu_ns(pid) - before >= least * 1e9, "the target to compute")


@pytest.fixture
def record(start, busy, folder):
    """record(options...): until the target has used so much CPU time; (what was said, that time in s)."""
    def run(*options, cpu=.4):
        said = folder / "said"
        with open(said, "wb") as file:
            process = start(UNCOIL, "record", *options, "-p", str(busy.pid), stderr=file)
        wait_for(lambda: said.read_text().startswith("recording "), "the recording to begin")
        before = cpu_ns(busy.pid)
        used(busy.pid, cpu)
        process.terminate()
        assert process.wait(20) in (0, 3), said.read_text()
        return said.read_text(), (cpu_ns(busy.pid) - before) / 1e9
    return run


def told(text):
    match = TOLD.search(text)
    assert match, text
    return match


def seconds(text):
    number, unit = text.split()
    return float(number) * UNITS[unit]


def test_given_rate_is_honoured_and_warned_about(record, folder):
    err, cpu = record("-r", "10000", "-o", folder / "x.folded")
    match = re.search(WARNING, err, re.M)
    assert match and match[1] == "10000" and match[4] == "1", err
    # what would fit, by the same price
    assert float(match[2]) > 1 and 1 <= int(match[5]) < 10000
    # ticks that came late, on a machine that was taken away, are told
    missed = re.search(r"(\d+) samples' worth of CPU time not sampled", err)
    assert stacks(folder / "x.folded").total + int(missed[1] if missed else 0) >= .9 * cpu * 10000
    assert told(err)["bound"] == "1"


def test_what_is_told_adds_up(record, folder):
    """The ticks are those that were counted, the CPU time is the process's, the share is made of them."""
    err, cpu = record("-r", "10000", "--max-overhead", "0", "-o", folder / "x.folded",
                      "-o", folder / "x.txt", "-o", folder / "x.svg", "-o", folder / "x.uncoil",
                      "-o", folder / "x.pftrace", "-o", folder / "x.speedscope.json")
    assert "warning" not in err and "more than" not in err
    match = told(err)
    ticks, tick_us, told_cpu = int(match["ticks"].replace(",", "")), float(match["tick_us"]), seconds(match["cpu"])
    assert ticks == pytest.approx(stacks(folder / "x.folded").total, rel=.02)
    assert told_cpu == pytest.approx(cpu, rel=.15, abs=.05)
    assert .5 < tick_us < 100
    assert float(match["share"]) == pytest.approx(
        100 * (ticks * tick_us / 1e6 + seconds(match["own"])) / told_cpu, rel=.2)
    # every output has the same sentence, and a replay too
    words = match[0][len("overhead: "):]
    assert words in re.sub(r"\n {10}|\s+", " ", (folder / "x.txt").read_text())
    assert "overhead " + words in html.unescape((folder / "x.svg").read_text())
    assert words.encode() in (folder / "x.pftrace").read_bytes()
    profile = json.loads((folder / "x.speedscope.json").read_text())
    assert "overhead: " + words in json.dumps(profile)
    again = uncoil("replay", folder / "x.uncoil", "-o", folder / "again.txt")
    assert "overhead: " + words in again.err
    assert (folder / "again.txt").read_bytes() == (folder / "x.txt").read_bytes()


def test_default_rate_is_lowered(record, folder):
    err, _ = record("--max-overhead", "0.02%", "-o", folder / "x.txt")
    match = re.search(LOWER, err, re.M)
    assert match and match[1] == "99" and match[2] == "0.02", err
    assert 1 <= int(match[3]) < 99
    assert f"on-CPU, {match[3]} Hz per thread" in (folder / "x.txt").read_text()


@pytest.mark.parametrize("options", [[], ["-r", "99"], ["-r", "20000", "--max-overhead", "0"],
                                     ["--max-overhead", "0"], ["-r", "20000", "-q"],
                                     ["--mode", "offcpu"]], ids=" ".join)
def test_nothing_to_warn_about(busy, options):
    result = uncoil("record", "-d", ".05", *options, "-p", str(busy.pid), "-f", "folded", "-o", "-")
    assert result.code == 0 and "Hz would cost" not in result.err, result.err
    assert "-q" not in options or not result.err


def test_switches_are_in_it(target, folder):
    flicker = target("flicker.py")
    result = uncoil("record", "-d", "1", "--mode", "wall", "-p", str(flicker.pid), "-o", folder / "x.txt")
    assert result.code == 0
    text = re.sub(r"\s+", " ", (folder / "x.txt").read_text())
    match = re.search(r"([\d,]+) switch(?:es)? of ([\d.]+) us", text)
    assert match and int(match[1].replace(",", "")) > 10 and .1 < float(match[2]) < 500, text


def test_uncoil_looks_less_often_at_one_who_sleeps(start, folder):
    """Its own CPU time is held back: without a bound it looks 50 times a second."""
    def looks():
        return int(re.search(r"^voluntary_ctxt_switches:\t(\d+)", pathlib.Path(
            f"/proc/{process.pid}/status").read_text(), re.M)[1])

    def in_a_second():
        begin, before = time.monotonic(), looks()
        time.sleep(1)
        return (looks() - before) / (time.monotonic() - begin)

    sleeper = start("/usr/bin/python3.11", "-c", "import time; print('ready', flush=True); time.sleep(600)")
    sleeper.said(b"ready")
    with open(folder / "stderr", "w") as err:
        process = start(UNCOIL, "record", "-p", str(sleeper.pid), "-o", folder / "x.txt", stderr=err)
    wait_for(lambda: in_a_second() < 12, "uncoil to look less often")
    process.terminate()
    assert process.wait(20) == 0
    assert "not worth a share" in (folder / "x.txt").read_text()
    # what says nothing has no line on a terminal
    said = (folder / "stderr").read_text()
    assert "samples in" in said and "overhead" not in said, said


@pytest.mark.parametrize("command", ["record", "top"])
@pytest.mark.parametrize("value", ["", "x", "-1", "1.5.2", "nan", "inf", "101", "0.00001", " 1", "1 %", "0x"])
def test_wrong_values(command, value):
    result = uncoil(command, "--max-overhead", value, "-p", "1")
    assert result.code == 2 and not result.out
    assert len(result.err.strip().split("\n")) == 1
    assert f"0.001 to 100, or 0 for no bound, not '{value}'" in result.err


def test_doctor_tells_the_price():
    result = uncoil("doctor")
    text = result.out.decode()
    tick = re.search(r"a tick +([\d.]+) us \(\d+ of them, nine in ten from [\d.]+ to [\d.]+\)", text)
    assert tick and .3 < float(tick[1]) < 200, text
    shares = [float(re.search(rf"-r {rate} +about ([\d.]+) % of", text)[1]) for rate in (99, 1000, 10000)]
    assert shares == sorted(shares) and shares[0] > 0
    assert re.search(r"within --max-overhead 1 +up to -r \d+$", text, re.M)
