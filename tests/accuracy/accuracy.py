#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does uncoil tell the truth? Records programs whose every possible stack is known, and programs
whose every share of CPU time is known, with every Python at hand; prints a table; status 1 if a bound
is broken. Root. `make accuracy`, `make accuracy QUICK=1` (under a minute), ONLY=VERSION,PROGRAM,… for
some of them."""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
sys.path.insert(0, str(TOP / "tests/e2e"))

from conftest import GOT, PYTHONS, SYSTEM  # noqa: E402
import known_shares  # noqa: E402
import oracle  # noqa: E402
import shares  # noqa: E402

UNCOIL = os.environ.get("UNCOIL", str(TOP / "uncoil"))
RATE = 20000
IMPOSSIBLE = 1e-4  # bound on the share of impossible stacks
# and on that of stacks that uncoil itself calls incomplete: in the midst of a call or a yield 3.11 and
# 3.12 have no whole stack (bpf/walk.bpf.h), and these programs do hardly anything else
MARKED = {(3, 11): .03, (3, 12): .03}
MARKED_ELSE = 1e-3
FULL, QUICK = 200000, 6000  # samples a program, at least
CHANCE = 1  # so many of these are chance in a quick run, whose bound is less than one sample
TRIES_QUICK = 3  # in a third of a second another's work on the machine can be all there is
DEEP = "[deeper frames cut]"
HAVE = PYTHONS | {name: python for name, python in GOT.items() if python.exists()}
PROGRAMS = sorted(path.stem for path in (HERE / "programs").glob("*.py"))
QUICK_PROGRAMS = ["through_c", "generators", "reuse", "tasks"]
DEBIAN_ONLY = {"greenlets": "greenlet", "gevents": "gevent"}


def start(python, program):
    target = subprocess.Popen([python, HERE / "programs" / f"{program}.py"], cwd=HERE / "programs",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if target.stdout.readline() != b"ready\n":
        target.kill()
        target.wait()
        raise SystemExit(f"{program} with {python} is not ready")
    return target


def record(uncoil, pid, seconds, folder):
    """One recording: folded stacks, and what uncoil said."""
    done = subprocess.run([uncoil, "record", "-r", str(RATE), "-d", str(seconds), "-p", str(pid), "-o",
                           folder / "x.folded"], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=seconds + 60)
    if done.returncode not in (0, 3):
        raise SystemExit(f"uncoil failed with {done.returncode}: {done.stderr}")
    return (folder / "x.folded").read_text(), done.stderr


def lost(said):
    return sum(int(match[1]) for match in re.finditer(r"(\d+) samples lost", said))


def possible(uncoil, python, program, wanted, folder):
    """Records until `wanted` samples are there; the verdict."""
    grammar = oracle.Grammar(HERE / "programs" / f"{program}.py", python.version)
    verdict, verdict.lost = oracle.Verdict(), 0
    target = start(python, program)
    try:
        for _ in range(40):
            left = wanted - verdict.samples
            if left <= 0:
                break
            text, said = record(uncoil, target.pid, min(12, max(.3, left / RATE * 1.15)), folder)
            verdict.judge(grammar, text)
            verdict.lost += lost(said)
    finally:
        target.kill()
        target.wait()
        target.stdout.close()
    return verdict


def judge(program, version, verdict, wanted):
    """What is wrong with it; nothing if all is well."""
    legal = {"deep": {"[deeper frames cut]"}, **dict.fromkeys(["gevents", "greenlets", "threads"],
             {"[no Python function running]", "[not a Python thread]"})}.get(program, set())
    marked = sum(n for mark, n in verdict.marked.items() if mark not in legal)
    if verdict.samples < wanted:
        yield f"only {verdict.samples} samples"
    chance = CHANCE if wanted < FULL else 0
    if verdict.impossible > IMPOSSIBLE * verdict.samples + chance:
        yield "impossible stacks"
    if marked > MARKED.get(version, MARKED_ELSE) * verdict.samples + chance:
        yield "incomplete stacks"
    if program == "deep" and verdict.marked[DEEP] < .3 * verdict.samples:
        yield "deep stacks are not marked"


def have(python, program):
    module = DEBIAN_ONLY.get(program)
    return not module or (python == SYSTEM and not subprocess.run(
        [python, "-c", f"import {module}"], stderr=subprocess.DEVNULL).returncode)


def show_possible(name, program, verdict, bad, again):
    marks = ", ".join(f"{n} {mark}" for mark, n in verdict.marked.most_common()) or "-"
    share = 100 * verdict.impossible / max(1, verdict.samples)
    said = f"{'once more' if again else 'BROKEN'}: {', '.join(bad)}" if bad else "holds"
    print(f"{name:<18} {program:<11} {verdict.samples:>8} {verdict.impossible:>10} {share:>9.4f} % "
          f"{verdict.lost:>6}  {said:<8} {marks}", flush=True)
    for why, count in verdict.why.most_common(4):
        print(f"{'':<19}{count} x {why}", flush=True)


def control():
    """The oracle must be able to fail: stacks that are torn in known ways."""
    grammar = oracle.Grammar(HERE / "programs/calls.py", (3, 11))
    good = "<module> (calls.py:36);start (calls.py:33);alternate (calls.py:26);g (calls.py:15);" \
           "f (calls.py:6) 5\n"
    torn = [good.replace("g (calls.py:15);", ""),               # a frame is missing
            good.replace("f (calls.py:6)", "h (calls.py:10)"),  # g does not call h
            good.replace("alternate (calls.py:26)", "alternate (calls.py:27)"),  # calls i
            good.replace("f (calls.py:6)", "f (calls.py:7)"),   # no line of f
            "g (calls.py:15);f (calls.py:6) 5\n"]               # has no root
    verdict = oracle.Verdict()
    verdict.judge(grammar, good)
    assert verdict.samples == 5 and not verdict.impossible, verdict.why
    for each in torn:
        verdict = oracle.Verdict()
        verdict.judge(grammar, each)
        assert verdict.impossible == 5, each
    grammar = oracle.Grammar(HERE / "programs/reuse.py", (3, 11))
    good = "<module> (reuse.py:44);start (reuse.py:40);turn (reuse.py:27);outer_13 (<made-13>:15);" \
           "inner_13 (<made-13>:17);innermost_13 (<made-13>:18) 5\n"
    stale = [good.replace("inner_13", "inner_3"), good.replace("13", "14"),
             good.replace("innermost_13 (<made-13>:18)", "innermost_23 (<made-23>:28)"),
             good.replace(":17", ":16")]
    for each, impossible in [(good, 0), *((each, 5) for each in stale)]:
        verdict = oracle.Verdict()
        verdict.judge(grammar, each)
        assert verdict.impossible == impossible, (each, verdict.why)
    print(f"control: {len(torn) + len(stale)} torn stacks of {len(torn) + len(stale)} were found", flush=True)
    return len(torn) + len(stale)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--samples", type=int)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    only = set(filter(None, args.only.split(",")))
    versions = [v for v in HAVE if v in only] or list(HAVE)
    only_programs = only - set(HAVE)
    unknown = only_programs - {*PROGRAMS, *shares.PROGRAMS}
    if unknown:
        raise SystemExit(f"accuracy: there is no {', '.join(unknown)}: {', '.join(HAVE)}; "
                         f"{', '.join([*PROGRAMS, *shares.PROGRAMS])}")
    programs = [p for p in PROGRAMS if p in only_programs] if only_programs else \
        QUICK_PROGRAMS if args.quick else PROGRAMS
    wanted = args.samples or (QUICK if args.quick else FULL)
    if os.geteuid():
        raise SystemExit("accuracy: needs root: sudo make accuracy")
    passed, failed, skipped, begin = control(), 0, 0, time.monotonic()
    for name in GOT.keys() - HAVE.keys():
        print(f"SKIPPED: there is no {name}: scripts/get-pythons")
        skipped += 1
    results = []
    print(f"\nImpossible stacks, at {RATE} Hz; bound {100 * IMPOSSIBLE:.2f} %\n"
          f"{'Python':<18} {'program':<11} {'samples':>8} {'impossible':>10} {'share':>11} {'lost':>6}  "
          "verdict  what uncoil says it does not know", flush=True)
    with tempfile.TemporaryDirectory(prefix="uncoil-accuracy-") as name:
        folder = pathlib.Path(name)
        # a build in the meantime does not change what is judged
        uncoil = pathlib.Path(shutil.copy(UNCOIL, folder / "uncoil"))
        for version in versions:
            for program in programs:
                python = HAVE[version]
                if not have(python, program):
                    if python == SYSTEM:
                        print(f"SKIPPED: {program}: python3-{DEBIAN_ONLY[program]} is not installed")
                        skipped += 1
                    continue
                for left in range(TRIES_QUICK if args.quick else 1, 0, -1):
                    verdict = possible(uncoil, python, program, wanted, folder)
                    bad = list(judge(program, python.version, verdict, wanted))
                    show_possible(version, program, verdict, bad, left > 1)
                    if not bad:
                        break
                results.append({"python": version, "program": program, "samples": verdict.samples,
                                "impossible": verdict.impossible, "marked": verdict.marked,
                                "lost": verdict.lost, "bad": bad, "why": verdict.why})
                passed, failed = passed + (not bad), failed + bool(bad)
        kinds = [kind for kind in known_shares.KINDS
                 if (f"shares-{kind}" in only_programs if only_programs else
                     not args.quick or kind not in shares.NOT_JUDGED)]
        if kinds:
            few = versions[::len(versions) - 1] if args.quick and len(versions) > 1 else versions
            ok, bad = shares.run(uncoil, {name: HAVE[name] for name in few}, kinds, args.quick, folder, results)
            passed, failed = passed + ok, failed + bad
    out = TOP / ".output"
    out.mkdir(exist_ok=True)
    (out / f"accuracy{'-quick' if args.quick else ''}.json").write_text(json.dumps(results, indent=1))
    for each in results:
        if each["bad"]:
            print(f"{each['python']} {each['program']}: {each['bad']}: {each.get('why') or ''} {each.get('marked') or ''}")
    print(f"\n{time.monotonic() - begin:.0f} s\n{passed} passed, {failed} failed, {skipped} skipped")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
