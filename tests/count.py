# SPDX-License-Identifier: Apache-2.0
"""Counts the tests of a meson run and of pytest runs, and says so in one last line.

usage: count.py TESTLOG.json STATUS JUNIT.xml STATUS...

A meson test that is a cmocka program counts as many tests as it ran; any other counts once. A runner that ended badly
without a failed test to show for it counts as one failure, and so does one that left no results."""
import json
import re
import sys
import xml.etree.ElementTree

import cells

CMOCKA_RUN = re.compile(r"^\[==========\] .*?(\d+) test\(s\) run\.", re.M)
CMOCKA_FAILED = re.compile(r"^\[  FAILED  \] .*?(\d+) test\(s\)", re.M)  # the totals, not the tests' own lines
CMOCKA_SKIPPED = re.compile(r"^\[  SKIPPED \] .*?(\d+) test\(s\)", re.M)


def cmocka(output):
    """[passed, failed, skipped] of a cmocka program's output, or None if it is not one."""
    run, failed, skipped = (sum(map(int, pattern.findall(output))) for pattern in (CMOCKA_RUN, CMOCKA_FAILED, CMOCKA_SKIPPED))
    return [run - failed - skipped, failed, skipped] if run else None


def meson(path):
    totals, skipped = [0, 0, 0], []
    with open(path, encoding="utf-8") as log:
        for line in log:
            test = json.loads(line)
            result, output = test["result"], (test.get("stdout") or "") + "\n" + (test.get("stderr") or "")
            counts = cmocka(output)
            if result == "SKIP":
                counts = [0, 0, 1]
                reasons = [text for text in output.splitlines() if text.strip()]
                skipped.append("%s: %s" % (test["name"], reasons[-1].strip() if reasons else "no reason given"))
            elif counts is None:
                counts = [1, 0, 0] if result in ("OK", "EXPECTEDFAIL") else [0, 1, 0]
            else:
                if counts[2]:
                    skipped.append("%s: %d of its tests" % (test["name"], counts[2]))
                if result not in ("OK", "EXPECTEDFAIL") and not counts[1]:
                    counts[1] += 1  # died before it could count, or after
            totals = [a + b for a, b in zip(totals, counts)]
    return totals, skipped


def folded(cases):
    """A line for each reason, however many tests it kept from running."""
    by_reason = {}
    for case in cases:
        by_reason.setdefault(case.reason, []).append(case.name)
    return ["%s: %s" % (names[0] if len(names) == 1 else "%d end-to-end tests" % len(names), reason)
            for reason, names in by_reason.items()]


def pytest(path):
    cases = cells.read(path)
    totals = [sum(case.outcome == outcome for case in cases) for outcome in ("passed", "failed", "skipped")]
    print("\n".join(cells.table(cases)))
    return totals, folded(case for case in cases if case.outcome == "skipped")


def read(what, reader, path, status):
    """Results of one runner; a runner that failed must have a failure to show."""
    try:
        totals, skipped = reader(path)
    except (OSError, ValueError, xml.etree.ElementTree.ParseError) as error:
        print("%s left no results (%s)" % (what, error))
        return [0, 1, 0], []
    if status and not totals[1]:
        print("%s ended with status %d" % (what, status))
        totals[1] += 1
    if not sum(totals):
        print("%s ran nothing" % what)
        totals[1] += 1
    return totals, skipped


def main():
    meson_totals, meson_skipped = read("meson test", meson, sys.argv[1], int(sys.argv[2]))
    totals, skipped_lines = [meson_totals], meson_skipped
    for path, status in zip(sys.argv[3::2], sys.argv[4::2]):
        more, lines = read("pytest, " + path.rsplit("/", 1)[-1], pytest, path, int(status))
        totals.append(more)
        skipped_lines += lines
    for line in skipped_lines:
        print("skipped: " + line)
    passed, failed, skipped = map(sum, zip(*totals))
    print("meson: %d passed, %d failed; end-to-end: %d passed, %d failed" % (
        *meson_totals[:2], passed - meson_totals[0], failed - meson_totals[1]))
    line = "%d passed, %d failed" % (passed, failed)
    print(line + (", %d skipped" % skipped if skipped else ""))
    return 1 if failed or not passed else 0


sys.exit(main())
