# SPDX-License-Identifier: Apache-2.0
"""What is inside whatever the host has: /proc, /sys, /dev, and files in the enclave's memory (tmpfs)."""
import re

import pytest

from conftest import BUSYBOX, PROGRAMS, assert_same, execute


@pytest.mark.parametrize("name", ["pseudo", "pseudo_dyn"])
def test_pseudo_files(vigil, name, hz):
    native = vigil.compare(PROGRAMS / name, hz=hz)
    assert native.status == 0 and b"devices: ok" in native.stdout, native


def test_memory_and_timers_as_descriptors(vigil, hz):
    native = vigil.compare(PROGRAMS / "descriptors", hz=hz)
    assert native.status == 0 and b"errors of timers: ok" in native.stdout, native


def manifest(vigil, tmp_path, program, mounts):
    path = tmp_path / "inside.manifest"
    path.write_text(f"""
libos.entrypoint = "{program}"
loader.insecure__use_cmdline_argv = true
loader.insecure__use_host_env = true
fs.root = {{ uri = "file:/" }}
fs.mounts = [ {mounts} ]
sgx.file_check_policy = "allow_all_but_log"
sgx.debug = true
sgx.enclave_size = "128M"
sgx.max_threads = 8
sgx.experimental_enable_aex_notify = {"true" if vigil.aexnotify else "false"}
{vigil.edmm_key()}
""")
    return path


@pytest.mark.parametrize("name", ["dirs", "files"])
def test_programs_in_memory(vigil, tmp_path, name):
    """The programs that try the host's files, in a tmpfs: they cannot tell the difference, and the host has nothing."""
    native = vigil.native(str(PROGRAMS / name))
    place = tmp_path / "place"
    path = manifest(vigil, tmp_path, PROGRAMS / name, f'{{ type = "tmpfs", path = "{place}" }}')
    assert_same(vigil.command("run", path, place), native)
    assert not place.exists()


def test_memory_ends(vigil, tmp_path):
    """Half of the enclave's memory may be files, then there is no space left."""
    path = manifest(vigil, tmp_path, BUSYBOX, '{ type = "tmpfs", path = "/mem" }')
    done = vigil.command("run", path, "dd", "if=/dev/zero", "of=/mem/zeroes", "bs=65536", "count=500")
    assert done.status == 0 and "500+0 records out" in done.stderr, done
    done = vigil.command("run", path, "dd", "if=/dev/zero", "of=/mem/zeroes", "bs=65536", "count=3000")
    assert done.status == 1 and "No space left on device" in done.stderr, done


def shell(vigil, script, hz=250):
    done = vigil.run(BUSYBOX, "sh", "-c", script, hz=hz)
    assert done.status == 0, done
    return done.stdout.decode()


def test_shell_writes_to_dev_shm(vigil):
    assert shell(vigil, "cd /dev/shm; echo one >a; echo two >>a; read x <a; echo $x; while read y; do echo -$y; done <a; "
                        "exec 3<a; read z <&3; read z <&3; echo $z; cd /; echo /dev/shm/*") == "one\n-one\n-two\ntwo\n/dev/shm/a\n"


def test_nothing_of_the_hosts_shows(vigil):
    """No process, mount, device or kernel of the host, but for what the program is told anyway."""
    listed = vigil.run(BUSYBOX, "ls", "/proc", "/sys", "/sys/devices", "/dev").stdout.decode().split()
    processes = [name for name in listed if name.isdigit()]
    assert len(processes) == 1, listed
    for name in ("kcore", "kallsyms", "modules", "interrupts", "block", "class", "pci", "mem", "kmsg", "sda"):
        assert name not in listed, name
    for path in ("/proc/1/status", "/proc/kcore", "/proc/interrupts", "/sys/class", "/dev/mem", "/proc/self/../1/maps",
                 "/proc/self/root/proc/kallsyms", "/proc/self/task/1/maps"):
        assert vigil.run(BUSYBOX, "cat", path).status == 1, path
    release = vigil.run(BUSYBOX, "uname", "-r").stdout
    assert vigil.run(BUSYBOX, "cat", "/proc/sys/kernel/osrelease").stdout == release


def test_applets_that_read_proc(vigil):
    count = vigil.run(BUSYBOX, "nproc")
    assert_same(count, execute([BUSYBOX, "nproc"]))
    processors = int(count.stdout)
    info = vigil.run(BUSYBOX, "cat", "/proc/cpuinfo").stdout
    assert len(re.findall(rb"^processor\t: \d+$", info, re.M)) == processors and b" sse2 " in info
    native = open("/proc/cpuinfo", "rb").read()
    mine, real = (set(re.search(rb"^flags\t\t:(.*)$", text, re.M).group(1).split()) for text in (info, native))
    # Linux takes out what does not work on this model.
    assert len(mine - real) <= 3 and {b"aes", b"avx", b"rdrand"} & real <= mine, (mine - real, real - mine)
    for line in (rb"^vendor_id.*$", rb"^cpu family.*$", rb"^model\t.*$", rb"^model name.*$", rb"^stepping.*$"):
        assert re.search(line, info, re.M).group() == re.search(line, native, re.M).group()
    ps = vigil.run(BUSYBOX, "ps", "-o", "pid,comm,args").stdout.decode().splitlines()
    assert len(ps) == 2 and ps[1].split()[1] == "busybox", ps
    free = vigil.run(BUSYBOX, "free", "-k").stdout.decode().splitlines()[1].split()
    total, used, left = map(int, free[1:4])
    assert total < 513 << 10 or vigil.edmm
    assert 0 < used < 64 << 10 and total - used - left < 1 << 10, free
    assert re.match(r" \d\d:\d\d:\d\d up .*load average: 0.00", vigil.run(BUSYBOX, "uptime").stdout.decode())
    df = vigil.run(BUSYBOX, "df", "-a").stdout.decode()
    assert re.search(r"^host .* /$", df, re.M) and re.search(r"^tmpfs .* 0% /dev/shm$", df, re.M), df
    assert vigil.run(BUSYBOX, "tty").stdout == b"not a tty\n"
    assert len(vigil.run(BUSYBOX, "hexdump", "-n", "64", "/dev/random").stdout.splitlines()) == 5
    assert vigil.run(BUSYBOX, "readlink", "-f", "/proc/self/exe").stdout.strip().endswith(b"busybox")
    assert vigil.run(BUSYBOX, "cat", "/proc/self/maps").stdout.count(b"[stack]") == 1
