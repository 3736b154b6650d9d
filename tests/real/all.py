#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`make real`: programs of Debian in full, one cell of the matrix after the other, and then a table: a line for each test, a
column for each cell, with its seconds or what became of it. A failure ends nothing. EDMM and AEXNOTIFY select cells.

usage: all.py BUILD [arguments for pytest, e.g. -k python]

Leaves BUILD/real-EDMM-AEXNOTIFY.log and .xml. The status is 0 if every test of every cell passed."""
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import cells  # noqa: E402

SECONDS = 5400  # for a cell; it takes about 350 on two idle processors


def run(build, edmm, notify, arguments):
    """One cell. Its results as {test: case}, or None if pytest left none."""
    stem = build / ("real-%d-%d" % (edmm, notify))
    xml, log = stem.with_suffix(".xml"), stem.with_suffix(".log")
    xml.unlink(missing_ok=True)
    environment = dict(os.environ, EDMM=str(edmm), AEXNOTIFY=str(notify), VIGIL_REAL="full", VIGIL_BUILD=str(build))
    command = ["timeout", "-k", "10", str(SECONDS), sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider",
               "--junitxml", str(xml), str(ROOT / "tests" / "real"), *arguments]
    begin = time.monotonic()
    with open(log, "wb") as out:
        status = subprocess.run(command, cwd=ROOT, env=environment, stdout=out, stderr=out, check=False).returncode
    found = {case.test: case for case in cells.read(xml)} if xml.exists() else None
    bad = [case.test for case in (found or {}).values() if case.outcome == "failed"]
    print("EDMM=%d AEXNOTIFY=%d: %s, %.0f s, %s" % (edmm, notify, "%d tests, %d failed" % (len(found), len(bad)) if found else
                                                    "no results, status %d" % status, time.monotonic() - begin, log), flush=True)
    for test in bad:
        print("  failed: " + test, flush=True)
    return found


def entry(case):
    return "-" if case is None else "%.1f" % case.seconds if case.outcome == "passed" else case.outcome


def short(test):
    return test.replace("tests/real/test_", "").replace(".py::test_", ": ").replace("[*]", "").replace("[*-", "[")


def table(results):
    """results: {cell: {test: case}}"""
    tests = list(dict.fromkeys(test for found in results.values() for test in found))
    lines = ["%-44s" % "seconds" + "".join("%9s" % ("E%d N%d" % cell) for cell in results)]
    for test in tests:
        lines.append("%-44s" % short(test) + "".join("%9s" % entry(found.get(test)) for found in results.values()))
    for outcome in ("passed", "failed", "skipped"):
        lines.append("%-44s" % outcome + "".join("%9d" % sum(case.outcome == outcome for case in found.values())
                                                 for found in results.values()))
    lines.append("%-44s" % "seconds" + "".join("%9.1f" % sum(case.seconds for case in found.values()) for found in results.values()))
    return lines + ["E: dynamic memory (EDMM), N: AEX-Notify; - not in this cell"]


def main():
    build, arguments = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
    results = {cell: run(build, *cell, arguments) for cell in cells.selected()}
    print("\n".join(table({cell: found or {} for cell, found in results.items()})))
    return 0 if all(found and not any(case.outcome == "failed" for case in found.values()) for found in results.values()) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (cells.Usage, IndexError) as wrong:
        sys.exit("usage: all.py BUILD [arguments for pytest]" if isinstance(wrong, IndexError) else "usage: " + str(wrong))
