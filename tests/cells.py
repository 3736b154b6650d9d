# SPDX-License-Identifier: Apache-2.0
"""The cells of the test matrix, (EDMM, AEX-Notify) in {0,1}x{0,1}: which are asked for, and their results.

The environment's EDMM and AEXNOTIFY select: both a cell, one of them a row or a column, none all four."""
import os
import statistics
import sys
import xml.etree.ElementTree
from dataclasses import dataclass

VARIABLES = {"EDMM": "dynamic memory", "AEXNOTIFY": "AEX-Notify"}


class Usage(Exception):
    pass


def selected(environment=os.environ):
    """The cells asked for, as pairs of 0 and 1; raises Usage."""
    values = []
    for name, what in VARIABLES.items():
        text = environment.get(name)
        if text not in (None, "0", "1"):
            raise Usage("%s is 0 or 1 (%s off or on), not %r; without it both are tested" % (name, what, text))
        values.append([0, 1] if text is None else [int(text)])
    return [(edmm, notify) for edmm in values[0] for notify in values[1]]


@dataclass
class Case:
    """One run of one test. cell: (edmm, notify), or None for a test that runs no enclave."""
    name: str
    test: str  # the same in all cells and rounds
    cell: tuple
    seconds: float  # natively run programs and building not counted
    outcome: str  # passed, failed or skipped
    reason: str


def read(path):
    """The test cases in pytest's JUnit file."""
    cases = []
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        properties = {p.get("name"): p.get("value") for p in case.iter("property")}
        skipped = case.find("skipped")
        bad = case.find("failure") is not None or case.find("error") is not None
        cell = (int(properties["edmm"]), int(properties["aexnotify"])) if "edmm" in properties else None
        cases.append(Case(case.get("name"), properties.get("test", case.get("name")), cell,
                          float(properties.get("seconds", 0)),
                          "failed" if bad else "passed" if skipped is None else "skipped",
                          "" if skipped is None else skipped.get("message")))
    return cases


def medians(cases):
    """{test: {cell: median of its seconds}}, of tests that passed in every round."""
    seconds, bad = {}, set()
    for case in cases:
        if case.cell and case.outcome == "passed":
            seconds.setdefault(case.test, {}).setdefault(case.cell, []).append(case.seconds)
        elif case.cell and case.outcome == "failed":
            bad.add((case.test, case.cell))
    return {test: {cell: statistics.median(values) for cell, values in by_cell.items() if (test, cell) not in bad}
            for test, by_cell in seconds.items()}


def pairs(times, edmm):
    """{test: (seconds without, seconds with AEX-Notify)}, of tests that exist and passed in both."""
    return {test: (by_cell[edmm, 0], by_cell[edmm, 1]) for test, by_cell in times.items()
            if (edmm, 0) in by_cell and (edmm, 1) in by_cell}


def ratio(without, with_it):
    return "%.3f" % (with_it / without) if without else "-"


def table(cases):
    """Lines: what became of the tests in each cell, how long they took, and what AEX-Notify costs in time."""
    lines = ["EDMM  AEX-Notify  passed  failed  skipped    wall s"]
    for cell in sorted({case.cell for case in cases if case.cell}):
        mine = [case for case in cases if case.cell == cell]
        count = [sum(case.outcome == outcome for case in mine) for outcome in ("passed", "failed", "skipped")]
        lines.append("%4d  %10d  %6d  %6d  %7d  %8.1f" % (*cell, *count, sum(case.seconds for case in mine)))
    outside = [case for case in cases if not case.cell and case.outcome != "skipped"]
    if outside:
        lines.append("no enclave: %d tests" % len(outside))
    times = medians(cases)
    for edmm in (0, 1):
        both = pairs(times, edmm).values()
        without, with_it = (sum(seconds) for seconds in zip(*both)) if both else (0, 0)
        if both:
            lines.append("EDMM %d: AEX-Notify 1 to 0: %.1f s / %.1f s = %s, over %d tests that are in both" % (
                edmm, with_it, without, ratio(without, with_it), len(both)))
    return lines


if __name__ == "__main__":  # is the environment in order?
    try:
        selected()
    except Usage as wrong:
        sys.exit("usage: " + str(wrong))
