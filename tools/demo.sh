#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Debian's busybox, unmodified, in an enclave that is interrupted 1,000 times a second, over real files; each output is
# compared with the native one. Fails on the first difference, or if the enclave was never notified.
set -euo pipefail
cd "$(dirname "$0")/.."
vigil=${VIGIL:-build/cli/vigil}
box=$(command -v busybox)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
notifications=0 compared=0

cat libos/*/*.c enclave/*.c softsgx/*.c docs/*.md > "$work/text"
cp "$box" "$work/binary"

# compare NAME COMMAND: runs COMMAND with $run as native busybox and in the enclave.
compare() {
    local name=$1 command=$2 counted
    run="$box" bash -c "$command" > "$work/native" 2> "$work/native.err"
    run="$vigil run --tick-hz 1000 --log-level warning -- $box" bash -c "$command" > "$work/enclave" 2> "$work/enclave.err"
    if ! cmp -s "$work/native" "$work/enclave"; then
        echo "$name: DIFFERS from native"
        diff "$work/native" "$work/enclave" | head -5
        cat "$work/enclave.err"
        exit 1
    fi
    counted=$(sed -n 's/^vigil: AEX-Notify counter at process exit: \([0-9]*\)$/\1/p' "$work/enclave.err" | awk '{n += $1} END {print n + 0}')
    notifications=$((notifications + counted))
    compared=$((compared + 1))
    printf '  %-34s equal to native, %6d bytes of output, AEX-Notify counter %d\n' "$name" "$(stat -c %s "$work/enclave")" "$counted"
}

"$vigil" info
echo
echo "busybox in an enclave at --tick-hz 1000, compared with native busybox:"
cd "$work"
vigil=$(cd "$OLDPWD" && realpath "$vigil")
compare "sha256sum" '$run sha256sum text binary'
compare "gzip" '$run gzip -c text'
compare "gzip | gunzip" '$run gzip -c binary | $run gunzip -c | $run sha256sum'
compare "awk (word count)" '$run awk "{for (i = 1; i <= NF; i++) n[\$i]++} END {for (w in n) if (n[w] > 50) print n[w], w}" text | LC_ALL=C sort'
compare "sort" '$run sort text'
compare "ls -l" '$run ls -ln text binary'
echo
echo "AEX-Notify counter: $notifications notifications in $compared comparisons"
[ "$notifications" -gt 0 ] || { echo "the enclave was never notified"; exit 1; }
