# SPDX-License-Identifier: Apache-2.0
"""vigil sweep: finds a planted race, repeats it, and says what is wrong with its command line."""
import json
import os
import re
import resource
import shlex
import signal
import subprocess
import time

import pytest

VIGIL = os.environ.get("VIGIL", "build/cli/vigil")

# The handler adds what main() is about to add itself: wrong only if the signal comes between the two stores.
RACE = r"""
#include <signal.h>
#include <stdio.h>
static volatile int total, pending;
static void handler(int s) { (void)s; total += pending; pending = 0; }
__attribute__((noinline)) static void work(void)
{ for (int i = 0; i < 5; i++) { pending = 1; total += pending; pending = 0; } }
int main(void) { signal(SIGALRM, handler); work(); printf("total %d\n", total); return total != 5; }
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    where = tmp_path_factory.mktemp("sweep")
    sources = {
        "race": RACE,
        "clock": '#include <stdio.h>\n#include <time.h>\nint main(void) { struct timespec t; '
                 'clock_gettime(CLOCK_MONOTONIC, &t); printf("%ld\\n", t.tv_nsec); }',
        # Takes another way when it is slow, as it is when it is single-stepped.
        "hasty": '#include <stdio.h>\n#include <time.h>\nint main(void) { struct timespec a, b; '
                 'clock_gettime(CLOCK_MONOTONIC, &a); for (volatile int i = 0; i < 20000; i++); '
                 'clock_gettime(CLOCK_MONOTONIC, &b); '
                 'return (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 > 150; }',
        "long_loop": 'int main(void) { __asm__ volatile("mov $300000, %%ecx\\n.globl again\\nagain: dec %%ecx\\njnz again" '
                     '::: "ecx", "cc"); return 0; }',
        # Prints without end if the signal comes.
        "flood": '#include <signal.h>\n#include <string.h>\n#include <unistd.h>\nstatic volatile int on;\n'
                 'static void handler(int s) { on = s; }\n__attribute__((noinline)) static void work(void) { on = on; }\n'
                 'int main(int argc, char **argv) { static char text[65536]; memset(text, 46, sizeof(text)); '
                 'signal(SIGALRM, handler); on = argc > 1 && argv; work(); '
                 'while (on) if (write(1, text, sizeof(text)) < 0) pause(); return 0; }',
        "echo": '#include <stdio.h>\nint main(void) { int c; while ((c = getchar()) != EOF) putchar(c ^ 1); return 3; }',
    }
    for name, text in sources.items():
        (where / (name + ".c")).write_text(text)
        subprocess.run(["cc", "-O1", "-static", "-o", where / name, where / (name + ".c")], check=True)
    subprocess.run(["cc", "-O1", "-static-pie", "-o", where / "race_pie", where / "race.c"], check=True)
    subprocess.run(["strip", "-o", where / "stripped", where / "race"], check=True)
    return where


def sweep(*arguments, stdin=subprocess.DEVNULL, timeout=120, file_size=None):
    def limit():
        if file_size:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    return subprocess.run([VIGIL, "sweep", *map(str, arguments)], stdin=stdin, capture_output=True, text=True, timeout=timeout,
                          preexec_fn=limit)


@pytest.mark.parametrize("program", ["race", "race_pie"])
def test_finds_a_race_and_repeats_it(programs, program):
    r = sweep("--region", "work", "--inject", "signal", "--signal", "14", "--stride", "1", "--", programs / program)
    assert r.returncode == 1, r.stderr
    assert "FAILED at work+0x" in r.stdout and "another exit status" in r.stdout
    command = shlex.split(re.search(r"^  vigil (sweep .*)$", r.stdout, re.M).group(1))
    again = subprocess.run([VIGIL, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert again.returncode == 1
    assert re.search(r"^total [^5]", again.stdout, re.M)
    assert "another exit status" in again.stderr


@pytest.mark.parametrize("options", [["--inject", "aex"], ["--inject", "fault"], ["--inject", "claim"],
                                     ["--inject", "signal"], ["--depth", "2", "--stride", "5,150"],
                                     ["--depth", "2", "--inject", "fault,signal", "--stride", "3,150"]])
def test_what_the_program_cannot_see(programs, options):
    r = sweep("--region", "work", *options, "--", programs / "race")
    assert r.returncode == 0, r.stdout + r.stderr
    assert ", 0 failed" in r.stdout and " 0 runs" not in r.stdout


def test_json(programs):
    r = sweep("--json", "--region", "work", "--inject", "signal", "--signal", "14", "--", programs / "race")
    assert r.returncode == 1, r.stderr
    result = json.loads(r.stdout)
    assert result["runs"] == result["boundaries"] and result["failed"] == len(result["failures"]) > 0
    assert all(f["place"].startswith("work+0x") and f["schedule"].startswith("signal:") for f in result["failures"])


def test_from_one_symbol_to_another(programs):
    whole = json.loads(sweep("--json", "--region", "main", "--stride", "500", "--", programs / "race").stdout)
    part = json.loads(sweep("--json", "--region", "main..work", "--stride", "500", "--", programs / "race").stdout)
    assert 0 < part["instructions"] < whole["instructions"]


def test_all_and_automatic_stride(programs):
    r = sweep("--all", "--stride", "2000", "--", programs / "race")
    assert r.returncode == 0, r.stderr
    assert int(re.search(r"(\d+) instructions", r.stdout).group(1)) > 1000


def test_input_is_given_to_every_run(programs, tmp_path):
    (tmp_path / "input").write_text("some text\n")
    with open(tmp_path / "input") as stdin:
        r = sweep("--region", "main", "--stride", "100", "--", programs / "echo", stdin=stdin)
    assert r.returncode == 0, r.stdout + r.stderr


@pytest.mark.parametrize("arguments, code, message", [
    ([], 2, "nothing to sweep"),
    (["--depth", "3", "--", "race"], 2, "--depth is 1 or 2"),
    (["--inject", "nmi", "--", "race"], 2, "--inject is"),
    (["--signal", "9", "--", "race"], 2, "--signal is"),
    (["--stride", "0", "--", "race"], 2, "--stride is"),
    (["--stride", "3,", "--", "race"], 2, "--stride is"),
    (["--region", "..work", "--", "race"], 2, "--region is"),
    (["--region", "work", "--all", "--", "race"], 2, "one of them"),
    (["--replay", "aex:1", "--", "race"], 2, "--replay wants"),
    (["--region", "wrok", "--", "race"], 3, "nearest name is work"),
    (["--", "stripped"], 3, "no symbol table"),
    (["--", "clock"], 3, "two undisturbed runs differ"),
    (["--region", "abort", "--", "race"], 3, "never reached"),
    (["--", "nothing-there"], 127, "nothing-there"),
    (["--limit", "0", "--", "race"], 2, "--limit is"),
    (["--colour", "--", "race"], 2, "not an option"),
])
def test_says_what_is_wrong(programs, arguments, code, message):
    if arguments and arguments[-1] != "nothing-there":
        arguments = [*arguments[:-1], programs / arguments[-1]]
    r = sweep(*arguments)
    assert r.returncode == code, r.stderr
    assert message in r.stderr
    assert r.stderr.count("\n") <= 2


def test_neither_input_nor_output_is_kept_without_limit(programs):
    with open("/dev/zero") as zeros:
        r = sweep("--", programs / "echo", stdin=zeros, timeout=30, file_size=1 << 29)
    assert r.returncode == 3
    assert "standard input has more than 64 MB" in r.stderr and "</dev/null" in r.stderr
    r = sweep("--", programs / "flood", "1", timeout=30, file_size=1 << 29)
    assert r.returncode == 3
    assert "flood: prints more than 64 MB" in r.stderr and "into a file" in r.stderr
    r = sweep("--region", "work", "--inject", "signal", "--signal", "14", "--", programs / "flood", timeout=30,
              file_size=1 << 29)
    assert r.returncode == 1, r.stderr
    assert "it printed without end" in r.stdout


def test_interrupted_it_says_how_far_it_got(programs):
    p = subprocess.Popen([VIGIL, "sweep", "--all", "--stride", "1", "--", str(programs / "race")], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(3)
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=30)
    assert p.returncode == 130, err
    assert out.splitlines()[-1].startswith("interrupted: ")


def test_a_failure_of_the_stepped_run_has_no_event_to_repeat(programs):
    r = sweep("--region", "main", "--stride", "1000000", "--", programs / "hasty")
    assert r.returncode == 1, r.stdout + r.stderr
    assert "it differs when it is single-stepped" in r.stdout
    assert "--replay ''" not in r.stdout


def test_closed_descriptors_are_not_taken_for_its_own(programs):
    command = shlex.join([VIGIL, "sweep", "--all", "--", str(programs / "echo")])
    p = subprocess.Popen(["sh", "-c", "exec %s <&- >&- 2>&-" % command])
    try:
        opened = {}
        for _ in range(100):
            time.sleep(0.1)
            opened = {int(fd): os.readlink(f"/proc/{p.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{p.pid}/fd")}
            if any("memfd:" in name for name in opened.values()):
                break
        assert any("memfd:" in name for name in opened.values())
        assert [opened.get(fd) for fd in range(3)] == ["/dev/null"] * 3
    finally:
        p.send_signal(signal.SIGINT)
        p.wait(timeout=30)


def test_time_spent_stopped_does_not_count(programs):
    p = subprocess.Popen([VIGIL, "sweep", "--limit", "2", "--region", "work", "--depth", "2", "--stride", "1,1", "--",
                          str(programs / "race")], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(1.5)
    os.killpg(p.pid, signal.SIGSTOP)
    time.sleep(4.5)
    os.killpg(p.pid, signal.SIGCONT)
    time.sleep(1)
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=30)
    assert p.returncode == 130, err
    assert "did not end" not in out, out


def test_far_iterations_of_a_loop_have_the_time_they_take(programs):
    symbols = subprocess.run(["nm", programs / "long_loop"], check=True, capture_output=True, text=True).stdout
    again = int(re.search(r"^(\w+) [Tt] again$", symbols, re.M).group(1), 16)
    r = sweep("--limit", "2", "--replay", f"aex:{again:x}@{again:x}#300000+0", "--", programs / "long_loop")
    assert r.returncode == 0, r.stderr
    assert "only 0 of 1" not in r.stderr
