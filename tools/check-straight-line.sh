#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A function that must not branch: no jump, no call, one return. Prints how many instructions it is, which is then how
# many it executes. usage: check-straight-line.sh ELF FUNCTION
set -euo pipefail
code=$(objdump -d --no-show-raw-insn "$1" | awk -v name="<$2>:" '$2 == name {on = 1; next} /^$/ {on = 0} on' | cut -f 2- |
    sed '/^nop\|^cs nop\|^data16/d; s/ #.*//')
[ -n "$code" ] || { echo "no function $2 in $1"; exit 1; }
if grep -E '^(j|call|loop)' <<<"$code"; then
    echo "$2 in $1 branches"
    exit 1
fi
[ "$(grep -c '^ret' <<<"$code")" = 1 ] || { echo "$2 in $1 does not return once"; exit 1; }
echo "$2: $(wc -l <<<"$code") instructions, no branch"
