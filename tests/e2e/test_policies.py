# SPDX-License-Identifier: Apache-2.0
"""The policies of sgx.aex_notify: what each does to a whole program, and that they are measured (docs/policies.md).
The step detector has attackers of its own: tests/policies."""
import re

import pytest

from conftest import BUILD

COMPUTE = BUILD / "tests/programs/long_compute"
HELLO = BUILD / "tests/programs/hello"
INTERRUPTED = BUILD / "tests/programs/interrupted"

pytestmark = pytest.mark.cells(aexnotify=1)  # without AEX-Notify there is nothing to have a policy for


def run(vigil, *policies, program=COMPUTE, args=(), hz=2000, expect=0, options=()):
    words = [word for p in policies for word in ("--aex-policy", p)]
    done = vigil.run(program, *args, hz=hz, options=["--log-level", "warning", "--stats", *words, *options])
    assert done.status == expect, done
    return done


def stat(done, name):
    return sum(int(n) for n in re.findall(rf"stats: thread \d+:.*?{name} (\d+)", done.stderr))


def counter(done):
    return int(re.search(r"AEX-Notify counter at process exit: (\d+)", done.stderr).group(1))


def test_none_does_not_count(vigil):
    done = run(vigil, "mitigation=none")
    assert counter(done) == 0 and stat(done, "stubs") == 0
    assert done.stdout == vigil.native(str(COMPUTE)).stdout


def test_count_counts_and_runs_no_stub(vigil):
    done = run(vigil, "mitigation=count")
    assert counter(done) > 20 and stat(done, "stubs") == 0
    assert done.stdout == vigil.native(str(COMPUTE)).stdout


@pytest.mark.parametrize("policies", [[], ["mitigation=prefetch"]])
def test_prefetch_runs_the_stub_and_is_the_default(vigil, policies):
    done = run(vigil, *policies)
    assert counter(done) > 20
    assert stat(done, "stubs") >= counter(done) - stat(done, "delivered")
    assert done.stdout == vigil.native(str(COMPUTE)).stdout


@pytest.mark.cells(edmm=0, aexnotify=1)  # page faults are AEXs, too, and followed by the stub
def test_stub_on_syscall_return(vigil):
    without, with_it = (run(vigil, f"on_syscall_return={value}", program=HELLO, hz=0) for value in ("false", "true"))
    calls = int(re.search(r"stats: system calls (\d+)", with_it.stderr).group(1))
    others = calls // 2 if vigil.edmm else 1  # a page that comes when it is used: a stub, but no system call
    assert calls > 5 and stat(without, "stubs") <= others and stat(with_it, "stubs") >= calls - 1


def test_budget_is_said_once_or_ends_it(vigil):
    said = "interruptions since the last system call: 6, limit 5"
    done = run(vigil, "budget=5", hz=5000)
    assert done.stderr.count("interruptions since the last system call") == 1 and said in done.stderr
    assert done.stdout == vigil.native(str(COMPUTE)).stdout
    done = run(vigil, "budget=5", "budget_action=terminate", hz=5000, expect=4)
    assert said in done.stderr and not done.stdout
    done = run(vigil, "budget=1000000", "budget_action=terminate", hz=5000)
    assert "limit" not in done.stderr


def test_a_system_call_gives_a_new_budget(vigil):
    """Many more interruptions than the budget in all, and few between two system calls."""
    done = run(vigil, "budget=100", "budget_action=terminate", program=INTERRUPTED, args=("calls", "150"), hz=5000)
    assert stat(done, "notifications") - stat(done, "delivered") > 300, done.stderr
    assert "limit" not in done.stderr and done.stdout == b"calls: done\n"


@pytest.mark.parametrize("way, ticks", [("signals", 0), ("handler", 2000)])
def test_interruptions_do_not_give_a_new_budget(vigil, way, ticks):
    """The host decides when a signal comes and when an interruption calls a handler, so their returns give nothing."""
    done = run(vigil, "budget=50", "budget_action=terminate", program=INTERRUPTED, args=(way, "300"), hz=ticks, expect=4)
    assert "interruptions since the last system call: 51, limit 50" in done.stderr and not done.stdout


@pytest.mark.parametrize("policies, options", [(["mitigation=count"], []), (["mitigation=none"], []), ([], ["--aex-notify=off"])])
def test_no_stub_where_none_is_asked_for(vigil, policies, options):
    """On the return from a handler of a signal neither."""
    done = run(vigil, *policies, options=options, program=INTERRUPTED, args=("signals", "50"), hz=0)
    assert stat(done, "delivered") > 50 and stat(done, "stubs") == 0, done.stderr


def test_the_stub_runs_when_a_signal_handler_returns(vigil):
    done = run(vigil, program=INTERRUPTED, args=("signals", "50"), hz=0)
    assert stat(done, "stubs") > 90, done.stderr  # into most handlers, and back from each to what was interrupted


