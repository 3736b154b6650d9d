# SPDX-License-Identifier: Apache-2.0
"""GDB inside an enclave with AEX-Notify on, driven in batch mode. Where gdb does the same to the native program, the
two transcripts must agree."""
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
VIGIL = os.path.abspath(os.environ.get("VIGIL", ROOT / "build/cli/vigil"))
RUNTIME = os.environ.get("VIGIL_RUNTIME", pathlib.Path(VIGIL).parent / "../enclave/vigil-runtime.elf")
TARGETS = pathlib.Path(os.environ.get("VIGIL_GDB_TARGETS", ROOT / "build/tests/gdb"))
TARGET, PIE = TARGETS / "target", TARGETS / "target-pie"
SOURCE = pathlib.Path(__file__).with_name("target.c").read_text().splitlines()
STEPPER = pathlib.Path(__file__).with_name("stepper.py")

def line(mark):
    """The number of the line with this marker."""
    found = [n for n, text in enumerate(SOURCE, 1) if "/* MARK %s */" % mark in text]
    assert len(found) == 1, mark
    return found[0]


def run(argv, timeout=60, **more):
    result = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, timeout=timeout, text=True, errors="replace", **more)
    return result


def flags(commands):
    return [a for c in commands for a in ("--ex", c)]


def enclave(*commands, program=TARGET, args=(), hz=250, options=(), gdb=(), **more):
    """The transcript of gdb in the enclave."""
    gdb_args = [a for g in ("-nx", *gdb) for a in ("--gdb-arg", g)]
    return run([VIGIL, "gdb", "--batch", *gdb_args, *flags(commands), "--tick-hz", hz, *options, "--", program, *args],
               **more).stdout


def native(*commands, program=TARGET, args=()):
    return run(["gdb", "-q", "-nx", "--batch", "-ex", "set breakpoint pending on", *flags(commands), "--args", program,
                *args]).stdout


def places(transcript):
    """The source lines gdb stopped at, in order."""
    return [int(n) for n in re.findall(r"^(?:0x[0-9a-f]+\t)?(\d+)\t", transcript, re.M)]


def number(pattern, transcript):
    found = re.findall(pattern, transcript)
    assert found, "no %r in:\n%s" % (pattern, transcript)
    return int(found[-1])


def frames(transcript):
    return re.findall(r"^#\d+ +(?:0x[0-9a-f]+ in )?([\w.<> ]+?)(?: \(|$)", transcript, re.M)


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


# ---- breakpoints and backtraces -------------------------------------------------------------------------------------
@pytest.mark.parametrize("program", [TARGET, PIE], ids=["linked address", "static-pie"])
@pytest.mark.parametrize("hz", [250, 1000])
def test_breakpoint_and_backtrace(program, hz):
    """Set before run, pending; arguments and lines are right; AEX-Notify stays on."""
    out = enclave("break innermost", "run", "bt", "vigil status", program=program, hz=hz)
    assert "Breakpoint 1, innermost (n=41) at" in out, out
    assert frames(out) == ["innermost", "middle", "outer", "main"], out
    assert line("innermost") in places(out)
    assert "thread 1: application mode" in out
    assert re.search(r"^AEX-Notify +on, SSA\[0\].AEXNOTIFY \(armed\) 1$", out, re.M), out
    assert number(r"notifications (\d+)", out) > 0
    assert re.search(r"CSSA 0 of 2", out)


def test_without_aex_notify():
    out = enclave("break innermost", "run", "bt", "vigil status", options=["--aex-notify=off"])
    assert frames(out) == ["innermost", "middle", "outer", "main"], out
    assert re.search(r"^AEX-Notify +off", out, re.M), out


def test_output_and_exit_status():
    """The program does what it does without gdb, with breakpoints hit on the way."""
    alone = run([TARGET])
    assert alone.returncode == 23
    out = enclave("break handler", "break kmalloc", "break middle", "run", *["continue"] * 6, hz=1000)
    printed = [l for l in out.splitlines() if l in alone.stdout.splitlines()]
    assert printed == alone.stdout.splitlines(), out
    assert "exited with code 027]" in out, out
    status = run([VIGIL, "gdb", "--batch", "--gdb-arg", "-nx", "--gdb-arg", "--return-child-result", "--ex", "run",
                  "--", TARGET])
    assert status.returncode == 23


def test_conditional_breakpoint_and_hit_count():
    """1000 passes at 1000 ticks a second: each is counted once."""
    where = "target.c:%d" % line("loop body")
    out = enclave("break " + where, "ignore 1 2000", "break %s if i == 700" % where, "run", "print i",
                  "info breakpoints 2", "delete 2", "continue", "info breakpoints 1", hz=1000)
    assert "$1 = 700" in out, out
    assert "breakpoint already hit 1 time\n" in out, out
    assert "breakpoint already hit 1000 times" in out, out


