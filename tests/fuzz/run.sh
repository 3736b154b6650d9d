#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fuzzes the manifest parser, the ELF loader and the answers of the host, each for so many seconds, two at a time. What was
# found lies in BUILD/fuzz/found; corpora in BUILD/fuzz/corpus are kept from run to run.
# usage: run.sh BUILD SECONDS [TARGET...]
set -uo pipefail
source=$(realpath "$(dirname "$0")/../..")
build=$(realpath "$1")/fuzz seconds=$2
shift 2
[ $# -gt 0 ] && targets=("$@") || targets=(manifest elf answers)

if ! command -v clang >/dev/null; then
    echo "fuzz: there is no clang: apt-get install clang libclang-rt-14-dev" >&2
    exit 1
fi
if [ ! -f "$build/build.ninja" ]; then
    CC=clang CXX=clang++ meson setup "$build" "$source" -Db_sanitize=address,undefined -Db_lundef=false -Dfuzz=true >"$build.log" 2>&1 ||
        { cat "$build.log" >&2; exit 1; }
fi
ninja -C "$build" -j2 "${targets[@]/#/tests/fuzz/}" >"$build.log" 2>&1 || { tail -30 "$build.log" >&2; exit 1; }

mkdir -p "$build/found"
/usr/bin/python3 "$source/tests/fuzz/seeds.py" "$source" "$build/corpus" || exit 1

# A process keeps what the library OS would keep until its end, so there is a new one every minute.
fuzz() {
    local target=$1 log="$build/$1.log" left=$seconds now total=0 runs status
    while [ "$left" -gt 0 ]; do
        now=$((left < 60 ? left : 60))
        left=$((left - now))
        ASAN_OPTIONS=detect_leaks=$([ "$target" = manifest ] && echo 1 || echo 0) timeout -k 5 $((now + 60)) \
            "$build/tests/fuzz/$target" -max_total_time="$now" -timeout=10 -rss_limit_mb=4096 -max_len=4096 -len_control=10 -print_final_stats=1 \
            -artifact_prefix="$build/found/$target-" "$build/corpus/$target" >"$log" 2>&1
        status=$?
        runs=$(grep -o 'number_of_executed_units: *[0-9]*' "$log" | grep -o '[0-9]*$')
        total=$((total + ${runs:-0}))
        if [ $status -ne 0 ] || [ "${runs:-0}" -lt 100 ]; then
            grep -vE '^#|^INFO' "$log" | tail -40
            echo "fuzz: $target: FAILED (status $status after $total inputs; what did it is in $build/found, see $log)"
            return 1
        fi
    done
    echo "fuzz: $target: $total inputs in $seconds s, nothing found"
}
export -f fuzz
export build seconds
printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -c 'fuzz {}'
