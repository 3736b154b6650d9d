#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`make matrix`: the end-to-end tests of all cells, interleaved, several rounds, and what AEX-Notify costs in wall time.

usage: matrix.py BUILD [PYTEST-ARGUMENT...]

The environment's ROUNDS (5) says how many rounds. In each, a test runs in all its cells before the next test does, and
the order of the cells rotates: what else the machine does meets them alike. A test's time in a cell is the median over
the rounds; only tests that passed in both cells are compared. Status 1 if a test failed."""
import os
import pathlib
import subprocess
import sys

import cells

HERE = pathlib.Path(__file__).resolve().parent
MOST = 10


def rounds():
    text = os.environ.get("ROUNDS", "5")
    if not text.isdigit() or not 1 <= int(text) <= 100:
        raise cells.Usage("ROUNDS is a number from 1 to 100, not %r" % text)
    return int(text)


def differences(times):
    """Lines: the tests that AEX-Notify makes slower or faster by most seconds."""
    found = []
    for edmm in (0, 1):
        for test, (without, with_it) in cells.pairs(times, edmm).items():
            found.append((abs(with_it - without), edmm, test, without, with_it))
    return ["%+8.3f s  %6s  (%.3f s, %.3f s)  EDMM %d  %s" % (b - a, cells.ratio(a, b), a, b, edmm, test)
            for _, edmm, test, a, b in sorted(found, reverse=True)[:MOST]]


def report(cases):
    times = cells.medians(cases)
    print("sum of the medians, tests that are in both cells of a row:")
    print("EDMM  tests  AEX-Notify 0 s  AEX-Notify 1 s   1 to 0")
    for edmm in (0, 1):
        both = cells.pairs(times, edmm).values()
        if both:
            without, with_it = (sum(seconds) for seconds in zip(*both))
            print("%4d  %5d  %14.2f  %14.2f  %7s" % (edmm, len(both), without, with_it, cells.ratio(without, with_it)))
    lines = differences(times)
    if lines:
        print("largest differences, AEX-Notify 1 against 0 (seconds of 0, of 1):")
        print("\n".join(lines))
    for reason in sorted({case.reason for case in cases if case.outcome == "skipped" and case.cell}):
        print("skipped: " + reason)


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    try:
        chosen, count = cells.selected(), rounds()
    except cells.Usage as wrong:
        sys.exit("usage: " + str(wrong))
    results = build / "matrix.xml"
    results.unlink(missing_ok=True)
    command = ["timeout", "-k", "10", str(600 * count), "/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider",
               "--junitxml=%s" % results, *(sys.argv[2:] or [str(HERE / "e2e")])]
    environment = dict(os.environ, VIGIL_BUILD=str(build), VIGIL_ROUNDS=str(count))
    status = subprocess.run(command, env=environment, check=False).returncode
    if not results.exists():
        sys.exit("pytest ended with status %d and left no results" % status)
    print("%d rounds, %d cells" % (count, len(chosen)))
    report(cells.read(results))
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())
