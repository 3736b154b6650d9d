# SPDX-License-Identifier: Apache-2.0
"""The vigil command as a user meets it: a fresh home, a directory of manifests, the built command.

VIGIL names the command (default: build/cli/vigil). Programs come from busybox, which is static."""
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUSYBOX = shutil.which("busybox") or "/bin/busybox"


class Vigil:
    def __init__(self, directory, home):
        self.command = os.path.abspath(os.environ.get("VIGIL", ROOT / "build/cli/vigil"))
        self.directory = directory
        self.env = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C"}
        for name in ("VIGIL_RUNTIME", "ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]

    def __call__(self, *args, timeout=60, env=None, **more):
        """Runs it; .stdout and .stderr are text."""
        more.setdefault("stdin", subprocess.DEVNULL)
        more.setdefault("stdout", subprocess.PIPE)
        more.setdefault("stderr", subprocess.PIPE)
        return subprocess.run([self.command, *map(str, args)], cwd=self.directory, env={**self.env, **(env or {})},
                              timeout=timeout, text=True, errors="replace", **more)

    def refuses(self, status, *args, says=(), **more):
        """It fails with this status, one line on stderr that says all of these, and nothing else."""
        result = self(*args, **more)
        lines = result.stderr.splitlines()
        assert result.returncode == status, result
        assert not result.stdout, result
        assert len(lines) == 1 and lines[0].startswith("vigil: "), result.stderr
        for words in [says] if isinstance(says, str) else says:
            assert words in lines[0], result.stderr
        return lines[0]

    def manifest(self, name="app.manifest", **changes):
        """Writes a manifest that runs busybox in a debug enclave; changes: key with "." as "__", None removes it."""
        keys = {
            "libos.entrypoint": f'"{BUSYBOX}"',
            "loader.argv": '["busybox", "echo", "it runs"]',
            "fs.root.uri": '"file:/"',
            "sgx.enclave_size": '"64M"',
            "sgx.debug": "true",
        }
        for key, value in changes.items():
            keys[key.replace("__", ".")] = value
        path = self.directory / name
        path.write_text("".join(f"{k} = {v}\n" for k, v in keys.items() if v is not None))
        return path


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def vigil(tmp_path, home):
    return Vigil(tmp_path, home)


@pytest.fixture
def fresh_home(tmp_path):
    path = tmp_path / "fresh home"
    path.mkdir()
    return path
