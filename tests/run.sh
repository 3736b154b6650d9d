#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make test`: unit and trap tests, native runs of the test programs, checks, sampled sweep, known defects, short storm
# (all by meson), then whole programs in enclaves and programs of Debian (pytest). The last line counts: N passed, N failed[, N skipped].
# The environment's EDMM and AEXNOTIFY, 0 or 1, select cells of the matrix that the latter run in; without them all four.
# usage: run.sh BUILD
set -uo pipefail
cd "$(dirname "$0")/.."
build=$(realpath "$1")
/usr/bin/python3 tests/cells.py || exit 2
ulimit -c 0 # programs die on purpose here
rm -f "$build/meson-logs/testlog.json" "$build/e2e.xml" "$build/real.xml"

timeout -k 10 1200 meson test -C "$build" --print-errorlogs --no-rebuild
meson_status=$?
VIGIL_BUILD=$build timeout -k 10 900 /usr/bin/python3 -m pytest -q -p no:cacheprovider --junitxml="$build/e2e.xml" tests/e2e
pytest_status=$?
VIGIL_BUILD=$build timeout -k 10 600 /usr/bin/python3 -m pytest -q -p no:cacheprovider --junitxml="$build/real.xml" tests/real
real_status=$?
exec /usr/bin/python3 tests/count.py "$build/meson-logs/testlog.json" $meson_status "$build/e2e.xml" $pytest_status "$build/real.xml" $real_status