def test_watchpoint():
    commands = ("break many_lines", "run", "watch counter", "continue", "continue", "delete", "continue")
    want, out = native(*commands), enclave(*commands, hz=1000)
    if "Hardware watchpoint 2" not in want:
        pytest.skip("no debug registers here")
    values = r"^(?:Old|New) value = (-?\d+)$"
    assert re.findall(values, want, re.M) and re.findall(values, out, re.M) == re.findall(values, want, re.M), out
    assert "exited with code 027]" in out


def test_name_that_the_runtime_has_too():
    out = enclave("break kmalloc", "run", "bt", "info breakpoints", "continue")
    assert frames(out) == ["kmalloc", "main"], out
    assert "exited with code 027]" in out, out


def test_run_again():
    out = enclave("break middle", "run", "delete 2", "kill", "run", "bt", "continue", "continue", "run", "bt")
    assert frames(out) == ["middle", "outer", "main"] * 2, out
    assert "Cannot" not in out, out


# ---- stepping -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("hz", [250, 1000])
def test_next(hz):
    """Over lines, calls, a long computation, a signal and threads: where native gdb stops, and the interrupts came."""
    commands = ["handle SIGUSR1 nostop noprint pass", "break main", "run"] + ["next"] * 22
    want = places(native(*commands))
    out = enclave(*commands, "vigil status", "continue", hz=hz)
    assert len(want) > 20
    assert places(out) == want, out
    assert number(r"notifications (\d+)", out) > 20
    assert "exited with code 027]" in out, out


@pytest.mark.parametrize("interrupts", ["hold", "deliver"])
@pytest.mark.parametrize("hz", [250, 1000])
def test_step(interrupts, hz):
    commands = ["break outer", "run"] + ["step"] * 20 + ["tbreak many_lines", "continue"] + ["step"] * 30
    want = places(native(*commands))
    out = enclave("vigil interrupts " + interrupts, *commands, "continue", hz=hz)
    assert len(want) > 45
    assert places(out) == want, out
    assert "exited with code 027]" in out, out


@pytest.mark.parametrize("interrupts", ["hold", "deliver"])
@pytest.mark.parametrize("hz", [250, 1000])
def test_stepi(interrupts, hz):
    """Every instruction of a function that makes system calls, and of its callers behind it. Over `syscall` gdb steps
    two instructions: the second time it sees the address behind is when the runtime is done."""
    commands = ("break raw_system_calls", "run", "vigil status", "source %s" % STEPPER, "python steps(120)",
                "vigil status", "delete", "continue")
    want = native(*[c for c in commands if not c.startswith("vigil ")])
    out = enclave("vigil interrupts " + interrupts, *commands, hz=hz)
    disassembly = run(["gdb", "-q", "-nx", "--batch", "-ex", "disassemble raw_system_calls", TARGET]).stdout
    behind = re.search(r"syscall\s*\n\s*(0x0*[0-9a-f]+)", disassembly)
    addresses = [[int(a, 16) for a in re.search(r"^STEPS (.*)$", t, re.M)[1].split()] for t in (want, out)]
    assert behind and int(behind[1], 16) in addresses[0]
    want_steps = [a for a in addresses[0] if a != int(behind[1], 16)]
    length = min(len(want_steps), len(addresses[1]))
    assert length > 100
    assert addresses[1][:length] == want_steps[:length]
    counts = [int(n) for n in re.findall(r"notifications (\d+)", out)]
    if interrupts == "deliver" and hz == 1000:
        assert counts[1] - counts[0] > 20, "ticks came in the middle of steps: %s" % counts
    assert "system calls: 3\n" in out and "exited with code 027]" in out, out


def test_stepped_pushf_does_not_show_the_trap_flag():
    out = enclave("break trap_flag", "run", "source %s" % STEPPER, "python steps(12)", "delete", "continue")
    assert "TF: 0\n" in out and "exited with code 027]" in out, out


@pytest.mark.parametrize("command", ["step", "next"])
def test_step_over_the_gate(command):
    """A system call without a trap is a jump into the runtime."""
    out = enclave("tbreak target.c:%d" % line("gate"), "run", command, command, "continue", hz=1000)
    assert places(out)[:2] == [line("gate"), line("after gate")], out
    assert "gate: 1\n" in out and "TF: 0\n" in out and "exited with code 027]" in out, out


