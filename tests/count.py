# SPDX-License-Identifier: Apache-2.0
"""Adds up what meson's tests and pytest did and prints the closing line. Fails if anything failed or nothing ran."""
import json
import pathlib
import re
import sys
import xml.etree.ElementTree as tree

build = pathlib.Path(sys.argv[1])
passed = failed = skipped = 0

for line in (build / "meson-logs/testlog.json").read_text().splitlines():
    test = json.loads(line)
    # A cmocka program says how many tests it holds; anything else counts as one.
    out = test.get("stdout", "") + test.get("stderr", "")
    good = sum(int(n) for n in re.findall(r"^\[  PASSED  \] (\d+) test", out, re.M))
    bad = sum(int(n) for n in re.findall(r"^ *(\d+) FAILED TEST", out, re.M))
    if test["result"] == "SKIP":
        skipped += 1
        continue
    ok = test["result"] == "OK"
    passed += good if good or bad else ok
    failed += bad if bad else not ok

junit = build / "e2e.xml"
if junit.exists():
    for suite in tree.parse(junit).getroot().iter("testsuite"):
        total, errors = int(suite.get("tests")), int(suite.get("failures")) + int(suite.get("errors"))
        skips = int(suite.get("skipped"))
        passed += total - errors - skips
        failed += errors
        skipped += skips

print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
sys.exit(failed != 0 or passed == 0)
