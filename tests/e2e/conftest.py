# SPDX-License-Identifier: Apache-2.0
"""Runs programs natively and in an enclave. The two must agree: same standard output, same exit status."""
import functools
import os
import pathlib
import resource
import subprocess
from dataclasses import dataclass

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(ROOT, os.environ.get("VIGIL_BUILD", "build"))
VIGIL = BUILD / "cli" / "vigil"
PROGRAMS = BUILD / "tests" / "programs"
BUSYBOX = "/usr/bin/busybox" if os.path.exists("/usr/bin/busybox") else "/bin/busybox"

# AEX-Notify on or off, interrupts a second.
MATRIX = [(notify, hz) for notify in ("on", "off") for hz in (0, 250, 5000)]

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # programs die on purpose here


@dataclass
class Result:
    stdout: bytes
    stderr: str
    status: int  # as a shell has it: 128+N for signal N


def shell_status(returncode):
    return 128 - returncode if returncode < 0 else returncode


def execute(argv, stdin=b"", timeout=60, env=None, cwd=None):
    """Runs a program to its end, at most timeout seconds. stdin: bytes, or a file."""
    feed = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    try:
        done = subprocess.run([str(a) for a in argv], capture_output=True, timeout=timeout, env=env, cwd=cwd, **feed)
    except subprocess.TimeoutExpired as expired:
        pytest.fail("no end after %d s: %s\nstdout: %s\nstderr: %s" % (
            timeout, " ".join(map(str, argv)), (expired.stdout or b"")[-2000:], (expired.stderr or b"")[-2000:]))
    return Result(done.stdout, done.stderr.decode(errors="replace"), shell_status(done.returncode))


class Vigil:
    """The command, with an environment of its own: nothing of the caller's leaks into what is compared."""

    def __init__(self, home):
        self.env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C", "TZ": "UTC", "TMPDIR": str(home / "tmp"),
                    "XDG_CONFIG_HOME": str(home / "config"), "EDITOR": "a b=c"}
        self.native = functools.lru_cache(maxsize=None)(self._native)

    def _native(self, *argv, stdin=b"", cwd=None):
        return execute(argv, stdin=stdin, env=self.env, cwd=cwd)

    def command(self, *options, env=None, **more):
        """vigil OPTIONS..."""
        return execute([VIGIL, *options], env=dict(self.env, **(env or {})), **more)

    @staticmethod
    def argv(*program, notify="on", hz=250, options=()):
        return [str(a) for a in (VIGIL, "run", "--aex-notify=" + notify, "--tick-hz", hz, *options, "--", *program)]

    def run(self, *program, notify="on", hz=250, options=(), env=None, **more):
        """vigil run OPTIONS -- PROGRAM"""
        return execute(self.argv(*program, notify=notify, hz=hz, options=options), env=dict(self.env, **(env or {})), **more)

    def start(self, *program, notify="on", hz=250, options=(), **more):
        """The same, not waited for: a Popen. Use it in a with statement, which kills what is left."""
        return Running(self.argv(*program, notify=notify, hz=hz, options=options), self.env, **more)

    def compare(self, *program, stdin=b"", cwd=None, **options):
        """In an enclave as natively."""
        native = self.native(*map(str, program), stdin=stdin, cwd=cwd)
        assert_same(self.run(*program, stdin=stdin, cwd=cwd, **options), native)
        return native


class Running(subprocess.Popen):
    def __init__(self, argv, env, **more):
        super().__init__(argv, env=env, **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more})

    def status(self, timeout=30):
        return shell_status(self.wait(timeout))

    def __exit__(self, *exception):
        if self.poll() is None:
            self.kill()
        return super().__exit__(*exception)


def assert_same(got, want):
    detail = "status %d, natively %d\n%s" % (got.status, want.status, got.stderr[-2000:])
    if got.stdout != want.stdout:
        ours, theirs = got.stdout.splitlines(), want.stdout.splitlines()
        different = [(a, b) for a, b in zip(ours, theirs) if a != b][:5] or [(len(ours), len(theirs))]
        pytest.fail("standard output differs (in the enclave, natively): %s\n%s" % (different, detail))
    assert got.status == want.status, "exit status differs: " + detail


@pytest.fixture(scope="session")
def vigil(tmp_path_factory):
    if not VIGIL.exists():
        pytest.exit("%s is not built: run make" % VIGIL, returncode=3)
    home = tmp_path_factory.mktemp("home")
    (home / "tmp").mkdir()
    return Vigil(home)
