#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make test`: unit and trap tests, checks, sampled sweep, short storm (all by meson), then whole programs (pytest).
# The last line counts: N passed, N failed[, N skipped]. usage: run.sh BUILD
set -uo pipefail
cd "$(dirname "$0")/.."
build=$(realpath "$1")
status=0
meson test -C "$build" --print-errorlogs --no-rebuild || status=1
if [ -d tests/e2e ]; then
    VIGIL="$build/cli/vigil" PROGRAMS="$build/tests/programs" /usr/bin/python3 -m pytest -q -p no:cacheprovider \
        --junitxml="$build/e2e.xml" tests/e2e || status=1
fi
/usr/bin/python3 tests/count.py "$build" || status=1
exit $status
