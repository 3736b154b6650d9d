# SPDX-License-Identifier: Apache-2.0
"""GCC's compiler proper, cc1, over a source file of this repository: the same diagnostics and the same assembly as natively."""
import subprocess

import pytest

from conftest import FULL, ROOT, SIZE, assert_same, execute, once

SOURCES = {"large": "libos/fs/epoll.c", "runtime": "softsgx/keys.c"} if FULL else {"runtime": "softsgx/keys.c"}


def cc1():
    return subprocess.run(["gcc", "-print-prog-name=cc1"], capture_output=True, text=True, check=True, timeout=20).stdout.strip()


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("compiler")
    for name, path in SOURCES.items():
        text = subprocess.run(["gcc", "-E", "-P", "-std=c17", "-D_GNU_SOURCE", "-Iinclude", "-I.", path], cwd=ROOT, timeout=60,
                              capture_output=True, check=True).stdout
        (directory / (name + ".i")).write_bytes(text)
        (directory / (name + "-wrong.i")).write_bytes(text + b"\nint wrong(void) { return undeclared + *3; }\n")
    return directory


@pytest.mark.parametrize("name", SOURCES)
def test_syntax(vigil, preprocessed, name):
    for source, status in ((name, 0), (name + "-wrong", 1)):
        argv = [cc1(), "-quiet", "-fpreprocessed", "-std=gnu17", "-fsyntax-only", "-Wall", source + ".i"]
        native = execute(argv, env=vigil.env, cwd=preprocessed)
        assert native.status == status, native
        got = vigil.run(*argv, options=SIZE, cwd=preprocessed)
        assert got.status == status, got
        said = [line for line in got.stderr.splitlines() if not line.startswith("vigil: ")]
        assert said == native.stderr.splitlines()


@once
@pytest.mark.parametrize("name", SOURCES)
def test_assembly(vigil, preprocessed, name):
    argv = [cc1(), "-quiet", "-fpreprocessed", "-std=gnu17", "-O2", name + ".i", "-o", "-"]
    native = execute(argv, env=vigil.env, cwd=preprocessed)
    assert native.status == 0 and len(native.stdout) > 5000
    assert_same(vigil.run(*argv, options=SIZE, cwd=preprocessed), native)
