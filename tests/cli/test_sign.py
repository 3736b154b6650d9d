# SPDX-License-Identifier: Apache-2.0
"""vigil sign and what `run` and `info` make of the image: identity, changes after signing, corruption."""
import hashlib
import os
import random
import re
import shutil
import stat
import subprocess

import pytest

USAGE, BAD_INPUT, REFUSED = 2, 3, 4
HEADER, SIGSTRUCT, SIGNED_END = 64, 1808, 1028


def identity(result):
    assert result.returncode == 0, result
    return dict(re.findall(r"^([A-Z]+) +(.+)$", result.stdout, re.M))


@pytest.fixture
def signed(vigil):
    """app.manifest and app.vigil; returns (path of the image, what sign printed)."""
    result = vigil("sign", vigil.manifest())
    assert result.returncode == 0, result
    return vigil.directory / "app.vigil", result


def test_sign_writes_beside_the_manifest_and_prints_who_it_is(vigil, signed):
    path, result = signed
    who = identity(result)
    assert path.stat().st_size > 100000 and str(path) in result.stdout
    assert re.fullmatch("[0-9a-f]{64}", who["MRENCLAVE"]) and re.fullmatch("[0-9a-f]{64}", who["MRSIGNER"])
    assert "DEBUG" in who["ATTRIBUTES"]
    data = path.read_bytes()
    assert data[HEADER + 960:HEADER + 992].hex() == who["MRENCLAVE"]
    assert hashlib.sha256(data[HEADER + 128:HEADER + 512]).hexdigest() == who["MRSIGNER"]
    assert [p.name for p in vigil.directory.iterdir() if p.suffix == ".tmp"] == []


def test_same_manifest_same_mrenclave(vigil, signed):
    assert identity(vigil("sign", "app.manifest")) == identity(signed[1])
    assert identity(vigil("info", "app.manifest"))["MRENCLAVE"] == identity(signed[1])["MRENCLAVE"]
    assert identity(vigil("info", "app.vigil")) == identity(signed[1])


def test_what_is_configured_is_measured(vigil):
    seen = {identity(vigil("sign", vigil.manifest(**changes)))["MRENCLAVE"] for changes in (
        {}, {"sgx__debug": "false"}, {"sgx__max_threads": "5"}, {"loader__argv": '["busybox", "echo", "it rans"]'},
        {"sgx__experimental_enable_aex_notify": "true"}, {"loader__env__A": '"1"'}, {"loader__env__A": '"2"'},
        {"sgx__allowed_files": '["file:x"]'}, {"sgx__use_exinfo": "true"}, {"sgx__enable_stats": "true"},
    )}
    assert len(seen) == 10


def test_output_and_other_names(vigil):
    assert vigil("sign", vigil.manifest(), "--output", "elsewhere.bin").returncode == 0
    assert vigil("run", "elsewhere.bin").stdout == "it runs\n"
    vigil.manifest("plain.toml")
    assert vigil("sign", "plain.toml").returncode == 0 and (vigil.directory / "plain.toml.vigil").exists()
    assert vigil("run", "plain.toml").stdout == "it runs\n"


def test_own_key(vigil):
    key = vigil.directory / "own.pem"
    subprocess.run(["openssl", "genrsa", "-3", "-out", key, "3072"], check=True, capture_output=True)
    key.chmod(0o600)
    own = identity(vigil("sign", vigil.manifest(), "--key", key))
    dev = identity(vigil("sign", "app.manifest"))
    assert own["MRENCLAVE"] == dev["MRENCLAVE"] and own["MRSIGNER"] != dev["MRSIGNER"]
    key.chmod(0o640)
    vigil.refuses(BAD_INPUT, "sign", "app.manifest", "--key", key, says=["own.pem", "chmod 600"])
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    key.chmod(0o600)
    vigil.refuses(BAD_INPUT, "sign", "app.manifest", "--key", key, says=["own.pem", "RSA-3072"])
    vigil.refuses(BAD_INPUT, "sign", "app.manifest", "--key", "none.pem", says=["none.pem", "No such file"])


def test_places_that_cannot_be_written(vigil):
    manifest = vigil.manifest()
    vigil.refuses(BAD_INPUT, "sign", manifest, "--output", "no/such/app.vigil",
                  says=["no/such/app.vigil", "No such file"])
    os.mkfifo(vigil.directory / "pipe")
    vigil.refuses(BAD_INPUT, "sign", manifest, "--output", "pipe", says=["pipe", "not a regular file"])
    assert stat.S_ISFIFO(os.stat(vigil.directory / "pipe").st_mode)
    (vigil.directory / "pipe").unlink()
    (vigil.directory / "taken").mkdir()
    vigil.refuses(BAD_INPUT, "sign", manifest, "--output", "taken", says=["taken"])
    limit = f"ulimit -f 100; trap '' XFSZ; exec {vigil.command} sign app.manifest"
    result = subprocess.run(["bash", "-c", limit], cwd=vigil.directory, env=vigil.env, capture_output=True, text=True)
    assert result.returncode == BAD_INPUT and "app.vigil" in result.stderr and "too large" in result.stderr
    assert sorted(p.name for p in vigil.directory.iterdir()) == ["app.manifest", "taken"]


