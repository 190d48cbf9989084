# SPDX-License-Identifier: Apache-2.0
"""Measured shares of CPU time against the shares that a program knows of itself (known_shares.py).

Ticks are drawn at a fixed distance of CPU time from phases of random length, so a share is a binomial
draw at the worst: 4 standard deviations of that, and half a percent for what the program's own clock
readings leave out, are the bound. The mean of the signed errors over all runs tells of a bias that no
single run would show."""

import json
import math
import pathlib
import subprocess

import known_shares
import oracle

HERE = pathlib.Path(__file__).resolve().parent
RATE, SECONDS, SECONDS_QUICK = 5000, 8, .5
TRIES_QUICK = 3
SIGMAS, SYSTEMATIC = 4, .005
# The kernel's software clock stands still while a thread is switched away and back, and its ticks
# with it (`perf record -e cpu-clock` misses the same): a program that sleeps thousands of times a
# second gets too few. Measured and printed, not judged.
NOT_JUDGED = {"asleep"}
PROGRAMS = ["shares-" + kind for kind in known_shares.KINDS]


def measure(uncoil, python, kind, seconds, folder):
    """{function: true share}, {function: measured share}, samples."""
    path = folder / "shares.folded"
    done = subprocess.run([uncoil, "record", "-q", "-r", str(RATE), "-o", path, "--", python, HERE /
                           "known_shares.py", kind, str(seconds)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=20 * seconds + 60)
    if done.returncode not in (0, 3):
        raise SystemExit(f"uncoil failed with {done.returncode}: {done.stderr}")
    spent = json.loads(done.stdout)
    counts = dict.fromkeys(spent, 0)
    for frames, count in oracle.folded(path.read_text()):
        for name in {frame.name for frame in frames} & set(counts):
            counts[name] += count
    total, samples = sum(spent.values()), max(1, sum(counts.values()))
    return ({name: ns / total for name, ns in spent.items()},
            {name: count / samples for name, count in counts.items()}, samples)


def bound(share, samples):
    return SIGMAS * math.sqrt(share * (1 - share) / samples) + SYSTEMATIC


def control():
    """The bound must be able to be broken: a share that is 3 % off."""
    assert abs(.33 - .30) > bound(.30, RATE * SECONDS)
    assert abs(.302 - .30) < bound(.30, RATE * SECONDS)


def run(uncoil, pythons, kinds, quick, folder, results):
    """(held, broken); prints a line for each program. `pythons`: name -> program."""
    control()
    held = broken = 0
    errors = {}
    print(f"\nShares of CPU time at {RATE} Hz; bound {SIGMAS} standard deviations of a binomial draw "
          f"+ {100 * SYSTEMATIC:.1f} %\n{'Python':<18} {'program':<11} {'samples':>8}  verdict     "
          "function measured (true, error of bound) in %", flush=True)
    for version, python in pythons.items():
        for kind in kinds:
            # half a second in which the machine is taken away proves nothing: once more, and again
            for left in range(TRIES_QUICK if quick else 1, 0, -1):
                true, measured, samples = measure(uncoil, python, kind,
                                                  SECONDS_QUICK if quick else SECONDS, folder)
                shown, bad = [], False
                for name, share in sorted(true.items(), key=lambda each: -each[1]):
                    error, limit = measured[name] - share, bound(share, samples)
                    bad |= abs(error) > limit and kind not in NOT_JUDGED
                    errors.setdefault(name, []).append(error)
                    shown.append(f"{name} {100 * measured[name]:.2f} ({100 * share:.2f}, "
                                 f"{100 * error:+.2f} of {100 * limit:.2f})")
                verdict = "not judged" if kind in NOT_JUDGED else "holds"
                if bad:
                    verdict = "once more" if left > 1 else "BROKEN"
                print(f"{version:<18} {kind:<11} {samples:>8}  {verdict:<10}  "
                      + "; ".join(shown), flush=True)
                results.append({"python": version, "program": "shares-" + kind, "samples": samples,
                                "true": true, "measured": measured, "bad": bad})
                if not bad:
                    break
            held, broken = held + (verdict == "holds"), broken + bad
    print("mean error over all runs, in %: " + ", ".join(
        f"{name} {100 * sum(each) / len(each):+.2f}" for name, each in sorted(errors.items())))
    return held, broken
