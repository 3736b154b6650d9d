# SPDX-License-Identifier: Apache-2.0
"""vigil run: exit statuses, streams, where programs are found, what needs a signature."""
import os
import signal
import stat
import subprocess

import pytest

from conftest import BUSYBOX

USAGE, BAD_INPUT, NOT_EXECUTABLE, NOT_FOUND = 2, 3, 126, 127
SMALL = ["--enclave-size=64M", "--max-threads=4"]


def vigil_lines(stderr):
    return [line for line in stderr.splitlines() if line.startswith("vigil: ")]


def test_program_without_manifest(vigil):
    result = vigil("run", *SMALL, "--", BUSYBOX, "echo", "a", "b c", "")
    assert result.returncode == 0 and result.stdout == "a b c \n"
    assert vigil_lines(result.stderr) == result.stderr.splitlines()


@pytest.mark.parametrize("status", [0, 1, 2, 3, 4, 42, 126, 127, 255])
def test_exit_status_is_the_programs(vigil, status):
    assert vigil("run", *SMALL, "--", BUSYBOX, "sh", "-c", f"exit {status}").returncode == status


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV, signal.SIGABRT])
def test_killed_program_is_128_plus_n(vigil, number):
    result = vigil("run", *SMALL, "--", BUSYBOX, "sh", "-c", f"kill -{int(number)} $$")
    # A shell says 128+N of a command that died of N; a parent sees the signal itself or that number.
    assert result.returncode in (128 + number, -number), result


def test_streams_belong_to_the_program(vigil):
    result = vigil("run", *SMALL, "--", BUSYBOX, "sh", "-c", "read x; echo out $x; echo err >&2", stdin=None,
                   input="in\n")
    assert result.stdout == "out in\n"
    others = [line for line in result.stderr.splitlines() if not line.startswith("vigil: ")]
    assert others == ["err"]


def test_options_after_the_program_are_the_programs(vigil):
    result = vigil("run", *SMALL, "--", BUSYBOX, "echo", "--stats", "--help", "--", "-x")
    assert result.returncode == 0 and result.stdout == "--stats --help -- -x\n"


def test_environment_and_directory_are_the_hosts(vigil):
    result = vigil("run", *SMALL, "--", BUSYBOX, "sh", "-c", 'echo "$MARK"; pwd', env={"MARK": "from outside"})
    assert result.stdout.splitlines() == ["from outside", str(vigil.directory)]


def test_path_is_searched(vigil):
    directory = vigil.directory / "bin"
    directory.mkdir()
    (directory / "busybox").symlink_to(BUSYBOX)
    result = vigil("run", *SMALL, "--", "busybox", "echo", "found", env={"PATH": f"/nowhere:{directory}"})
    assert result.returncode == 0 and result.stdout == "found\n"


def test_a_relative_program(vigil):
    (vigil.directory / "busybox").symlink_to(BUSYBOX)
    result = vigil("run", *SMALL, "--", "./busybox", "echo", "here")
    assert result.returncode == 0 and result.stdout == "here\n"


def test_missing_programs(vigil):
    vigil.refuses(NOT_FOUND, "run", "--", "no-such-program", says=["no-such-program", "not found"])
    vigil.refuses(NOT_FOUND, "run", "--", "./no-such-program", says=["./no-such-program", "No such file"])
    vigil.refuses(NOT_FOUND, "run", "--", "", says="not found")
    vigil.refuses(NOT_FOUND, "run", "--", "two\nlines\033[2J", says="two?lines?[2J")
    vigil.refuses(NOT_FOUND, "run", "--", "busybox", env={"PATH": "/nowhere"}, says="busybox")


def test_programs_that_are_not_executable(vigil):
    (vigil.directory / "plain").write_text("hello")
    vigil.refuses(NOT_EXECUTABLE, "run", "--", "./plain", says=["./plain", "not executable"])
    vigil.refuses(NOT_EXECUTABLE, "run", "--", vigil.directory, says="directory")


