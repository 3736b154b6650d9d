# SPDX-License-Identifier: Apache-2.0
"""Help, wrong command lines, output that cannot be written."""
import os
import subprocess

import pytest

USAGE, BAD_INPUT = 2, 3


@pytest.mark.parametrize("args, words", [
    (["--help"], ["vigil run", "vigil sign", "vigil info", "protects nothing", "126", "127", "128+N"]),
    (["help"], ["vigil run"]),
    (["-h"], ["vigil run"]),
    (["run", "--help"], ["--aex-notify", "--tick-hz", "--stats", "--log-level", "-- PROGRAM", "MANIFEST", "stderr"]),
    (["sign", "--help"], ["--key", "--output", "MANIFEST", "0600"]),
    (["info", "--help"], ["MANIFEST|IMAGE", "why"]),
])
def test_help_is_on_stdout(vigil, args, words):
    result = vigil(*args)
    assert result.returncode == 0 and not result.stderr
    for word in words:
        assert word in result.stdout
    assert all(len(line) <= 120 for line in result.stdout.splitlines())


def test_version(vigil):
    result = vigil("--version")
    assert result.returncode == 0 and result.stdout.startswith("vigil ") and result.stdout.count("\n") == 1


def test_nothing_shows_the_help_as_an_error(vigil):
    result = vigil()
    assert result.returncode == USAGE and not result.stdout and "vigil run" in result.stderr


@pytest.mark.parametrize("args, says", [
    (["rum"], ["rum", "run", "--help"]),
    (["--nothing"], ["--nothing", "--help"]),
    (["run"], ["nothing to run", "--help"]),
    (["run", "--"], ["nothing to run"]),
    (["run", "--aex-notify=maybe", "--", "true"], ["--aex-notify", "maybe"]),
    (["run", "--tick-hz", "fast", "--", "true"], ["--tick-hz", "fast"]),
    (["run", "--tick-hz", "-1", "--", "true"], ["--tick-hz", "-1"]),
    (["run", "--tick-hz", "99999999999999999999", "--", "true"], ["--tick-hz"]),
    (["run", "--log-level", "loud", "--", "true"], ["--log-level", "loud", "trace"]),
    (["run", "--aex", "sometimes", "--", "true"], ["--aex", "sometimes"]),
    (["run", "--aex", "after:", "--", "true"], ["--aex"]),
    (["run", "--aex", "random:1", "--", "true"], ["--aex"]),
    (["run", "--aex", "random:1,0", "--", "true"], ["--aex"]),
    (["run", "--max-threads", "0", "--", "true"], ["--max-threads"]),
    (["run", "--max-threads", "many", "--", "true"], ["--max-threads", "many"]),
    (["run", "--enclave-size", "large", "--", "true"], ["--enclave-size", "large"]),
    (["run", "--enclave-size", "64MB", "--", "true"], ["--enclave-size", "64MB"]),
    (["run", "--enclave-size", "17592186044928M", "--", "true"], ["--enclave-size", "17592186044928M"]),  # 2^64 + 512M
    (["run", "--enclave-size", "99999999999999999999M", "--", "true"], ["--enclave-size", "99999999999999999999M"]),
    (["run", "--enclave-size", "-1M", "--", "true"], ["--enclave-size", "-1M"]),
    (["sign"], ["one manifest"]),
    (["sign", "a", "b"], ["one manifest"]),
    (["info", "a", "b"], ["at most one"]),
])
def test_wrong_command_lines(vigil, args, says):
    vigil.refuses(USAGE, *args, says=says)


@pytest.mark.parametrize("command", ["run", "sign", "info"])
@pytest.mark.parametrize("args, says", [
    (["--nothing"], "--nothing is not an option"),
    (["--nothing=1"], "--nothing=1 is not an option"),
    (["-x"], "-x is not an option"),
    (["-xy"], "-xy is not an option"),
    (["--help=me"], "--help=me"),
])
def test_options_that_are_not_there(vigil, command, args, says):
    vigil.refuses(USAGE, command, *args, says=[says, f"vigil {command} --help"])
    if command == "run":
        vigil.refuses(USAGE, command, "--stats", *args, "-xz", says=says)


@pytest.mark.parametrize("args", [["run", "--tick-hz"], ["run", "--aex-notify"], ["sign", "--key"],
                                  ["sign", "--output"]])
def test_options_without_their_value(vigil, args):
    vigil.refuses(USAGE, *args, says=[f"{args[1]} needs a value", f"vigil {args[0]} --help"])


@pytest.mark.parametrize("size", ["17M", "100M", "8M", "0", "4096"])
def test_enclave_sizes_that_cannot_be(vigil, size):
    assert "enclave" in vigil.refuses(BAD_INPUT, "run", f"--enclave-size={size}", "--", "true", says="power of two")


def test_more_threads_than_fit(vigil):
    vigil.refuses(BAD_INPUT, "run", "--enclave-size=64M", "--max-threads=4000", "--", "true", says=["4000 threads"])


def test_sizes_belong_to_programs_without_manifest(vigil):
    vigil.refuses(USAGE, "run", "--enclave-size=64M", vigil.manifest(), says="--enclave-size")
    vigil.refuses(USAGE, "run", "--max-threads=4", vigil.manifest(), says="--max-threads")


@pytest.mark.parametrize("args", [["info"], ["--help"], ["--version"], ["run", "--help"], ["sign", "--help"]])
def test_full_disk_is_an_error(vigil, args):
    with open("/dev/full", "w") as full:
        result = vigil(*args, stdout=full)
    assert result.returncode == BAD_INPUT
    assert result.stderr.startswith("vigil: standard output") and "No space left" in result.stderr


def test_full_disk_under_sign_is_an_error(vigil):
    with open("/dev/full", "w") as full:
        result = vigil("sign", vigil.manifest(), stdout=full)
    assert result.returncode == BAD_INPUT and "No space left" in result.stderr


def test_closed_output_is_an_error(vigil):
    result = vigil("info", stdout=None, preexec_fn=lambda: os.close(1))
    assert result.returncode == BAD_INPUT and "standard output" in result.stderr


def test_closed_pipe_is_an_error(vigil):
    read, write = os.pipe()
    os.close(read)
    result = vigil("info", stdout=write, restore_signals=False)  # SIGPIPE is ignored, as under many supervisors
    os.close(write)
    assert result.returncode == BAD_INPUT and "Broken pipe" in result.stderr
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run([vigil.command, "info"], env=vigil.env, stdout=write)
    os.close(write)
    assert process.returncode != 0
