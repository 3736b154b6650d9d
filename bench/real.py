#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Real programs of Debian and single operations: medians natively and in an enclave, AEX-Notify on and off, and the limits.

All three run interleaved, round by round, in an order that rotates, so that what else the machine does meets them alike.
Software SGX, 250 interrupts a second unless told otherwise.

usage: real.py [--check] [--quick] [--rounds N] [--only NAME[,NAME...]] [--json FILE] BUILD"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

import workloads

NOTIFY_LIMIT = 1.01  # time with AEX-Notify on against off
NATIVE, ON, OFF = "native", "on", "off"


def places(arguments, work):
    build = arguments.build.resolve()
    env = {"PATH": "/usr/bin:/bin", "HOME": str(work), "LANG": "C.UTF-8", "TZ": "UTC", "TMPDIR": str(work)}
    options = ["--tick-hz", arguments.tick_hz, "--log-level", "error", "--enclave-size", "1G", "--edmm=" + arguments.edmm]
    for name in (NATIVE, ON, OFF):
        home = work / name
        home.mkdir()
        vigil = None if name == NATIVE else [build / "cli/vigil", "run", "--aex-notify=" + name, *options]
        yield workloads.Place(name, vigil, build, home, arguments.quick, dict(env, TMPDIR=str(home)))


def reason(text):
    """One line of what a program said before it failed: the last that is not statistics."""
    lines = [line for line in text.strip().splitlines() if line.strip() and "vigil: stats:" not in line]
    first = lines[0].split(": ")[0] if len(lines) > 1 else ""
    return ": ".join(filter(None, (first, lines[-1]))) if lines else "no reason given"


class Results:
    """Values of each figure in each place, and why a workload has none there."""

    def __init__(self):
        self.values, self.failures = {}, {}

    def measure(self, workload, place):
        if (workload, place.name) in self.failures:
            return
        try:
            for figure, value in workloads.WORKLOADS[workload](place).items():
                self.values.setdefault(figure, {}).setdefault(place.name, []).append(value)
        except (workloads.services.ServiceError, subprocess.SubprocessError, OSError, ValueError, AttributeError) as failure:
            self.failures[workload, place.name] = reason(str(failure))

    def median(self, figure, place):
        values = self.values[figure].get(place)
        return statistics.median(values) if values else None


def number(value):
    if value is None:
        return "-"
    return "%.0f" % value if abs(value) >= 1000 else "%.1f" % value if abs(value) >= 10 else "%.3f" % value


def line(name, figure, results):
    """(columns, is it over a limit)"""
    native, on, off = (results.median(name, place) for place in (NATIVE, ON, OFF))
    ratio = on / native if on is not None and native else None
    notify = (off / on if figure.higher_is_better else on / off) if on and off and figure.notify else None
    limit, verdict = figure.limit(), ""
    over = bool(limit) and (on is None or native is None or figure.over(native, on))
    if limit:
        verdict = "none" if on is None or native is None else "OVER" if over else "ok"
    dear = bool(limit) and notify is not None and notify > NOTIFY_LIMIT
    return (name, figure.unit, number(native), number(on), number(off), "%.2fx" % ratio if ratio else "-", limit, verdict,
            ("%.3fx%s" % (notify, " OVER" if dear else "")) if notify else "-"), over or dear


HEADINGS = ("", "unit", "native", "on", "off", "on/native", "limit", "", "on/off in time")


def table(results):
    """Prints the table; how many lines are over a limit"""
    lines, over = [HEADINGS], 0
    for name, figure in workloads.figures().items():
        if name in results.values:
            columns, bad = line(name, figure, results)
            lines.append(columns)
            over += bad
    widths = [max(len(columns[i]) for columns in lines) for i in range(len(HEADINGS))]
    for columns in lines:
        print("| " + " | ".join(c.ljust(w) if i in (0, 1, 6, 7) else c.rjust(w) for i, (c, w) in enumerate(zip(columns, widths))) + " |")
        if columns is HEADINGS:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return over


def chosen(parser, only, otherwise):
    """The workloads that --only names."""
    names = only.split(",") if only else otherwise
    unknown = [name for name in names if name not in workloads.WORKLOADS]
    if unknown:
        parser.error("no workload is called %s; there are %s" % (unknown[0], ", ".join(workloads.WORKLOADS)))
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--check", action="store_true", help="exit status 1 when a figure is over its limit")
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    parser.add_argument("--rounds", type=int, help="default 5, with --quick 1")
    parser.add_argument("--only", metavar="NAME[,NAME...]", help="of " + ", ".join(workloads.WORKLOADS))
    parser.add_argument("--tick-hz", type=int, default=250)
    parser.add_argument("--edmm", choices=("on", "off"), default="off")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="all values of all rounds")
    arguments = parser.parse_args()
    names = chosen(parser, arguments.only, list(workloads.WORKLOADS))
    rounds = arguments.rounds or (1 if arguments.quick else 5)

    work = pathlib.Path(tempfile.mkdtemp(prefix="vigil-bench-"))
    results = Results()
    try:
        here = list(places(arguments, work))
        for number_of_round in range(rounds):
            for name in names:
                for i in range(len(here)):
                    results.measure(name, here[(i + number_of_round) % len(here)])
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("medians of %d interleaved rounds, %d CPUs, software SGX, %d interrupts a second, EDMM %s; on and off: AEX-Notify" % (
        rounds, len(os.sched_getaffinity(0)), arguments.tick_hz, arguments.edmm))
    over = table(results)
    for (name, place), why in results.failures.items():
        print("FAILED: %s, %s: %s" % (name, place, why))
    if arguments.json:
        arguments.json.write_text(json.dumps(results.values, indent=1))
    print("%d figures over a limit, %d workloads failed" % (over, len(results.failures)))
    sys.exit(1 if (arguments.check and over) or results.failures else 0)


if __name__ == "__main__":
    main()
