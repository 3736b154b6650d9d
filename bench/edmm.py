#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What dynamic memory (EDMM) costs: start-up by enclave size, creating threads, the first use of a page. Medians of
interleaved runs, so that what else the machine does meets all alike.

usage: edmm.py [--check] [--runs N] BUILD
--check: exit status 1 when a figure is over its limit"""
import argparse
import pathlib
import re
import statistics
import subprocess
import sys
import time

START_LIMIT = 1.2   # 64G against 256M, both dynamic
THREAD_LIMIT = 2.0  # a thread with a TCS made for it against one whose TCS was there


def run(command):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    if done.returncode:
        sys.exit("edmm.py: status %d: %s\n%s" % (done.returncode, " ".join(map(str, command)), done.stderr[-2000:]))
    return done


def interleaved(variants, measure, runs):
    """The measured values of each variant: {name: [value of run 1, ...]}. One run of each before, which is not counted."""
    values = {name: [] for name in variants}
    for i in range(runs + 1):
        for name, command in variants.items():
            value = measure(command)
            if i:
                values[name].append(value)
    return values


def wall_ms(command):
    begin = time.perf_counter()
    run(command)
    return (time.perf_counter() - begin) * 1000


def quartiles(values):
    return statistics.quantiles(values, n=4) if len(values) > 1 else values * 3


def table(title, values, unit, base):
    print(title)
    reference = statistics.median(values[base])
    for name, numbers in values.items():
        low, median, high = quartiles(numbers)
        print("  %-46s %10.2f %s  (quartiles %.2f to %.2f)  %6.2f x" % (name, median, unit, low, high, median / reference))


def ratio(values, name, base):
    return statistics.median(values[name]) / statistics.median(values[base])


def start_up(vigil, build, runs):
    program = [build / "bench/touch", 0]
    small, large, static = "256M, dynamic", "64G, dynamic", "256M, static"
    values = interleaved({
        "native": program,
        static: [*vigil, "--edmm=off", "--enclave-size", "256M", "--", *program],
        small: [*vigil, "--edmm=on", "--enclave-size", "256M", "--", *program],
        large: [*vigil, "--edmm=on", "--enclave-size", "64G", "--", *program],
    }, wall_ms, runs)
    table("start-up and end of a program that does nothing, %d runs" % runs, values, "ms", small)
    return "start-up, 64G against 256M", ratio(values, large, small), START_LIMIT


def threads(vigil, build, runs):
    program = [build / "tests/programs/threads_256", "--time"]
    size = ["--enclave-size", "2G"]
    dynamic, static = "dynamic TCS, 4 at the start", "static TCS, 300 at the start"
    variants = {
        "native": program,
        static: [*vigil, "--edmm=off", *size, "--max-threads", 300, "--", *program],
        dynamic: [*vigil, "--edmm=on", *size, "--max-threads", 4, "--", *program],
        "dynamic memory, but 300 TCS at the start": [*vigil, "--edmm=on", *size, "--max-threads", 300, "--", *program],
    }
    alive = {}

    def measure(command):
        found = re.search(r"created 256 in (\d+) us, all alive after (\d+) us", run(command).stderr)
        alive.setdefault(str(command), []).append(int(found.group(2)) / 256)
        return int(found.group(1)) / 256

    values = interleaved(variants, measure, runs)
    table("creating a thread, of 256 that are alive at once, %d runs" % runs, values, "us", static)
    until = {name: alive[str(command)][1:] for name, command in variants.items()}
    table("the same until all of them are running", until, "us", static)
    print("  creating alone: %.2f x; how often the new threads get in between differs from run to run" % ratio(values, dynamic, static))
    return "a thread that runs, dynamic against static TCS", ratio(until, dynamic, static), THREAD_LIMIT


def touch(vigil, build, runs):
    program = [build / "bench/touch", 4096]
    size = ["--enclave-size", "4G"]
    commands = {"native": program, "static": [*vigil, "--edmm=off", *size, "--", *program],
                "dynamic": [*vigil, "--edmm=on", *size, "--", *program]}
    lines = {name: {} for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            for what, ns in re.findall(r"^(\S+) (-?\d+)$", run(command).stdout, re.M):
                lines[name].setdefault(what, []).append(int(ns) / 1000)
    print("a page, median of %d runs in us: %s" % (runs, "".join("%14s" % name for name in commands)))
    for what in lines["native"]:
        print("  %-33s %s" % (what, "".join("%14.2f" % statistics.median(lines[name][what]) for name in commands)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--runs", type=int, default=21)
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    vigil = [build / "cli/vigil", "run"]
    if "--edmm" not in run([*vigil, "--help"]).stdout:
        sys.exit("edmm.py: %s has no --edmm: nothing to measure" % vigil[0])
    limits = [start_up(vigil, build, arguments.runs), threads(vigil, build, max(arguments.runs // 2, 1))]
    touch(vigil, build, max(arguments.runs // 4, 1))
    over = False
    for what, measured, limit in limits:
        over |= measured > limit
        print("%-46s %5.2f x, limit %.1f x%s" % (what, measured, limit, ": OVER THE LIMIT" if measured > limit else ""))
    sys.exit(1 if arguments.check and over else 0)


main()