def test_slow_loops(vigil):
    done = run(vigil, "slow_limit=1", hz=5000)
    assert done.stderr.count("warm loops slower than the limit") == 1 and stat(done, "slow loops") >= 16
    done = run(vigil, "slow_limit=1", "slow_action=terminate", hz=5000, expect=4)
    assert "warm loops slower than the limit" in done.stderr
    done = run(vigil, "slow_limit=0", "slow_action=terminate", hz=5000)
    assert "slower" not in done.stderr


def test_ordinary_ticks_trip_nothing(vigil):
    done = run(vigil, "step_action=terminate", "slow_action=terminate", hz=5000)
    assert counter(done) > 50 and "limit" not in done.stderr


@pytest.mark.outside
@pytest.mark.parametrize("assignment, says", [
    ("mitigation=some", "none, count or prefetch"), ("mitigation", "KEY=VALUE"), ("mitigaton=none", "one of mitigation"),
    ("step_threshold=64", "between 0 (off) and 63"), ("step_threshold=-1", "step_threshold"), ("budget=many", "an integer"),
    ("budget_action=panic", "log or terminate"), ("on_syscall_return=1", "on_syscall_return"), ("", "KEY=VALUE"),
])
def test_bad_assignments(vigil, assignment, says):
    done = vigil.command("run", "--aex-policy", assignment, "--", HELLO)
    assert done.status == 2 and says in done.stderr and done.stderr.count("\n") == 1


MANIFEST = """\
loader.entrypoint = "file:{hello}"
libos.entrypoint = "{hello}"
fs.mounts = [ {{ path = "{hello}", uri = "file:{hello}" }} ]
sgx.allowed_files = [ "file:{hello}" ]
sgx.debug = true
sgx.enclave_size = "64M"
sgx.max_threads = 2
sgx.experimental_enable_aex_notify = true
{more}
{edmm}
"""


def manifest(vigil, tmp_path, name, more):
    path = tmp_path / f"{name}.manifest"
    path.write_text(MANIFEST.format(hello=HELLO, more=more, edmm=vigil.edmm_key()))
    return path


@pytest.mark.outside
@pytest.mark.parametrize("line, says", [
    ('sgx.aex_notify.mitigation = "some"', "none, count or prefetch"), ("sgx.aex_notify.budget = -1", "0 (off) or more"),
    ('sgx.aex_notify.step_threshold = "9"', "step_threshold"), ('sgx.aex_notify.slow_action = "stop"', "log or terminate"),
    ("sgx.aex_notify.bugdet = 7", "bugdet"),
])
def test_bad_lines_of_a_manifest(vigil, tmp_path, line, says):
    done = vigil.command("run", manifest(vigil, tmp_path, "bad", line))
    assert done.status == 3 and says in done.stderr and re.search(r"bad\.manifest:9:\d+", done.stderr), done.stderr


@pytest.mark.outside
@pytest.mark.parametrize("enabled", ["", "sgx.experimental_enable_aex_notify = false"])
def test_policies_of_a_manifest_without_aex_notify(vigil, tmp_path, enabled):
    """Who writes them believes to be protected."""
    path = manifest(vigil, tmp_path, "off", 'sgx.aex_notify.budget = 9')
    path.write_text(path.read_text().replace("sgx.experimental_enable_aex_notify = true", enabled))
    done = vigil.command("run", path)
    assert done.status == 3 and "off.manifest:9:" in done.stderr, done.stderr
    assert "sgx.aex_notify.budget" in done.stderr and "sgx.experimental_enable_aex_notify = true" in done.stderr


@pytest.mark.outside
def test_policies_of_the_command_line_without_aex_notify(vigil):
    done = vigil.command("run", "--aex-notify=off", "--aex-policy", "budget=9", "--", HELLO)
    assert done.status == 2 and "--aex-policy" in done.stderr and "off" in done.stderr and not done.stdout


@pytest.mark.outside
def test_help_says_that_policies_are_measured(vigil):
    text = vigil.command("run", "--help").stdout.decode()
    assert re.search(r"--aex-policy.*\n?.*MRENCLAVE", text)


def test_policies_are_measured(vigil, tmp_path):
    lines = {"plain": "", "count": 'sgx.aex_notify.mitigation = "count"', "budget": "sgx.aex_notify.budget = 9",
             "action": 'sgx.aex_notify.budget_action = "terminate"', "step": "sgx.aex_notify.step_threshold = 9",
             "step_action": 'sgx.aex_notify.step_action = "terminate"', "slow": "sgx.aex_notify.slow_limit = 9",
             "slow_action": 'sgx.aex_notify.slow_action = "terminate"', "calls": "sgx.aex_notify.on_syscall_return = true"}
    measured = {}
    for name, line in lines.items():
        done = vigil.command("info", manifest(vigil, tmp_path, name, line))
        measured[name] = re.search(r"(?i)mrenclave\D*?([0-9a-f]{64})", done.stdout.decode() + done.stderr).group(1)
    assert len(set(measured.values())) == len(lines), measured


def test_a_signed_image_keeps_them(vigil, tmp_path):
    path = manifest(vigil, tmp_path, "signed", "")
    assert vigil.command("sign", path).status == 0
    done = vigil.command("run", "--aex-policy", "mitigation=none", path)
    assert done.status == 2 and "measured" in done.stderr
