# SPDX-License-Identifier: Apache-2.0
"""How programs end: the exit status and everything printed before must come out."""
import pytest

from conftest import PROGRAMS

WAYS = ["return 0", "return 1", "return 255", "return 256", "exit 42", "_exit 43", "raw-exit 44", "exit_group 45", "abort",
        "thread-exit 46", "thread-_exit 47", "thread-group 48", "thread-abort", "pthread_exit", "spinners 49"]

DEATHS = ["null", "write-read-only", "read-none", "execute-data", "non-canonical", "divide", "sse", "undefined", "breakpoint",
          "halt", "stack-overflow", "blocked", "ignored", "in-handler", "blocked-handler", "in-thread", "to-thread 10",
          "raise 1", "raise 2", "raise 6", "raise 11", "raise 13", "raise 14", "raise 15", "kill 9", "kill 12", "kill 34", "kill 64"]

SURVIVED = ["raise 17", "raise 18", "raise 23", "raise 28"]  # CHLD CONT URG WINCH


@pytest.mark.parametrize("way", WAYS)
def test_exit(vigil, way):
    vigil.compare(PROGRAMS / "exit_codes", *way.split())


@pytest.mark.parametrize("way", DEATHS)
def test_death(vigil, way):
    native = vigil.compare(PROGRAMS / "fault_default", *way.split())
    assert native.status > 128 and b"still alive" not in native.stdout


@pytest.mark.parametrize("way", SURVIVED)
def test_survived(vigil, way):
    native = vigil.compare(PROGRAMS / "fault_default", *way.split())
    assert native.status == 0 and b"still alive" in native.stdout
