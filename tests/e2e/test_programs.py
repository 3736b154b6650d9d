# SPDX-License-Identifier: Apache-2.0
"""The test programs, in every mode: what they print and how they end must not depend on where they run."""
import re

import pytest

from conftest import EVERY_RATE, PROGRAMS, assert_same, execute

# Every one prints "NAME: ok" for each thing it checked; a native run that does not is a broken test.
EVERYWHERE = [
    "bad_pointers", "clocks", "context", "dirs", "fault_context", "fault_context_pie", "faults", "faults_pie", "files",
    "fpenv_threads", "futex", "memory", "memory_pie", "net_epoll", "pipes", "redzone", "signals", "signals_blocking", "signals_pie", "signal_fds", "small_calls",
    "sockets", "storm",
    "dynamic", "exceptions", "signals_dyn", "storm_dyn", "storm_musl", "storm_pie", "syscall_regs", "syscall_regs_pie", "threads", "timers", "start_state",
]
# Other builds and long ones.
SOME = ["clocks_dyn", "clocks_musl", "dirs_musl", "malloc_stress", "malloc_stress_musl",
        "pipes_musl", "signals_blocking_musl", "sockets_musl", "net_epoll_musl", "threads_many",
        "exec", "exec_dyn", "faults_dyn", "fifos", "files_dyn", "memory_dyn", "mmap_shared", "shm", "rewrite", "rewrite_dyn", "threads_dyn", "timers_dyn", "threads_many_musl", "threads_pie", "timers_musl", "hello_pie"]


def check(vigil, name, hz, *args, **more):
    native = vigil.compare(PROGRAMS / name, *args, hz=hz, **more)
    assert native.status == 0 and native.stdout, native


@EVERY_RATE
@pytest.mark.parametrize("name", EVERYWHERE)
def test_everywhere(vigil, name, hz):
    check(vigil, name, hz)


@pytest.mark.rates(5000, edmm=(250,))
@pytest.mark.parametrize("name", SOME)
def test_some(vigil, name, hz):
    check(vigil, name, hz)


def test_waits(vigil, hz):
    """At the usual rate: a tick brings a thread that waits in poll or the like into the enclave once, which at 5,000 a second
    takes a third of a processor."""
    check(vigil, "waits", hz)


def test_short_intervals(vigil, hz):
    run = vigil.run(PROGRAMS / "short_intervals", hz=hz, timeout=10)
    assert run.status == 0 and run.stdout.count(b": ok\n") == 3, run


@pytest.mark.parametrize("section", [
    "event counters",
    "epoll",
    "sets in sets",
    "socket pairs",
])
def test_events(vigil, section, hz):
    check(vigil, "events", hz, "--only", section)


@pytest.mark.parametrize("section", [
    "packet information",
    "time stamps",
    "credentials",
    "descriptors cut off",
    "broken stream",
    "senders",
    "client names",
    "broken datagrams",
    "broken packets",
    "headers",
    "objects",
    "timeouts of accepted",
])
def test_messages(vigil, section, hz):
    check(vigil, "net_msg", hz, "--only", section)


@pytest.mark.parametrize("name", ["exec", "exec_dyn"])
def test_many_programs(vigil, name, hz):
    check(vigil, name, hz, "again")


@EVERY_RATE
def test_vector_state(vigil, hz):
    check(vigil, "fpstate", hz, 60)


@EVERY_RATE
def test_long_computation(vigil, hz):
    check(vigil, "long_compute", hz, 500000)


@pytest.mark.parametrize("name", ["env_args", "env_args_dyn", "env_args_pie", "hello", "hello_dyn", "hello_musl"])
def test_arguments(vigil, name, hz):
    check(vigil, name, hz, "one", "two words", "", "--", "-x", "\u00fc\n\t", "x" * 5000)


def test_many_arguments(vigil):
    check(vigil, "env_args", 250, *("argument-%d" % i for i in range(2000)))


def test_many_variables(vigil):
    program = str(PROGRAMS / "env_args")
    env = dict({"VARIABLE_%d" % i: "value %d" % i for i in range(300)}, EMPTY="", LONG="y" * 20000, ODD="a=b=c")
    native = execute([program], env=dict(vigil.env, **env))
    assert b"VARIABLE_299=value 299" in native.stdout
    assert_same(vigil.run(program, env=env), native)


def test_large_output_and_input(vigil, hz):
    text = b"".join(b"line %d of the input\n" % i for i in range(20000))
    check(vigil, "stdio_large", hz, 700, stdin=text)


def test_reading_a_clock_stays_inside(vigil):
    run = vigil.run(PROGRAMS / "clocks", "--read", "2000000", options=["--stats"], hz=0)
    assert run.stdout == b"read\n" and run.status == 0
    calls = int(re.search(r"stats: system calls (\d+)", run.stderr).group(1))
    assert calls < 5000, run.stderr
