# SPDX-License-Identifier: Apache-2.0
"""CPython's own tests (Debian: libpython3.11-testsuite): each single test has the result it has natively, except those that
start a process. What may differ is decided by the traceback, not by a list: it must end where a process is started.

Debian leaves test_sqlite3 out of its packages; test_sqlite.py drives that module with a script of its own."""
import re

import pytest

from conftest import FULL, execute, once

PYTHON = "/usr/bin/python3"
SIZE = {"test_mmap": "8G"}  # maps a file of 4 GiB
# sethostname is not for a native run to try. AF_VSOCK is refused inside; one of its tests waits for ever natively where the kernel has it.
MODULES = {
    "test_json": [], "test_struct": [], "test_math": [], "test_re": [], "test_threading": [], "test_mmap": [], "test_signal": [],
    "test_zlib": [], "test_socket": ["-i", "*VSOCK*", "-i", "test_sethostname"],
}
SHORT = {"test_json": ["-m", "test.test_json.test_decode.TestC*", "-m", "test.test_json.test_fail*"], "test_struct": [], "test_signal": ["-m", "test_pidfd*", "-m", "test_enums"],
         "test_socket": ["-m", "testInterfaceNameIndex", "-m", "*BasicTCPTest*", "-m", "*UDPTest*"]}
STARTS_A_PROCESS = re.compile(r"_fork_exec|os\.fork|forkpty|posix_spawn|assert_python_(ok|failure)|spawn_python|subprocess\.py|"
                              r"multiprocessing")


def results(output):
    """{test: ok, FAIL, ERROR or skipped}"""
    found, current = {}, None
    for line in output.splitlines():
        head = re.match(r"^(\w+) \(([\w.]+)\)", line)
        if head:
            current = head.group(2)
        end = re.search(r"(?:\.\.\. |^)(?:[^.]*?)(ok|FAIL|ERROR|skipped .*)$", line)
        if current and end:
            found[current] = end.group(1).split()[0]
            current = None
    return found


def tracebacks(output):
    """{test: text of its traceback}"""
    parts = re.split(r"^={70}\n", output, flags=re.M)
    found = {}
    for part in parts[1:]:
        head = re.match(r"(?:ERROR|FAIL): \w+ \(([\w.]+)\)", part)
        if head:
            found[head.group(1)] = found.get(head.group(1), "") + part
    return found


def compare(vigil, module, options, tmp_path, timeout):
    argv = [PYTHON, "-m", "test", "-v", *options, module]
    places = {}
    for name in ("native", "inside"):
        home = tmp_path / name
        home.mkdir()
        if name == "native":
            with vigil.apart():
                done = execute(argv, env=vigil.env, cwd=home, timeout=timeout)
        else:
            done = vigil.run(*argv, options=["--enclave-size", SIZE.get(module, "1G"), "--max-threads", "64"], cwd=home, timeout=4 * timeout)
        places[name] = done
    native, inside = (results(places[name].stdout.decode(errors="replace") + places[name].stderr) for name in ("native", "inside"))
    assert "ok" in native.values(), places["native"]
    why = tracebacks(places["inside"].stdout.decode(errors="replace") + places["inside"].stderr)
    wrong = {test: (inside.get(test, "no result"), result, why.get(test, "")[-700:]) for test, result in native.items()
             if inside.get(test) != result and not STARTS_A_PROCESS.search(why.get(test, ""))}
    assert not wrong, "\n".join("%s: %s, natively %s\n%s" % (test, *more) for test, more in wrong.items())
    return native, inside


@pytest.mark.parametrize("module", MODULES if FULL else SHORT)
@once
def test_suite(vigil, module, tmp_path):
    compare(vigil, module, MODULES[module] if FULL else MODULES[module] + SHORT[module], tmp_path, 120)
