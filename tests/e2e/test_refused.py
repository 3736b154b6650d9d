# SPDX-License-Identifier: Apache-2.0
"""What the SGX does not grant is refused, in one line, before anything of the program runs."""
import pytest

from conftest import BUSYBOX

WITHOUT = {"SOFTSGX_WITHOUT_AEXNOTIFY": "1"}


@pytest.mark.cells(aexnotify=1)
def test_aex_notify_asked_for_and_not_granted(vigil):
    got = vigil.run(BUSYBOX, "echo", "ran", env=WITHOUT)
    assert got.status == 4 and not got.stdout, got
    lines = got.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("vigil: no usable SGX: AEX-Notify was asked for"), got.stderr


@pytest.mark.cells(aexnotify=0)
def test_without_aex_notify_the_same_machine_runs_it(vigil):
    got = vigil.run(BUSYBOX, "echo", "ran", env=WITHOUT)
    assert (got.status, got.stdout) == (0, b"ran\n"), got.stderr