def test_a_later_program_of_that_name_counts(vigil):
    for name in ("first", "second", "folder"):
        (vigil.directory / name).mkdir()
    (vigil.directory / "first/busybox").write_text("not executable")
    (vigil.directory / "folder/busybox").mkdir()
    vigil.refuses(NOT_EXECUTABLE, "run", "--", "busybox", env={"PATH": "/nowhere:first"},
                  says=["first/busybox", "not executable"])
    vigil.refuses(NOT_FOUND, "run", "--", "busybox", env={"PATH": "folder"}, says="busybox")
    (vigil.directory / "second/busybox").symlink_to(BUSYBOX)
    assert vigil("run", *SMALL, "--", "busybox", "true", env={"PATH": "first:folder:second"}).returncode == 0


def test_program_in_the_place_of_a_manifest(vigil):
    vigil.refuses(BAD_INPUT, "run", BUSYBOX, says=[BUSYBOX, "a program", f"vigil run -- {BUSYBOX}"])
    vigil("sign", vigil.manifest())
    vigil.refuses(BAD_INPUT, "sign", "app.vigil", says=["app.vigil", "signed image"])


def test_missing_runtime_is_named(vigil):
    vigil.refuses(BAD_INPUT, "run", "--", BUSYBOX, env={"VIGIL_RUNTIME": "/no/such.elf"},
                  says=["/no/such.elf", "VIGIL_RUNTIME"])
    (vigil.directory / "junk.elf").write_bytes(b"junk" * 100)
    vigil.refuses(BAD_INPUT, "run", "--", BUSYBOX, env={"VIGIL_RUNTIME": "junk.elf"}, says="runtime")


def test_manifest_in_a_debug_enclave_needs_no_signature(vigil):
    result = vigil("run", vigil.manifest())
    assert result.returncode == 0 and result.stdout == "it runs\n"
    assert not list(vigil.directory.glob("*.vigil"))


def test_manifest_for_production_does(vigil):
    vigil.refuses(BAD_INPUT, "run", vigil.manifest(sgx__debug="false"), says=["app.manifest", "vigil sign"])
    vigil.refuses(BAD_INPUT, "run", vigil.manifest(sgx__debug=None), says=["app.manifest", "vigil sign"])
    assert vigil("sign", "app.manifest").returncode == 0
    result = vigil("run", "app.manifest")
    assert result.returncode == 0 and result.stdout == "it runs\n"


def test_arguments_of_a_manifest(vigil):
    vigil.refuses(USAGE, "run", vigil.manifest(), "more", says="loader.insecure__use_cmdline_argv")
    path = vigil.manifest("busybox.manifest", loader__argv=None)
    path.write_text(path.read_text() + "loader.insecure__use_cmdline_argv = true\n")
    # argv[0] is the program's name and not the manifest's: busybox must know itself.
    for name in (path, "busybox.manifest", "./busybox.manifest"):
        result = vigil("run", name, "echo", "more", "--help")
        assert result.returncode == 0 and result.stdout == "more --help\n", result
    assert vigil("sign", "busybox.manifest").returncode == 0
    assert vigil("run", "busybox.vigil", "echo", "more").stdout == "more\n"


def test_environment_of_a_manifest(vigil):
    vigil.manifest(loader__argv='["busybox", "env"]', loader__env__FIXED='"inside"',
                   loader__env__GIVEN="{ passthrough = true }")
    result = vigil("run", "app.manifest", env={"FIXED": "outside", "GIVEN": "outside", "OTHER": "outside"})
    assert sorted(result.stdout.split()) == ["FIXED=inside", "GIVEN=outside"]


def test_files_of_a_manifest(vigil):
    data = vigil.directory / "data"
    data.mkdir()
    (data / "open").write_text("contents\n")
    (vigil.directory / "closed").write_text("secret\n")
    base = dict(fs__mounts=f'[ {{ path = "/data", uri = "file:{data}" }} ]', sgx__allowed_files=f'[ "file:{data}/" ]')
    result = vigil("run", vigil.manifest(loader__argv='["busybox", "cat", "/data/open"]', **base))
    assert result.returncode == 0 and result.stdout == "contents\n", result
    result = vigil("run", vigil.manifest(loader__argv=f'["busybox", "cat", "{vigil.directory}/closed"]', **base))
    assert result.returncode == 1 and not result.stdout and "sgx.allowed_files" in result.stderr, result
    base["sgx__file_check_policy"] = '"allow_all_but_log"'
    result = vigil("run", vigil.manifest(loader__argv=f'["busybox", "cat", "{vigil.directory}/closed"]', **base))
    assert result.returncode == 0 and result.stdout == "secret\n", result


