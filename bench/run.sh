#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Figures: start-up of a static hello world (native, AEX-Notify on and off; interleaved, medians of 21), and instructions
# that an interruption, a trapped system call and a page fault cost inside the enclave; cycles of the mitigation against a plain
# loop over the same lines. usage: run.sh BUILD
set -euo pipefail
build=$1
hello=$build/tests/programs/hello
/usr/bin/python3 - "$build/cli/vigil" "$hello" <<'PY'
import statistics, subprocess, sys, time
vigil, hello = sys.argv[1:]
commands = {
    "native": [hello],
    "AEX-Notify on": [vigil, "run", "--", hello],
    "AEX-Notify off": [vigil, "run", "--aex-notify=off", "--", hello],
    "AEX-Notify on, 64M enclave": [vigil, "run", "--enclave-size", "64M", "--max-threads", "2", "--", hello],
}
times = {name: [] for name in commands}
for _ in range(21):
    for name, command in commands.items():
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times[name].append(time.perf_counter() - begin)
base = statistics.median(times["native"])
print("start-up of a static hello world, median of 21 interleaved runs")
for name, t in times.items():
    print(f"  {name:28} {statistics.median(t) * 1000:8.2f} ms   {statistics.median(t) / base:6.1f} x native")
PY
echo "instructions inside the enclave, the host's part left out (a step over a repeated string instruction is one each)"
"$build/tests/sweep/cost" --runtime "$build/enclave/vigil-runtime.elf" "$build/tests/sweep/target" 2>/dev/null | sed 's/^/  /'
echo "cycles of the time-stamp counter, outside an enclave, medians of interleaved runs"
"$build/bench/stub" | sed 's/^/  /'
