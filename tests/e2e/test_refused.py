# SPDX-License-Identifier: Apache-2.0
"""What the SGX does not grant is refused, in one line, before anything of the program runs."""
import os
import subprocess

VIGIL = os.environ.get("VIGIL", "build/cli/vigil")


def run(*options):
    environment = dict(os.environ, SOFTSGX_WITHOUT_AEXNOTIFY="1")
    return subprocess.run([VIGIL, "run", *options, "--", "busybox", "echo", "ran"], env=environment, timeout=60,
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_aex_notify_asked_for_and_not_granted():
    got = run("--aex-notify=on")
    assert got.returncode == 4
    assert got.stdout == ""
    lines = got.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("vigil: no usable SGX: AEX-Notify was asked for"), got.stderr


def test_without_aex_notify_the_same_machine_runs_it():
    got = run("--aex-notify=off")
    assert (got.returncode, got.stdout) == (0, "ran\n"), got.stderr
