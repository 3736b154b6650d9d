#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every header compiles alone, as C with gcc and clang; those that C++ may include as C++ too.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0 checked=0
try() {
    checked=$((checked + 1))
    "$@" >/tmp/header-check.$$ 2>&1 || { echo "$*"; cat /tmp/header-check.$$; failed=1; }
}
flags="-Wall -Wextra -Werror -D_GNU_SOURCE -I. -Iinclude -fsyntax-only"
for h in include/*/*.h softsgx/softsgx.h softsgx/cpu.h image/*.h host/host.h; do
    case $h in image/config_builder.h|image/manifest_reader.h) languages=c++ ;; *) languages="c c++" ;; esac
    for language in $languages; do
        [ $language = c ] && std=-std=gnu17 compilers="gcc clang" || std=-std=c++17 compilers="g++ clang++"
        for compiler in $compilers; do
            try $compiler $flags $std -x $language "$h"
        done
    done
done
# The enclave's and the LibOS's own: freestanding C.
for h in enclave/*.h libos/libos.h libos/*/*.h host/internal.h softsgx/*.h cli/*.h tests/sweep/*.h tests/defects/*.h; do
    for compiler in gcc clang; do
        try $compiler $flags -std=gnu17 -Wno-unused-function -x c "$h"
    done
done
rm -f /tmp/header-check.$$
echo "$checked header checks"
exit $failed
