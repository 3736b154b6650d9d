#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What AEX-Notify costs in time: the workloads of real.py with it on and off, in pairs.

A machine's speed drifts by more than the 1 % that is allowed. So each value with AEX-Notify on is divided by its neighbour with it
off, the order within a pair alternates, and of the ratios the median is taken, with the interval that holds the true median
with a probability of 95 % whatever their distribution is. Workloads are the short ones; there are many of them.

ok: the whole interval lies below the limit. over: all of it lies above. Else these pairs do not tell.

usage: notify.py [--check] [--pairs N] [--seconds N] [--only NAME[,NAME...]] [--json FILE] BUILD"""
import argparse
import json
import math
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import real
import workloads

CONFIDENCE = 0.95


def interval(ratios):
    """(low, high): order statistics around the median, by the binomial distribution; None with too few values."""
    n, values = len(ratios), sorted(ratios)
    below, k = 0.0, 0
    while k < n // 2:
        below += math.comb(n, k) / 2 ** n
        if 2 * below > 1 - CONFIDENCE:
            break
        k += 1
    return (values[k - 1], values[n - k]) if k else None


def ratio(figure, on, off):
    return off / on if figure.higher_is_better else on / off


def pair(workload, here, first):
    """{figure: ratio of time} of one pair."""
    values = {}
    for name in (first, real.ON if first == real.OFF else real.OFF):
        values[name] = workloads.WORKLOADS[workload](here[name])
    table = workloads.figures()
    return {name: ratio(table[name], on, values[real.OFF][name]) for name, on in values[real.ON].items()
            if table[name].notify and name in values[real.OFF]}


def measure(workload, here, arguments):
    ratios, end = {}, time.monotonic() + arguments.seconds
    for i in range(arguments.pairs):
        for name, value in pair(workload, here, (real.ON, real.OFF)[i % 2]).items():
            ratios.setdefault(name, []).append(value)
        if time.monotonic() > end:
            break
    return ratios


def verdict(ratios):
    found = interval(ratios)
    if not found:
        return "too few pairs"
    if found[1] <= real.NOTIFY_LIMIT:
        return "ok"
    return "OVER" if found[0] > real.NOTIFY_LIMIT else "not told"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--check", action="store_true", help="exit status 1 when a figure is over the limit")
    parser.add_argument("--pairs", type=int, default=40, help="of each workload at most (default 40)")
    parser.add_argument("--seconds", type=int, default=90, help="for each workload (default 90); the last pair is finished")
    parser.add_argument("--only", metavar="NAME[,NAME...]", help="of " + ", ".join(workloads.WORKLOADS))
    parser.add_argument("--tick-hz", type=int, default=250)
    parser.add_argument("--edmm", choices=("on", "off"), default="off")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="all ratios")
    arguments = parser.parse_args()
    names = real.chosen(parser, arguments.only, [name for name in workloads.WORKLOADS if name != "redis-memory"])
    arguments.quick = True

    work = pathlib.Path(tempfile.mkdtemp(prefix="vigil-bench-"))
    everything, over, failed = {}, 0, 0
    print("time with AEX-Notify on, off = 1; %d interrupts a second, EDMM %s; limit %.2f" % (
        arguments.tick_hz, arguments.edmm, real.NOTIFY_LIMIT))
    print("| %-42s | pairs | median | 95 %% of it between | %-8s |" % ("", ""))
    print("|%s|-------|--------|--------------------|----------|" % ("-" * 44), flush=True)
    try:
        here = {place.name: place for place in real.places(arguments, work)}
        for name in names:
            try:
                found = measure(name, here, arguments)
            except (workloads.services.ServiceError, subprocess.SubprocessError, OSError, ValueError, AttributeError) as failure:
                print("FAILED: %s: %s" % (name, real.reason(str(failure))), flush=True)
                failed += 1
                continue
            for figure, ratios in found.items():
                said = verdict(ratios)
                over += said == "OVER"
                low, high = interval(ratios) or (min(ratios), max(ratios))
                print("| %-42s | %5d | %.4f |   %.4f to %.4f | %-8s |" % (
                    figure, len(ratios), statistics.median(ratios), low, high, said), flush=True)
            everything.update(found)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(everything, indent=1))
    print("%d figures over the limit, %d workloads failed" % (over, failed))
    sys.exit(1 if (arguments.check and over) or failed else 0)


if __name__ == "__main__":
    main()