def test_signed_image_is_used_and_must_match(vigil, signed):
    assert vigil("run", "app.manifest").stdout == "it runs\n"
    vigil.manifest(loader__argv='["busybox", "echo", "something else"]')
    vigil.refuses(BAD_INPUT, "run", "app.manifest", says=["app.manifest", "changed since", "vigil sign"])
    assert vigil("run", "app.vigil").stdout == "it runs\n"
    assert vigil("sign", "app.manifest").returncode == 0
    assert vigil("run", "app.manifest").stdout == "something else\n"


def test_comments_do_not_matter(vigil, signed):
    path = vigil.directory / "app.manifest"
    path.write_text("# only a comment\n" + path.read_text())
    assert vigil("run", "app.manifest").stdout == "it runs\n"


def test_measured_switches_cannot_be_overridden(vigil, signed):
    for what in ("app.vigil", "app.manifest"):
        vigil.refuses(USAGE, "run", "--aex-notify=on", what, says=["--aex-notify=on", "vigil sign"])
        assert vigil("run", "--aex-notify=off", what).returncode == 0


def test_another_enclave_under_the_signed_name_is_refused(vigil, signed):
    vigil("sign", vigil.manifest("other.manifest", loader__argv='["busybox", "echo", "other"]'))
    shutil.copy(vigil.directory / "other.vigil", vigil.directory / "app.vigil")
    vigil.refuses(BAD_INPUT, "run", "app.manifest", says="changed since")


@pytest.mark.parametrize("offset, says", [
    (HEADER + 20, "signature"),                 # DATE
    (HEADER + 130, "signature"),                # MODULUS
    (HEADER + 600, "signature"),                # SIGNATURE
    (HEADER + 930, "signature"),                # ATTRIBUTES
    (HEADER + 970, "signature"),                # ENCLAVEHASH
    (HEADER + SIGSTRUCT + 28, "changed"),       # flags of the configuration
    (HEADER + SIGSTRUCT + 400, "changed"),      # its strings or lists
])
@pytest.mark.parametrize("command", ["run", "info"])
def test_changed_images(vigil, signed, offset, says, command):
    path = signed[0]
    data = bytearray(path.read_bytes())
    data[offset] ^= 4
    path.write_bytes(data)
    vigil.refuses(BAD_INPUT, command, "app.vigil", says=["app.vigil", says, "vigil sign"])


def test_changed_code(vigil, signed):
    path = signed[0]
    data = bytearray(path.read_bytes())
    elf = data.index(b"\x7fELF")
    data[elf + 0x3000] ^= 1
    path.write_bytes(data)
    vigil.refuses(BAD_INPUT, "run", "app.vigil", says=["app.vigil", "changed", "vigil sign"])


@pytest.mark.parametrize("offset", [SIGNED_END + 2, 1040 + 5, 1424 + 5])
def test_parts_of_sigstruct_that_only_the_processor_checks(vigil, signed, offset):
    path = signed[0]
    data = bytearray(path.read_bytes())
    data[HEADER + offset] ^= 4
    path.write_bytes(data)
    vigil.refuses(BAD_INPUT, "run", "app.vigil", says=["app.vigil", "damaged", "vigil sign"])
    # With a checksum that is right again it is EINIT that refuses.
    data[32:64] = hashlib.sha256(data[:32] + data[HEADER:]).digest()
    path.write_bytes(data)
    result = vigil("run", "app.vigil")
    assert result.returncode == REFUSED and not result.stdout and "EINIT" in result.stderr


def test_truncated_images(vigil, signed):
    path = signed[0]
    data = path.read_bytes()
    for n in (8, 31, 32, 63, 64, 500, HEADER + SIGSTRUCT, HEADER + SIGSTRUCT + 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:n])
        for command in ("run", "info"):
            vigil.refuses(BAD_INPUT, command, "app.vigil", says=["app.vigil"])
    path.write_bytes(b"")
    vigil.refuses(BAD_INPUT, "run", "app.manifest", says=["app.vigil", "vigil sign"])
    path.write_bytes(data + b"\0")
    vigil.refuses(BAD_INPUT, "run", "app.vigil", says=["app.vigil"])


def test_random_damage_is_noticed(vigil, signed):
    path = signed[0]
    data, rng = path.read_bytes(), random.Random(3)
    for _ in range(25):
        spoiled = bytearray(data)
        spoiled[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(spoiled)
        vigil.refuses(BAD_INPUT, "run", "app.vigil", says="app.vigil")
