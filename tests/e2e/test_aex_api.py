# SPDX-License-Identifier: Apache-2.0
"""Handlers of interruptions: the same program natively, told of nothing, told of ticks, and stepped."""
import re

import pytest

from conftest import MATRIX, PROGRAMS, ROOT, assert_same, execute

PROGRAM = PROGRAMS / "aex_api"
SECTIONS = ["counting", "order", "unregister inside", "registers", "red zone", "no room", "long jumps", "signals",
            "alternate stack", "slow handlers"]


def calls(result):
    return int(re.search(r"^calls of handlers: (\d+)$", result.stderr, re.M)[1])


@pytest.mark.parametrize("notify,hz", MATRIX)
@pytest.mark.parametrize("build", ["aex_api", "aex_api_pie", "aex_api_musl"])
def test_everywhere(vigil, build, notify, hz):
    native = vigil.native(PROGRAMS / build)
    assert native.status == 0 and calls(native) == 0 and b"many threads: ok" in native.stdout
    result = vigil.run(PROGRAMS / build, notify=notify, hz=hz)
    assert_same(result, native)
    assert (calls(result) > 0) == (notify == "on" and hz > 0)


# The thread is interrupted every 700 instructions on average, so in the runtime's way back and inside handlers as well.
@pytest.mark.parametrize("section", SECTIONS)
def test_stepped(vigil, section):
    arguments = ("--patience", 100, "--thread", "--only", section)
    native = vigil.native(PROGRAM, *map(str, arguments))
    result = vigil.run(PROGRAM, *arguments, hz=0, options=("--aex", "threads:%d,700" % len(section)))
    assert_same(result, native)
    assert native.status == 0 and calls(result) > 0


def test_example(vigil, tmp_path):
    program = tmp_path / "aex-handler"
    build = execute(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "include", "-static", "-o", program,
                     ROOT / "examples/aex-handler/aex-handler.c"])
    assert build.status == 0, build.stderr
    native = vigil.native(program)
    assert native.status == 0 and b"not in an enclave" in native.stdout
    told = vigil.run(program, hz=1000)
    assert told.status == 0 and re.search(rb"^interrupted [1-9]\d* times", told.stdout, re.M), told
    off = vigil.run(program, notify="off")
    assert off.status == 0 and b"AEX-Notify is off" in off.stdout