def test_stepi_through_the_gate():
    """Every instruction of the runtime's way in, PUSHF among them, up to the C code."""
    out = enclave("tbreak target.c:%d" % line("gate"), "run", "tbreak runtime_gate_syscall", "source %s" % STEPPER,
                  "python steps(80, 'runtime_gate_syscall')", "bt", "delete", "continue")
    assert frames(out)[0] == "runtime_gate_syscall" and frames(out)[-2:] == ["gate_system_call", "main"], out
    assert "gate: 1\n" in out and "TF: 0\n" in out and "exited with code 027]" in out, out


def test_finish():
    out = enclave("break innermost", "run", "finish", "bt", "finish", "finish", hz=1000)
    assert re.findall(r"Value returned is \$\d+ = (\d+)", out) == ["82", "83", "84"], out
    assert frames(out) == ["middle", "outer", "main"], out


# ---- threads, signals -----------------------------------------------------------------------------------------------
def test_threads():
    out = enclave("break thread_main", "run", "info threads", "bt", "vigil status", "thread apply all bt", "continue",
                  "continue", "continue", hz=1000)
    assert [int(n) for n in re.findall(r"thread_main \(arg=0x(\d)\) at .*:%d$" % (line("thread") - 1), out, re.M)
            if n] and len(re.findall(r"hit Breakpoint 1, thread_main", out)) == 3, out
    assert re.search(r"^\* 2 +LWP \d+ .*thread_main \(arg=0x2\)", out, re.M), out
    assert re.search(r"^thread 2: application mode$", out, re.M) and "slot 1" in out, out
    # The first thread, wherever it is, is below main.
    first = out[out.rindex("Thread 1 (LWP"):]
    assert "in main (" in first[:first.index("\n\n")], out
    assert "threads: 29\n" in out and "exited with code 027]" in out, out


def test_signal_handler():
    out = enclave("break handler", "run", "bt", "finish", "up", "tbreak %d" % line("handled"), "continue", hz=1000)
    names = frames(out)
    assert names[:2] == ["handler", "<signal handler called>"] and "main" in names and "raise" in names, out
    assert places(out)[-1] == line("handled"), out


def test_crash():
    out = enclave("run", "bt", "continue", args=["crash"])
    assert re.search(r"Catchpoint \d+ \(signal SIGSEGV\), main \(argc=2.*:%d$" % line("crash"), out, re.M), out
    assert "Program terminated with signal SIGSEGV" in out, out


@pytest.mark.parametrize("what, sig", [("illegal", "SIGILL"), ("abort", "SIGABRT")])
def test_end_by_signal(what, sig):
    """Stops in the host, and the backtrace goes from there through the runtime to main."""
    out = enclave("run", "bt", "vigil app-bt", "continue", args=[what])
    assert "main" in frames(out)[:frames(out).index("main") + 1] and "runtime_stage2" in frames(out), out
    assert "Program terminated with signal " + sig in out, out


def test_own_breakpoint_instruction():
    """int3 in the program: without gdb its SIGTRAP, in gdb a stop, and the program's signal if asked for."""
    assert run([VIGIL, "run", "--", TARGET, "int3"]).stdout.endswith("own trap: 5\n")
    out = enclave("run", "continue", args=["int3"])
    assert "Program received signal SIGTRAP" in out and "own trap: 0\n" in out, out
    out = enclave("run", "signal SIGTRAP", args=["int3"])
    assert "own trap: 5\n" in out, out


def test_debuggers_breakpoint_is_none_of_the_programs():
    """The program has a SIGTRAP handler; it must never run."""
    out = enclave("break own_trap", "break innermost", "run", "continue", "continue", "delete 2", "continue", hz=1000)
    assert out.count("Breakpoint 2, innermost") == 3 and "Breakpoint 1, own_trap" not in out, out
    assert "exited with code 027]" in out, out


# ---- the runtime ----------------------------------------------------------------------------------------------------
def test_runtime_backtrace():
    out = enclave("break sys_rt_sigaction", "run", "vigil status", "vigil app-bt", "bt", "finish")
    assert "thread 1: runtime mode" in out and "(armed) 0" in out, out
    names = frames(out)
    assert names[names.index("sys_rt_sigaction"):][:1] and "runtime_stage2" in names and names[-1] == "main", out
    assert "Value returned is" in out, out
    status, rest = out.split("thread 1: runtime mode")[1].split("#", 1)
    assert "sys_rt_sigaction" not in rest.splitlines()[0], "app-bt begins with the application: " + out


def test_stage1_backtrace():
    out = enclave("break compute", "run", "break stage1", "continue", "bt", "vigil status", hz=1000)
    names = frames(out)
    assert names[0] == "stage1" and names[-2:] == ["compute", "main"], out
    assert "thread 1: stage 1" in out and "CSSA 1 of 2" in out, out


