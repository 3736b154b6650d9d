#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The decoder against Zydis: the text of Debian's libc, libstdc++, libcrypto, python and git, and generated encodings.
# "sample" looks at every fifth instruction and 300,000 encodings, "full" at all and twenty-five million. Wrong answers: none
# allowed. Explicit memory operands that are not the stack's: at least 98 % resolved in each program.
# usage: all.sh DIFFERENTIAL sample|full
set -uo pipefail
lib=/usr/lib/x86_64-linux-gnu
[ "$2" = full ] && options="--generate 25000000" || options="--every 5 --generate 300000"
files=()
for file in $lib/libc.so.6 $lib/libstdc++.so.6 $lib/libcrypto.so.3 /usr/bin/python3.11 /usr/bin/git; do
    if [ -f "$file" ]; then files+=("$file"); else echo "skipped: $file is not installed"; fi
done
exec "$1" $options --minimum 98 "${files[@]}"