def test_log_file(vigil):
    vigil.manifest(loader__log_level='"trace"', loader__log_file='"log.txt"')
    result = vigil("run", "app.manifest")
    log = (vigil.directory / "log.txt").read_text()
    assert result.returncode == 0 and result.stdout == "it runs\n" and "write" in log
    assert "trace" not in result.stderr and len(result.stderr.splitlines()) <= 1


@pytest.mark.parametrize("on", [True, False])
def test_aex_notify_switch(vigil, on):
    switch = "--aex-notify=" + ("on" if on else "off")
    for arguments in ([*SMALL, "--", BUSYBOX, "true"], [vigil.manifest()]):
        result = vigil("run", switch, "--log-level=warning", *arguments)
        assert result.returncode == 0, result
        assert ("AEX-Notify counter at process exit" in result.stderr) == on, result


def test_statistics(vigil):
    result = vigil("run", "--stats", *SMALL, "--", BUSYBOX, "true")
    assert result.returncode == 0 and "vigil: stats: " in result.stderr and "EENTER" in result.stderr
    assert "stats" not in vigil("run", *SMALL, "--", BUSYBOX, "true").stderr


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A program of few instructions: a schedule steps through all of them, and through each byte that is loaded."""
    directory = tmp_path_factory.mktemp("tiny")
    (directory / "tiny.c").write_text(r"""
        static long call(long number, long a, const void *b, long c)
        {
            long result;
            __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
            return result;
        }
        void _start(void)
        {
            for (volatile int i = 0; i < 2000; i++)
                ;
            call(1, 1, "same\n", 5);
            call(231, 9, 0, 0);
        }""")
    subprocess.run(["gcc", "-O1", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-o", "tiny",
                    "tiny.c"], cwd=directory, check=True)
    return directory / "tiny"


@pytest.mark.parametrize("schedule", ["after:1000", "random:7,2000"])
def test_interrupt_schedules(vigil, tiny, schedule):
    vigil.manifest(libos__entrypoint=f'"{tiny}"', sgx__experimental_enable_aex_notify="true", sys__stack__size='"16K"',
                   sys__brk__max_size='"4K"', sgx__use_exinfo="true")
    result = vigil("run", "--aex", schedule, "--tick-hz=0", "--stats", "app.manifest")
    assert result.returncode == 9 and result.stdout == "same\n", result
    counted = int(result.stderr.split("interrupts ")[1].split(",")[0])
    assert counted == 1 if schedule.startswith("after") else counted > 1, result.stderr


def test_development_key_is_made_on_first_use(vigil, fresh_home):
    result = vigil("run", *SMALL, "--", BUSYBOX, "true", env={"HOME": str(fresh_home)})
    key = fresh_home / ".config/vigil/dev-key.pem"
    assert result.returncode == 0 and stat.S_IMODE(key.stat().st_mode) == 0o600
    key.chmod(0o644)
    vigil.refuses(BAD_INPUT, "run", *SMALL, "--", BUSYBOX, "true", env={"HOME": str(fresh_home)},
                  says=[str(key), "chmod 600"])


def test_key_that_cannot_be_made(vigil):
    (vigil.directory / "file").write_text("")
    vigil.refuses(BAD_INPUT, "run", *SMALL, "--", BUSYBOX, "true",
                  env={"XDG_CONFIG_HOME": str(vigil.directory / "file")},
                  says=[str(vigil.directory / "file"), "key"])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_unreadable_manifest(vigil):
    path = vigil.manifest()
    path.chmod(0)
    os.chmod(vigil.directory, 0o755)

    def nobody():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    try:
        os.stat(vigil.command)
        result = vigil("run", path, preexec_fn=nobody)
    except PermissionError:
        pytest.skip("others cannot reach the command itself")
    assert result.returncode == BAD_INPUT and "app.manifest" in result.stderr and "Permission denied" in result.stderr
