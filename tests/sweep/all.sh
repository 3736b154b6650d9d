#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The boundary sweep. "sample" takes some seconds, "full" less than an hour on two processors.
#   depth 1: an event in front of every boundary of every path
#   depth 2: a second one in front of every boundary of what handles the first. The path is plain computation behind an AEX:
#            stage 1, stage 2 if there is something to deliver, the preparation with the decoder, the armed resume with its
#            probes, the application; the second event may hit any of it, and any of what the first one leads to.
# "full" takes all of them; of the paths `handler`, `fault` and those about pages it takes samples at depth 2. usage: all.sh BUILD sample|full
set -uo pipefail
build=$1 size=$2
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

sample() { [ "$size" = sample ] && echo "$1" || echo "$2"; }

jobs_list() {
    local path kind
    for path in compute syscall gate ocall bounce fault raise; do
        for kind in aex signal; do
            echo "--inject $kind --stride $(sample 7 1) $path"
            echo "--legacy --inject $kind --stride $(sample 7 1) $path"
        done
        echo "--inject claim --stride $(sample 7 1) $path"
        echo "--inject page --stride $(sample 3 1) $path"
    done
    for kind in aex signal claim page; do
        echo "--first --inject $kind --stride $(sample 3 1) compute"
        echo "--first --inject $kind --stride $(sample 11 1) handler"
    done
    for path in touch batch populate trim restrict; do
        for kind in aex signal; do
            echo "--edmm --inject $kind --stride $(sample 5 1) $path"
            echo "--edmm --legacy --inject $kind --stride $(sample 5 1) $path"
        done
        echo "--edmm --inject claim --stride $(sample 5 1) $path"
        echo "--edmm --inject page --stride $(sample 3 1) $path"
    done
    # Longest first, so that both processors are busy to the end.
    echo "--first --depth 2 --inject signal,aex --stride $(sample 67,97 1,1) compute"
    echo "--first --depth 2 --inject aex,aex --stride $(sample 31,37 1,1) compute"
    echo "--first --depth 2 --inject aex,signal --stride $(sample 31,37 1,1) compute"
    echo "--first --depth 2 --inject claim,aex --stride $(sample 31,37 1,1) compute"
    echo "--first --depth 2 --inject aex,claim --stride $(sample 31,7 1,1) compute"
    echo "--first --depth 2 --inject page,aex --stride $(sample 7,37 1,1) compute"
    echo "--first --depth 2 --inject aex,page --stride $(sample 31,3 1,1) compute"
    echo "--first --depth 2 --inject signal,signal --stride $(sample 67,197 1,1) compute"
    echo "--first --depth 2 --inject claim,signal --stride $(sample 31,97 1,1) compute"
    echo "--first --depth 2 --inject page,signal --stride $(sample 7,97 1,1) compute"
    echo "--first --depth 2 --inject signal,page --stride $(sample 67,7 1,1) compute"
    echo "--first --depth 2 --inject signal,claim --stride $(sample 67,37 1,1) compute"
    echo "--first --depth 2 --inject claim,claim --stride $(sample 31,37 1,1) compute"
    echo "--first --depth 2 --inject claim,page --stride $(sample 31,3 1,1) compute"
    echo "--first --depth 2 --inject page,claim --stride $(sample 7,37 1,1) compute"
    echo "--first --depth 2 --inject page,page --stride $(sample 7,3 1,1) compute"
    echo "--first --depth 2 --inject aex,aex --stride $(sample 101,97 7,11) handler"
    echo "--depth 2 --inject aex,aex --stride $(sample 101,97 5,11) fault"
    echo "--edmm --depth 2 --inject aex,aex --stride $(sample 101,97 5,11) touch"
    echo "--edmm --depth 2 --inject aex,signal --stride $(sample 301,97 23,11) batch"
    echo "--edmm --depth 2 --inject aex,aex --stride $(sample 101,97 5,11) populate"
    echo "--edmm --depth 2 --inject signal,aex --stride $(sample 301,97 23,11) trim"
}

one() { # number, arguments
    local n=$1
    shift
    "$build/tests/sweep/sweep" --runtime "$build/enclave/vigil-runtime.elf" "${@:1:$#-1}" "$build/tests/sweep/target" \
        "${!#}" >"$out/$n" 2>"$out/$n.err" || { echo "$*" >"$out/$n.failed"; cat "$out/$n.err"; }
    cat "$out/$n"
}
export -f one
export build out
jobs_list | awk '{print (/--depth 2/ ? 0 : 1), NR, $0}' | sort -sn -k1,1 | cut -d' ' -f2- | xargs -P 2 -L 1 bash -c 'one "$@"' -

sum() { sed -n "s/.*, \([0-9]*\) $1 in .*/\1/p" "$out"/[0-9]* | awk '{n += $1} END {print n + 0}'; }
runs=$(find "$out" -name '[0-9]*' ! -name '*.*' | wc -l) failed=$(find "$out" -name '*.failed' | wc -l)
echo "boundary sweep: $(sum passes) boundaries, $(sum pairs) pairs of boundaries in $runs sweeps, $failed failed"
[ "$failed" = 0 ] && [ "$runs" = "$(jobs_list | wc -l)" ]
