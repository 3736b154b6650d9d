# SPDX-License-Identifier: Apache-2.0
"""Bad manifests, as the command reports them. Every row once through `run` and once through `sign`."""
import pytest

BAD_INPUT = 3

ROWS = {
    "syntax": ("libos.entrypoint = \n", ["bad.manifest:1:", "TOML"]),
    "unknown key": ('libos.entrypoint = "/x"\nsgx.enclave_sice = "64M"\n', ["bad.manifest:2:", "sgx.enclave_size"]),
    "wrong type": ('libos.entrypoint = "/x"\nsgx.debug = "yes"\n', ["bad.manifest:2:", "sgx.debug", "a string"]),
    "no program": ("sgx.debug = true\n", ["bad.manifest", "libos.entrypoint"]),
    "not a power of two": ('libos.entrypoint = "/x"\nsgx.enclave_size = "96M"\n', ["bad.manifest:2:", "power of two"]),
    "too small": ('libos.entrypoint = "/x"\nsgx.enclave_size = "1M"\n', ["bad.manifest:2:", "too small"]),
    "too many threads": ('libos.entrypoint = "/x"\nsgx.enclave_size = "64M"\nsgx.max_threads = 4000\n'
                         "sgx.debug = true\n",
                         ["4000 threads", "sgx.enclave_size"]),
    "not text": ("\x00\x01\x02", ["bad.manifest:1:"]),
    "empty": ("", ["libos.entrypoint"]),
}


@pytest.mark.parametrize("command", ["run", "sign", "info"])
@pytest.mark.parametrize("name", ROWS)
def test_bad_manifests(vigil, command, name):
    text, says = ROWS[name]
    (vigil.directory / "bad.manifest").write_text(text)
    vigil.refuses(BAD_INPUT, command, "bad.manifest", says=says)
    assert [path.name for path in vigil.directory.iterdir()] == ["bad.manifest"]


@pytest.mark.parametrize("command", ["run", "sign", "info"])
def test_manifests_that_are_not_there(vigil, command):
    vigil.refuses(BAD_INPUT, command, "none.manifest", says=["none.manifest", "No such file"])
    vigil.refuses(BAD_INPUT, command, ".", says=["directory"])


def test_program_that_is_not_there(vigil):
    result = vigil("run", vigil.manifest(libos__entrypoint='"/no/such/program"'))
    assert result.returncode not in (0, 2) and not result.stdout
    assert "/no/such/program" in result.stderr and "libos.entrypoint" in result.stderr


def test_log_file_that_cannot_be_written(vigil):
    result = vigil("run", vigil.manifest(loader__log_file='"/no/such/log"'))
    assert result.returncode == 4 and not result.stdout and "/no/such/log" in result.stderr
