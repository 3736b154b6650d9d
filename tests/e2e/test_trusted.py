# SPDX-License-Identifier: Apache-2.0
"""sgx.trusted_files: what was signed can be read, and nothing else: not another file, not a change made while it is open."""
import hashlib
import os
import subprocess
import time

import pytest

from conftest import BUSYBOX, VIGIL

SIZE = 100000
LIBRARIES = ["/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6", "/etc/ld.so.cache"]


@pytest.fixture
def place(tmp_path):
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "large").write_bytes(bytes(range(256)) * (SIZE // 256) + b"the end")
    (tmp_path / "data" / "sub" / "small").write_text("hello\n")
    (tmp_path / "other").write_text("not trusted\n")
    return tmp_path


class Signed:
    def __init__(self, vigil, place):
        self.vigil, self.place = vigil, place

    def sign(self, *argv, trusted=(), more="", program=BUSYBOX):
        files = ["file:" + f for f in (program, *trusted)] + ["file:%s/" % (self.place / "data")]
        (self.place / "t.manifest").write_text(
            'libos.entrypoint = "%s"\nloader.argv = [%s]\nfs.root.uri = "file:/"\nsgx.debug = true\n'
            'sgx.enclave_size = "%s"\nsgx.trusted_files = [%s]\nsgx.experimental_enable_aex_notify = %s\n'
            'sgx.edmm_enable = %s\nsgx.use_exinfo = true\n%s\n' % (
                program, ", ".join('"%s"' % a for a in argv), "1G" if self.vigil.edmm else "128M",
                ", ".join('"%s"' % f for f in files), str(bool(self.vigil.aexnotify)).lower(),
                str(bool(self.vigil.edmm)).lower(), more))
        done = subprocess.run([VIGIL, "sign", self.place / "t.manifest"], capture_output=True, text=True, timeout=60,
                              env=self.vigil.env, check=False)
        assert done.returncode == 0, done.stderr
        return self

    def popen(self, **more):
        return subprocess.Popen([VIGIL, "run", self.place / "t.vigil"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="latin-1",
                                env=self.vigil.env, **more)

    def run(self):
        with self.popen() as program:
            out, err = program.communicate(timeout=60)
        return program.returncode, out, err


@pytest.fixture
def signed(vigil, place):
    return Signed(vigil, place)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_was_signed(signed, place):
    large, small = place / "data" / "large", place / "data" / "sub" / "small"
    status, out, err = signed.sign("busybox", "sha256sum", str(large), str(small)).run()
    assert status == 0, err
    assert out == "%s  %s\n%s  %s\n" % (digest(large), large, digest(small), small)


@pytest.mark.parametrize("change", ["another byte", "longer", "shorter", "empty"])
def test_another_file(signed, place, change):
    large = place / "data" / "large"
    signed.sign("busybox", "cat", str(large))
    data = large.read_bytes()
    large.write_bytes({"another byte": data[:50000] + b"!" + data[50001:], "longer": data + b"x", "shorter": data[:-1],
                       "empty": b""}[change])
    status, out, err = signed.run()
    assert status == 1 and out == "", err
    assert "%s: not the file that was signed (sgx.trusted_files): access denied" % large in err


def test_the_program_itself(signed, place):
    program = place / "data" / "program"
    program.write_bytes(open(BUSYBOX, "rb").read())
    program.chmod(0o755)
    signed.sign("busybox", "true", program=str(program))
    with open(program, "r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(b"changed")
    status, _, err = signed.run()
    assert status == 126 and "not the file that was signed" in err


def test_others_are_not_there(signed, place):
    status, out, err = signed.sign("busybox", "cat", str(place / "other")).run()
    assert status == 1 and out == "" and "access denied (sgx.file_check_policy is strict)" in err


def test_writing_is_refused(signed, place):
    small = place / "data" / "sub" / "small"
    status, _, err = signed.sign("busybox", "sh", "-c", "echo changed >> %s" % small).run()
    assert status == 1 and "opened for writing, but it is in sgx.trusted_files" in err
    assert small.read_text() == "hello\n"


CHANGES = {"truncate": ["-s", "3", "FILE"], "chmod": ["600", "FILE"], "rm": ["FILE"], "mv": ["FILE", "OTHER"], "touch": ["FILE"],
           "ln": ["FILE", "OTHER"]}


@pytest.mark.cells(edmm=0, aexnotify=1)
@pytest.mark.parametrize("policy", ["strict", "allow_all_but_log"])
@pytest.mark.parametrize("command", CHANGES)
def test_changing_is_refused(signed, place, command, policy):
    small, other = place / "data" / "sub" / "small", place / "elsewhere"
    argv = [a.replace("FILE", str(small)).replace("OTHER", str(other)) for a in CHANGES[command]]
    before = os.stat(small)
    status, _, err = signed.sign("busybox", command, *argv, more='sgx.file_check_policy = "%s"\nsgx.allowed_files = ["file:%s/"]' % (
        policy, place)).run()
    assert status == 1 and "it is in sgx.trusted_files: access denied" in err, err
    after = os.stat(small)
    assert small.read_text() == "hello\n" and not other.exists()
    assert (before.st_mode, before.st_mtime_ns, before.st_ino) == (after.st_mode, after.st_mtime_ns, after.st_ino)


@pytest.mark.cells(edmm=0, aexnotify=1)
def test_thousands(signed, place):
    """A list is searched by halves: a start with 5,000 of them takes no longer than one without."""
    many = place / "data" / "many"
    many.mkdir()
    for i in range(5000):
        (many / ("file%d" % i)).write_text("%d\n" % i)
    signed.sign("busybox", "cat", str(many / "file0"), str(many / "file2500"), str(many / "file4999"))
    start = time.time()
    status, out, err = signed.run()
    assert (status, out) == (0, "0\n2500\n4999\n"), err
    assert time.time() - start < 10  # 0.1 s on an idle machine


@pytest.mark.parametrize("policy", ["strict", "allow_all_but_log"])
def test_a_change_while_it_is_open(signed, place, policy):
    """The program has verified and opened it, and reads it after the host has changed it: old bytes or an error."""
    large, go = place / "data" / "large", place / "go"
    os.mkfifo(go)
    signed.sign("busybox", "sh", "-c", "exec 3< %s; read x < %s; cat <&3" % (large, go),
                more='sgx.allowed_files = ["file:%s"]\nsgx.file_check_policy = "%s"' % (go, policy))
    before = large.read_bytes().decode("latin-1")
    with signed.popen() as program:
        deadline = time.time() + 30
        while True:  # until it waits at the pipe
            try:
                fd = os.open(go, os.O_WRONLY | os.O_NONBLOCK)
                break
            except OSError:
                assert time.time() < deadline and program.poll() is None, program.stderr.read()
                time.sleep(0.05)
        with open(large, "r+b") as file:
            file.seek(60000)
            file.write(b"changed")
        os.write(fd, b"go\n")
        os.close(fd)
        out, err = program.communicate(timeout=60)
    assert program.returncode == 1, err
    assert out == before[:49152].replace("\r\n", "\n").replace("\r", "\n")  # the chunks before the change
    assert "changed since it was opened" in err


def test_a_dynamic_program(signed, place):
    """Strict: the loader and the libraries are trusted, or they are not there."""
    small = place / "data" / "sub" / "small"
    signed.sign("cat", str(small), program="/bin/cat", trusted=LIBRARIES)
    status, out, err = signed.run()
    assert (status, out) == (0, "hello\n"), err
    signed.sign("cat", str(small), program="/bin/cat", trusted=LIBRARIES[:1])
    status, out, err = signed.run()
    assert status == 127 and out == "" and "access denied" in err


@pytest.mark.cells(edmm=0, aexnotify=1)
def test_given_hashes(signed, place):
    other = place / "other"
    signed.sign("busybox", "cat", str(other))
    manifest = (place / "t.manifest").read_text()
    for sha, expected in ((digest(other), (0, "not trusted\n")), ("00" * 32, (1, ""))):
        (place / "t.manifest").write_text(manifest.replace("sgx.trusted_files = [", 'sgx.trusted_files = [{ uri = "file:%s", '
                                                           'sha256 = "%s" }, ' % (other, sha)))
        assert subprocess.run([VIGIL, "sign", place / "t.manifest"], capture_output=True, timeout=60, env=signed.vigil.env,
                              check=False).returncode == 0
        assert signed.run()[:2] == expected
