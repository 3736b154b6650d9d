# SPDX-License-Identifier: Apache-2.0
"""Keys of the manifest, as the program in the enclave sees them."""
import struct
import subprocess

import pytest

from conftest import BUSYBOX, VIGIL

pytestmark = pytest.mark.cells(edmm=0, aexnotify=1)


@pytest.fixture
def run(vigil, tmp_path):
    """Signs a manifest of these lines, and runs it."""

    def go(*lines, argv=(), sign=0):
        (tmp_path / "m.manifest").write_text("\n".join((
            'libos.entrypoint = "%s"' % BUSYBOX, 'fs.root.uri = "file:/"', 'sgx.enclave_size = "128M"', *lines,
            *(["loader.argv = [%s]" % ", ".join("\'%s\'" % a for a in argv)] if argv else []))) + "\n")
        done = subprocess.run([VIGIL, "sign", tmp_path / "m.manifest"], capture_output=True, text=True, timeout=60, env=vigil.env,
                              check=False)
        assert done.returncode == sign, done.stderr
        return subprocess.run([VIGIL, "run", tmp_path / "m.vigil"], capture_output=True, text=True, timeout=60, env=vigil.env,
                              check=False)

    return go


def test_identity_and_limits(run):
    ids = ("loader.uid = 1000", "loader.gid = 100")
    assert run(*ids, argv=("busybox", "id", "-u")).stdout == "1000\n"
    assert run(*ids, argv=("busybox", "id", "-g")).stdout == "100\n"
    assert run(argv=("busybox", "id", "-u")).stdout == "0\n"
    for limit, soft, hard in ((77, 77, 1024), (5000, 5000, 5000)):
        done = run("sys.fds.limit = %d" % limit, argv=("busybox", "sh", "-c", "ulimit -n; ulimit -Hn"))
        assert (done.returncode, done.stdout) == (0, "%d\n%d\n" % (soft, hard)), done.stderr


def test_arguments_and_environment_of_files(run, tmp_path):
    args, env = tmp_path / "args", tmp_path / "env"
    args.write_bytes(b"busybox\0sh\0-c\0echo \"$0,$1,$A,$B\"\0zero\0\0")
    env.write_bytes(b"A=a b\0B=of the file\0B=again\0")
    keys = ['loader.argv_src_file = "file:%s"' % args, 'loader.env_src_file = "file:%s"' % env]
    trusted = 'sgx.trusted_files = ["file:%s", "file:%s"]' % (args, env)
    assert run(*keys, trusted).stdout == "zero,,a b,of the file\n"
    assert run(*keys, trusted, 'loader.env.B = "of the manifest"').stdout == "zero,,a b,of the manifest\n"
    # Neither trusted nor allowed
    done = run(*keys)
    assert done.returncode == 126 and not done.stdout and "loader.argv_src_file: cannot open" in done.stderr
    # Changed after signing
    assert run(*keys, trusted).returncode == 0
    done = subprocess.run([VIGIL, "run", tmp_path / "m.vigil"], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    args.write_bytes(b"busybox\0echo\0evil\0")
    done = subprocess.run([VIGIL, "run", tmp_path / "m.vigil"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 126 and not done.stdout and "not the file that was signed" in done.stderr
    # Malformed
    for text, why in ((b"", "is empty"), (b"busybox", "does not end with a NUL"), (b"a\0" * (1 << 19), "1 MiB")):
        args.write_bytes(text)
        done = run(*keys, trusted)
        assert done.returncode == 126 and why in done.stderr, done.stderr


def test_product_version_and_features(run, tmp_path):
    run("sgx.isvprodid = 513", "sgx.isvsvn = 7", 'sgx.cpu_features.avx = "disabled"', argv=("busybox", "true"))
    image = (tmp_path / "m.vigil").read_bytes()
    sigstruct = image.index(bytes.fromhex("06000000e100000000000100000000 00".replace(" ", "")))
    assert struct.unpack_from("<HH", image, sigstruct + 1024) == (513, 7)
    done = run('sgx.cpu_features.avx = "disabled"', argv=("busybox", "grep", "-m1", "-o", "avx", "/proc/cpuinfo"))
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    flags = open("/proc/cpuinfo", encoding="ascii").read().split()
    for name in ("avx", "avx512"):
        there = name in flags or name + "f" in flags
        done = run('sgx.cpu_features.%s = "required"' % name, argv=("busybox", "echo", "runs"))
        if there:
            assert (done.returncode, done.stdout) == (0, "runs\n"), done.stderr
        else:
            assert done.returncode == 4 and "which this machine has not" in done.stderr
