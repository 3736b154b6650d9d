#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The runtime must not touch the application's vector registers: they stay live in it. XSAVE and XRSTOR are the only
# instructions that may name them, and they do not name registers. Exempt are roll_back and stage1_entry, which clears what
# roll_back used before an EEXIT: in stage 1 SSA[0] holds the application's vector state; and decode, which saves what it
# uses; and sha256_blocks_ni and sha_extensions, which put back what they use. All of these stay below AVX and x87: that the upper parts and MXCSR survive depends on it. xstate_hide and xstate_show
# save, clear and put back all of it around an OCALL; zero_pages puts back the two whole registers that it uses.
# usage: check-vector-instructions.sh RUNTIME_ELF
set -euo pipefail
# Without the addresses: fadd is one, too. Every mnemonic that begins with f is x87 (or FXSAVE and its kin), but for the
# prefix fs; vzeroupper, emms and the like name no register.
found=$(objdump -d --no-show-raw-insn "$1" | awk '/^[0-9a-f]+ </ {exempt = $2 == "<roll_back>:" || $2 == "<decode>:" || $2 == "<stage1_entry>:" || $2 ~ /^<sha(_extensions|256_blocks_ni)>:/ || $2 ~ /^<(xstate_(hide|show)|zero_pages)>:/} !exempt' |
    sed 's/^ *[0-9a-f]*:\t//' | grep -E '%[xyzt]mm[0-9]|%mm[0-7]|%st|%k[0-7]|^f([^s]|s[a-z])[a-z0-9]*( |$)|^(fwait|wait|emms|vzero[a-z]+)\b|\bv?(ld|st)mxcsr\b' || true)
if [ -n "$found" ]; then
    echo "vector or x87 instructions in the runtime $1:"
    echo "$found" | head -20
    exit 1
fi
found=$(objdump -d --no-show-raw-insn "$1" | awk '/^[0-9a-f]+ </ {exempt = $2 == "<roll_back>:" || $2 == "<decode>:" || $2 == "<stage1_entry>:" || $2 ~ /^<sha(_extensions|256_blocks_ni)>:/} exempt' |
    sed 's/^ *[0-9a-f]*:\t//' | grep -E '%[yz]mm|%mm[0-7]|%st|%k[0-7]|mxcsr|^v' || true)
if [ -n "$found" ]; then
    echo "more than legacy SSE in an exempt function of $1:"
    echo "$found" | head -20
    exit 1
fi
echo "no vector or x87 instruction among $(objdump -d --no-show-raw-insn "$1" | grep -c '^ ') in $1 (outside roll_back, stage1_entry, decode, sha256_blocks_ni, sha_extensions, xstate_hide, xstate_show, zero_pages)"