def test_interrupt_from_the_keyboard():
    """Ctrl-C while the program sleeps in an OCALL."""
    gdb = subprocess.Popen([VIGIL, "gdb", "--batch", "--gdb-arg", "-nx", *flags(["run", "vigil status", "bt", "kill"]),
                            "--", str(TARGET), "sleep"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + 30
        seen = ""
        while "sleeping" not in seen:
            seen += gdb.stdout.readline()
            assert time.monotonic() < deadline, seen
        time.sleep(0.5)
        child = int(pathlib.Path("/proc/%d/task/%d/children" % (gdb.pid, gdb.pid)).read_text().split()[0])
        os.kill(child, signal.SIGINT)
        out = gdb.communicate(timeout=30)[0]
    finally:
        if gdb.poll() is None:
            gdb.kill()
    assert "Program received signal SIGINT" in out and "thread 1: outside, in an OCALL" in out, out
    assert frames(out)[-2:] == ["sleep", "main"] and "libos_syscall" in frames(out), out


@pytest.mark.parametrize("leaf, functions, behind", [
    ("EEXIT", {"ocall_raw"}, "host.host_ocall"),
    ("EDECCSSA", {"stage1_deliver", "stage1_done"}, "runtime_stage2"),
])
def test_step_over_enclu(leaf, functions, behind):
    """EEXIT and EDECCSSA, stepped: gdb has a breakpoint on the instruction by the time its signal is looked at. It does
    not see the end of such a step, so that a breakpoint has to be behind."""
    symbols = run(["nm", RUNTIME]).stdout.split()
    function = next(f for f in functions if f in symbols)
    out = enclave("break %s" % function, "run", "source %s" % STEPPER, "delete 1", "tbreak %s" % behind,
                  "python steps(300, '%s')" % behind, "info symbol $pc", "continue", hz=1000)
    assert re.search(r"^%s(?: \+ \d+)? in section" % re.escape(behind), out, re.M), out
    assert "exited with code 027]" in out, out


def test_attach_and_detach():
    """To a program that waits for input, which afterwards does what it does alone."""
    alone = run([TARGET])
    with subprocess.Popen([VIGIL, "run", "--tick-hz", "1000", "--", str(TARGET), "wait"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            program.stderr.readline()
            wait_until(lambda: "S" in pathlib.Path("/proc/%d/stat" % program.pid).read_text().split()[2])
            time.sleep(0.5)
            out = run([VIGIL, "gdb", "--batch", "--gdb-arg", "-nx",
                       *flags(["bt", "vigil status", "break outer", "detach"]), "--pid", program.pid]).stdout
            stdout = program.communicate("x", timeout=30)[0]
        finally:
            program.kill()
    assert frames(out)[-1] == "main" and "thread 1: outside, in an OCALL" in out, out
    assert stdout == alone.stdout and program.returncode == 23, out


# ---- the command ----------------------------------------------------------------------------------------------------
def test_environment_is_the_programs():
    """What `vigil gdb` got, and what the shell that gdb starts programs with adds."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "COLOUR": "green"}
    out = enclave("run", args=["environment"], env=environment)
    got = dict(l.split("=", 1) for l in out.splitlines() if re.match(r"\w+=", l))
    assert {k: v for k, v in got.items() if k not in ("_", "SHLVL", "PWD", "OLDPWD")} == environment, out


def test_arguments():
    out = enclave("break main", "run", "print argv[1]", "print argv[2]", "print argv[3]",
                  args=["a b", "it's", '"$HOME" *'])
    assert '"a b"' in out and '"it\'s"' in out and r'"\"$HOME\" *"' in out, out


@pytest.mark.parametrize("args, status, words", [
    (["gdb"], 2, "nothing to debug"),
    (["gdb", "--ex"], 2, "wants an argument"),
    (["gdb", "--pid", "x1"], 2, "number of a process"),
    (["gdb", "--pid", "1", "--", "true"], 2, "no program or manifest"),
    (["gdb", "--aex", "every", "--", "true"], 2, "--tick-hz works"),
    (["gdb", "--gdb", "/nonexistent/gdb", "--", "true"], 127, "install the Debian package gdb"),
])
def test_wrong_command_line(args, status, words):
    result = run([VIGIL, *args])
    assert result.returncode == status and words in result.stdout and len(result.stdout.splitlines()) == 1, result


def test_help():
    result = run([VIGIL, "gdb", "--help"])
    assert result.returncode == 0 and result.stdout.startswith("usage: vigil gdb")


def test_status_without_enclave():
    out = enclave("vigil status", "vigil app-bt")
    assert out.count("no enclave: the program is not running yet") >= 1, out
