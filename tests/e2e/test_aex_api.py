# SPDX-License-Identifier: Apache-2.0
"""Handlers of interruptions: the same program natively, told of nothing, told of ticks, and stepped."""
import re

import pytest

from conftest import MATRIX, PROGRAMS, ROOT, assert_same, execute

PROGRAM = PROGRAMS / "aex_api"
SECTIONS = ["counting", "registers", "red zone", "long jumps", "signals", "alternate stack"]


def calls(result):
    return int(re.search(r"^calls of handlers: (\d+)$", result.stderr, re.M)[1])


@pytest.mark.parametrize("build,notify,hz", [("aex_api", *mode) for mode in MATRIX] +
                         [("aex_api_pie", "on", 5000), ("aex_api_musl", "on", 5000)])
def test_everywhere(vigil, build, notify, hz):
    native = vigil.native(PROGRAMS / build)
    assert native.status == 0 and calls(native) == 0 and b"many threads: ok" in native.stdout
    result = vigil.run(PROGRAMS / build, notify=notify, hz=hz)
    assert_same(result, native)
    assert (calls(result) > 0) == (notify == "on" and hz > 0)


# The thread is interrupted every 4000 instructions on average, so in the runtime's way back and inside handlers as well.
@pytest.mark.parametrize("section", SECTIONS)
def test_stepped(vigil, section):
    arguments = ("--patience", 60, "--thread", "--only", section)
    native = vigil.native(PROGRAM, *map(str, arguments))
    result = vigil.run(PROGRAM, *arguments, hz=0, options=("--aex", "threads:%d,4000" % len(section)))
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


# Two translation units, two languages, no library: the weak functions are there once.
@pytest.mark.parametrize("flags", [("-O0",), ("-O2", "-flto"), ("-O2", "-fPIE", "-fcf-protection=full")])
@pytest.mark.parametrize("c,cpp", [("gcc", "g++"), ("clang", "clang++")])
def test_units(vigil, tmp_path, c, cpp, flags):
    if c == "clang" and "-flto" in flags:
        pytest.skip("needs lld")
    (tmp_path / "one.c").write_text(
        '#include "vigil/aex.h"\n#include <stdio.h>\nint other(void);\n'
        'int main(void) { return printf("%d %d\\n", vigil_aex_armed(), other()) < 0; }\n')
    (tmp_path / "two.cpp").write_text(
        '#include "vigil/aex.h"\n'
        'static void note(const vigil_aex_info *, void *) {}\n'
        'extern "C" int other(void) { return vigil_aex_register(note, nullptr) ? errno : 0; }\n')
    warnings = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", ROOT / "include", *flags)
    for compiler, unit in ((c, "one.c"), (cpp, "two.cpp")):
        done = execute([compiler, *warnings, "-c", "-o", tmp_path / (unit + ".o"), tmp_path / unit])
        assert done.status == 0, done.stderr
    program = tmp_path / "program"
    done = execute([cpp, *flags, "-static", "-no-pie", "-o", program, tmp_path / "one.c.o", tmp_path / "two.cpp.o"])
    assert done.status == 0, done.stderr
    assert vigil.native(program).stdout == b"0 38\n"  # ENOSYS
    assert vigil.run(program).stdout == b"1 0\n"
