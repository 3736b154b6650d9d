#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The boundary sweep over all paths. usage: all.sh BUILD STRIDE (1: every boundary; the long paths take 8 x STRIDE when
# STRIDE is not 1, to keep `make test` short)
set -uo pipefail
build=$1 stride=$2 failed=0 boundaries=0 runs=0
for path in compute syscall gate ocall bounce fault raise handler; do
    step=$stride
    [ "$stride" -gt 1 ] && case $path in bounce | fault | raise | handler) step=$((stride * 8)) ;; esac
    for options in "" "--signal" "--legacy" "--legacy --signal"; do
        case "$path$options" in handler*--legacy*) continue ;; esac # there is nobody to tell of interruptions
        line=$("$build/tests/sweep/sweep" $options --stride "$step" --runtime "$build/enclave/vigil-runtime.elf" \
               "$build/tests/sweep/target" $path 2>/tmp/sweep.$$ ) || { failed=$((failed + 1)); cat /tmp/sweep.$$; }
        echo "$line"
        n=$(sed -n 's/.* AEX at \([0-9]*\),.*/\1/p' <<<"$line")
        boundaries=$((boundaries + ${n:-0})) runs=$((runs + 1))
    done
done
rm -f /tmp/sweep.$$
echo "boundary sweep: an AEX at $boundaries boundaries in $runs sweeps, $failed failed"
exit $((failed > 0))
