#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# cppcheck over everything that is C; no warning may be left.
set -euo pipefail
cd "$(dirname "$0")/.."
cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 -j2 \
    --suppress=missingIncludeSystem --suppress=preprocessorErrorDirective --suppress=unknownMacro --suppress=syntaxError \
    -D__x86_64__ -I. -Iinclude softsgx image host cli enclave libos
echo "cppcheck: no warning"
