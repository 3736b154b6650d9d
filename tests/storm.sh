#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A storm of AEXs on threads that come and go: each thread is interrupted after pseudo-random numbers of instructions (60
# on average; 600 with the stub, which makes no progress when it never gets to its end), from a seed that is printed, until
# COUNT interrupts have been taken. The runtime checks the canaries at the ends of its stacks at every thread's end. A
# failure prints the command that replays it.
# usage: storm.sh BUILD COUNT
set -uo pipefail
build=$1 wanted=$2
total=0 runs=0 seed=${SEED:-1} rounds=1
while [ "$total" -lt "$wanted" ] && [ $runs -lt 1000 ]; do
    case $((runs % 4)) in
    0) mode="--aex-notify=on --aex threads:$seed,600" ;;
    1 | 2) mode="--aex-notify=on --aex-policy mitigation=count --aex threads:$seed,60" ;;
    3) mode="--aex-notify=off --aex threads:$seed,60" ;;
    esac
    output=$(timeout 600 "$build/cli/vigil" run $mode --tick-hz 0 --stats --max-threads 12 \
             --enclave-size 64M -- "$build/tests/storm" $rounds 2>&1)
    status=$?
    aex=$(sed -n 's/.* AEX \([0-9]*\) (interrupts.*/\1/p' <<<"$output")
    total=$((total + ${aex:-0})) runs=$((runs + 1))
    if [ $status != 0 ] || [ -z "$aex" ]; then
        echo "FAILED with status $status: vigil run $mode --tick-hz 0 --max-threads 12 --enclave-size 64M -- storm $rounds"
        echo "$output"
        exit 1
    fi
    seed=$((seed + 1000))
done
echo "storm: $total AEXs in $runs runs of 4 threads that create and end threads, seeds ${SEED:-1} to $((seed - 1000)): 0 failures"
[ "$total" -ge "$wanted" ]
