# SPDX-License-Identifier: Apache-2.0
"""Runs programs natively and in an enclave. The two must agree: same standard output, same exit status.

Every test that uses `vigil` is generated once for each cell of the matrix, (EDMM, AEX-Notify) in {0,1}x{0,1}, and
`vigil.run` runs a program as the cell has it. The markers say otherwise: `cells(edmm=1)`, `cells(aexnotify=0)` for a test
that has a meaning in these only, `rates(0, 250, 5000, edmm=(250,))` for the interrupts a second that a test with a
parameter `hz` is generated with (250; the second list is for cells with EDMM 1), `outside` for one that runs no enclave."""
import contextlib
import functools
import os
import pathlib
import resource
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import cells  # noqa: E402

BUILD = pathlib.Path(ROOT, os.environ.get("VIGIL_BUILD", "build"))
VIGIL = BUILD / "cli" / "vigil"
PROGRAMS = BUILD / "tests" / "programs"
BUSYBOX = "/usr/bin/busybox" if os.path.exists("/usr/bin/busybox") else "/bin/busybox"

EVERY_RATE = pytest.mark.rates(0, 250, 5000, edmm=(250, 5000))
ROUNDS = int(os.environ.get("VIGIL_ROUNDS", "1"))  # see tests/matrix.py

EDMM_OPTION = VIGIL.exists() and "--edmm" in subprocess.run(
    [VIGIL, "run", "--help"], capture_output=True, text=True, timeout=20, check=False).stdout

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
    edmm = aexnotify = 0  # of the cell that the present test runs in

    def __init__(self, home):
        self.env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C", "TZ": "UTC", "TMPDIR": str(home / "tmp"),
                    "XDG_CONFIG_HOME": str(home / "config"), "EDITOR": "a b=c"}
        self.native = functools.lru_cache(maxsize=None)(self._native)
        self.seconds_apart = 0.0

    @contextlib.contextmanager
    def apart(self):
        """For work that only the first cell does, others find it done: does not count as time of the cell."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds_apart += time.perf_counter() - begin

    def _native(self, *argv, stdin=b"", cwd=None):
        with self.apart():
            return execute(argv, stdin=stdin, env=self.env, cwd=cwd)

    def command(self, *options, env=None, **more):
        """vigil OPTIONS..., whatever the cell"""
        return execute([VIGIL, *options], env=dict(self.env, **(env or {})), **more)

    def cell(self):
        """The options that select the cell."""
        return ["--aex-notify=" + ("off", "on")[self.aexnotify]] + ["--edmm=" + ("off", "on")[self.edmm]] * EDMM_OPTION

    def edmm_key(self):
        """What a manifest must have for the cell."""
        return "sgx.edmm_enable = true" if self.edmm else ""

    @staticmethod
    def needs_edmm():
        if not EDMM_OPTION:
            pytest.skip("EDMM=1: this vigil has no dynamic memory, no --edmm in `vigil run --help`")

    def argv(self, *program, hz=250, options=()):
        return [str(a) for a in (VIGIL, "run", *self.cell(), "--tick-hz", hz, *options, "--", *program)]

    def run(self, *program, hz=250, options=(), env=None, **more):
        """vigil run OPTIONS -- PROGRAM"""
        return execute(self.argv(*program, hz=hz, options=options), env=dict(self.env, **(env or {})), **more)

    def start(self, *program, hz=250, options=(), **more):
        """The same, not waited for: a Popen. Use it in a with statement, which kills what is left."""
        return Running(self.argv(*program, hz=hz, options=options), self.env, **more)

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


# ---- the matrix ----

@dataclass(frozen=True)
class Place:
    """What a test is generated for: a cell, and a round of `make matrix`."""
    edmm: int
    aexnotify: int
    round: int

    def __str__(self):
        return "EDMM=%d-AEXNOTIFY=%d" % (self.edmm, self.aexnotify) + (":round-%d" % self.round) * (ROUNDS > 1)


def pytest_configure(config):
    for line in ("cells(edmm, aexnotify): only generated where these are so", "outside: runs no enclave, once",
                 "rates(*hz, edmm): interrupts a second for hz, default 250; edmm: other ones with EDMM"):
        config.addinivalue_line("markers", line)
    try:
        config.cells = cells.selected()
    except cells.Usage as wrong:
        raise pytest.UsageError(str(wrong)) from None


def in_cell(mark, edmm, notify):
    wanted = mark.kwargs if mark else {}
    return wanted.get("edmm", edmm) == edmm and wanted.get("aexnotify", notify) == notify


def pytest_generate_tests(metafunc):
    mark = metafunc.definition.get_closest_marker
    if "vigil" not in metafunc.fixturenames or mark("outside"):
        return
    here = [cell for cell in metafunc.config.cells if in_cell(mark("cells"), *cell)]
    places = [Place(*cell, number) for number in range(ROUNDS) for cell in here]
    if "hz" not in metafunc.fixturenames:
        metafunc.parametrize("place", places, indirect=True, ids=str)
        return
    rates = mark("rates")
    always, edmm = (rates.args, rates.kwargs.get("edmm", rates.args)) if rates else ((250,), (250,))
    combined = [(place, hz) for place in places for hz in (edmm if place.edmm else always)]
    metafunc.parametrize("place,hz", combined, indirect=["place"], ids=["%s-%d" % pair for pair in combined])


def pytest_collection_modifyitems(config, items):
    """Round by round, and in each a test in all its cells, rotating, before the next test; and no place, no test."""
    for item in items:
        place = item.callspec.params.get("place") if hasattr(item, "callspec") else None
        item.place = place if isinstance(place, Place) else None
        item.test = item.nodeid.replace(str(item.place), "*") if item.place else item.nodeid
    nowhere = {item for item in items
               if not item.place and "vigil" in item.fixturenames and not item.get_closest_marker("outside")}
    if nowhere:
        config.hook.pytest_deselected(items=list(nowhere))
    turn = {}
    for item in items:
        turn.setdefault(item.test, len(turn))
    order = config.cells

    def key(item):
        if not item.place:
            return (0, turn[item.test], 0)
        at = order.index((item.place.edmm, item.place.aexnotify))
        return (item.place.round, turn[item.test], (at + item.place.round + turn[item.test]) % len(order))

    items[:] = sorted((item for item in items if item not in nowhere), key=key)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """Notes what tests/cells.py reads."""
    vigil_ = item.funcargs.get("vigil")
    before, begin = vigil_.seconds_apart if vigil_ else 0, time.perf_counter()
    yield
    seconds = time.perf_counter() - begin - (vigil_.seconds_apart - before if vigil_ else 0)
    item.user_properties += [("seconds", "%.6f" % seconds)]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """The cell is in force before any fixture runs, those of a module included."""
    item.user_properties += [("test", item.test)]
    if item.place:
        item.user_properties += [("edmm", item.place.edmm), ("aexnotify", item.place.aexnotify)]
        if item.place.edmm:
            Vigil.needs_edmm()
    Vigil.edmm, Vigil.aexnotify = (item.place.edmm, item.place.aexnotify) if item.place else (0, 0)


@pytest.fixture(autouse=True)
def place(request):
    """What pytest_generate_tests made the test for."""
    return getattr(request, "param", None)


@pytest.fixture(scope="session")
def vigil(tmp_path_factory):
    if not VIGIL.exists():
        pytest.exit("%s is not built: run make" % VIGIL, returncode=3)
    home = tmp_path_factory.mktemp("home")
    (home / "tmp").mkdir()
    return Vigil(home)
