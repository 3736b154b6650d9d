# SPDX-License-Identifier: Apache-2.0
"""Handlers of interruptions: the same program natively, told of nothing, told of ticks, and stepped."""
import functools
import re

import pytest

from conftest import EVERY_RATE, PROGRAMS, ROOT, assert_same, execute

PROGRAM = PROGRAMS / "aex_api"
SECTIONS = ["counting", "registers", "red zone", "long jumps", "signals", "alternate stack"]


def calls(result):
    return int(re.search(r"^calls of handlers: (\d+)$", result.stderr, re.M)[1])


def run(vigil, build, hz, *arguments):
    """How many calls of handlers there were; all else is as natively."""
    native = vigil.native(PROGRAMS / build, *arguments)
    assert native.status == 0 and calls(native) == 0 and b"many threads: ok" in native.stdout
    result = vigil.run(PROGRAMS / build, *arguments, hz=hz)
    assert_same(result, native)
    return calls(result)


# Not one test: with AEX-Notify the program goes on when it has been called often enough, without it waits in vain.
@pytest.mark.cells(aexnotify=1)
@EVERY_RATE
def test_called(vigil, hz):
    assert (run(vigil, "aex_api", hz) > 0) == (hz > 0)


@pytest.mark.cells(aexnotify=0)
@pytest.mark.rates(250, 5000)
def test_never_called(vigil, hz):
    assert run(vigil, "aex_api", hz, "--patience", "20") == 0


@pytest.mark.cells(aexnotify=1)
@pytest.mark.rates(5000)
@pytest.mark.parametrize("build", ["aex_api_pie", "aex_api_musl"])
def test_other_builds(vigil, build, hz):
    assert run(vigil, build, hz) > 0


def step(vigil, section):
    arguments = ("--patience", 600, "--thread", "--only", section)
    native = vigil.native(PROGRAM, *map(str, arguments))
    result = vigil.run(PROGRAM, *arguments, hz=0, options=("--aex", "threads:%d,4000" % len(section)))
    assert_same(result, native)
    assert native.status == 0 and calls(result) > 0


# The thread is interrupted every 4000 instructions on average, so in the runtime's way back and inside handlers as well.
@pytest.mark.cells(edmm=0, aexnotify=1)
@pytest.mark.parametrize("section", SECTIONS)
def test_stepped(vigil, section):
    step(vigil, section)


# Those that use most stack, for the first time.
@pytest.mark.cells(edmm=1, aexnotify=1)
@pytest.mark.parametrize("section", ["signals", "alternate stack"])
def test_stepped_with_dynamic_memory(vigil, section):
    step(vigil, section)


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    program = tmp_path_factory.mktemp("example") / "aex-handler"
    build = execute(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "include", "-static", "-o", program,
                     ROOT / "examples/aex-handler/aex-handler.c"])
    assert build.status == 0, build.stderr
    return program


@pytest.mark.rates(1000)
def test_example(vigil, example, hz):
    native = vigil.native(example)
    assert native.status == 0 and b"not in an enclave" in native.stdout
    done = vigil.run(example, hz=hz)
    assert done.status == 0, done
    if vigil.aexnotify:
        assert re.search(rb"^interrupted [1-9]\d* times", done.stdout, re.M), done
    else:
        assert b"AEX-Notify is off" in done.stdout, done


# Two translation units, two languages, no library: the weak functions are there once.
@pytest.fixture(scope="module")
def units(vigil, tmp_path_factory):
    @functools.lru_cache(maxsize=None)
    def build(c, cpp, flags):
        folder = tmp_path_factory.mktemp("units")
        (folder / "one.c").write_text(
            '#include "vigil/aex.h"\n#include <stdio.h>\nint other(void);\n'
            'int main(void) { return printf("%d %d\\n", vigil_aex_armed(), other()) < 0; }\n')
        (folder / "two.cpp").write_text(
            '#include "vigil/aex.h"\n'
            'static void note(const vigil_aex_info *, void *) {}\n'
            'extern "C" int other(void) { return vigil_aex_register(note, nullptr) ? errno : 0; }\n')
        warnings = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", ROOT / "include", *flags)
        for compiler, unit in ((c, "one.c"), (cpp, "two.cpp")):
            done = execute([compiler, *warnings, "-c", "-o", folder / (unit + ".o"), folder / unit])
            assert done.status == 0, done.stderr
        program = folder / "program"
        done = execute([cpp, *flags, "-static", "-no-pie", "-o", program, folder / "one.c.o", folder / "two.cpp.o"])
        assert done.status == 0, done.stderr
        return program

    def once(*what):
        with vigil.apart():
            return build(*what)

    return once


@pytest.mark.parametrize("flags", [("-O0",), ("-O2", "-flto"), ("-O2", "-fPIE", "-fcf-protection=full")])
@pytest.mark.parametrize("c,cpp", [("gcc", "g++"), ("clang", "clang++")])
def test_units(vigil, units, c, cpp, flags):
    if c == "clang" and "-flto" in flags:
        pytest.skip("needs lld")
    program = units(c, cpp, flags)
    assert vigil.native(program).stdout == b"0 38\n"  # ENOSYS
    assert vigil.run(program).stdout == (b"1 0\n" if vigil.aexnotify else b"0 95\n")  # EOPNOTSUPP
